//! The ConfigMaps of a run, as kubectl writes them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run::{fixtures, run_in, stderr, stdout};

/// The run.
pub(crate) const RUN: &str = "r-261120-1000-7k2m";

/// The ConfigMaps of a run, in files.
pub(crate) struct KeptRun {
    /// The directory with `configmaps.json`.
    pub(crate) dir: TempDir,
    /// The whole hash of the plan.
    pub(crate) hash: String,
    /// The lines of the journal.
    pub(crate) lines: Vec<String>,
}

impl KeptRun {
    /// A run of the fixture `plan-zones` that is over. One more node has a name of others, which is also the name of a workload, and part of what it waits for.
    pub(crate) fn new(name: &str) -> Self {
        Self::of_fixture("plan-zones", "double", name, journal)
    }

    /// A run of the fixture `plan-rotation` that is over: pipelines have replaced all nodes.
    pub(crate) fn rotation() -> Self {
        Self::of_fixture("plan-rotation", "rotation", "edge-1", journal_of_rotation)
    }

    fn of_fixture(
        fixture: &str,
        strategy: &str,
        name: &str,
        journal: fn(&Value, &str, &str) -> Vec<String>,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let plan = dir.path().join("plan.json");
        let fixture = fixtures().join(fixture);
        let file = plan.to_str().expect("UTF-8");
        let words = [
            "plan",
            "--from",
            "flannel",
            "--to",
            "cilium",
            "--strategy",
            strategy,
            "--config",
            "config.yaml",
            "--snapshot",
            "cluster",
        ];
        let output =
            run_in(&fixture, &[&words[..], &["--dumped", "all", "-o", "json", "--out", file]].concat());
        let answer: Value =
            serde_json::from_str(stdout(&output)).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
        let hash = answer["hash"].as_str().expect("a hash").to_owned();
        let bytes = std::fs::read(&plan).expect("a plan");
        std::fs::remove_file(&plan).expect("removed");
        let plan: Value = serde_json::from_slice(&bytes).expect("JSON");
        let lines = journal(&plan, &hash, name);
        let kept = Self { dir, hash, lines };
        kept.write(&bytes, &kept.parts(3), name);
        kept
    }

    /// The journal in so many parts.
    pub(crate) fn parts(&self, number: usize) -> Vec<(usize, String)> {
        let size = self.lines.len().div_ceil(number);
        self.lines
            .chunks(size)
            .map(<[String]>::concat)
            .enumerate()
            .map(|(index, lines)| (index + 1, lines))
            .collect()
    }

    /// The file of the ConfigMaps.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("configmaps.json")
    }

    fn write(&self, plan: &[u8], parts: &[(usize, String)], name: &str) {
        let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(plan).expect("gzip");
        let packed = ByteString(gzip.finish().expect("gzip"));
        let run = json!({"version": 1, "id": RUN, "plan": self.hash, "from": "new", "targets": [], "pass": 4, "state": "done"});
        let gates = json!({"smoke": {"is": "green", "at": "2026-11-20T12:00:00Z", "why": name}});
        let mut maps = vec![
            map("crossfade-run", &json!({"run.json": run.to_string()})),
            map(&format!("crossfade-gates-{RUN}"), &json!({"verdicts.json": gates.to_string()})),
            map("another", &json!({"of": "others"})),
        ];
        let mut plan = map(&format!("crossfade-plan-{}", &self.hash[..12]), &json!({}));
        plan["binaryData"] = json!({"plan.json.gz": packed});
        maps.push(plan);
        for (number, lines) in parts {
            maps.push(map(&format!("crossfade-journal-{RUN}-{number:04}"), &json!({"journal.jsonl": lines})));
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": maps});
        std::fs::write(self.file(), list.to_string()).expect("written");
    }

    /// Takes a ConfigMap away.
    pub(crate) fn remove(&self, name: &str) {
        let text = std::fs::read(self.file()).expect("a file");
        let mut list: Value = serde_json::from_slice(&text).expect("JSON");
        let items = list["items"].as_array_mut().expect("a list");
        let before = items.len();
        items.retain(|map| map["metadata"]["name"] != name);
        assert_eq!(items.len() + 1, before, "{name}");
        std::fs::write(self.file(), list.to_string()).expect("written");
    }

    /// A report as JSON, with the exit status.
    pub(crate) fn report(&self, more: &[&str]) -> Value {
        let output = self.call(&[&["report", "-o", "json"], more].concat());
        serde_json::from_str(stdout(&output)).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)))
    }

    /// Calls the program in the directory, with the ConfigMaps.
    pub(crate) fn call(&self, words: &[&str]) -> std::process::Output {
        run_in(self.dir.path(), &[words, &["--snapshot", "configmaps.json"]].concat())
    }

    /// A file that a command wrote.
    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).expect("a file")
    }
}

fn map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "crossfade"}, "data": data})
}

/// A file beside others.
pub(crate) fn in_dir(dir: &Path, name: &str, content: &str) -> String {
    let file = dir.join(name);
    std::fs::write(&file, content).expect("written");
    file.to_str().expect("UTF-8").to_owned()
}

struct Writer(Vec<String>);

