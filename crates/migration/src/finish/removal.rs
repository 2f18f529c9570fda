//! The one way: which objects are deleted next, and what that waits for.

use std::collections::BTreeMap;

use serde_json::Value;

use types::text::quote::quote;

use super::plan::{FinishPlan, Inventory, Pin, stays, text};
use crate::cni::footprint::{Part, Target};

/// How many bytes of an API server's message are shown.
const SHOWN: usize = 300;

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// Delete these, each if it still has its UID.
    Delete(Vec<Pin>),
    /// Something that was deleted is not gone yet.
    Wait {
        /// What, and what it waits for.
        what: String,
        help: String,
    },
    /// Nothing more is deleted before a person acts.
    Refuse { what: String, help: String },
    /// Nothing of the plan is there.
    Done,
}

/// Decides the next deletions: those of the first part of which anything is left, and of definitions one after the other.
#[must_use]
pub fn next(plan: &FinishPlan, inventory: &Inventory) -> Removal {
    let is_present = |pin: &&Pin| inventory.objects.contains_key(&pin.target);
    let Some(first) = plan.delete.iter().find(is_present) else { return Removal::Done };
    let part = first.target.part;
    let present: Vec<&Pin> = plan.delete.iter().filter(is_present).collect();
    // Whatever made one of them anew would miss what is deleted before that one's turn.
    if let Some(pin) = present.iter().find(|pin| uid(&inventory.objects, &pin.target) != pin.uid) {
        return Removal::Refuse {
            what: format!("{} was made anew since the plan was approved: it has the UID {}", pin.target, uid(&inventory.objects, &pin.target)),
            help: "find who made it, and switch that off; then look at a new plan and approve it: kubectl crossfade finish".into(),
        };
    }
    let pins: Vec<&Pin> = present.into_iter().filter(|pin| pin.target.part == part).collect();
    let is_going =
        |pin: &&&Pin| !text(&inventory.objects[&pin.target], "/metadata/deletionTimestamp").is_empty();
    let going: Vec<&Pin> = pins.iter().filter(is_going).copied().collect();
    let staying: Vec<&Pin> = pins.iter().filter(|pin| !is_going(pin)).copied().collect();
    let is_definition = matches!(part, Part::Definition | Part::Converted);
    if let Some(pin) = going.first().filter(|_| staying.is_empty() || is_definition) {
        return waiting(pin, &inventory.objects[&pin.target]);
    }
    if let Some(name) = unavailable(plan, inventory) {
        return Removal::Wait {
            what: format!(
                "APIService/{name} is not available, and while it is not, no namespace of the cluster can be deleted"
            ),
            help: format!(
                "kubectl get apiservice {name} -o yaml says why; bring back what serves it, or delete it if nothing needs it"
            ),
        };
    }
    if is_definition {
        let Some(definition) = staying.first() else { return Removal::Done };
        if let Some(target) = unapproved(plan, inventory, &definition.target) {
            return Removal::Refuse {
                what: format!(
                    "{target} was made since the plan was approved, and would go with {}",
                    definition.target
                ),
                help: "delete it, or look at a new plan and approve that: kubectl crossfade finish".into(),
            };
        }
        return Removal::Delete(vec![(*definition).clone()]);
    }
    Removal::Delete(staying.into_iter().cloned().collect())
}

/// Objects of the old CNI that are there, in words: what a search finds once the removal is done.
#[must_use]
pub fn remaining(inventory: &Inventory) -> Vec<String> {
    let going = inventory.objects.iter().filter(|(target, object)| !stays(target, object));
    going.map(|(target, _)| target.to_string()).collect()
}

fn waiting(pin: &Pin, object: &Value) -> Removal {
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    let finalizers: Vec<&str> = finalizers.into_iter().flatten().filter_map(Value::as_str).collect();
    let own = ["foregroundDeletion", "customresourcecleanup.apiextensions.k8s.io"];
    let foreign: Vec<&str> = finalizers.iter().copied().filter(|name| !own.contains(name)).collect();
    if foreign.is_empty() {
        return Removal::Wait {
            what: format!("{} is being deleted, with what belongs to it{}", pin.target, terminating(object)),
            help: "wait, then call the same command again".into(),
        };
    }
    Removal::Wait {
        what: format!("{} is deleted, and keeps its finalizers: {}", pin.target, foreign.join(", ")),
        help: "the controller that set them removes them once it has cleaned up; Crossfade removes none. Look at that controller's log, then call the same command again".into(),
    }
}

/// What the API server says of the resources that keep a definition from going; empty where it says nothing.
fn terminating(object: &Value) -> String {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let message = conditions.find(|condition| text(condition, "/type") == "Terminating");
    let message = message.map(|condition| text(condition, "/message")).filter(|message| !message.is_empty());
    message.map(|message| format!(": {}", quote(message.as_bytes(), SHOWN))).unwrap_or_default()
}

/// An aggregated API that is away and is not one of the plan's own.
fn unavailable<'i>(plan: &FinishPlan, inventory: &'i Inventory) -> Option<&'i str> {
    let is_own = |name: &str| {
        plan.delete
            .iter()
            .chain(&plan.vanish)
            .any(|pin| pin.target.kind == "APIService" && pin.target.name == name)
    };
    inventory.unavailable.iter().map(String::as_str).find(|name| !is_own(name))
}

/// Configuration of a definition that no approval covers.
fn unapproved(plan: &FinishPlan, inventory: &Inventory, definition: &Target) -> Option<String> {
    let is_of = |target: &Target| format!("{}.{}", target.plural, target.group()) == definition.name;
    let is_approved = |target: &Target| {
        let is_same = |pin: &Pin| pin.target == *target && uid(&inventory.objects, target) == pin.uid;
        plan.vanish.iter().chain(&plan.delete).any(is_same)
    };
    let resources = inventory.in_part(Part::Resource).map(|(target, _)| target);
    resources.into_iter().find(|target| is_of(target) && !is_approved(target)).map(ToString::to_string)
}

fn uid<'o>(objects: &'o BTreeMap<Target, Value>, target: &Target) -> &'o str {
    objects.get(target).map_or("", |object| text(object, "/metadata/uid"))
}
