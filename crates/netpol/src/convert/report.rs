//! The conversion's report: the outcome of every field of every policy.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::compare::Effect;
use crate::convert::intermediate::{Action, Policy, Rule, place};
use crate::gather::Reference;
use crate::tier::Direction;

/// How a field was converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The target says the same in its own words.
    Exact,
    /// The target says the same in more words.
    Expanded,
    /// The target says the same of the cluster as it is now, and something else once an object appears, or changes.
    Snapshot,
    /// The target cannot say it.
    Impossible,
}

/// What became of one field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The object.
    pub object: Reference,
    /// The field: `spec.ingress[0].source.notNets`.
    pub field: String,
    /// How it was converted.
    pub outcome: Outcome,
    /// Why, where it is not exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What happens without it, where it cannot be converted, or how the cluster's future differs, where it is a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// Why the operator accepts it, where it would stop the conversion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
}

/// What a conversion leaves out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Omission {
    /// A whole policy.
    Policy(Reference),
    /// A rule of it, by its direction and its number.
    Rule(Reference, Direction, usize),
}

/// Why a rule or a policy cannot be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The field, below the rule or the policy: `source.notNets`.
    pub field: String,
    pub why: String,
}

impl Refusal {
    /// A field that cannot be said, and why.
    pub fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), why: why.into() }
    }
}

/// What became of the fields so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Fields whose conversion is not exact, and rules and policies that have none. Several policies of the target may say the same of one.
    pub entries: Vec<Entry>,
    /// What is left out.
    pub omissions: BTreeSet<Omission>,
    /// Rules among those that are left out which pass to a later tier.
    pub passes: BTreeSet<Omission>,
    /// What is written holds in the namespaces that are there, and in no others.
    pub is_of_these_namespaces: bool,
}

impl Report {
    /// Adds what became of a field that is not left out.
    pub fn note(
        &mut self,
        object: &Reference,
        field: impl Into<String>,
        outcome: Outcome,
        why: impl Into<String>,
    ) {
        let effect = (outcome == Outcome::Snapshot).then_some(Effect::Unknown);
        self.entries.push(Entry {
            object: object.clone(),
            field: field.into(),
            outcome,
            why: Some(why.into()),
            effect,
            waived: None,
        });
    }

    /// Adds that a field is lost in a part of which no packet between pods tells. What is left of the policy is converted.
    pub fn lose(&mut self, object: &Reference, field: &str, why: &str) {
        self.leave(object, field.to_owned(), Effect::Unknown, why.to_owned());
    }

    /// Leaves a rule out of which it is known what happens without it.
    pub(super) fn leave_out(&mut self, policy: &Policy, rule: &Rule, refusal: Refusal) {
        let effect = match rule.action {
            Action::Allow => Effect::Narrows,
            Action::Deny => Effect::Widens,
            Action::Pass => Effect::Unknown,
        };
        self.leave_rule(&policy.source, rule.position(), effect, refusal);
    }

    /// Leaves a rule out.
    pub fn leave_rule(
        &mut self,
        object: &Reference,
        (direction, number): (Direction, usize),
        effect: Effect,
        refusal: Refusal,
    ) {
        let field = match refusal.field.as_str() {
            "" => place(direction, number),
            field => format!("{}.{field}", place(direction, number)),
        };
        self.leave(object, field, effect, refusal.why);
        self.omissions.insert(Omission::Rule(object.clone(), direction, number));
    }

    /// Leaves a policy out.
    pub fn leave_policy(&mut self, object: &Reference, refusal: Refusal) {
        self.leave(object, refusal.field, Effect::Unknown, refusal.why);
        self.omissions.insert(Omission::Policy(object.clone()));
    }

    fn leave(&mut self, object: &Reference, field: String, effect: Effect, why: String) {
        let outcome = Outcome::Impossible;
        self.entries.push(Entry {
            object: object.clone(),
            field,
            outcome,
            why: Some(why),
            effect: Some(effect),
            waived: None,
        });
    }

    /// Takes what another one has.
    pub fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.omissions.extend(other.omissions);
        self.passes.extend(other.passes);
        self.is_of_these_namespaces |= other.is_of_these_namespaces;
    }
}

impl Entry {
    /// A policy with it is not converted: it is lost, and the operator does not accept that.
    #[must_use]
    pub fn stops(&self) -> bool {
        matches!(self.outcome, Outcome::Snapshot | Outcome::Impossible) && self.waived.is_none()
    }
}
