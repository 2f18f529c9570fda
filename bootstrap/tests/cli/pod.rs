//! `watch --pod`: who does the work when there is more than one.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};

use serde_json::json;

use crate::tree::{OURS, Tree};
use crate::watch::{node, status, until};

/// What systemd has while the unit is not inactive.
const UNIT: &str = "run/systemd/units/invocation:crossfade-watch.service";

/// A watch, and what it says.
struct Watch {
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Watch {
    fn start(tree: &Tree, arguments: &[&str]) -> Watch {
        let mut child = tree.command(arguments).stderr(Stdio::piped()).spawn().expect("watch");
        let said = BufReader::new(child.stderr.take().expect("piped"));
        Watch { child, said }
    }

    fn says(&mut self, words: &str) {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert!(self.said.read_line(&mut line).expect("stderr") > 0, "{words}: it ended");
        }
    }

    fn writes(&self, tree: &Tree) -> bool {
        tree.has("run/crossfade/status.json") && status(tree)["watch"]["pid"] == json!(self.child.id())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ready() -> Tree {
    let tree = node("shared");
    tree.write("run/probe", "");
    tree.write("var/lib/crossfade/name", "oldnet\n");
    tree
}

#[test]
fn a_pod_looks_on_while_the_unit_runs_and_ends_when_it_is_started() {
    let tree = ready();
    tree.write(UNIT, "");
    let mut pod = Watch::start(&tree, &["watch", "--pod"]);
    pod.says("crossfade-watch.service of this node does the work");
    assert!(!tree.has(OURS) && !tree.has("run/crossfade/status.json"), "it did the work");
    fs::remove_file(tree.path(UNIT)).expect("stopped");
    until("the pod's turn", || pod.writes(&tree));
    let said = status(&tree);
    assert_eq!((&said["ready"], &said["reason"]), (&json!(true), &json!("NetworkReady")));
    assert!(said["findings"].to_string().contains("watch runs in a pod"), "{said:#}");
    assert!(tree.has(OURS));
    // What wakes it soon; else it looks every 20 seconds.
    tree.write(UNIT, "");
    tree.write("run/crossfade/policy.json", "");
    assert!(pod.child.wait().expect("end").success());
    assert!(tree.has(OURS), "what it wrote stays");
}

#[test]
fn of_two_one_looks_on_and_goes_on_where_the_other_ended() {
    let tree = ready();
    let first = Watch::start(&tree, &["watch", "--pod"]);
    until("the first one's work", || first.writes(&tree));
    let mut second = Watch::start(&tree, &["watch", "--pod"]);
    second.says("another watch runs here");
    assert!(first.writes(&tree));
    assert_eq!(tree.run(&["watch"]).status, 75, "whoever does not wait is refused");
    drop(first);
    until("the second one's turn", || second.writes(&tree));
}

#[test]
fn switched_off_it_stays_and_does_nothing() {
    let tree = ready();
    let mut pod = Watch::start(&tree, &["watch", "--pod"]);
    until("its work", || pod.writes(&tree));
    tree.write("etc/crossfade/disabled", "");
    until("its end of work", || status(&tree)["reason"] == "SwitchedOff");
    assert!(!tree.has(OURS) && pod.child.try_wait().expect("asked").is_none());
}

#[test]
fn whoever_follows_is_told_of_every_change() {
    let tree = ready();
    let mut follow = tree.command(&["status", "--follow"]).stdout(Stdio::piped()).spawn().expect("status");
    let mut lines = BufReader::new(follow.stdout.take().expect("piped")).lines();
    let mut says = |words: &str| {
        let line = lines.next().expect("no end").expect("a line");
        assert!(line.contains(words), "{words}: {line}");
    };
    says("no watch has run in this boot");
    let pod = Watch::start(&tree, &["watch", "--pod"]);
    says("NetworkReady");
    fs::remove_file(tree.path("run/probe")).expect("probe");
    says("WaitingForNetwork");
    drop(pod);
    says("has ended");
    follow.kill().expect("ends");
    follow.wait().expect("ended");
}
