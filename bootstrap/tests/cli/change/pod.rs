//! `watch --pod`: who does the work when there is more than one.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::json;

use crate::tree::{OURS, Tree};
use crate::unit::watch::{node, status, until};

/// What systemd has while the unit is not inactive.
const UNIT: &str = "run/systemd/units/invocation:crossfade-watch.service";

/// Tells one that is silent from one that is slow.
const LIMIT: Duration = Duration::from_secs(60);

/// A command that goes on, and what it says.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn watch(tree: &Tree) -> Running {
        let mut child =
            tree.command(&["unit", "watch", "--pod"]).stderr(Stdio::piped()).spawn().expect("watch");
        let lines = lines(child.stderr.take().expect("piped"));
        Running { child, lines }
    }

    fn follow(tree: &Tree) -> Running {
        let mut child = tree.command(&["status", "--follow"]).stdout(Stdio::piped()).spawn().expect("status");
        let lines = lines(child.stdout.take().expect("piped"));
        Running { child, lines }
    }

    /// Waits for a line with these words, whatever comes before it.
    fn says(&self, words: &str) {
        let mut before = Vec::new();
        loop {
            let line = self.lines.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|why| panic!("{words}: {why}, after {before:?}"));
            if line.contains(words) {
                return;
            }
            before.push(line);
        }
    }

    fn writes(&self, tree: &Tree) -> bool {
        tree.has("run/crossfade/status.json") && status(tree)["watch"]["pid"] == json!(self.child.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until the end; a test that waits for a line can give up.
fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (line, lines) = channel();
    std::thread::spawn(move || {
        for read in BufReader::new(from).lines().map_while(Result::ok) {
            if line.send(read).is_err() {
                break;
            }
        }
    });
    lines
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
    let mut pod = Running::watch(&tree);
    pod.says("crossfade-watch.service of this node does the work");
    assert!(!tree.has(OURS) && !tree.has("run/crossfade/status.json"), "it did the work");
    fs::remove_file(tree.path(UNIT)).expect("stopped");
    until("the pod's turn", || pod.writes(&tree));
    let text = status(&tree);
    assert_eq!((&text["ready"], &text["reason"]), (&json!(true), &json!("NetworkReady")));
    assert!(text["findings"].to_string().contains("watch runs in a pod"), "{text:#}");
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
    let first = Running::watch(&tree);
    until("the first one's work", || first.writes(&tree));
    let second = Running::watch(&tree);
    second.says("another watch runs here");
    assert!(first.writes(&tree));
    assert_eq!(tree.run(&["unit", "watch"]).status, 75, "a second watch that does not wait is refused");
    drop(first);
    until("the second one's turn", || second.writes(&tree));
}

#[test]
fn switched_off_it_stays_and_does_nothing() {
    let tree = ready();
    let mut pod = Running::watch(&tree);
    until("its work", || pod.writes(&tree));
    tree.write("etc/crossfade/disabled", "");
    until("its end of work", || status(&tree)["reason"] == "SwitchedOff");
    assert!(!tree.has(OURS) && pod.child.try_wait().expect("asked").is_none());
}

#[test]
fn a_follower_is_told_of_every_change() {
    let tree = ready();
    let follow = Running::follow(&tree);
    follow.says("no watch has run in this boot");
    let pod = Running::watch(&tree);
    follow.says("NetworkReady");
    fs::remove_file(tree.path("run/probe")).expect("probe");
    follow.says("WaitingForNetwork");
    drop(pod);
    follow.says("has ended");
}
