//! The codes of `doctor`'s findings, each with its symptom and severity. docs/troubleshooting.md has an
//! entry for each, and a test holds the page to this table.

use serde::{Serialize, Serializer};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
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

/// The code of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// node.json cannot be used.
    NodeJsonUnusable,
    /// `boot` has not succeeded in this boot.
    BootFailed,
    /// The gate holds kubelet back.
    GateShut,
    /// The gate gave up, and kubelet registered with a taint.
    GateGaveUp,
    /// kubelet does not run, and the gate is not the reason.
    KubeletDown,
    /// Nothing says which runtime kubelet talks to.
    RuntimeUnknown,
    /// The runtime does not run.
    RuntimeDown,
    /// The runtime lost its conf directory and has to be restarted.
    RuntimeRestart,
    /// The Node's condition Ready is not true.
    NodeConditionReady,
    /// The Node's condition NetworkUnavailable is true.
    NetworkUnavailable,
    /// The API server has no Node of this name.
    NodeUnregistered,
    /// The Node lacks a label that node.json registers.
    NodeLabels,
    /// `watch` says that the node is not ready, and nothing else is found.
    WatchNotReady,
    /// The policy cannot be used.
    PolicyUnusable,
    /// The runtime does not answer.
    RuntimeHangs,
    /// Crossfade's plugin is not where the runtime looks for it, or is another one.
    PluginMissing,
    /// In private mode, Crossfade's conf is not written yet.
    ConfWaits,
    /// A network that pods get has no conf.
    NetworkWithoutConf,
    /// The conf of a network cannot be used.
    NetworkConfBroken,
    /// A plugin of a network cannot be used.
    NetworkPluginMissing,
    /// A probe of a network that pods get does not hold.
    NetworkNotReady,
    /// The proof of a network that pods get failed.
    ProofFailed,
    /// Pods wait for a file without a keeper.
    FileUnkept,
    /// An ADD runs for longer than it may.
    AddHangs,
    /// ADDs failed in the last minutes.
    AddsFail,
    /// Pods have had no container for minutes.
    PodsStuckStarting,
    /// A DEL has been owed for longer than the grace.
    DelOwed,
    /// Pods are past the time by which they were to have ended.
    PodsStuckEnding,
    /// A record cannot be read.
    RecordDamaged,
    /// The records cannot be read.
    StateUnreadable,
    /// Crossfade is switched off.
    SwitchedOff,
    /// Crossfade's conf is not in the runtime's directory.
    ConfMissing,
    /// Crossfade's conf, or the directory of confs, cannot be read.
    ConfUnreadable,
    /// Another conf sorts before Crossfade's.
    ConfNotFirst,
    /// The runtime has loaded another conf than Crossfade's.
    ConfNotLoaded,
    /// Others' confs are in the private directory.
    ConfOfOthers,
    /// CRI-O is configured with another network, or with none.
    CrioNetwork,
    /// The runtime uses several confs at once.
    SeveralConfs,
    /// Pods are attached past Crossfade.
    PodsBypass,
    /// The Node's annotation asks for another phase.
    DesiredUnmet,
    /// An earlier image left its conf or records.
    EarlierImage,
    /// An agent takes the conf directory for itself.
    AgentTakesConf,
    /// `watch` repaired the conf several times within an hour.
    ConfRepaired,
    /// Host routes of attachments are missing, or left over.
    HostRoutes,
    /// A network is the second one of pods, and its CNI follows the Pod's status.
    SecondNetwork,
    /// Pods asked for host ports that no plugin maps.
    HostPorts,
    /// The proof of a network that pods get finds no DNS server, or no other node.
    ProofDegraded,
    /// The runtime forgot sandboxes whose attachments Crossfade still has.
    SandboxForgotten,
    /// The same, and the network that owes the DEL is not ready.
    SandboxWaits,
    /// Addresses are leased to unknown containers.
    LeaseUnknown,
    /// The last sweep failed.
    SweepFails,
    /// Attachments ended without the confirmation of their network.
    Ledger,
    /// `watch` does not run.
    WatchDown,
    /// The netns of an attachment is gone, and the runtime lists its sandbox as running.
    RecordStale,
    /// The Node does not say what `watch` says.
    NodeOutdated,
    /// The runtime's configuration cannot be read.
    RuntimeConfig,
    /// The API server did not answer.
    ApiServer,
    /// A source on the node could not be read.
    SourceUnread,
}

