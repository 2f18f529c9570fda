//! Host routes by the release shim and real plugins, through everything that happens to a pod whose second network follows the Pod's status.
//!
//! The primary is a bridge, the second network the Calico stand-in. All is done in one netns of the program's own, one test after the other:
//! a GC or sweep takes every host route of that netns for its node's.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use lab::build::preflight::{NODES, Need, PLUGINS};
use lab::case::invariants::record_files;
use lab::host::command::{run_expecting, run_line};
use lab::host::netns::Netns;
use lab::host::scratch::Scratch;
use lab::runtime::caller::{Outcome, Plugin};
use serde_json::{Value, json};

const NEEDS: &[&[Need]] = &[NODES, PLUGINS];

/// Where Debian's package puts the standard plugins.
const STANDARD: &str = "/usr/lib/cni";

fn main() -> Result<ExitCode> {
    lab::build::preflight::main_in_turn(|| {
        lab::trials_of![
            NEEDS;
            a_del_takes_them_back,
            an_add_that_fails_leaves_none,
            check_misses_them_and_gc_sets_them_again,
            gc_takes_them_back_with_the_attachment,
            a_sweep_prints_and_does_what_is_missing_or_too_much,
            a_damaged_record_keeps_them_until_its_del,
            where_nothing_follows_the_status_there_are_none,
        ]
    })
}

/// A node with one pod to be attached.
struct Node {
    dir: Scratch,
    shim: PathBuf,
    bootstrap: PathBuf,
    pod: Netns,
}

