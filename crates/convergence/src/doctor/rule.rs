//! The rules of `doctor`'s findings: how grave each is, and below which symptom the report and docs/troubleshooting.md have it.

use std::fmt;

use serde::Serialize;
use strum::Display;

/// What a person sees on the node or in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Symptom {
    /// Pods stay in ContainerCreating.
    PodsDoNotStart,
    /// Pods stay in Terminating.
    PodsDoNotEnd,
    /// kubelet does not start, and so the node does not register.
    KubeletHeld,
    /// The Node is not Ready.
    NodeNotReady,
    /// Pods get another network than the policy names.
    WrongNetwork,
    /// An agent removes or renames Crossfade's conf again and again.
    AgentFights,
    /// Pods cannot reach each other, or lose their address.
    Unreachable,
    /// Addresses, records or host routes stay behind.
    Leaks,
    /// What Crossfade reports is out of date.
    Stale,
    /// `doctor` could not see everything.
    Unseen,
}

/// How grave a finding is. Only a note leaves the exit status at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Display)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Severity {
    /// Pods are affected now.
    Error,
    /// Something is wrong, and pods will be affected.
    Warning,
    /// Nothing is wrong on this node; a person should know of it.
    Note,
}

impl Symptom {
    /// All symptoms, in the order of the report.
    pub const ALL: [Self; 10] = [
        Self::KubeletHeld,
        Self::NodeNotReady,
        Self::PodsDoNotStart,
        Self::PodsDoNotEnd,
        Self::WrongNetwork,
        Self::AgentFights,
        Self::Unreachable,
        Self::Leaks,
        Self::Stale,
        Self::Unseen,
    ];

    /// The symptom as a person sees it; a heading of docs/troubleshooting.md.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::PodsDoNotStart => "Pods stay in ContainerCreating",
            Self::PodsDoNotEnd => "Pods stay in Terminating",
            Self::KubeletHeld => "kubelet does not start",
            Self::NodeNotReady => "The node is NotReady",
            Self::WrongNetwork => "Pods get the wrong network",
            Self::AgentFights => "An agent fights for the conf directory",
            Self::Unreachable => "Pods cannot be reached",
            Self::Leaks => "Addresses, records or routes stay behind",
            Self::Stale => "What Crossfade reports is out of date",
            Self::Unseen => "doctor cannot see everything",
        }
    }
}

/// How `doctor` grades a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grade {
    pub symptom: Symptom,
    pub severity: Severity,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.severity.fmt(f)
    }
}

/// What the findings of a code have in common. Each stands beside the predicate that finds it. `why` is the cause that a finding names: why it
/// is so, and what it does to pods.
pub type Rule = types::command::rule::Rule<Grade>;

impl Severity {
    pub(super) const fn rule(
        self,
        symptom: Symptom,
        code: &'static str,
        what: &'static str,
        why: &'static str,
        fix: &'static str,
    ) -> Rule {
        Rule { code, grade: Grade { symptom, severity: self }, what, why, fix }
    }
}
