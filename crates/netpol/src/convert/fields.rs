//! Every field that a policy sets, so that a report says something of each.

use std::collections::BTreeMap;

use serde_json::Value;

use super::report::{Entry, Omission, Outcome, Report};
use crate::convert::intermediate::place;
use crate::gather::Reference;
use crate::tier::Direction;

/// The entries of a report with one more for each field of which it says nothing: those are exact. Of what is left out, only the reason is said.
pub(super) fn completed_entries(report: &Report, objects: &[(Reference, &Value)]) -> Vec<Entry> {
    let mut all = report.entries.clone();
    let reported = reported_fields(report);
    for (reference, object) in objects {
        let parts = reported.get(reference).map(Vec::as_slice).unwrap_or_default();
        if parts.iter().any(|part| part == "spec") {
            continue;
        }
        let mut fields = Vec::new();
        walk(object.get("spec").unwrap_or(&Value::Null), "spec", &mut fields);
        for field in fields {
            if !parts.iter().any(|part| covers(part, &field)) {
                all.push(Entry {
                    object: reference.clone(),
                    field,
                    outcome: Outcome::Exact,
                    why: None,
                    effect: None,
                    waived: None,
                });
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

/// The parts of each object of which a report says something: its fields, and what is left out as a whole.
fn reported_fields(report: &Report) -> BTreeMap<&Reference, Vec<String>> {
    let mut parts: BTreeMap<&Reference, Vec<String>> = BTreeMap::new();
    for entry in &report.entries {
        parts.entry(&entry.object).or_default().push(entry.field.clone());
    }
    for omission in &report.omissions {
        let (reference, part) = match omission {
            Omission::Policy(reference) => (reference, "spec".to_owned()),
            Omission::Rule(reference, direction, number) => (reference, place(*direction, *number)),
        };
        parts.entry(reference).or_default().push(part);
    }
    parts
}

/// A field is the part, or is in it.
fn covers(part: &str, field: &str) -> bool {
    field.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The fields of an object that hold a value of their own. Rules alone are numbered.
fn walk(value: &Value, location: &str, fields: &mut Vec<String>) {
    let rules = Direction::ALL.map(|direction| format!("spec.{}", direction.name().to_lowercase()));
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                walk(value, &format!("{location}.{key}"), fields);
            }
        }
        Value::Array(list) if rules.iter().any(|field| field == location) => {
            for (number, rule) in list.iter().enumerate() {
                walk(rule, &format!("{location}[{number}]"), fields);
            }
        }
        Value::Null => {}
        _ => fields.push(location.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use snapshot::model::{Kind, Text};

    use super::*;
    use crate::compare::Effect;
    use crate::convert::report::Refusal;
    use serde_json::json;

    #[test]
    fn every_field_is_said_once() {
        let reference = Reference {
            kind: Kind::CALICO_GLOBAL_NETWORK_POLICY,
            namespace: Text::default(),
            name: "n".into(),
            uid: "u".into(),
            generation: 1,
        };
        let object = json!({"spec": {
            "selector": "all()",
            "order": 5,
            "types": ["Ingress"],
            "ingress": [
                {"action": "Allow", "source": {"nets": ["10.0.0.0/8"], "notNets": ["10.1.0.0/16"]}},
                {"action": "Allow", "http": {"methods": ["GET"]}},
            ],
            "egress": null,
        }});
        let mut report = Report::default();
        report.note(&reference, "spec.ingress[0].source.notNets", Outcome::Expanded, "exceptions");
        report.leave_rule(&reference, (Direction::Ingress, 1), Effect::Narrows, Refusal::new("http", "no"));
        let describe = |report: &Report| -> Vec<(String, Outcome)> {
            completed_entries(report, &[(reference.clone(), &object)])
                .into_iter()
                .map(|entry| (entry.field, entry.outcome))
                .collect()
        };
        let expected = [
            ("spec.ingress[0].action", Outcome::Exact),
            ("spec.ingress[0].source.nets", Outcome::Exact),
            ("spec.ingress[0].source.notNets", Outcome::Expanded),
            ("spec.ingress[1].http", Outcome::Impossible),
            ("spec.order", Outcome::Exact),
            ("spec.selector", Outcome::Exact),
            ("spec.types", Outcome::Exact),
        ];
        assert_eq!(describe(&report), expected.map(|(field, outcome)| (field.to_owned(), outcome)));
        let mut whole = Report::default();
        whole.leave_policy(&reference, Refusal::new("spec.selector", "no"));
        assert_eq!(describe(&whole), [("spec.selector".to_owned(), Outcome::Impossible)]);
    }
}
