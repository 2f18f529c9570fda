//! Other programs at work in a pod's namespace and around the shim: the runtime's loopback, and limits of memory and processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io};

use anyhow::{Context, Result, ensure};
use lab::host::command::run_expecting;
use lab::host::node::{Netns, Node};
use lab::install::crossfade::{BIN_DIR, CONF_DIR};
use serde_json::{Value, json};

use crate::spied::SpyScene;

/// Calls a plugin of the node's as containerd would; what it said, if it succeeded.
fn call(node: &Node, plugin: &str, verb: &str, netns: &Netns, conf: &Value) -> Result<String> {
    let variables = [
        ("CNI_COMMAND", verb),
        ("CNI_CONTAINERID", "company"),
        ("CNI_NETNS", netns.inside.to_str().context("a path")?),
        ("CNI_IFNAME", if plugin == "loopback" { "lo" } else { "eth0" }),
        ("CNI_PATH", BIN_DIR),
    ];
    let script = format!("printf %s \"$CONF\" | {BIN_DIR}/{plugin}");
    let mut command = node.command("sh");
    command.args(["-c", &script]).envs(BTreeMap::from(variables)).env("CONF", conf.to_string());
    run_expecting(&mut command, 0)
}

/// Containerd sets up loopback and our network at the same time in one namespace.
pub(crate) fn loopback_comes_and_goes_beside_us() -> Result<()> {
    let scene = SpyScene::with(Default::default(), true)?;
    let ours: Value =
        serde_json::from_slice(&fs::read(scene.outside(CONF_DIR).join("01-crossfade.conflist"))?)?;
    let mut conf = ours["plugins"][0].clone();
    conf["cniVersion"] = ours["cniVersion"].clone();
    conf["name"] = ours["name"].clone();
    let loopback = json!({ "cniVersion": "0.3.1", "name": "cni-loopback", "type": "loopback" });
    let node = scene.node();
    let netns = node.netns_add("company")?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| -> Result<usize> {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                call(node, "loopback", "ADD", &netns, &loopback)?;
                call(node, "loopback", "DEL", &netns, &loopback)?;
                rounds += 1;
            }
            Ok(rounds)
        });
        let all = || -> Result<()> {
            for round in 0..24 {
                let phase = ["both-old", "both-new", "old", "new"][round % 4];
                scene.policy(phase, json!({}))?;
                call(node, "crossfade", "ADD", &netns, &conf).with_context(|| phase.to_owned())?;
                for (family, count) in [("-4", 1), ("-6", 1)] {
                    let defaults = node.run_in(&netns.inside, &["ip", family, "route", "show", "default"])?;
                    ensure!(defaults.lines().count() == count, "{phase}: {family} defaults: {defaults}");
                }
                call(node, "crossfade", "DEL", &netns, &conf).with_context(|| phase.to_owned())?;
                for family in ["-4", "-6"] {
                    let rules = node.run_in(&netns.inside, &["ip", family, "rule", "show"])?;
                    ensure!(
                        !rules.contains("1001:") && !rules.contains("1002:"),
                        "{phase}: {family} rules: {rules}"
                    );
                }
            }
            Ok(())
        };
        let outcome = all();
        done.store(true, Ordering::Relaxed);
        let rounds = beside.join().map_err(|_| anyhow::anyhow!("loopback's caller panicked"))??;
        outcome?;
        ensure!(rounds >= 24, "loopback came and went only {rounds} times");
        Ok(())
    })?;
    node.netns_remove(&netns)?;
    scene.expect_nothing()
}

/// A cgroup around every call of the shim, its delegates included; removed on drop.
struct Tight {
    directory: PathBuf,
    limit: &'static str,
    none: &'static str,
}

