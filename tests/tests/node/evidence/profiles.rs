//! Every profile through the real `boot` and the real plugin, on a node that was rebooted: what was on tmpfs is gone, what was on a
//! disk is there, and no agent runs.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use lab::case::stub_new;
use lab::host::fabric::Fabric;
use lab::host::node::Node;
use lab::host::scratch::files;
use lab::install::crossfade::{BIN_DIR, CONF_DIR, OURS, POLICY};
use lab::scene::PACKAGED;
use lab::standin::stub::StubDir;
use serde_json::{Value, json};

use crate::bootstrap;

/// Those of which nothing certain is known: an ADD waits for their conf alone, which may have survived the reboot.
const DO_NOT_WAIT: [&str; 3] = ["azure", "kindnet", "multus"];

pub(crate) fn an_add_after_a_reboot_waits_for_the_evidence_of_its_profile() -> Result<()> {
    let dir = lab::build::dist::workspace().join("types/profiles");
    let mut at_once = Vec::new();
    for file in fs::read_dir(&dir)? {
        let profile: Value = serde_json::from_slice(&fs::read(file?.path())?)?;
        let name = profile["name"].as_str().context("a name")?.to_owned();
        let node = RebootedNode::new(&profile)?;
        let waited = node.wait_for_all_evidence().with_context(|| name.clone())?;
        ensure!((waited == 0) == (profile["evidence"] == "none"), "{name}: {waited} refusals");
        if waited == 0 {
            at_once.push(name);
        }
    }
    at_once.sort();
    ensure!(at_once == DO_NOT_WAIT, "these do not wait: {at_once:?}");
    Ok(())
}

/// An upgrade under running pods runs `boot` once more, and `watch` has yet to write the file.
pub(crate) fn a_policy_without_probes_makes_no_pod_wait_before_the_next_boot() -> Result<()> {
    let calico = json!({ "name": "calico", "state": ["/var/lib/calico/nodename"] });
    let node = RebootedNode::before_boot(&calico)?;
    // Another `boot` prepared this boot.
    let boot_id = fs::read_to_string(node.node().outside("/proc/sys/kernel/random/boot_id"))?;
    let booted = json!({ "version": 1, "kind": "reboot", "bootID": boot_id.trim() });
    node.node().write("/run/crossfade/boot.json", booted.to_string())?;
    let message = node.boot()?;
    ensure!(message.contains("network old (calico)") && message.contains("at the next boot"), "{message}");
    ensure!(node.ready()?.is_empty(), "{:?}", node.ready()?);
    ensure!(node.add()? == Ok(()), "a pod waits");
    // Once the file is there, `boot` requires it, since no pod has to wait for it.
    node.node().write("/run/crossfade/probe/old", "calico\n")?;
    node.boot()?;
    ensure!(
        node.ready()?.last() == Some(&json!({ "file": "/run/crossfade/probe/old" })),
        "{:?}",
        node.ready()?
    );
    Ok(())
}

/// A node on which `boot` is about to run, or has run, and nothing else yet.
struct RebootedNode {
    stubs: StubDir,
    fabric: Fabric,
}

impl RebootedNode {
    fn new(profile: &Value) -> Result<RebootedNode> {
        let node = RebootedNode::before_boot(profile)?;
        node.boot()?;
        Ok(node)
    }

    fn before_boot(profile: &Value) -> Result<RebootedNode> {
        let fabric = Fabric::new(1)?;
        let node = fabric.node(1);
        lab::host::scratch::install(&lab::build::dist::crossfade()?, &node.outside(PACKAGED))?;
        let stubs = StubDir::on(node, BIN_DIR)?;
        stubs.write("spy", &stub_new())?;
        let conf = format!("{CONF_DIR}/10-old.conflist");
        let network = json!({ "cniVersion": "1.0.0", "name": "oldnet", "plugins": [{ "type": "spy" }] });
        node.write(&conf, network.to_string())?;
        let mut old = json!({ "profile": profile["name"], "conf": [conf] });
        if let Some(ready) = profile.get("ready") {
            old["ready"] = ready.clone();
        }
        let policy = json!({ "version": 1, "attach": "old", "networks": { "old": old } });
        node.write(POLICY, policy.to_string())?;
        // A runtime whose configuration is read without asking the runtime.
        node.write("/etc/systemd/system/crio.service", "[Service]\nExecStart=/usr/bin/crio\n")?;
        let settings = json!({ "version": 1, "runtime": { "name": "cri-o", "binDirs": [BIN_DIR] } });
        node.write("/etc/crossfade/node.json", settings.to_string())?;
        node.netns_add("pod")?;
        // What the agent has left on a disk.
        for path in profile["state"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !path.starts_with("/run/") {
                node.write(path.replace('*', "left"), "left")?;
            }
        }
        Ok(RebootedNode { stubs, fabric })
    }

