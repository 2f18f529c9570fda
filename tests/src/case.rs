//! The start of every case: a directory of its own, two networks served by stubs, a policy, a netns, and the shim's conf.
//!
//! The defaults are these. Networks: OLD is the conflist `oldnet` (0.3.1, plugin `stub-old`), NEW is `newnet` (1.0.0,
//! plugin `stub-new`); they answer ADD with [`Case::ro`] and [`rn`]. Container `c1`, ifname `eth0`, a real empty netns,
//! the arguments of a Kubernetes runtime. Policy: `attach` as asked for, nothing else but `both`'s defaults.

pub mod invariants;
mod journald;
pub mod oracle;
mod program;

pub use crate::trials;
pub use journald::Journal;
pub use program::{Programs, main, set_programs, trial};

use program::programs;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    case::invariants::record_files,
    host::{deadline::until, netns::Netns, scratch::Scratch},
    runtime::caller::{Outcome, Plugin},
    standin::stub::{Act, Call, Gate, PATIENCE, Reply, Stub, StubDir},
};
use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

/// The conflist of the network `old`.
pub fn old_conf() -> Value {
    json!({"cniVersion": "0.3.1", "name": "oldnet", "plugins": [{"type": "stub-old", "k": "keep-me"}]})
}

/// The conflist of the network `new`.
pub fn new_conf() -> Value {
    json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": [{"type": "stub-new"}]})
}

/// stub-new's answer to ADD for that ifname, at 1.0.0.
pub fn rn(netns: &str, ifname: &str) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "lxc1"}, {"name": ifname, "mac": "02:00:00:00:00:02", "sandbox": netns}],
        "ips": [{"interface": 1, "address": "10.2.0.7/32", "gateway": "10.2.0.1"}],
        "routes": [{"dst": "10.2.0.1/32"}, {"dst": "0.0.0.0/0", "gw": "10.2.0.1"}]
    })
}

/// stub-old's answer to ADD, at 0.3.1.
pub fn ro(netns: &str) -> Value {
    json!({
        "cniVersion": "0.3.1",
        "interfaces": [
            {"name": "cali1", "mac": "ee:ee:ee:ee:ee:ee"},
            {"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": netns}
        ],
        "ips": [{"version": "4", "interface": 1, "address": "10.1.0.5/32", "gateway": "169.254.1.1"}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}],
        "dns": {}
    })
}

/// A stub that behaves like the network `old`, on whatever ifname.
pub fn stub_old() -> Stub {
    let mut answer = ro("{netns}");
    answer["interfaces"][1]["name"] = json!("{ifname}");
    Stub::answering(Reply::json(&answer))
}

/// A stub that behaves like the network `new`, on whatever ifname.
pub fn stub_new() -> Stub {
    Stub::answering(Reply::json(&rn("{netns}", "{ifname}")))
}

/// A reply that starts a child which works for ever, and hangs.
pub fn hang_with_child() -> Reply {
    Reply(vec![Act::Spawn(vec!["/bin/sleep".to_owned(), "100000".to_owned()]), Act::Hang])
}

/// A black-box case under construction and under test.
#[derive(Debug)]
pub struct Case {
    dir: Scratch,
    /// The stub delegates and their call log.
    pub stubs: StubDir,
    /// The pod's netns.
    pub netns: Netns,
    /// The shim's conf, as the runtime would put it on stdin.
    pub shim: Value,
    /// CNI_CONTAINERID.
    pub id: String,
}

impl Case {
    /// A case under a policy whose `attach` is this.
    pub fn attach(attach: &str) -> Result<Self> {
        let dir = Scratch::new("case")?;
        let bin = dir.dir("bin")?;
        dir.dir("net.d")?;
        let stubs = StubDir::new(&bin, &dir.join("calls.jsonl"), &programs().stub);
        stubs.write("stub-old", &stub_old())?;
        stubs.write("stub-new", &stub_new())?;
        let shim = json!({
            "cniVersion": "1.0.0",
            "name": "k8s-pod-network",
            "type": "crossfade",
            "policy": dir.join("policy.json"),
            "stateDir": dir.join("state"),
            "runDir": dir.join("run"),
            "capabilities": {"portMappings": true, "io.kubernetes.cri.pod-annotations": true}
        });
        let case = Self { dir, stubs, netns: Netns::new()?, shim, id: "c1".to_owned() };
        case.write_conf("old", &old_conf())?;
        case.write_conf("new", &new_conf())?;
        case.write_policy(&json!({
            "version": 1,
            "networks": {
                "old": {"profile": "generic", "conf": [case.conf_path("old")]},
                "new": {"profile": "generic", "conf": [case.conf_path("new")]}
            },
            "attach": attach,
            "both": {
                "primary": "old", "secondaryIfname": "net1", "defaultRoute": "new", "secondaryFailure": "fail"
            }
        }))?;
        Ok(case)
    }

