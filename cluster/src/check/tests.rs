//! Scenes for the tests of checks.

use serde_json::{Value, json};

use super::Check;
use crate::config::Config;
use crate::finding::Finding;
use crate::model::{ALL_KINDS, Kind, Reading, Snapshot};
use crate::scene::Scene;
use crate::snapshot::Collector;
use crate::support::{Cni, Strategy};

/// A cluster, and the migration that is planned for it.
pub(crate) struct Case {
    pub(crate) snapshot: Snapshot,
    pub(crate) config: Config,
    pub(crate) from: Cni,
    pub(crate) to: Cni,
    pub(crate) strategy: Strategy,
}

/// An object as the API has it: its kind, its name, and the rest of it.
pub(crate) fn object(kind: Kind, name: &str, rest: Value) -> (Kind, Value) {
    let mut value = rest;
    let (group, version) = kind.served_by()[0];
    value["apiVersion"] = if group.is_empty() { version.into() } else { format!("{group}/{version}").into() };
    value["kind"] = kind.api_name().into();
    if value["metadata"].is_null() {
        value["metadata"] = json!({});
    }
    value["metadata"]["name"] = name.into();
    (kind, value)
}

impl Case {
    /// A cluster that has these objects and no others, to be moved in the double way.
    pub(crate) fn new(from: Cni, to: Cni, objects: Vec<(Kind, Value)>) -> Self {
        let mut collector = Collector::new();
        for (_, value) in objects {
            collector.value(value).expect("an object of the API");
        }
        for row in ALL_KINDS {
            collector.reading(row.kind, Reading::Read);
        }
        Self {
            snapshot: collector.finish(&[]),
            config: Config::default(),
            from,
            to,
            strategy: Strategy::Double,
        }
    }

    /// The scene.
    pub(crate) fn scene(&self) -> Scene<'_> {
        let Self { snapshot, config, from, to, strategy } = self;
        Scene { snapshot, config, from: *from, to: *to, strategy: *strategy }
    }

    /// What a check finds.
    pub(crate) fn run(&self, check: &Check) -> Vec<Finding> {
        let findings = (check.run)(&self.scene());
        for finding in &findings {
            assert!(
                check.codes.iter().any(|(code, _)| *code == finding.code),
                "{} is not declared",
                finding.code
            );
            for text in [&finding.what, &finding.why, &finding.fix] {
                assert!(
                    text.len() > 20 && text.ends_with(['.', '\'', '"', ')', '`', ';']),
                    "no sentence: {text}"
                );
            }
        }
        findings
    }

    /// The codes that a check finds, sorted.
    pub(crate) fn codes(&self, check: &Check) -> Vec<&'static str> {
        let mut codes: Vec<_> = self.run(check).iter().map(|finding| finding.code).collect();
        codes.sort_unstable();
        codes
    }
}
