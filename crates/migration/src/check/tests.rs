//! Scenes for the tests of checks.

mod fixes;
mod hostile;
mod nearest;

use serde_json::{Value, json};
use snapshot::model::{Kind, Snapshot};

use super::Check;
use crate::check::Scene;
use crate::check::finding::{self, Finding};
use crate::cni::support::{Cni, Strategy};
use crate::config::{self, Config};
use nearest::{CheckInput, snapshot};

/// A cluster, and the migration that is planned for it.
pub(crate) struct Case {
    /// The cluster's objects, as the API has them.
    pub(crate) documents: Vec<Value>,
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
        Self::having(from, to, objects.into_iter().map(|(_, value)| value).collect())
    }

    /// The same of objects of whatever kind.
    pub(crate) fn having(from: Cni, to: Cni, documents: Vec<Value>) -> Self {
        let snapshot = snapshot(&documents);
        Self { documents, snapshot, config: Config::default(), from, to, strategy: Strategy::Double }
    }

    /// The same of YAML documents, on its way from Calico to Cilium.
    pub(crate) fn from_yaml(yaml: &str) -> Self {
        let documents = yaml.split("\n---\n").filter(|document| !document.trim().is_empty());
        let read =
            |document: &str| serde_saphyr::from_str(document).unwrap_or_else(|e| panic!("{e}:\n{document}"));
        Self::having(Cni::Calico, Cni::Cilium, documents.map(read).collect())
    }

    /// With these settings.
    pub(crate) fn config(mut self, yaml: &str) -> Self {
        self.config = config::read(&format!("version: 1\n{yaml}")).unwrap_or_else(|e| panic!("{e}:\n{yaml}"));
        self
    }

    /// Another pair of CNIs.
    pub(crate) fn pair(self, from: Cni, to: Cni) -> Self {
        Self { from, to, ..self }
    }

    /// Another strategy.
    pub(crate) fn strategy(self, strategy: Strategy) -> Self {
        Self { strategy, ..self }
    }

    pub(crate) fn scene(&self) -> Scene<'_> {
        let Self { snapshot, config, from, to, strategy, .. } = self;
        Scene { snapshot, config, from: *from, to: *to, strategy: *strategy }
    }

    /// What a check finds, the worst first. Each rule must be one that the check declares, and its finding depend on something in the cluster.
    pub(crate) fn findings(&self, check: &Check) -> Vec<Finding> {
        let mut findings = (check.run)(&self.scene());
        finding::sort(&mut findings);
        for finding in &findings {
            assert!(check.rules.contains(&finding.rule), "{} is not declared", finding.rule.code);
            for text in [&finding.what, &finding.why] {
                assert!(text.len() > 10 && text.ends_with('.'), "no sentence: {text}");
            }
            // It may end with a command.
            assert!(finding.fix.len() > 10, "no fix: {finding:#?}");
        }
        let codes = findings.iter().map(|finding| finding.rule.code).collect();
        let Self { documents, config, from, to, strategy, .. } = self;
        let input = CheckInput { documents, config, from: *from, to: *to, strategy: *strategy };
        nearest::hold(check, &input, &codes);
        hostile::hold(check, &input);
        findings
    }

    /// The codes of what a check finds, the worst first.
    pub(crate) fn codes(&self, check: &Check) -> Vec<&'static str> {
        self.findings(check).iter().map(|finding| finding.rule.code).collect()
    }

    /// The finding of a code.
    #[track_caller]
    pub(crate) fn finding(&self, check: &Check, code: &str) -> Finding {
        let all = self.findings(check);
        let finding = all.iter().find(|finding| finding.rule.code == code);
        finding.unwrap_or_else(|| panic!("{code} is not among {all:#?}")).clone()
    }
}

/// The objects of a finding, with their details.
pub(crate) fn objects(finding: &Finding) -> Vec<String> {
    let describe = |subject: &finding::Subject| {
        format!("{subject}: {}", subject.detail).trim_end_matches(": ").to_owned()
    };
    finding.objects.iter().map(describe).collect()
}