impl Tight {
    /// Puts a script before the shim that enters the cgroup first. The limits are those of `pids`, or else of `memory`.
    fn new(scene: &SpyScene, pids: bool) -> Result<Tight> {
        let root = Path::new("/sys/fs/cgroup");
        let parent = lab::host::isolate::cgroup_parent()?;
        let parent = parent.trim_start_matches('/');
        let controller = if pids { "pids" } else { "memory" };
        // Version 2 has one hierarchy, where a directory has the controllers that the one above it passes on.
        let unified = root.join("cgroup.controllers").exists();
        let above = if unified { root.join(parent) } else { root.join(controller).join(parent) };
        let directory = above.join("tight");
        fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
        if unified {
            fs::write(above.join("cgroup.subtree_control"), format!("+{controller}"))
                .context("passing it on")?;
        }
        let plugin = scene.outside(BIN_DIR).join("crossfade");
        fs::rename(&plugin, plugin.with_file_name("crossfade-real"))?;
        let tasks = directory.join("cgroup.procs");
        let script =
            format!("#!/bin/sh\necho $$ > {} || exit 9\nexec {BIN_DIR}/crossfade-real\n", tasks.display());
        let written = scene.node().dir().join("tight.sh");
        fs::write(&written, script)?;
        lab::host::scratch::install(&written, &plugin)?;
        let (limit, none) = match (pids, unified) {
            (true, _) => ("pids.max", "max"),
            (false, true) => ("memory.max", "max"),
            (false, false) => ("memory.limit_in_bytes", "-1"),
        };
        Ok(Tight { directory, limit, none })
    }

    fn set(&self, value: &str) -> Result<()> {
        fs::write(self.directory.join(self.limit), value).with_context(|| format!("{} {value}", self.limit))
    }
}

impl Drop for Tight {
    fn drop(&mut self) {
        // A process that is still in it is ended with the lab, whose cgroups are swept then.
        let _still_busy: io::Result<()> = fs::remove_dir(&self.directory);
    }
}

/// However little there is, a pod runs or leaves nothing: what could not be undone for want of processes is undone when there
/// are some again.
pub(crate) fn too_few_processes_leave_nothing() -> Result<()> {
    let scene = SpyScene::new()?;
    scene.policy("both-old", json!({ "gc": { "graceSeconds": 0 } }))?;
    let tight = Tight::new(&scene, true)?;
    hard_times(&scene, &tight, &["1", "2", "4", "8", "16", "64"])
}

pub(crate) fn too_little_memory_leaves_nothing() -> Result<()> {
    let scene = SpyScene::new()?;
    scene.policy("both-old", json!({ "gc": { "graceSeconds": 0 } }))?;
    let tight = Tight::new(&scene, false)?;
    // The plugins of 1.9 need more than 8 MiB where much else runs.
    hard_times(&scene, &tight, &["1M", "2M", "4M", "8M", "64M"])
}

/// Runs a pod under each limit. Some must fail, or the limits are no limits.
///
/// A pod whose ADD could not be undone stays on record. A containerd that keeps its sandbox sends another DEL when kubelet ends it; one that
/// has forgotten it sends none, and the sweep closes the record.
fn hard_times(scene: &SpyScene, tight: &Tight, limits: &[&str]) -> Result<()> {
    let mut failed = 0;
    for limit in limits {
        tight.set(limit)?;
        let ran = scene.run(&format!("pod-{limit}"));
        tight.set(tight.none)?;
        failed += usize::from(ran.is_err());
        if ran.is_ok() {
            scene.expect(1, 1, 1).with_context(|| format!("under {limit}"))?;
        }
        for pod in scene.kept()? {
            scene.end(&pod).with_context(|| format!("under {limit}"))?;
        }
        if ran.is_err() && scene.containerd.release().forgets_failed_adds() {
            scene.run_expecting(&["unit", "sweep"], 0).with_context(|| format!("under {limit}"))?;
        }
        scene.expect_nothing().with_context(|| format!("under {limit}"))?;
    }
    ensure!(failed > 0 && failed < limits.len(), "{failed} of {} pods failed", limits.len());
    let pod = scene.run("pod")?;
    scene.end(&pod)
}
