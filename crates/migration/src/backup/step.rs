//! One object that is to be written.

use serde_json::Value;

use super::object::{Id, user_fields};

/// What is done with it.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    Create,
    /// It is there and says something else; the object as it is.
    Replace(Value),
}

/// One object that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name.
    pub id: Id,
    /// What is done with it.
    pub act: Act,
    /// What it is to say: [`written`].
    pub object: Value,
    /// The tier that it is in, if an earlier step creates that one: until then, an API server may refuse it.
    pub awaits: Option<Id>,
}

impl Step {
    /// The body of the request.
    ///
    /// A replacement has the `resourceVersion` that the decision was made on, so that the API server refuses it once another client has changed the object.
    /// Finalizers and owners stay as they are: a replacement without them would take them away.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = user_fields(&self.object);
        if let Act::Replace(live) = &self.act {
            for field in ["resourceVersion", "uid", "finalizers", "ownerReferences"] {
                if let Some(value) = live.pointer(&format!("/metadata/{field}")) {
                    body["metadata"][field] = value.clone();
                }
            }
        }
        body
    }
}

/// Brings steps into the order in which they are written: tiers, then sets and groups, then policies.
pub(super) fn order(steps: &mut [Step]) {
    steps.sort_by(|a, b| {
        let rank = |step: &Step| step.id.row().map(|row| row.rank);
        (rank(a), &a.id).cmp(&(rank(b), &b.id))
    });
}

/// Notes of each policy whose tier a step creates that it awaits the tier. The steps are in their order.
pub(super) fn await_tiers(steps: &mut [Step]) {
    let creates = |step: &&Step| step.id.kind == "Tier" && step.act == Act::Create;
    let tiers: Vec<Id> = steps.iter().filter(creates).map(|step| step.id.clone()).collect();
    for step in steps.iter_mut() {
        let tier = step.object.pointer("/spec/tier").and_then(Value::as_str);
        let is_its = |id: &&Id| {
            Some(id.name.as_str()) == tier && id.row().is_some_and(|row| row.is_of(step.id.group()))
        };
        step.awaits = tiers.iter().find(is_its).cloned();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(api_version: &str, kind: &str, name: &str, act: Act) -> Step {
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": {}});
        Step { id: Id::read(&object).expect("an object"), act, object, awaits: None }
    }

    #[test]
    fn a_replacement_is_of_the_version_that_was_seen() {
        let live = json!({"metadata": {"name": "a", "resourceVersion": "41", "uid": "u", "finalizers": ["f"], "labels": {"l": "m"}}});
        let mut step = step("projectcalico.org/v3", "GlobalNetworkPolicy", "a", Act::Replace(live));
        step.object["metadata"]["uid"] = "an earlier life".into();
        let body = step.body();
        assert_eq!(
            body["metadata"],
            json!({"name": "a", "resourceVersion": "41", "uid": "u", "finalizers": ["f"]}),
            "labels of the live object go"
        );
        step.act = Act::Create;
        assert_eq!(step.body()["metadata"], json!({"name": "a"}));
    }

    #[test]
    fn tiers_come_first_and_their_policies_await_them() {
        let in_tier = |mut step: Step| {
            step.object["spec"]["tier"] = "secure".into();
            step
        };
        let mut steps = [
            in_tier(step("projectcalico.org/v3", "GlobalNetworkPolicy", "b", Act::Create)),
            in_tier(step("crd.antrea.io/v1beta1", "ClusterNetworkPolicy", "c", Act::Create)),
            step("projectcalico.org/v3", "GlobalNetworkSet", "s", Act::Create),
            step("projectcalico.org/v3", "Tier", "secure", Act::Create),
        ];
        order(&mut steps);
        await_tiers(&mut steps);
        let lines: Vec<String> = steps
            .iter()
            .map(|step| format!("{} {}", step.id.name, step.awaits.as_ref().map_or("-", |tier| &tier.name)))
            .collect();
        assert_eq!(lines, ["secure -", "s -", "c -", "b secure"], "the tier of Calico is none of Antrea's");
    }
}
