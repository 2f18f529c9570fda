//! The table of conversions in docs/policies.md: one policy for each field of Calico's, converted to each target.

use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::policies::conversions::{TARGETS, Target, conversions, policies};
use crate::run::{stderr, stdout};

const BEGIN: &str = "<!-- matrix: begin; cluster/tests/cli/policies/matrix.rs writes it -->\n";
const END: &str = "<!-- matrix: end -->\n";
const DIRECTIONS: [&str; 2] = ["ingress", "egress"];

/// A policy that has a field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    /// The field, for people.
    field: String,
    /// The kind of the policy, if it is no NetworkPolicy.
    #[serde(default)]
    kind: Option<String>,
    spec: Value,
    /// Other objects, beside the policy.
    #[serde(default)]
    beside: Vec<Value>,
}

/// What became of a sample, and why if it is not exact.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    outcome: &'static str,
    why: String,
}

impl Sample {
    fn objects(&self) -> Value {
        let kind = self.kind.as_deref().unwrap_or("NetworkPolicy");
        let mut metadata = json!({"name": "default.sample", "uid": "uid-sample", "generation": 1});
        if !kind.contains("Global") {
            metadata["namespace"] = "shop".into();
        }
        if let Some(tier) = self.spec["tier"].as_str() {
            metadata["name"] = format!("{tier}.sample").into();
        }
        let policy = json!({"apiVersion": "crd.projectcalico.org/v1", "kind": kind, "metadata": metadata, "spec": self.spec});
        let items: Vec<&Value> = [&policy].into_iter().chain(&self.beside).collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }

    /// The worst that became of a field of it.
    fn converted(&self, dir: &Path, target: &Target) -> Cell {
        std::fs::write(dir.join("sample.json"), self.objects().to_string()).expect("written");
        let output = policies(dir, "check", target, &["--snapshot", "sample.json", "-o", "json"]);
        let answer: Value = serde_json::from_str(stdout(&output))
            .unwrap_or_else(|e| panic!("{}: {e}: {}", self.field, stderr(&output)));
        let list = |key: &str| {
            answer[key].as_array().unwrap_or_else(|| panic!("{}: {answer:#}", self.field)).clone()
        };
        if let Some(packet) = list("packets").first() {
            let words = packet["words"].as_str().expect("words");
            let (_, verdicts) = words.split_once("decide: ").expect("verdicts");
            let why = format!("a packet is treated in another way: {verdicts}");
            return Cell { outcome: "impossible", why };
        }
        if !list("staged").is_empty() {
            return Cell { outcome: "not converted", why: "Calico does not enforce it".into() };
        }
        let fields = list("fields");
        assert!(!fields.is_empty(), "{}: nothing is said of it", self.field);
        for outcome in ["impossible", "snapshot", "expanded"] {
            if let Some(entry) = fields.iter().find(|entry| entry["outcome"] == outcome) {
                return Cell { outcome, why: entry["why"].as_str().expect("why").to_owned() };
            }
        }
        assert_eq!(output.status.code(), Some(0), "{}", self.field);
        let why = fields.iter().find_map(|entry| entry["why"].as_str()).unwrap_or_default();
        Cell { outcome: "exact", why: why.to_owned() }
    }
}

fn samples() -> Vec<Sample> {
    let text = std::fs::read_to_string(conversions().join("samples.yaml")).expect("samples");
    serde_saphyr::from_str(&text).expect("samples")
}

fn rendered() -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let samples = samples();
    let row = |sample: &Sample| TARGETS.map(|target| sample.converted(dir.path(), &target));
    let rows: Vec<[Cell; TARGETS.len()]> = samples.iter().map(row).collect();
    let mut text = String::new();
    if TARGETS.len() > 1 {
        let names = TARGETS.map(|target| target.name).join(" | ");
        let _ = write!(text, "\n| Calico | {names} |\n|---|{}\n", "---|".repeat(TARGETS.len()));
        for (sample, cells) in samples.iter().zip(&rows) {
            let outcomes: Vec<&str> = cells.iter().map(|cell| cell.outcome).collect();
            let _ = writeln!(text, "| {} | {} |", cell(&sample.field), outcomes.join(" | "));
        }
    }
    for (number, target) in TARGETS.iter().enumerate() {
        let _ = write!(text, "\n### To {}\n\n| Calico | Outcome | Why |\n|---|---|---|\n", target.name);
        for (sample, cells) in samples.iter().zip(&rows) {
            let Cell { outcome, why } = &cells[number];
            let _ = writeln!(text, "| {} | {outcome} | {} |", cell(&sample.field), cell(why));
        }
    }
    text + "\n"
}

fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|")
}

/// `UPDATE_GOLDEN=1` writes the table anew.
#[test]
fn the_table_of_fields_is_what_the_conversion_does() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies.md");
    let text = std::fs::read_to_string(&page).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("the table's begin");
    let (kept, after) = rest.split_once(END).expect("the table's end");
    let now = rendered();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&page, [before, BEGIN, &now, END, after].concat()).expect("written");
    } else {
        assert_eq!(kept, now, "look at the table, then UPDATE_GOLDEN=1");
    }
}

/// A field that Calico's reader knows has a sample.
#[test]
fn every_field_of_calico_has_a_sample() {
    let mut fields = std::collections::BTreeSet::new();
    for sample in samples() {
        let spec = sample.spec.as_object().expect("a spec");
        fields.extend(spec.keys().cloned());
        for rule in DIRECTIONS.into_iter().filter_map(|way| spec.get(way)?.as_array()).flatten() {
            let rule = rule.as_object().expect("a rule");
            fields.extend(rule.keys().cloned());
            for end in ["source", "destination"].into_iter().filter_map(|end| rule.get(end)?.as_object()) {
                fields.extend(end.keys().cloned());
            }
        }
    }
    // *Source*: projectcalico/api, `GlobalNetworkPolicySpec`, `Rule` and `EntityRule`.
    for field in [
        "action",
        "applyOnForward",
        "destination",
        "doNotTrack",
        "http",
        "icmp",
        "ipVersion",
        "metadata",
        "namespaceSelector",
        "nets",
        "notICMP",
        "notNets",
        "notPorts",
        "notProtocol",
        "notSelector",
        "order",
        "performanceHints",
        "ports",
        "preDNAT",
        "protocol",
        "selector",
        "serviceAccountSelector",
        "serviceAccounts",
        "services",
        "source",
        "tier",
        "types",
    ] {
        assert!(fields.contains(field), "{field} has no sample");
    }
}
