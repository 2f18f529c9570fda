//! The events of a run, for the journal, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use types::api::eviction::Answer;

use serde::{Deserialize, Serialize};
use types::api::step::State;
use types::policy::Phase;

use super::Outcome;
use crate::drive::status::Status;
use crate::report::measure::MeasuredClass;
use crate::roll::invariant::Violation;
use crate::roll::run::Wish;
use crate::roll::step::{Act, Change, Hook, Patch, PodId};
use crate::roll::wait::{Reason, Wait};
use crate::roll::world::Lifecycle;

/// What happens.
#[derive(Debug, Clone)]
pub enum Event {
    /// A call was made.
    Acted { act: ActRecord, outcome: Outcome },
    /// A program holds the run from now on: it began the run or took it up.
    Holds {
        /// `user@host:pid:random`, with the user as the API server knows it.
        holder: String,
        /// SHA-256 of the plan, in hex.
        plan: String,
        /// Its command line named the plan: that approves it.
        is_approved: bool,
    },
    /// The run waits for something that it did not wait for before.
    Waits(Wait),
    /// It no longer waits for something that an event named.
    Over {
        /// The object that it waited for.
        object: String,
        reason: Reason,
    },
    /// What is attached to the nodes has changed, or agents have measured something since the last count.
    Counted(Count),
    /// The run took up a wish, or refused it.
    Wished { wish: Wish, refused: Option<String> },
    /// A decision would have broken an invariant.
    Broken {
        /// What was decided.
        act: ActRecord,
        /// Which invariant, and how.
        broken: Violation,
    },
    /// A person approved another plan for the run.
    Replanned {
        /// SHA-256 of the plan before, in hex.
        before: String,
        /// The same of the plan from now on.
        plan: String,
    },
    /// The journal cannot be written, or can be again; in words.
    Journal(String),
    /// How far the run is.
    Status(Box<Status>),
}

/// What is attached to the nodes at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    pub pass: u32,
    /// The phase that this pass brings nodes to; none when every pass is done.
    #[serde(default)]
    pub to: Option<Phase>,
    /// Attachments by the phase that they were made in.
    pub attached: BTreeMap<Phase, u32>,
    /// How many nodes do not say what is attached to them.
    #[serde(default)]
    pub silent: usize,
    /// What the agents of the run's gates measured since the last count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<MeasuredClass>,
}

/// A call, as a history tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Told"))]
#[serde(rename_all = "camelCase", tag = "act")]
pub enum ActRecord {
    /// A Node was patched.
    #[serde(rename_all = "camelCase")]
    Patch {
        /// The Node.
        node: String,
        /// How far it is from now on.
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<State>,
        /// The phase that it is brought to.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<Phase>,
        /// The phase that it is asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        desired: Option<Phase>,
        /// Why it is held.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// It is cordoned, or uncordoned.
        #[serde(skip_serializing_if = "Option::is_none")]
        cordon: Option<bool>,
        /// The taint is set, or taken away.
        #[serde(skip_serializing_if = "Option::is_none")]
        fence: Option<bool>,
        /// The annotation `karpenter.sh/do-not-disrupt` is set, or taken away.
        #[serde(skip_serializing_if = "Option::is_none")]
        undisturbed: Option<bool>,
        /// Conditions of its lifecycle are set (true), or removed.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        lifecycle: BTreeMap<Lifecycle, bool>,
    },
    /// The pre-drain hook of a Machine of Cluster API was set, or taken away.
    Hook {
        /// `NAMESPACE/NAME`.
        machine: String,
        /// Its node.
        node: String,
        /// It is set.
        hook: bool,
    },
    /// A pod was evicted.
    Evict {
        /// `NAMESPACE/NAME`.
        pod: String,
        /// Its UID.
        uid: String,
        /// Its node.
        node: String,
        /// What makes it: `KIND/NAMESPACE/NAME`.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
    },
    /// A pod was deleted.
    Delete {
        /// `NAMESPACE/NAME`.
        pod: String,
        /// Its UID.
        uid: String,
        /// Its node.
        node: String,
    },
    /// All pods were counted.
    Census,
    /// The run was written.
    #[serde(rename_all = "camelCase")]
    Record {
        /// The pass.
        pass: u32,
        /// The phase that it brings nodes to.
        to: Option<Phase>,
    },
}

impl From<Act> for ActRecord {
    fn from(act: Act) -> Self {
        match act {
            Act::Patch(patch) => patch_record(*patch),
            Act::Hook(hook) => {
                let Hook { node, machine, run } = *hook;
                Self::Hook {
                    machine: format!("{}/{}", machine.namespace, machine.name),
                    node: node.to_string(),
                    hook: run.is_some(),
                }
            }
            Act::Evict(id) => {
                let PodId { namespace, name, uid, node, owner } = id;
                Self::Evict {
                    pod: format!("{namespace}/{name}"),
                    uid: uid.to_string(),
                    node: node.to_string(),
                    owner: owner.map(|owner| owner.title()),
                }
            }
            Act::Delete(id) => {
                let PodId { namespace, name, uid, node, .. } = id;
                Self::Delete {
                    pod: format!("{namespace}/{name}"),
                    uid: uid.to_string(),
                    node: node.to_string(),
                }
            }
            Act::Census => Self::Census,
            Act::Record(run) => Self::Record { pass: run.pass, to: run.target() },
        }
    }
}

fn patch_record(patch: Patch) -> ActRecord {
    let (state, to, why) = match &patch.step {
        Change::Set(step) => (Some(step.state), Some(step.to), step.why.clone()),
        Change::Keep | Change::Remove => (None, None, None),
    };
    let Patch { node, desired, cordon, fence, undisturbed, lifecycle, .. } = patch;
    ActRecord::Patch {
        node: node.to_string(),
        state,
        to,
        desired,
        why,
        cordon,
        fence,
        undisturbed,
        lifecycle,
    }
}

