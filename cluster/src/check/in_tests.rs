//! What the tests of checks have in common.

use super::Check;
use crate::config::{self, Config};
use crate::finding::Finding;
use crate::model::{ALL_KINDS, Snapshot};
use crate::scene::Scene;
use crate::snapshot::Collector;
use crate::support::{Cni, Strategy};

/// A cluster of YAML documents, all kinds known, and the settings of a migration.
pub(super) struct Case {
    snapshot: Snapshot,
    config: Config,
    from: Cni,
    to: Cni,
    strategy: Strategy,
}

impl Case {
    /// A cluster on its way from Calico to Cilium.
    pub(super) fn new(yaml: &str) -> Self {
        let mut collector = Collector::new();
        for document in yaml.split("\n---\n").filter(|document| !document.trim().is_empty()) {
            let value: serde_json::Value =
                serde_saphyr::from_str(document).unwrap_or_else(|e| panic!("{e}:\n{document}"));
            collector.value(value).unwrap_or_else(|e| panic!("{e}:\n{document}"));
        }
        let all: Vec<_> = ALL_KINDS.iter().map(|row| row.kind).collect();
        Self {
            snapshot: collector.finish(&all),
            config: Config::default(),
            from: Cni::Calico,
            to: Cni::Cilium,
            strategy: Strategy::Double,
        }
    }

    /// With these settings.
    pub(super) fn config(mut self, yaml: &str) -> Self {
        self.config = config::read(&format!("version: 1\n{yaml}")).unwrap_or_else(|e| panic!("{e}:\n{yaml}"));
        self
    }

    /// Another pair of CNIs.
    pub(super) fn pair(self, from: Cni, to: Cni) -> Self {
        Self { from, to, ..self }
    }

    /// Another strategy.
    pub(super) fn strategy(self, strategy: Strategy) -> Self {
        Self { strategy, ..self }
    }

    /// What the check finds. Each code must be one that the check declares.
    pub(super) fn found(&self, check: &Check) -> Vec<Finding> {
        let Self { snapshot, config, from, to, strategy } = self;
        let scene = Scene { snapshot, config, from: *from, to: *to, strategy: *strategy };
        let mut findings = (check.run)(&scene);
        crate::finding::sort(&mut findings);
        for finding in &findings {
            assert!(
                check.codes.iter().any(|(code, _)| *code == finding.code),
                "{} is not declared",
                finding.code
            );
            assert!(finding.what.ends_with('.') && finding.why.ends_with('.'), "{finding:#?}");
            assert!(!finding.fix.is_empty(), "{finding:#?}");
        }
        findings
    }

    /// The codes of what the check finds, the worst first.
    pub(super) fn codes(&self, check: &Check) -> Vec<&'static str> {
        self.found(check).iter().map(|finding| finding.code).collect()
    }

    /// The finding of a code.
    #[track_caller]
    pub(super) fn finding(&self, check: &Check, code: &str) -> Finding {
        let all = self.found(check);
        let found = all.iter().find(|finding| finding.code == code);
        found.unwrap_or_else(|| panic!("{code} is not among {all:#?}")).clone()
    }
}

/// The objects of a finding, with their details.
pub(super) fn objects(finding: &Finding) -> Vec<String> {
    finding
        .objects
        .iter()
        .map(|one| format!("{one}: {}", one.detail).trim_end_matches(": ").to_owned())
        .collect()
}