/// A row for each code, in the order of the type.
const TABLE: &[(Code, &str, Symptom, Severity)] = &[
    (Code::NodeJsonUnusable, "node-json-unusable", Symptom::KubeletHeld, Severity::Error),
    (Code::BootFailed, "boot-failed", Symptom::KubeletHeld, Severity::Error),
    (Code::GateShut, "gate-shut", Symptom::KubeletHeld, Severity::Error),
    (Code::GateGaveUp, "gate-gave-up", Symptom::NodeNotReady, Severity::Error),
    (Code::KubeletDown, "kubelet-down", Symptom::NodeNotReady, Severity::Error),
    (Code::RuntimeUnknown, "runtime-unknown", Symptom::NodeNotReady, Severity::Error),
    (Code::RuntimeDown, "runtime-down", Symptom::NodeNotReady, Severity::Error),
    (Code::RuntimeRestart, "runtime-restart", Symptom::NodeNotReady, Severity::Error),
    (Code::NodeConditionReady, "node-condition-ready", Symptom::NodeNotReady, Severity::Error),
    (Code::NetworkUnavailable, "network-unavailable", Symptom::NodeNotReady, Severity::Error),
    (Code::NodeUnregistered, "node-unregistered", Symptom::NodeNotReady, Severity::Error),
    (Code::NodeLabels, "node-labels", Symptom::NodeNotReady, Severity::Warning),
    (Code::WatchNotReady, "watch-not-ready", Symptom::NodeNotReady, Severity::Error),
    (Code::PolicyUnusable, "policy-unusable", Symptom::PodsDoNotStart, Severity::Error),
    (Code::RuntimeHangs, "runtime-hangs", Symptom::PodsDoNotStart, Severity::Error),
    (Code::PluginMissing, "plugin-missing", Symptom::PodsDoNotStart, Severity::Error),
    (Code::ConfWaits, "conf-waits", Symptom::PodsDoNotStart, Severity::Error),
    (Code::NetworkWithoutConf, "network-without-conf", Symptom::PodsDoNotStart, Severity::Error),
    (Code::NetworkConfBroken, "network-conf-broken", Symptom::PodsDoNotStart, Severity::Error),
    (Code::NetworkPluginMissing, "network-plugin-missing", Symptom::PodsDoNotStart, Severity::Error),
    (Code::NetworkNotReady, "network-not-ready", Symptom::PodsDoNotStart, Severity::Error),
    (Code::ProofFailed, "proof-failed", Symptom::PodsDoNotStart, Severity::Error),
    (Code::FileUnkept, "file-unkept", Symptom::PodsDoNotStart, Severity::Error),
    (Code::AddHangs, "add-hangs", Symptom::PodsDoNotStart, Severity::Error),
    (Code::AddsFail, "adds-fail", Symptom::PodsDoNotStart, Severity::Error),
    (Code::PodsStuckStarting, "pods-stuck-starting", Symptom::PodsDoNotStart, Severity::Error),
    (Code::DelOwed, "del-owed", Symptom::PodsDoNotEnd, Severity::Error),
    (Code::PodsStuckEnding, "pods-stuck-ending", Symptom::PodsDoNotEnd, Severity::Error),
    (Code::RecordDamaged, "record-damaged", Symptom::PodsDoNotEnd, Severity::Error),
    (Code::StateUnreadable, "state-unreadable", Symptom::PodsDoNotEnd, Severity::Error),
    (Code::SwitchedOff, "switched-off", Symptom::WrongNetwork, Severity::Warning),
    (Code::ConfMissing, "conf-missing", Symptom::WrongNetwork, Severity::Error),
    (Code::ConfUnreadable, "conf-unreadable", Symptom::WrongNetwork, Severity::Error),
    (Code::ConfNotFirst, "conf-not-first", Symptom::WrongNetwork, Severity::Error),
    (Code::ConfNotLoaded, "conf-not-loaded", Symptom::WrongNetwork, Severity::Error),
    (Code::ConfOfOthers, "conf-of-others", Symptom::WrongNetwork, Severity::Error),
    (Code::CrioNetwork, "crio-network", Symptom::WrongNetwork, Severity::Error),
    (Code::SeveralConfs, "several-confs", Symptom::WrongNetwork, Severity::Error),
    (Code::PodsBypass, "pods-bypass", Symptom::WrongNetwork, Severity::Error),
    (Code::DesiredUnmet, "desired-unmet", Symptom::WrongNetwork, Severity::Warning),
    (Code::EarlierImage, "earlier-image", Symptom::WrongNetwork, Severity::Warning),
    (Code::AgentTakesConf, "agent-takes-conf", Symptom::AgentFights, Severity::Error),
    (Code::ConfRepaired, "conf-repaired", Symptom::AgentFights, Severity::Warning),
    (Code::HostRoutes, "host-routes", Symptom::Unreachable, Severity::Error),
    (Code::SecondNetwork, "second-network", Symptom::Unreachable, Severity::Note),
    (Code::HostPorts, "host-ports", Symptom::Unreachable, Severity::Warning),
    (Code::ProofDegraded, "proof-degraded", Symptom::Unreachable, Severity::Warning),
    (Code::SandboxForgotten, "sandbox-forgotten", Symptom::Leaks, Severity::Warning),
    (Code::SandboxWaits, "sandbox-waits", Symptom::Leaks, Severity::Warning),
    (Code::LeaseUnknown, "lease-unknown", Symptom::Leaks, Severity::Warning),
    (Code::SweepFails, "sweep-fails", Symptom::Leaks, Severity::Warning),
    (Code::Ledger, "ledger", Symptom::Leaks, Severity::Note),
    (Code::WatchDown, "watch-down", Symptom::Stale, Severity::Error),
    (Code::RecordStale, "record-stale", Symptom::Stale, Severity::Warning),
    (Code::NodeOutdated, "node-outdated", Symptom::Stale, Severity::Warning),
    (Code::RuntimeConfig, "runtime-config", Symptom::Unseen, Severity::Warning),
    (Code::ApiServer, "api-server", Symptom::Unseen, Severity::Warning),
    (Code::SourceUnread, "source-unread", Symptom::Unseen, Severity::Warning),
];