/// One line for people.
impl fmt::Display for ActRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evict { pod, node, .. } => write!(f, "node {node}: pod {pod} is evicted"),
            Self::Delete { pod, node, .. } => write!(f, "node {node}: pod {pod} is deleted"),
            Self::Hook { machine, node, hook: true } => {
                write!(f, "node {node}: Machine {machine} is kept from Cluster API's drain")
            }
            Self::Hook { machine, node, hook: false } => {
                write!(f, "node {node}: Machine {machine} is left to Cluster API")
            }
            Self::Census => f.write_str("all pods are counted"),
            Self::Record { to: Some(to), pass } => write!(f, "pass {pass} brings nodes to phase {to}"),
            Self::Record { to: None, .. } => f.write_str("the last pass is done"),
            Self::Patch { node, state, desired, why, cordon, fence, undisturbed, lifecycle, .. } => {
                let mut words = Vec::new();
                words.extend(state.map(|state| state.as_str().to_owned()));
                words.extend(desired.map(|phase| format!("asked for phase {phase}")));
                words.extend(why.clone());
                words.extend(cordon.map(|on| if on { "cordoned" } else { "uncordoned" }.to_owned()));
                words.extend(
                    undisturbed.map(|on| {
                        if on { "kept from Karpenter" } else { "left to Karpenter again" }.to_owned()
                    }),
                );
                if state.is_none() {
                    words.extend(fence.map(|on| {
                        if on { "tainted crossfade/earlier" } else { "taint crossfade/earlier taken away" }
                            .to_owned()
                    }));
                }
                words.extend(lifecycle.iter().map(|(kind, is_set)| {
                    format!("condition {} {}", kind.into_str(), if *is_set { "set" } else { "removed" })
                }));
                write!(f, "node {node}: {}", words.join(", "))
            }
        }
    }
}

/// What became of a call, as the journal has it.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::Conflict => f.write_str("Conflict"),
            Self::Answered(Answer::Accepted) => f.write_str("Answered(Accepted)"),
            Self::Answered(Answer::Gone) => f.write_str("Answered(Gone)"),
            Self::Answered(Answer::Budget(seconds)) => write!(f, "Answered(Budget({seconds:?}))"),
            Self::Answered(Answer::Busy(seconds)) => write!(f, "Answered(Busy({seconds:?}))"),
            Self::Answered(Answer::TwoBudgets) => f.write_str("Answered(TwoBudgets)"),
            Self::Answered(Answer::NamespaceGoes) => f.write_str("Answered(NamespaceGoes)"),
            Self::Answered(Answer::Failed(why)) => write!(f, "Answered(Failed({why:?}))"),
            Self::Failed(why) => write!(f, "Failed({why:?})"),
        }
    }
}

/// What became of a call, as reports count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallResult {
    Accepted,
    Gone,
    Budget,
    Busy,
    Failed,
}

impl CallResult {
    /// Reads the text of an [`Outcome`] as a journal has it.
    pub(crate) fn parse(outcome: &str) -> Self {
        let begins = |begin: &str| outcome.starts_with(begin);
        match outcome {
            "Done" | "Answered(Accepted)" => Self::Accepted,
            "Answered(Gone)" | "Conflict" => Self::Gone,
            _ if begins("Answered(Budget(") || outcome == "Answered(TwoBudgets)" => Self::Budget,
            _ if begins("Answered(Busy(") => Self::Busy,
            _ => Self::Failed,
        }
    }
}

/// What became of a call, where there is more to say than that it was done.
#[must_use]
pub fn but(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Done | Outcome::Answered(Answer::Accepted) => None,
        Outcome::Conflict => Some("the object was changed meanwhile; decided anew".into()),
        Outcome::Answered(Answer::Gone) => Some("it was gone already".into()),
        Outcome::Answered(Answer::Budget(_)) => Some("a PodDisruptionBudget forbids it now".into()),
        Outcome::Answered(Answer::Busy(_)) => Some("the API server has too much to do".into()),
        Outcome::Answered(Answer::TwoBudgets) => Some("more than one PodDisruptionBudget selects it".into()),
        Outcome::Answered(Answer::NamespaceGoes) => Some("its namespace is being deleted".into()),
        Outcome::Answered(Answer::Failed(why)) | Outcome::Failed(why) => Some(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs read the journals of earlier versions, so none of these texts changes.
    #[test]
    fn the_journal_has_a_text_for_each_outcome() {
        for (outcome, text) in [
            (Outcome::Done, "Done"),
            (Outcome::Conflict, "Conflict"),
            (Outcome::Answered(Answer::Accepted), "Answered(Accepted)"),
            (Outcome::Answered(Answer::Gone), "Answered(Gone)"),
            (Outcome::Answered(Answer::Budget(Some(10))), "Answered(Budget(Some(10)))"),
            (Outcome::Answered(Answer::Budget(None)), "Answered(Budget(None))"),
            (Outcome::Answered(Answer::Busy(Some(1))), "Answered(Busy(Some(1)))"),
            (Outcome::Answered(Answer::TwoBudgets), "Answered(TwoBudgets)"),
            (Outcome::Answered(Answer::NamespaceGoes), "Answered(NamespaceGoes)"),
            (Outcome::Answered(Answer::Failed("a \"b\"".into())), r#"Answered(Failed("a \"b\""))"#),
            (Outcome::Failed("a\nb".into()), r#"Failed("a\nb")"#),
        ] {
            assert_eq!(outcome.to_string(), text);
        }
    }
}