    /// A path below the case's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes a directory below the case's.
    pub fn make_dir(&self, name: &str) -> Result<PathBuf> {
        self.dir.dir(name)
    }

    /// The shim's binary.
    pub fn program() -> &'static Path {
        &programs().shim
    }

    /// Where the conf of the policy's network `old` or `new` lies.
    pub fn conf_path(&self, network: &str) -> PathBuf {
        let file = if network == "old" { "10-old.conflist" } else { "20-new.conflist" };
        self.path("net.d").join(file)
    }

    /// Writes the conf of the policy's network `old` or `new`.
    pub fn write_conf(&self, network: &str, conf: &Value) -> Result<()> {
        self.write(&self.conf_path(network), &conf.to_string())
    }

    /// Removes the conf of the policy's network `old` or `new`.
    pub fn remove_conf(&self, network: &str) -> Result<()> {
        fs::remove_file(self.conf_path(network)).with_context(|| format!("remove the conf of {network}"))
    }

    /// Replaces a file as a whole.
    pub fn write(&self, path: &Path, text: &str) -> Result<()> {
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, path))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Replaces the policy.
    pub fn write_policy(&self, policy: &Value) -> Result<()> {
        self.write(&self.policy_path(), &policy.to_string())
    }

    /// The policy's file.
    pub fn policy_path(&self) -> PathBuf {
        self.path("policy.json")
    }

    /// The policy as it is.
    pub fn policy(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(self.policy_path())?)?)
    }

    pub fn change_policy(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut policy = self.policy()?;
        change(&mut policy);
        self.write_policy(&policy)
    }

    /// Sets `attach`.
    pub fn flip(&self, attach: &str) -> Result<()> {
        self.change_policy(|policy| policy["attach"] = json!(attach))
    }

    /// CNI_NETNS.
    pub fn netns_path(&self) -> String {
        self.netns.path().display().to_string()
    }

    /// stub-old's ADD answer for eth0.
    pub fn ro(&self) -> Value {
        ro(&self.netns_path())
    }

    /// [`Case::ro`] as the shim answers it at 1.0.0: no `ips[].version`, no empty `dns`.
    pub fn ro_converted(&self) -> Value {
        let mut result = self.ro();
        result["cniVersion"] = json!("1.0.0");
        result["ips"][0].as_object_mut().map(|ip| ip.remove("version"));
        result.as_object_mut().map(|object| object.remove("dns"));
        result
    }

    /// stub-new's ADD answer for an ifname.
    pub fn rn(&self, ifname: &str) -> Value {
        rn(&self.netns_path(), ifname)
    }

    /// A call of the shim: the default environment and conf for this verb.
    pub fn call(&self, verb: &str) -> Plugin {
        let bin = self.stubs.path().display().to_string();
        let plugin = Plugin::new(Self::program())
            .read_by_the_oracle()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_PATH", &bin)
            .stdin(&self.shim.to_string());
        if matches!(verb, "ADD" | "DEL" | "CHECK" | "JOIN" | "LEAVE") {
            let args = format!(
                "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns1;K8S_POD_NAME=p1;K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID=u1",
                self.id
            );
            plugin
                .env("CNI_CONTAINERID", &self.id)
                .env("CNI_NETNS", &self.netns_path())
                .env("CNI_IFNAME", "eth0")
                .env("CNI_ARGS", &args)
        } else {
            ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"]
                .iter()
                .fold(plugin, |plugin, name| plugin.env(name, ""))
        }
    }

    /// A call with more keys in the shim's conf.
    pub fn call_with(&self, verb: &str, more: &Value) -> Plugin {
        let mut conf = self.shim.clone();
        for (key, value) in more.as_object().into_iter().flatten() {
            conf[key] = value.clone();
        }
        self.call(verb).stdin(&conf.to_string())
    }

    /// Runs ADD.
    pub fn add(&self) -> Result<Outcome> {
        self.call("ADD").run()
    }

    /// Runs ADD, which must succeed, and forgets the calls it made.
    pub fn added(&self) -> Result<Value> {
        let result = self.add()?.result()?;
        self.stubs.log().clear()?;
        Ok(result)
    }

    /// Runs DEL.
    pub fn del(&self) -> Result<Outcome> {
        self.call("DEL").run()
    }

    /// Every call of a stub so far.
    pub fn calls(&self) -> Result<Vec<Call>> {
        self.stubs.log().calls()
    }

    /// The one call like `stub-old ADD eth0`.
    pub fn the_call(&self, brief: &str) -> Result<Call> {
        let mut matching: Vec<Call> =
            self.calls()?.into_iter().filter(|call| call.brief() == brief).collect();
        ensure!(matching.len() == 1, "expected one call `{brief}`: {:?}", self.stubs.log().briefs()?);
        matching.pop().context("the call just counted")
    }

    /// Holds when the stubs were called exactly so, in this order.
    pub fn expect_calls(&self, expected: &[&str]) -> Result<()> {
        let briefs = self.stubs.log().briefs()?;
        ensure!(briefs == expected, "calls were {briefs:?}, expected {expected:?}");
        Ok(())
    }

    /// The files that hold records.
    pub fn records(&self) -> Result<Vec<PathBuf>> {
        record_files(&self.path("state"))
    }

    /// Holds when there are that many records.
    pub fn expect_records(&self, count: usize) -> Result<()> {
        let records = self.records()?;
        ensure!(records.len() == count, "expected {count} records: {records:?}");
        Ok(())
    }

    /// A closed gate.
    pub fn gate(&self, name: &str) -> Result<Gate> {
        Gate::closed(&self.path(name))
    }

    /// Waits until something holds.
    pub fn eventually(&self, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        until(what, PATIENCE, || Ok(holds()?.then_some(())))
    }

    /// Writes the inventory of sandboxes that were there before the shim.
    pub fn write_inventory(&self, attachments: &Value) -> Result<()> {
        self.make_state_dir("state")?;
        let path = self.path("state/inventory.json");
        self.write(&path, &json!({"version": 1, "attachments": attachments}).to_string())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).context("mode of the inventory")
    }

    /// The container ids in the inventory.
    pub fn inventory(&self) -> Result<Vec<String>> {
        let text = match fs::read(self.path("state/inventory.json")) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("read the inventory"),
        };
        let inventory: Value = serde_json::from_slice(&text)?;
        let entries = inventory["attachments"].as_array().context("the inventory's attachments")?;
        Ok(entries.iter().filter_map(|entry| Some(entry["containerID"].as_str()?.to_owned())).collect())
    }

    /// Holds when every stub and every child of one is gone, or goes at once.
    pub fn expect_no_delegates(&self) -> Result<()> {
        let log = self.stubs.log();
        let pids: Vec<i32> = log.calls()?.iter().map(|call| call.pid).chain(log.spawned()?).collect();
        self.eventually("the end of every delegate and child", || Ok(!pids.iter().any(|pid| is_alive(*pid))))
    }

    /// Makes a directory below the case's as the shim makes its state: for root alone.
    pub fn make_state_dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.make_dir(name)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        Ok(path)
    }

    /// The environment of the default call for a verb.
    pub fn environment(&self, verb: &str) -> BTreeMap<String, String> {
        self.call(verb).environment().clone()
    }
}

impl Drop for Case {
    /// Ends what a stub left behind on purpose (a background child) or the shim by mistake.
    fn drop(&mut self) {
        let log = self.stubs.log();
        let callers = log.calls().unwrap_or_default().into_iter().map(|call| call.pid);
        for pid in callers.chain(log.spawned().unwrap_or_default()) {
            if is_alive(pid) {
                let _gone_meanwhile = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

/// Whether a process is there and not just waiting to be reaped.
pub fn is_alive(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state follows the name, which is in parentheses and may hold anything.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
