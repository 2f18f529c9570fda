//! Holds each finding of a test to its cluster: a nearest cluster, which lacks one thing of it, does not have the finding. A finding that no such change takes
//! away would be found everywhere.

use std::collections::BTreeSet;

use serde_json::Value;
use snapshot::Collector;
use snapshot::model::{ALL_KINDS, Reading, Snapshot};

use crate::check::Check;
use crate::check::Scene;
use crate::cni::support::{Cni, Strategy};
use crate::config::Config;

/// Findings about what is not there or not set: the nearest cluster without them has more, and not less. Their own tests have that cluster.
const ABSENT: [&str; 10] = [
    "agent-new-absent",
    "agent-old-absent",
    "autodetection-new-interface",
    "backup-unproven",
    "calico-chain-insert",
    "dns-absent",
    "mtu-differs",
    "tunnel-clash",
    "tunnel-ports",
    "values-not-installed",
];

/// What a check is asked about.
pub(super) struct CheckInput<'a> {
    pub(super) documents: &'a [Value],
    pub(super) config: &'a Config,
    pub(super) from: Cni,
    pub(super) to: Cni,
    pub(super) strategy: Strategy,
}

/// The snapshot of these objects and no others.
pub(in crate::check::tests) fn snapshot(documents: &[Value]) -> Snapshot {
    let mut collector = Collector::new();
    for document in documents {
        collector.value(document.clone()).unwrap_or_else(|e| panic!("{e}:\n{document:#}"));
    }
    for row in ALL_KINDS {
        collector.reading(row.kind, Reading::Read);
    }
    collector.finish(&[])
}

/// Asserts that each of these findings depends on something.
pub(super) fn hold(check: &Check, input: &CheckInput<'_>, found_codes: &BTreeSet<&'static str>) {
    let mut left: BTreeSet<_> = found_codes.iter().filter(|code| !ABSENT.contains(code)).copied().collect();
    let CheckInput { documents, from, to, .. } = *input;
    let codes = |documents: &[Value], config: &Config, strategy| {
        let snapshot = snapshot(documents);
        let scene = Scene { snapshot: &snapshot, config, from, to, strategy };
        (check.run)(&scene).iter().map(|finding| finding.rule.code).collect::<BTreeSet<_>>()
    };
    for strategy in [Strategy::Double, Strategy::Bridge, Strategy::Rotation] {
        left.retain(|code| codes(documents, input.config, strategy).contains(code));
    }
    left.retain(|code| codes(documents, &Config::default(), input.strategy).contains(code));
    for lacking in lacking(documents) {
        if left.is_empty() {
            return;
        }
        // Something that must be there may be missing now: then the collector, or the check, says so in another way.
        let without = codes(&lacking, input.config, input.strategy);
        left.retain(|code| without.contains(code));
    }
    assert!(left.is_empty(), "no nearest cluster is without {left:?}: {documents:#?}");
}

/// The documents, without one of them, without all of a kind, and without one key in all of a kind.
fn lacking(documents: &[Value]) -> impl Iterator<Item = Vec<Value>> {
    let kinds: BTreeSet<&str> = documents.iter().map(kind).collect();
    let but = |is_out: &dyn Fn(usize, &Value) -> bool| -> Vec<Value> {
        let kept = documents.iter().enumerate().filter(|(index, object)| !is_out(*index, object));
        kept.map(|(_, object)| object.clone()).collect()
    };
    let each_object = (0..documents.len()).map(move |out| but(&|index, _| index == out));
    let all = kinds.clone().into_iter().map(move |out| but(&|_, object| kind(object) == out));
    let keys = kinds.into_iter().flat_map(move |removed_kind| {
        let paths: BTreeSet<String> = documents
            .iter()
            .filter(|object| kind(object) == removed_kind)
            .flat_map(|object| paths("", object))
            .collect();
        paths.into_iter().map(move |path| {
            let cut = |object: &Value| {
                if kind(object) == removed_kind { cut(object, &path) } else { object.clone() }
            };
            documents.iter().map(cut).collect()
        })
    });
    each_object.chain(all).chain(keys)
}

fn kind(document: &Value) -> &str {
    document["kind"].as_str().unwrap_or_default()
}

/// JSON pointers to everything in a value but what names it.
pub(super) fn paths(location: &str, value: &Value) -> Vec<String> {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => return Vec::new(),
    };
    let mut all = Vec::new();
    for (key, value) in inner {
        let path = format!("{location}/{key}");
        if !matches!(path.as_str(), "/apiVersion" | "/kind" | "/metadata/name" | "/metadata/namespace") {
            all.extend(paths(&path, value));
            all.push(path);
        }
    }
    all
}

/// The value without what is at a JSON pointer.
fn cut(value: &Value, path: &str) -> Value {
    let mut value = value.clone();
    let (parent, key) = path.rsplit_once('/').expect("a pointer");
    match value.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.remove(&key.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(list)) => {
            let index = key.parse().expect("a place");
            if index < list.len() {
                list.remove(index);
            }
        }
        _ => {}
    }
    value
}