impl Writer {
    fn add(&mut self, second: usize, event: &str, keys: &Value) {
        let (hour, minute, second) = (10 + second / 3600, second / 60 % 60, second % 60);
        let mut line = keys.clone();
        line["at"] = format!("2026-11-20T{hour:02}:{minute:02}:{second:02}.25Z").into();
        line["event"] = event.into();
        self.0.push(format!("{line}\n"));
    }

    fn acted(&mut self, second: usize, act: &Value, outcome: &str) {
        self.add(second, "acted", &json!({"act": act, "outcome": outcome}));
    }
}

/// The names of the nodes of a plan, in its order.
fn planned_nodes(plan: &Value) -> impl Iterator<Item = String> {
    let waves = plan["waves"].as_array().expect("waves").iter();
    let nodes = waves.flat_map(|wave| wave["nodes"].as_array().expect("nodes"));
    nodes.map(|node| node["name"].as_str().expect("a name").to_owned())
}

fn holds(hash: &str) -> Value {
    json!({"by": "alice@laptop:4711:00ff", "plan": hash, "approved": true, "program": "0.1.0"})
}

/// The journal of a rotation: a new node is proven four minutes after the turn of an old one.
fn journal_of_rotation(plan: &Value, hash: &str, name: &str) -> Vec<String> {
    let mut journal = Writer(Vec::new());
    let step = |node: &str, state: &str| json!({"act": "patch", "node": node, "state": state, "to": "new"});
    journal.add(0, "holds", &holds(hash));
    for node in planned_nodes(plan) {
        journal.acted(1, &step(&node, "waiting"), "Done");
    }
    for (index, node) in planned_nodes(plan).enumerate() {
        let second = 10 + 300 * index;
        journal.acted(second, &step(&node, "permitted"), "Done");
        journal.acted(second + 240, &step(&format!("{name}-{index}"), "done"), "Done");
        let attached = json!({"old": 50 - 10 * index, "new": 10 * (index + 1)});
        journal.add(
            second + 242,
            "counted",
            &json!({"count": {"pass": 1, "to": "new", "attached": attached, "silent": 0}}),
        );
    }
    journal.acted(2000, &json!({"act": "record", "pass": 2, "to": null}), "Done");
    journal.0
}

/// The journal of a run: each node takes two minutes in each pass, and the second pass restarts pods.
fn journal(plan: &Value, hash: &str, name: &str) -> Vec<String> {
    let nodes: Vec<String> = planned_nodes(plan).chain([name.to_owned()]).collect();
    let mut journal = Writer(Vec::new());
    journal.add(0, "holds", &holds(hash));
    let mut second = 1;
    for (pass, to, from) in [(1, "both-old", "old"), (2, "both-new", "both-old"), (3, "new", "both-new")] {
        for (index, node) in nodes.iter().enumerate() {
            let step = |state: &str| json!({"act": "patch", "node": node, "state": state, "to": to});
            let flip = json!({"act": "patch", "node": node, "state": "flipped", "to": to, "desired": to});
            journal.acted(second, &step("claimed"), "Done");
            journal.acted(second + 3, &flip, "Done");
            journal.acted(second + 15, &step("moving"), "Done");
            for pod in 0..if pass == 2 { 4 } else { 0 } {
                let owner = if index % 5 == 4 {
                    format!("Deployment/{name}/{name}")
                } else {
                    format!("StatefulSet/shop/db-{}", index % 4)
                };
                let evict = json!({"act": "evict", "pod": format!("shop/{node}-{pod}"), "uid": "u", "node": node, "owner": owner});
                if pod == 0 {
                    journal.acted(second + 16, &evict, "Answered(Budget(Some(10)))");
                }
                journal.acted(second + 20 + pod, &evict, "Answered(Accepted)");
            }
            if index == 3 {
                let wait = json!({"object": format!("Pod/shop/{node}-0"), "reason": "BudgetBlocks", "what": name, "help": "", "isHeld": pass == 3});
                journal.add(second + 30, "waits", &json!({"wait": wait}));
                journal.add(
                    second + 60,
                    "over",
                    &json!({"object": format!("Pod/shop/{node}-0"), "reason": "BudgetBlocks"}),
                );
            }
            journal.acted(second + 70, &step("proving"), "Done");
            journal.acted(second + 80, &step("settling"), "Done");
            journal.acted(second + 110, &step("done"), "Done");
            let (old, new) = (10 * (nodes.len() - index - 1), 10 * (index + 1));
            journal.add(
                second + 112,
                "counted",
                &json!({"count": {"pass": pass, "to": to, "attached": {from: old, to: new}, "silent": 0}}),
            );
            second += 120;
        }
        let next = ["both-new", "new", ""][pass - 1];
        let next = if next.is_empty() { Value::Null } else { next.into() };
        journal.acted(second, &json!({"act": "record", "pass": pass + 1, "to": next}), "Done");
        if pass == 1 {
            let wish =
                json!({"seq": 1, "by": "bob@desk", "reason": name, "what": {"skip": "Deployment/shop/web"}});
            journal.add(second + 1, "wished", &json!({"wish": wish, "refused": null}));
            journal.add(
                second + 2,
                "holds",
                &json!({"by": "bob@desk:12:0aa0", "plan": hash, "approved": false, "program": "0.1.0"}),
            );
        }
        second += 10;
    }
    journal.0
}
