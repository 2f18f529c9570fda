//! `watch` and what `status` makes of it, on a tree.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::node::{changes, mode};
use crate::tree::{CRIO, OURS, Tree};

const PRIVATE: &str = "run/crossfade/net.d/01-crossfade.conflist";
/// Tells what answers from what hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A node whose only network is ready when `run/probe` is there.
pub(crate) fn node(conf_dir: &str) -> Tree {
    let tree = Tree::bare();
    tree.conf("10-old.conflist", "oldnet", "bridge");
    tree.write("opt/cni/bin/bridge", "#!/bin/sh\n");
    mode(&tree.path("opt/cni/bin/bridge"), 0o755);
    let (conf, probe) = (tree.path("etc/cni/net.d/10-old.conflist"), tree.path("run/probe"));
    let policy = json!({"version": 1, "attach": "old", "networks": {"old": {"conf": [conf], "ready": [{"file": probe}]}}});
    tree.write("etc/crossfade/policy.json", &policy.to_string());
    tree.node(&format!(
        r#""confDir": "{conf_dir}", "report": {{"node": false, "textfile": "{}"}}, "runtime": {{"binDirs": ["{}"]}}"#,
        tree.path("run/crossfade.prom").display(),
        tree.path("opt/cni/bin").display()
    ));
    tree.write(
        "run/crossfade/boot.json",
        &json!({"version": 1, "kind": "first", "bootID": boot_id()}).to_string(),
    );
    tree
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("boot id").trim().to_owned()
}

/// status.json, which is held against its schema.
pub(crate) fn status(tree: &Tree) -> Value {
    let schema: Value =
        serde_json::from_str(include_str!("../../../../types/status.schema.json")).expect("schema");
    let status = tree.json("run/crossfade/status.json");
    let errors: Vec<String> = jsonschema::validator_for(&schema)
        .expect("schema")
        .iter_errors(&status)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{status:#}: {errors:?}");
    status
}

pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "{what}: did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn one_round_in_private_mode_writes_our_conf_when_its_network_is_ready() {
    let tree = node("private");
    let before = tree.files();
    let output = tree.run_expecting(&["unit", "watch", "--once", "--dry-run"], 3);
    assert!(output.contains("WaitingForNetwork") && output.contains("run/probe"), "{output}");
    assert_eq!(tree.files(), before, "a dry run writes nothing");
    tree.run_expecting(&["unit", "watch", "--once"], 3);
    assert!(!tree.has(PRIVATE) && status(&tree)["conf"]["state"] == "waiting");
    tree.write("run/probe", "");
    let planned = tree.run_expecting(&["unit", "watch", "--once", "--dry-run"], 0);
    assert!(planned.contains("write") && !tree.has(PRIVATE), "{planned}");
    let done = tree.run_expecting(&["unit", "watch", "--once"], 0);
    assert_eq!(changes(&planned), changes(&done), "a dry run prints what an apply does");
    let conf = tree.json(PRIVATE);
    assert_eq!((&conf["name"], &conf["plugins"][0]["type"]), (&json!("crossfade"), &json!("crossfade")));
    assert_eq!(conf["plugins"][0]["capabilities"]["portMappings"], json!(true));
    assert_eq!(tree.read("var/lib/crossfade/name"), "crossfade\n");
    let written = status(&tree);
    assert_eq!((&written["ready"], &written["networks"][0]["name"]), (&json!(true), &json!("oldnet")));
    assert!(!tree.has(OURS), "nothing of ours is where agents are");
    // A network that is gone later takes nothing away.
    fs::remove_file(tree.path("run/probe")).expect("probe");
    tree.run_expecting(&["unit", "watch", "--once"], 3);
    assert!(tree.has(PRIVATE) && tree.has("run/crossfade/ready/oldnet"));
}

