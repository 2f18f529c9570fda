//! A setting as it is, beside what it must be.

use serde::Serialize;

use super::{RequiredSetting, State};
use crate::check::Scene;
use crate::check::finding::Subject;
use crate::cni::support::Stage;

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
    /// The setting.
    #[serde(skip)]
    pub setting: &'static RequiredSetting,
}

/// All settings of the new CNI.
#[must_use]
pub fn rows(scene: &Scene<'_>) -> Vec<Row> {
    let stage = scene.config.transition.phase;
    scene.to.facts().settings.iter().map(|setting| row(scene, setting, stage)).collect()
}

fn row(scene: &Scene<'_>, setting: &'static RequiredSetting, stage: Stage) -> Row {
    let settings = scene.to.driver().values(scene.snapshot, setting);
    let expectation = setting.for_stage(stage);
    let wrong: Vec<_> = settings.iter().filter(|(value, _)| !expectation.accepts(value)).collect();
    let state = match (settings.is_empty(), wrong.is_empty()) {
        (true, _) => State::Absent,
        (false, true) => State::Right,
        (false, false) => State::Wrong,
    };
    let now = wrong.first().copied().or_else(|| settings.first()).map(|(value, _)| value.clone());
    let [install, migrate, finish] = setting.expected.map(super::Expectation::words);
    let subjects = wrong.into_iter().map(|(_, subject)| subject.clone()).collect();
    Row { key: setting.key, set: setting.set, now, install, migrate, finish, state, subjects, setting }
}
