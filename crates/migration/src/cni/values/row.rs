//! A setting as it is, beside what it must be.

use serde::Serialize;
use snapshot::model::{Kind, Object, Snapshot};

use super::{Rule, State, rules};
use crate::check::Scene;
use crate::check::finding::Subject;
use crate::cni::network::{antrea, calico, cilium, subject};
use crate::cni::support::{Cni, Stage};

/// One setting of the new CNI in this cluster. `plan` reads these.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The key in the cluster.
    pub key: &'static str,
    /// The value that a person sets.
    pub set: &'static str,
    /// What it is; none if the CNI is not installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// What it must be while the new CNI is installed.
    pub install: String,
    /// What it must be while nodes move.
    pub migrate: String,
    /// What it must be at the end.
    pub finish: String,
    /// Whether it is right in the stage of the settings file.
    pub state: State,
    /// The objects that say so.
    #[serde(skip)]
    pub subjects: Vec<Subject>,
    /// The rule.
    #[serde(skip)]
    pub rule: &'static Rule,
}

/// All settings of the new CNI.
#[must_use]
pub fn rows(scene: &Scene<'_>) -> Vec<Row> {
    let stage = scene.config.transition.phase;
    rules(scene.to).iter().map(|rule| row(scene, rule, stage)).collect()
}

fn row(scene: &Scene<'_>, rule: &'static Rule, stage: Stage) -> Row {
    let settings = values(scene.snapshot, scene.to, rule);
    let expectation = rule.for_stage(stage);
    let wrong: Vec<_> = settings.iter().filter(|(value, _)| !expectation.accepts(value)).collect();
    let state = match (settings.is_empty(), wrong.is_empty()) {
        (true, _) => State::Absent,
        (false, true) => State::Right,
        (false, false) => State::Wrong,
    };
    let now = wrong.first().copied().or_else(|| settings.first()).map(|(value, _)| value.clone());
    let [install, migrate, finish] = rule.expected.map(super::Expectation::words);
    let subjects = wrong.into_iter().map(|(_, subject)| subject.clone()).collect();
    Row { key: rule.key, set: rule.set, now, install, migrate, finish, state, subjects, rule }
}

/// Every value of a setting, with the object that has it; none if the CNI is not installed.
fn values(snapshot: &Snapshot, to: Cni, rule: &Rule) -> Vec<(String, Subject)> {
    let named = |subject: Subject, value: &str| {
        (value.to_owned(), subject.detail(format!("{}: {value}", rule.key.trim_start_matches('/'))))
    };
    match to {
        Cni::Cilium => {
            let Some(config) = cilium::config(snapshot) else { return Vec::new() };
            let value = config.data(rule.key).unwrap_or(rule.absent);
            let mut all = vec![named(subject(Kind::CONFIG_MAP, config), value)];
            all.extend(
                node_configs(snapshot, rule)
                    .map(|(object, value)| named(subject(Kind::CILIUM_NODE_CONFIG, object), value)),
            );
            all
        }
        Cni::Antrea => {
            let Some(config) = antrea::config(snapshot) else { return Vec::new() };
            vec![named(subject(Kind::CONFIG_MAP, config), &antrea::value(snapshot, rule.key, rule.absent))]
        }
        Cni::Calico => {
            let set = calico::felix(snapshot, rule.key);
            match calico::node(snapshot) {
                Some(node) if set.is_empty() => {
                    vec![named(Subject::from_meta(Kind::DAEMON_SET, &node.metadata), rule.absent)]
                }
                _ => set.into_iter().map(|setting| (setting.value, setting.source)).collect(),
            }
        }
        Cni::Flannel | Cni::Canal | Cni::AwsVpcCni => Vec::new(),
    }
}

/// The settings for some nodes only. That Cilium writes its configuration there is how Cilium's own guide moves a node.
fn node_configs<'s>(snapshot: &'s Snapshot, rule: &Rule) -> impl Iterator<Item = (&'s Object, &'s str)> {
    let key = rule.key;
    let all = snapshot.objects(Kind::CILIUM_NODE_CONFIG).iter().filter(move |_| key != "custom-cni-conf");
    all.filter_map(move |object| Some((object, cilium::default(object, key)?)))
}
