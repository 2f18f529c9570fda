//! The settings that the new CNI needs in each stage of a migration, as data, and how they compare with a cluster.

mod install;
mod row;

pub use install::{CHAINING, SOCKET_LB, command, file, has_host_ports, manifest, required_value, upgrade};
pub use row::{Row, rows};

use serde::Serialize;

use crate::check::finding::{Rule, Subject};
use crate::cni::support::Stage;

/// The key with which Cilium enforces policies. *Source*: Cilium, "Policy Enforcement Modes".
pub const ENFORCEMENT: &str = "enable-policy";

/// What a setting must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Nothing depends on it.
    Any,
    /// One of these; the first is the one to set.
    OneOf(&'static [&'static str]),
    Not(&'static [&'static str]),
}

/// A setting of a CNI, and what it must be in each stage.
#[derive(Debug, Clone, Copy)]
pub struct RequiredSetting {
    /// The rule that another value breaks.
    pub rule: &'static Rule,
    /// The key in the cluster: of `cilium-config`, a JSON pointer into `antrea-agent.conf`, or a key of `FelixConfiguration`.
    pub key: &'static str,
    /// The value that a person sets: of Helm's chart, or of Calico's resource.
    pub set: &'static str,
    /// How the value of the chart follows from a value of the cluster; none if both are the same.
    pub helm: Option<&'static [(&'static str, &'static str)]>,
    /// What an absent key means.
    pub absent: &'static str,
    /// The workloads that read it, and only when they start; empty if it holds at once.
    pub readers: &'static [&'static str],
    /// In each stage, in order.
    pub expected: [Expectation; 3],
}

/// Whether a setting is as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is.
    Right,
    /// It is not.
    Wrong,
    /// The CNI is not installed.
    Absent,
}

impl Expectation {
    /// Whether a value is right. Agents read `0s` as `0`, and `strict` and `disabled` as older words for true and false.
    #[must_use]
    pub fn accepts(self, value: &str) -> bool {
        let value = value.trim().to_ascii_lowercase();
        let is_value = |item: &str| item.eq_ignore_ascii_case(&value);
        match self {
            Self::Any => true,
            Self::OneOf(all) => all.iter().any(|item| is_value(item)),
            Self::Not(all) => !all.iter().any(|item| is_value(item)),
        }
    }

    /// The value to set; none if any will do, or only some will not.
    #[must_use]
    pub const fn first(self) -> Option<&'static str> {
        match self {
            Self::OneOf([first, ..]) => Some(first),
            Self::Any | Self::OneOf(_) | Self::Not(_) => None,
        }
    }

    /// In words: `any`, `true`, `not networkPolicyOnly`.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Any => "any".into(),
            Self::OneOf(all) => all.first().copied().unwrap_or_default().into(),
            Self::Not(all) => format!("not {}", all.join(" or ")),
        }
    }
}

impl RequiredSetting {
    /// What it must be in a stage.
    #[must_use]
    pub const fn for_stage(&self, stage: Stage) -> Expectation {
        self.expected[stage as usize]
    }

    /// Whether `finish` alone names it when a stage begins: that with which the new CNI enforces policies, in the last stage.
    #[must_use]
    pub fn waits_for_finish(&self, stage: Stage) -> bool {
        stage == Stage::Finish && self.key == ENFORCEMENT
    }

    /// The value of the chart for a value of the cluster.
    #[must_use]
    pub fn chart(&self, value: &'static str) -> &'static str {
        let mapped = self.helm.and_then(|all| all.iter().find(|(cluster, _)| *cluster == value));
        mapped.map_or(value, |(_, chart)| chart)
    }
}

/// Values of a chart: pairs of a name and a value.
pub type Values = Vec<(String, String)>;

/// A value of a setting, and the object that has it.
pub(super) fn named_value(setting: &RequiredSetting, object: Subject, value: &str) -> (String, Subject) {
    (value.to_owned(), object.detail(format!("{}: {value}", setting.key.trim_start_matches('/'))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::support::Cni;
    use clap::ValueEnum as _;

    #[test]
    fn settings_accept_the_value_that_they_tell_to_set() {
        let mut seen = 0;
        for setting in Cni::value_variants().iter().flat_map(|cni| cni.facts().settings) {
            for expected in setting.expected {
                seen += 1;
                assert!(expected.first().is_none_or(|value| expected.accepts(value)), "{}", setting.key);
            }
            assert!(!setting.rule.why.is_empty() && setting.rule.why.ends_with('.'), "{}", setting.key);
        }
        assert!(seen > 20);
    }

    #[test]
    fn words_of_older_releases_are_read() {
        let off = Expectation::OneOf(&["false", "disabled"]);
        assert!(off.accepts("disabled") && off.accepts("False") && !off.accepts("strict"));
        assert_eq!(Expectation::Not(&["a", "b"]).words(), "not a or b");
    }
}