// A code without a row does not compile.
const _: () = assert!(TABLE.len() == Code::SourceUnread as usize + 1);

impl Code {
    /// All codes, by symptom.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    const fn row(self) -> (Self, &'static str, Symptom, Severity) {
        TABLE[self as usize]
    }

    /// The code as the report and docs/troubleshooting.md spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The symptom that the finding explains.
    #[must_use]
    pub const fn symptom(self) -> Symptom {
        self.row().2
    }

    /// How grave the finding is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        self.row().3
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn a_code_is_one_word_of_its_own() {
        let words: BTreeSet<&str> = Code::all().map(Code::as_str).collect();
        assert_eq!(words.len(), TABLE.len());
        assert!(Code::all().all(|code| code.row().0 == code), "the table is in the order of the type");
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
        let symptoms: BTreeSet<Symptom> = Code::all().map(Code::symptom).collect();
        assert_eq!(symptoms, Symptom::ALL.into());
    }

    /// The headings of the page: a symptom is `## TITLE`, a finding below it `### CODE`.
    fn documented() -> BTreeMap<String, BTreeSet<String>> {
        let text = include_str!("../../../../docs/troubleshooting.md");
        let mut entries: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut title = String::new();
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                heading.clone_into(&mut title);
            } else if let Some(code) = line.strip_prefix("### ") {
                let is_new = entries.entry(title.clone()).or_default().insert(code.to_owned());
                assert!(is_new, "{code} has two entries");
            }
        }
        entries
    }

    #[test]
    fn the_page_has_an_entry_for_each_finding_below_its_symptom_and_no_other() {
        let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for code in Code::all() {
            let title = code.symptom().title().to_owned();
            expected.entry(title).or_default().insert(code.as_str().to_owned());
        }
        assert_eq!(documented(), expected);
    }
}
