//! The writes that bring a cluster the policies which this program has made.

use std::collections::BTreeSet;

use serde_json::Value;

use super::compare::is_equal;
use super::object::{Id, user_fields};
use super::step::{Act, Step, await_tiers, order};

/// Compares each object with the one of its name that is there, if one is. Gives the steps, and the objects that are there already.
///
/// `ours` is the annotation of objects that this program may replace.
///
/// # Errors
/// An object has no proper name, two have the same one, or one that is there belongs to another program: every reason.
pub fn decide(objects: &[(Value, Option<Value>)], ours: &str) -> Result<(Vec<Step>, Vec<Id>), Vec<String>> {
    let (mut steps, mut equal, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    let mut ids = BTreeSet::new();
    for (object, live) in objects {
        let id = match Id::read(object) {
            Ok(id) => id,
            Err(why) => {
                wrong.push(why);
                continue;
            }
        };
        if !ids.insert(id.clone()) {
            wrong.push(format!("{id} is there twice"));
            continue;
        }
        let has_ours = |live: &Value| live["metadata"]["annotations"].get(ours).is_some();
        match live {
            Some(live) if !has_ours(live) => wrong.push(format!(
                "{id}: an object of this name is there, and Crossfade did not make it: it does not have the annotation {ours}"
            )),
            Some(live) if is_equal(object, live) => equal.push(id),
            live => {
                let act = live.clone().map_or(Act::Create, Act::Replace);
                steps.push(Step { id, act, object: user_fields(object), awaits: None });
            }
        }
    }
    order(&mut steps);
    await_tiers(&mut steps);
    if wrong.is_empty() { Ok((steps, equal)) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OURS: &str = "crossfade/converted-from";

    fn policy(name: &str, annotation: &str, spec: Value) -> Value {
        json!({"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy",
            "metadata": {"name": name, "annotations": {annotation: "{}"}}, "spec": spec})
    }

    #[test]
    fn only_objects_of_ours_are_replaced() {
        let own_policy = |name: &str| policy(name, OURS, json!({"a": 1}));
        let (steps, equal) = decide(
            &[
                (own_policy("new"), None),
                (own_policy("same"), Some(own_policy("same"))),
                (own_policy("edited"), Some(policy("edited", OURS, json!({"a": 2})))),
            ],
            OURS,
        )
        .expect("steps");
        let rows: Vec<(&str, bool)> =
            steps.iter().map(|step| (step.id.name.as_str(), step.act == Act::Create)).collect();
        assert_eq!(rows, [("edited", false), ("new", true)]);
        assert_eq!(equal.len(), 1);
        let wrong = decide(
            &[
                (own_policy("a"), Some(policy("a", "another/program", json!({"a": 1})))),
                (own_policy("b"), None),
                (own_policy("b"), None),
                (json!({"kind": "Secret"}), None),
            ],
            OURS,
        )
        .expect_err("refused");
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(
            wrong[0].starts_with("CiliumClusterwideNetworkPolicy.cilium.io/a: ") && wrong[0].contains(OURS)
        );
    }
}
