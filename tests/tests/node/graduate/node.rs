//! A node with Crossfade, whose pods are on the new network.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::install::crossfade::{BIN_DIR, OURS};
use lab::scene::{NODE_JSON, Scene, Setup};
use lab::standin::stub::{CallLog, Reply, Stub, StubDir};
use serde_json::{Value, json};

/// The path of libcni's result cache, which the runtimes do not change.
pub(crate) const CACHE: &str = "/var/lib/cni/results";
/// Where Crossfade keeps what it has moved.
pub(crate) const ASIDE: &str = "/var/lib/crossfade/set-aside/graduate";

/// The node. A stub at the end of the new network's chain writes down every call.
pub(crate) struct Node {
    pub(crate) log: CallLog,
    pub(crate) stubs: StubDir,
    scene: Scene,
}

impl Deref for Node {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl Node {
    /// Crossfade was installed under the old network, whose pods are gone; new pods get the new network.
    pub(crate) fn new() -> Result<Self> {
        let scene = Setup::bare().packaged().settings(json!({"labels": {"pool": "a"}})).start()?;
        let stubs = StubDir::on(scene.node(), BIN_DIR)?;
        stubs.write("spy", &Stub::answering(Reply::pass()))?;
        scene.crossfade.policy(json!({ "attach": "old", "gc": { "graceSeconds": 0 } }))?;
        let before = scene.run("before")?;
        scene.run_expecting(&["install"], 0)?;
        scene.end(&before)?;
        // The machine's own containerd has another configuration.
        let settings = scene.outside(NODE_JSON);
        let mut report: Value = serde_json::from_slice(&fs::read(&settings)?)?;
        report["runtime"]["config"] = json!(scene.containerd.config());
        scene.node().write(NODE_JSON, report.to_string())?;
        let node = Self { log: stubs.log(), stubs, scene };
        node.crossfade.network(&node.new, &node.new.conflist_with(1, &["spy"]))?;
        node.run_expecting(&["policy", "set", "new", "--runtime"], 0)?;
        Ok(node)
    }

    /// What the command answers, as JSON.
    pub(crate) fn graduate(&self, arguments: &[&str], status: i32) -> Result<Value> {
        let line = [&["graduate", "--output", "json"], arguments].concat();
        let output = self.bootstrap(&line)?.output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.code() == Some(status),
            "{arguments:?}: {}, expected {status}: {text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(&text).with_context(|| text.clone())
    }

    /// The names of the entries of the runtime's cache, without loopback's.
    pub(crate) fn cached(&self) -> Result<Vec<String>> {
        let dir = self.outside(CACHE);
        let mut names: Vec<String> = match fs::read_dir(&dir) {
            Ok(entries) => entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<Result<_>>()?,
            Err(_) => Vec::new(),
        };
        names.retain(|name| !name.starts_with("cni-loopback-"));
        names.sort();
        Ok(names)
    }

    /// Everything that a run may change, with its bytes: confs, state, settings, plugins and the runtime's cache.
    pub(crate) fn files(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut all = BTreeMap::new();
        for dir in ["/etc/cni/net.d", "/etc/crossfade", "/var/lib/crossfade", CACHE] {
            read(&self.outside(dir), dir, &mut all)?;
        }
        Ok(all)
    }

    /// No file of Crossfade's is left that could affect the runtime, the agents or a pod.
    pub(crate) fn expect_gone(&self) -> Result<()> {
        for path in [
            OURS,
            "/opt/cni/bin/crossfade",
            "/var/lib/crossfade/name",
            "/var/lib/crossfade/attachments",
            "/var/lib/crossfade/inventory.json",
            "/run/crossfade/leaving",
            "/etc/cni/net.d/zz-crossfade-leaving.conflist",
        ] {
            ensure!(!self.outside(path).exists(), "{path} is there");
        }
        let settings: Value = serde_json::from_slice(&fs::read(self.outside(NODE_JSON))?)?;
        ensure!(settings["confDir"] == "none" && settings["labels"]["pool"] == "a", "{settings}");
        let loaded = self.loaded()?;
        ensure!(loaded == ["bridge", "portmap", "spy"], "{loaded:?}");
        Ok(())
    }

    /// Ends a pod, and sees that its DEL reached the new network's plugin, by its own name and with its own result.
    pub(crate) fn expect_direct_del(&self, id: &str) -> Result<()> {
        let address = self.cri().status(id)?.ip.context("an address")?.to_string();
        self.log.clear()?;
        self.end(id)?;
        let calls = self.log.calls()?;
        let first = calls.iter().find(|call| call.verb() == "DEL").context("no DEL came")?;
        let conf = first.conf()?;
        ensure!(first.var("CNI_CONTAINERID") == id && first.var("CNI_IFNAME") == "eth0", "{first:?}");
        ensure!(first.var("CROSSFADE_DEPTH").is_empty(), "the DEL came through Crossfade");
        ensure!(conf["name"] == "new", "{conf}");
        let given = conf["prevResult"]["ips"][0]["address"].as_str().unwrap_or_default();
        ensure!(given.split('/').next() == Some(address.as_str()), "no prevResult of {address}: {conf}");
        let leases = self.crossfade.leases()?.1;
        ensure!(!leases.iter().any(|lease| lease.to_string() == address), "{address} leaks: {leases:?}");
        Ok(())
    }
}

fn read(dir: &Path, name: &str, all: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read(&entry.path(), &name, all)?;
        } else {
            all.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// `ACTION TARGET` of each change of an answer.
pub(crate) fn changes(answer: &Value) -> Vec<String> {
    let word = |change: &Value, key: &str| change[key].as_str().unwrap_or("?").to_owned();
    let all = answer["changes"].as_array().into_iter().flatten();
    all.map(|change| format!("{} {}", word(change, "action"), word(change, "target"))).collect()
}

/// Every problem of an answer, with its fix.
pub(crate) fn problems(answer: &Value) -> String {
    answer["problems"].to_string()
}