#[test]
fn one_round_in_shared_mode_puts_our_conf_back_and_off_takes_it_away() {
    let tree = node("shared");
    tree.write("run/probe", "");
    let output = tree.run_expecting(&["unit", "watch", "--once"], 3);
    assert!(output.contains("never installed") && !tree.has(OURS), "{output}");
    tree.write("var/lib/crossfade/name", "oldnet\n");
    let output = tree.run_expecting(&["unit", "watch", "--once"], 0);
    assert!(output.contains("ConfRepaired"), "{output}");
    assert_eq!(tree.json(OURS)["name"], "oldnet");
    let before = tree.files();
    tree.run_expecting(&["unit", "watch", "--once"], 0);
    let after = tree.files();
    assert_eq!(before[OURS], after[OURS], "what is right is not written again");
    tree.write("etc/crossfade/disabled", "");
    tree.run_expecting(&["unit", "watch", "--once"], 0);
    assert!(!tree.has(OURS) && tree.has("etc/cni/net.d/10-old.conflist"));
    assert_eq!(status(&tree)["reason"], "SwitchedOff");
    // A file of another program under our name is not removed.
    tree.conf("01-crossfade.conflist", "x", "bridge");
    tree.run_expecting(&["unit", "watch", "--once"], 0);
    assert!(tree.has(OURS));
}

/// One answer over HTTP, which `watch` asks for once a round.
fn answer(listener: &std::net::TcpListener, status: u16, round: impl FnOnce()) {
    use std::io::{Read, Write};
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut socket, _) = listener.accept().expect("accept");
            let mut request = [0; 512];
            assert!(socket.read(&mut request).expect("request") > 0);
            write!(socket, "HTTP/1.1 {status} x\r\n\r\n").expect("answer");
        });
        round();
    });
}

#[test]
fn the_file_that_adds_wait_for_is_there_while_all_probes_hold() {
    const FILE: &str = "run/crossfade/probe/old";
    let tree = node("shared");
    tree.write("var/lib/crossfade/name", "oldnet\n");
    tree.write("run/probe", "");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let place = format!("{}/readiness", listener.local_addr().expect("address"));
    let mut policy = tree.json("etc/crossfade/policy.json");
    policy["networks"]["old"]["ready"] =
        json!([{"file": tree.path("run/probe")}, {"http": place}, {"file": tree.path(FILE)}]);
    tree.write("etc/crossfade/policy.json", &policy.to_string());
    for (status, there) in [(503, false), (200, true), (200, true), (503, false), (200, true)] {
        answer(&listener, status, || drop(tree.run(&["unit", "watch", "--once"])));
        assert_eq!(tree.has(FILE), there, "{status}");
    }
    fs::remove_file(tree.path("run/probe")).expect("its file");
    let output = tree.run_expecting(&["unit", "watch", "--once"], 3);
    assert!(!tree.has(FILE), "{output}");
    // A policy that does not wait for it leaves none behind.
    tree.write(FILE, "");
    policy["networks"]["old"]["ready"] = json!([]);
    tree.write("etc/crossfade/policy.json", &policy.to_string());
    tree.run_expecting(&["unit", "watch", "--once"], 0);
    assert!(!tree.has(FILE));
}

/// The loop, with a listener in the place of systemd.
struct Running {
    child: Child,
    supervisor: UnixDatagram,
}

impl Running {
    fn start(tree: &Tree) -> Running {
        let socket = tree.path("notify");
        let _ = fs::remove_file(&socket);
        let supervisor = UnixDatagram::bind(&socket).expect("notify socket");
        supervisor.set_read_timeout(Some(LIMIT)).expect("timeout");
        let mut command = tree.command(&["unit", "watch"]);
        command.env("NOTIFY_SOCKET", &socket).stderr(Stdio::null());
        Running { child: command.spawn().expect("watch"), supervisor }
    }