    fn node(&self) -> &Node {
        self.fabric.node(1)
    }

    fn boot(&self) -> Result<String> {
        let (status, message) = bootstrap(self.node(), &["unit", "boot"])?;
        ensure!(status == Some(0), "boot: {status:?} {message}");
        Ok(message)
    }

    /// The probes that the policy has by now.
    fn ready(&self) -> Result<Vec<Value>> {
        let policy: Value = serde_json::from_slice(&fs::read(self.node().outside(POLICY))?)?;
        Ok(policy["networks"]["old"]["ready"].as_array().cloned().unwrap_or_default())
    }

    /// Brings the evidence up, one after the other. Every ADD before the last one is refused and attaches nothing, and then a pod starts;
    /// returns how many were refused.
    fn wait_for_all_evidence(&self) -> Result<usize> {
        let mut agents = Vec::new();
        let mut refused = 0;
        for probe in self.ready()? {
            let file = probe["file"].as_str();
            let Some(path) = probe["unix"].as_str().or(file) else { continue };
            let outside = self.node().outside(path);
            if file.is_some_and(|path| !path.starts_with("/run/")) {
                // It survives a reboot.
                self.node().write(path, "left")?;
                continue;
            }
            ensure!(!outside.exists(), "{path} has survived the reboot");
            let why = self.add()?.err().context("an ADD came through without its agent")?;
            ensure!(why["code"] == 11 && why["msg"].to_string().contains(path), "{why}");
            let text = why["details"].as_str().unwrap_or_default();
            let by_watch = path.starts_with("/run/crossfade/probe/");
            ensure!(by_watch == text.contains("systemctl status crossfade-watch"), "{why}");
            self.expect(&[], 0)?;
            refused += 1;
            match file {
                Some(_) => self.node().write(path, "")?,
                None => {
                    fs::create_dir_all(outside.parent().context("a directory")?)?;
                    agents.push(UnixListener::bind(&outside).with_context(|| path.to_owned())?);
                }
            }
        }
        let came = self.add()?;
        ensure!(came.is_ok(), "the evidence is there: {came:?}");
        self.expect(&["spy ADD eth0"], 1)?;
        Ok(refused)
    }

    fn expect(&self, calls: &[&str], records: usize) -> Result<()> {
        let briefs = self.stubs.log().briefs()?;
        ensure!(briefs == calls, "calls were {briefs:?}");
        let files = files(&self.node().outside("/var/lib/crossfade/attachments"))?;
        ensure!(files.len() == records, "records: {files:?}");
        Ok(())
    }

    /// An ADD as the runtime would do it by our conf; its error where there is one.
    fn add(&self) -> Result<std::result::Result<(), Value>> {
        let conf = fs::read(self.node().outside(OURS))?;
        let conf: Value = serde_json::from_slice(&conf)?;
        let mut stdin = conf["plugins"][0].clone();
        for key in ["name", "cniVersion"] {
            stdin[key] = conf[key].clone();
        }
        let mut command = self.node().command(Path::new(BIN_DIR).join("crossfade"));
        command.env("CNI_COMMAND", "ADD").env("CNI_CONTAINERID", "c1").env("CNI_IFNAME", "eth0");
        command.env("CNI_NETNS", "/run/netns/pod").env("CNI_PATH", BIN_DIR);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("the plugin")?;
        child.stdin.take().context("stdin")?.write_all(stdin.to_string().as_bytes())?;
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let answer: Value = serde_json::from_str(&text)
            .with_context(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))?;
        Ok(if output.status.success() { Ok(()) } else { Err(answer) })
    }
}