impl Node {
    fn new(secondary: &str) -> Result<Self> {
        let dir = Scratch::new("hostroutes")?;
        dir.dir("bin")?;
        let shim = dir.join("bin/crossfade");
        fs::copy(lab::build::dist::crossfade().context("the shim")?, &shim)?;
        fs::copy(lab::build::dist::lab_bin("lab-calico")?, dir.join("bin/calico"))?;
        let node = Self { shim, bootstrap: lab::build::dist::bootstrap()?, pod: Netns::new()?, dir };
        let ipam = |third: u8| {
            let ranges = [format!("10.8{third}.0.0/24"), format!("fd00:8{third}::/64")];
            json!({"type": "host-local", "dataDir": node.dir.join("leases"),
                   "ranges": ranges.map(|subnet| json!([{"subnet": subnet}])),
                   "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]})
        };
        let conf = |name: &str, plugin: Value| {
            json!({"cniVersion": "1.0.0", "name": name, "plugins": [plugin]}).to_string()
        };
        let calico = json!({"type": "calico", "ipam": ipam(1)});
        let bridge = json!({"type": "bridge", "bridge": "br-new", "isGateway": true, "ipam": ipam(2)});
        fs::write(node.dir.join("old.conflist"), conf("old", calico))?;
        fs::write(node.dir.join("new.conflist"), conf("new", bridge))?;
        let policy = json!({
            "version": 1, "attach": "both", "both": {"primary": "new", "defaultRoute": "old"},
            "networks": {
                "old": {"conf": [node.dir.join("old.conflist")], "cidrs": ["10.81.0.0/16", "fd00:81::/32"], "secondary": secondary},
                "new": {"conf": [node.dir.join("new.conflist")], "cidrs": ["10.82.0.0/16", "fd00:82::/32"]},
            },
            "gc": {"graceSeconds": 0},
        });
        fs::write(node.dir.join("policy.json"), policy.to_string())?;
        Ok(node)
    }

    fn call(&self, verb: &str, more: &Value) -> Result<Outcome> {
        let mut conf = json!({
            "cniVersion": "1.1.0", "name": "crossfade", "type": "crossfade",
            "policy": self.dir.join("policy.json"),
            "stateDir": self.dir.join("state"), "runDir": self.dir.join("run"),
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            conf[key] = value.clone();
        }
        let plugin = Plugin::new(&self.shim)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_PATH", &format!("{STANDARD}:{}", self.dir.join("bin").display()));
        let plugin = if verb == "GC" {
            plugin
        } else {
            plugin
                .env("CNI_CONTAINERID", "c1")
                .env("CNI_NETNS", &self.pod.path().display().to_string())
                .env("CNI_IFNAME", "eth0")
                .env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p1")
        };
        plugin.stdin(&conf.to_string()).run()
    }

    /// An ADD that succeeds; what is there for both networks and both families.
    fn attached(&self) -> Result<Vec<String>> {
        self.call("ADD", &json!({}))?.result()?;
        let there = ours()?;
        ensure!(there.len() == 8, "expected four routes and four rules: {there:#?}");
        Ok(there)
    }

    fn gc(&self, lives: bool) -> Result<()> {
        let listed = if lives { json!([{"containerID": "c1", "ifname": "eth0"}]) } else { json!([]) };
        self.call("GC", &json!({"cni.dev/valid-attachments": listed}))?.silent()
    }

    fn sweep(&self, listed: &Value, more: &[&str]) -> Result<String> {
        let list = self.dir.join("listed.json");
        fs::write(&list, listed.to_string())?;
        let flag = |name: &str, path: PathBuf| format!("--{name}={}", path.display());
        let mut command = Command::new(&self.bootstrap);
        command
            .args(["unit", "sweep", &flag("listed", list), &flag("conf-dir", self.dir.path().into())])
            .args([flag("state-dir", self.dir.join("state")), flag("run-dir", self.dir.join("run"))])
            .args([flag("policy", self.dir.join("policy.json")), flag("bin-dir", self.dir.join("bin"))])
            .arg(format!("--bin-dir={STANDARD}"))
            .args(more);
        run_expecting(&mut command, 0)
    }
}

impl Node {
    fn status(&self) -> Result<Value> {
        let flag = |name: &str, path: &str| format!("--{name}={}", self.dir.join(path).display());
        let output = Command::new(&self.bootstrap)
            .args([
                "status",
                "--output=json",
                "--runtime-endpoint=none",
                &flag("conf-dir", ""),
                &flag("policy", "policy.json"),
            ])
            .args([flag("state-dir", "state"), flag("run-dir", "run")])
            .output()?;
        let answer = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).with_context(|| format!("status: {answer}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Of a test that failed; the next one begins with nothing.
        let _done_already = self.call("DEL", &json!({}));
    }
}

/// Routes and rules of table 1003, both families.
fn ours() -> Result<Vec<String>> {
    let mut all = Vec::new();
    for family in ["-4", "-6"] {
        let rules = run_line(&format!("ip {family} rule show"))?;
        all.extend(rules.lines().filter(|line| line.contains("lookup 1003")).map(str::to_owned));
        // To `ip` a table that was never written to is an error.
        let routes = run_line(&format!("ip {family} route show table 1003")).unwrap_or_default();
        all.extend(routes.lines().map(|line| line.trim().to_owned()));
    }
    Ok(all)
}

fn none() -> Result<()> {
    let left = ours()?;
    ensure!(left.is_empty(), "left: {left:#?}");
    Ok(())
}

fn a_del_takes_them_back() -> Result<()> {
    let node = Node::new("hostRoute")?;
    let there = node.attached()?;
    for (network, way) in [
        ("10.81.", "dev cali"),
        ("fd00:81:", "dev cali"),
        ("10.82.", "dev br-new"),
        ("fd00:82:", "dev br-new"),
    ] {
        let is_way = |line: &&String| line.starts_with(network) && line.contains(way);
        ensure!(there.iter().filter(is_way).count() == 1, "one route to {network}: {there:#?}");
    }
    node.call("CHECK", &json!({}))?.silent()?;
    node.call("DEL", &json!({}))?.silent()?;
    none()?;
    node.call("DEL", &json!({}))?.silent()?;
    none()
}

/// The owner of the default route comes last; by then the routes of the first are set.
fn an_add_that_fails_leaves_none() -> Result<()> {
    let node = Node::new("hostRoute")?;
    let calico = node.dir.join("bin/calico");
    // It attaches, and then says that it did not.
    fs::rename(&calico, node.dir.join("bin/calico.real"))?;
    let script = format!(
        "#!/bin/sh\n[ \"$CNI_COMMAND\" = ADD ] || exec {0}.real\n{0}.real > /dev/null; exit 7\n",
        calico.display()
    );
    fs::write(&calico, script)?;
    fs::set_permissions(&calico, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    node.call("ADD", &json!({}))?.error()?;
    none()
}

fn check_misses_them_and_gc_sets_them_again() -> Result<()> {
    let node = Node::new("hostRoute")?;
    let there = node.attached()?;
    let interface =
        there.iter().find_map(|line| line.split_whitespace().find(|word| word.starts_with("cali")));
    let interface = interface.context("the host's end")?;
    // An interface that was down for a moment has lost its routes.
    run_line(&format!("ip link set {interface} down"))?;
    run_line(&format!("ip link set {interface} up"))?;
    let refusal = node.call("CHECK", &json!({}))?.refused(106)?;
    ensure!(refusal.text().contains(interface), "{refusal:?}");
    node.gc(true)?;
    ensure!(ours()? == there, "{:#?}", ours()?);
    node.call("CHECK", &json!({}))?.silent()?;
    let rule = "to 10.82";
    let address = there.iter().find_map(|line| line.split_once("to 10.82")?.1.split_whitespace().next());
    let address = format!("10.82{}", address.with_context(|| format!("a rule {rule}"))?);
    run_line(&format!("ip rule delete to {address} lookup 1003 priority 1003"))?;
    let refusal = node.call("CHECK", &json!({}))?.refused(106)?;
    ensure!(refusal.text().contains(&address), "{refusal:?}");
    node.gc(true)?;
    node.call("CHECK", &json!({}))?.silent()?;
    node.call("DEL", &json!({}))?.silent()?;
    none()
}

fn gc_takes_them_back_with_the_attachment() -> Result<()> {
    let node = Node::new("hostRoute")?;
    node.attached()?;
    node.gc(false)?;
    none()
}

fn a_sweep_prints_and_does_what_is_missing_or_too_much() -> Result<()> {
    let node = Node::new("hostRoute")?;
    let there = node.attached()?;
    let listed = json!([{"containerID": "c1", "ifname": "eth0"}]);
    ensure!(!node.sweep(&listed, &[])?.contains("host routes"), "nothing is missing");
    let problem = |status: &Value| status["problems"].to_string().contains("host routes");
    let status = node.status()?;
    ensure!(!problem(&status), "nothing is missing: {status:#}");
    let warnings = status["warnings"].to_string();
    for words in ["leaked addresses", "network policies do not know"] {
        ensure!(warnings.contains(words), "no warning of {words:?}: {status:#}");
    }
    run_line("ip -4 route flush table 1003")?;
    let status = node.status()?;
    ensure!(problem(&status), "status does not tell of what is missing: {status:#}");
    run_line("ip rule add to 10.81.0.250 lookup 1003 priority 1003")?;
    let (changed, planned) = (ours()?, node.sweep(&listed, &["--dry-run"])?);
    ensure!(ours()? == changed, "a dry run changed something");
    for words in ["add route 10.81.", "add route 10.82.", "remove rule to 10.81.0.250"] {
        ensure!(planned.contains(words), "{words:?} is not in {planned}");
    }
    ensure!(node.sweep(&listed, &[])?.contains("add route 10.81."), "an apply tells the same");
    let mut now = ours()?;
    now.sort();
    let mut expected = there;
    expected.sort();
    ensure!(now == expected, "{now:#?}");
    node.sweep(&json!([]), &[])?;
    none()
}

/// The record does not say which host routes are its own, and the pod lives; so those that no record claims are kept as well.
fn a_damaged_record_keeps_them_until_its_del() -> Result<()> {
    let node = Node::new("hostRoute")?;
    let there = node.attached()?;
    let files = record_files(&node.dir.join("state"))?;
    let [record] = files.as_slice() else { bail!("expected one record: {files:?}") };
    fs::write(record, "not a record\n")?;
    let listed = json!([{"containerID": "c1", "ifname": "eth0"}]);
    ensure!(!node.sweep(&listed, &["--dry-run"])?.contains("host routes"), "a dry run would change them");
    node.gc(true)?;
    ensure!(ours()? == there, "after GC: {:#?}", ours()?);
    node.sweep(&listed, &[])?;
    ensure!(ours()? == there, "after a sweep: {:#?}", ours()?);
    node.call("DEL", &json!({}))?.silent()?;
    none()
}

fn where_nothing_follows_the_status_there_are_none() -> Result<()> {
    let node = Node::new("works")?;
    node.call("ADD", &json!({}))?.result()?;
    none()?;
    node.call("DEL", &json!({}))?.silent()
}