    /// Waits for a message with these words.
    fn receives(&self, words: &str) {
        let mut buffer = [0; 4096];
        loop {
            let length = self.supervisor.recv(&mut buffer).unwrap_or_else(|e| panic!("{words}: {e}"));
            if String::from_utf8_lossy(&buffer[..length]).contains(words) {
                return;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("pid"));
        nix::sys::signal::kill(pid, signal).expect("signal");
    }

    /// Lets it look at nothing, or look again.
    fn stopped(&self, is: bool) {
        self.signal(if is { Signal::SIGSTOP } else { Signal::SIGCONT });
    }

    fn ask_to_end(&self) {
        self.signal(Signal::SIGTERM);
    }

    fn end(mut self) {
        self.ask_to_end();
        assert!(self.child.wait().expect("end").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_loop_tells_its_supervisor_and_a_waiting_status() {
    let tree = node("private");
    let watch = Running::start(&tree);
    watch.receives("READY=1");
    watch.receives("STATUS=WaitingForNetwork");
    watch.receives("WATCHDOG=1");
    assert_eq!(tree.run(&["unit", "watch"]).status, 75, "a second one");
    tree.run_expecting(&["unit", "watch", "--once", "--dry-run"], 3);
    tree.run_expecting(&["status", "--wait", "--timeout", "1"], 3);
    assert!(tree.run_expecting(&["status", "--reported"], 3).contains("WaitingForNetwork"));
    let mut waiting =
        tree.command(&["status", "--wait", "--timeout", "60"]).stdout(Stdio::null()).spawn().expect("status");
    tree.write("run/probe", "");
    watch.receives("STATUS=NetworkReady");
    assert!(waiting.wait().expect("status").success());
    assert!(tree.run_expecting(&["status", "--reported"], 0).starts_with("NetworkReady: "));
    // A report from before a flip: a `watch` that is stopped sees no flip.
    watch.stopped(true);
    let policy = tree.read("etc/crossfade/policy.json");
    tree.write("etc/crossfade/policy.json", &format!("{policy}\n"));
    let output = tree.run_expecting(&["status", "--wait", "--timeout", "1"], 3);
    assert!(output.contains("did not report a ready node"), "{output}");
    watch.stopped(false);
    tree.run_expecting(&["status", "--wait", "--timeout", "60"], 0);
    let metrics = tree.read("run/crossfade.prom");
    for line in [
        "crossfade_ready 1",
        "crossfade_phase{phase=\"old\"} 1",
        "crossfade_network_ready{network=\"old\"} 1",
    ] {
        assert!(metrics.lines().any(|published| published == line), "{line}: {metrics}");
    }
    // A flip by another actor is followed, a broken policy is said and nothing is taken away.
    tree.write("etc/crossfade/policy.json", "{");
    watch.receives("STATUS=BadSettings");
    assert!(tree.has(PRIVATE) && status(&tree)["phase"] == Value::Null);
    watch.end();
    let output = tree.run_expecting(&["status"], 78);
    assert!(output.contains("stale"), "{output}");
    assert!(tree.run_expecting(&["status", "--reported"], 3).contains("has ended"));
    tree.run_expecting(&["status", "--wait", "--timeout", "1"], 78);
}

#[test]
fn host_ports_that_no_plugin_maps_are_in_status_and_metrics() {
    let tree = node("private");
    tree.write("run/probe", "");
    let conf = |capabilities: Value| {
        let plugins = json!([{"type": "bridge", "capabilities": capabilities}]);
        let conf = json!({"cniVersion": "1.0.0", "name": "oldnet", "plugins": plugins});
        tree.write("etc/cni/net.d/10-old.conflist", &conf.to_string());
    };
    conf(json!({"bandwidth": true}));
    let noted = |boot_id: &str| {
        tree.write("run/crossfade/hostports/oldnet", &format!("{{\"bootID\":\"{boot_id}\"}}"));
        tree.run_expecting(&["unit", "watch", "--once"], 0);
        let is_reported = status(&tree)["findings"].to_string().contains("pods asked for host ports");
        assert_eq!(status(&tree)["networks"][0]["unmappedHostPorts"], is_reported);
        is_reported
    };
    assert!(!noted("another"), "of an earlier boot");
    let here = shim::host::boot::boot_id().expect("boot id");
    assert!(noted(here));
    let watch = Running::start(&tree);
    watch.receives("STATUS=NetworkReady");
    let metrics = tree.read("run/crossfade.prom");
    let metric = "crossfade_network_host_ports_unmapped{network=\"old\"} 1";
    assert!(metrics.lines().any(|line| line == metric), "{metrics}");
    watch.end();
    // Once its conf has portmap they are mapped, whatever was before.
    conf(json!({"portMappings": true}));
    assert!(!noted(here));
}

#[test]
fn the_loop_ends_when_it_is_switched_off() {
    let tree = node("shared");
    tree.write("run/probe", "");
    tree.write("var/lib/crossfade/name", "oldnet\n");
    let mut watch = Running::start(&tree);
    watch.receives("STATUS=NetworkReady");
    assert!(tree.has(OURS));
    tree.write("etc/crossfade/disabled", "");
    assert_eq!(watch.child.wait().expect("end").code(), Some(3));
    assert!(!tree.has(OURS));
    assert_eq!(status(&tree)["reason"], "SwitchedOff");
}

#[test]
fn events_are_gathered_and_a_replaced_policy_directory_is_seen() {
    let tree = node("private");
    tree.write("run/probe", "");
    let watch = Running::start(&tree);
    watch.receives("STATUS=NetworkReady");
    let policy = tree.read("etc/crossfade/policy.json");
    fs::rename(tree.path("etc/crossfade"), tree.path("etc/was")).expect("rename");
    until("the end of the policy", || status(&tree)["reason"] == "BadSettings");
    tree.node(r#""confDir": "private", "report": {"node": false}"#);
    tree.write("etc/crossfade/policy.json", &policy);
    // With the usual plugin directories it may have no bridge; that the policy is read again is what counts.
    until("the policy's return", || status(&tree)["phase"] == "old");
    watch.end();
}

#[test]
fn a_sweep_that_failed_is_a_finding_that_says_where_to_look_until_one_succeeds() {
    let tree = node("private");
    let finding = || {
        tree.run(&["unit", "watch", "--once"]);
        let status = status(&tree);
        let all = status["findings"].as_array().expect("findings").iter();
        all.filter_map(Value::as_str).find(|finding| finding.contains("sweep")).map(str::to_owned)
    };
    assert_eq!(finding(), None);
    tree.run_expecting(
        &["unit", "sweep", "--turn", "1", "--runtime-endpoint", "unix:///nonexistent/r.sock"],
        75,
    );
    let output = finding().expect("a finding");
    assert!(
        output.contains("/nonexistent/r.sock") && output.contains("journalctl -u crossfade-sweep"),
        "{output}"
    );
    // What a person runs by hand is not what watch has started.
    tree.write("run/listed", "[]");
    let listed = tree.path("run/listed");
    let listed = listed.to_str().expect("UTF-8");
    tree.run_expecting(&["unit", "sweep", "--listed", listed], 0);
    assert_eq!(finding(), Some(output));
    tree.run_expecting(&["unit", "sweep", "--turn", "2", "--listed", listed], 0);
    assert_eq!(finding(), None);
}

/// CRI-O's own directories and the name that it is told are those that count.
#[test]
fn on_crio_its_configuration_says_where_our_conf_is_and_which_conf_it_uses() {
    let tree = node("shared");
    tree.write("run/probe", "");
    tree.write("var/lib/crossfade/name", "oldnet\n");
    mode(&tree.path("var/lib/crossfade"), 0o700);
    tree.write(CRIO, "[Service]\nExecStart=/usr/bin/crio\n");
    let configured = |keys: &str| {
        let text = format!("[crio.network]\nnetwork_dir = '/etc/other.d/'\n{keys}\n");
        tree.write("etc/crio/crio.conf.d/10-net.conf", &text);
    };
    configured("cni_default_network = 'oldnet'");
    tree.write(
        "etc/other.d/00-before.conflist",
        r#"{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"bridge"}]}"#,
    );
    let output = tree.run_expecting(&["unit", "watch", "--once"], 0);
    assert!(tree.has("etc/other.d/01-crossfade.conflist") && !tree.has(OURS), "{output}");
    let output = tree.run_expecting(&["status"], 0);
    assert!(output.contains("installed     yes"), "{output}");
    // Without the name the first file counts, and a restart of CRI-O would take every pod's network away.
    configured("");
    let output = tree.run_expecting(&["unit", "watch", "--once"], 3);
    assert!(output.contains("ConfNotFirst") && output.contains("do not restart CRI-O"), "{output}");
    let output = tree.run_expecting(&["status"], 3);
    assert!(
        output.contains("00-before.conflist") && output.contains("cni_default_network = \"oldnet\""),
        "{output}"
    );
}

/// Its ADD asks for a Pod that is not there, and what it had begun by then would be owed for ever.
#[test]
fn a_network_that_a_scratch_namespace_cannot_prove_is_not_attached_to_one() {
    let tree = node("private");
    let conf = r#"{"cniVersion":"0.3.1","name":"k8s-pod-network","plugins":[{"type":"calico"}]}"#;
    tree.write("etc/cni/net.d/10-calico.conflist", conf);
    let path = tree.path("etc/cni/net.d/10-calico.conflist");
    tree.policy(&format!(r#""new": {{"conf": [{path:?}], "profile": "calico"}}"#));
    let before = tree.files();
    let output = tree.run_expecting(&["unit", "prove", "new"], 3);
    assert!(output.contains("probes alone") && output.contains("ADD reads the Pod"), "{output}");
    assert_eq!(tree.files(), before, "nothing is begun");
}
