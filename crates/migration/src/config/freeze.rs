//! Stateful workloads that move in an order.

use serde::{Deserialize, Serialize};

/// A group of stateful workloads. Groups move one after the other, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Freeze {
    /// What the group is called in plans and reports.
    pub name: String,
    /// How its members move.
    #[serde(default)]
    pub method: Method,
    /// The members, in their order. They come back in the reverse order.
    pub members: Vec<Member>,
}

/// How a group moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// One pod at a time, each one Ready before the next.
    #[default]
    Ordinals,
    /// Down to no replica, and back to the number before.
    Scale,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Member {
    /// `StatefulSet` or `Deployment`.
    #[serde(default)]
    pub kind: MemberKind,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// The kind of a member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum MemberKind {
    /// A StatefulSet.
    #[default]
    StatefulSet,
    /// A Deployment.
    Deployment,
}

/// Whether each group has a name of its own: plans call waves by it.
pub(super) fn valid(groups: &[Freeze]) -> Result<(), String> {
    for (index, group) in groups.iter().enumerate() {
        if groups[..index].iter().any(|other| other.name == group.name) {
            return Err(format!(
                "freeze[{index}].name: expected a name that no other group has, found {:?} again",
                group.name
            ));
        }
    }
    Ok(())
}

impl MemberKind {
    /// The kind in the API.
    #[must_use]
    pub const fn kind(self) -> snapshot::model::Kind {
        match self {
            Self::StatefulSet => snapshot::model::Kind::STATEFUL_SET,
            Self::Deployment => snapshot::model::Kind::DEPLOYMENT,
        }
    }
}
