//! A policy rule by rule, where some of its rules are refused.

use std::fmt;

use serde_json::{Value, json};

use super::object::{Entity, Policy, Rule, RuleAction};
use crate::engines::calico::manifest::read_policy;
use crate::tier::Direction;

/// A rule that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRule {
    /// The direction that it is about.
    pub direction: Direction,
    /// Its number among the rules of this direction.
    pub number: usize,
    /// Why, with the field before it: `http: requests, ..`.
    pub why: String,
}

/// `spec.ingress[2]: http: requests, ..`
impl fmt::Display for RefusedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spec.{}[{}]: {}", key(self.direction), self.number, self.why)
    }
}

/// Reads a NetworkPolicy or a GlobalNetworkPolicy: the policy with all rules that can be read, and the others. In the place of each of the others is a
/// rule that decides nothing, so that the numbers of all rules stay. What is left of a policy without some rules has another meaning.
///
/// # Errors
/// As [`read_policy`], of what is wrong beside the rules.
pub fn read_rules(object: &Value) -> Result<(Policy, Vec<RefusedRule>), String> {
    // With a rule that can be read in the place of each: which directions a policy is about depends on whether it has rules, too.
    let mut bare = object.clone();
    let lists = Direction::ALL.map(|way| without_rules(&mut bare, way));
    let mut policy = read_policy(&bare)?;
    let mut refused = Vec::new();
    for (way, rules) in Direction::ALL.into_iter().zip(lists) {
        let mut read = Vec::new();
        for (index, rule) in rules.into_iter().enumerate() {
            match read_rule(&bare, way, rule) {
                Ok(rule) => read.push(rule),
                Err(why) => {
                    read.push(undecided_rule());
                    refused.push(RefusedRule { direction: way, number: index, why });
                }
            }
        }
        *rules_of(&mut policy, way) = read;
    }
    Ok((policy, refused))
}

/// A rule that decides nothing.
fn undecided_rule() -> Rule {
    Rule {
        action: RuleAction::Log,
        is_v6: None,
        protocol: None,
        not_protocol: None,
        icmp: None,
        not_icmp: None,
        source: Entity::default(),
        destination: Entity::default(),
    }
}

/// Puts a rule that can be read in the place of each rule of a direction, and returns the rules.
fn without_rules(object: &mut Value, way: Direction) -> Vec<Value> {
    let rules = object.get_mut("spec").and_then(|spec| spec.get_mut(key(way))).and_then(Value::as_array_mut);
    let rules = rules.into_iter().flatten();
    rules.map(|rule| std::mem::replace(rule, json!({"action": "Log"}))).collect()
}

/// Reads one rule, as the only one of a policy.
fn read_rule(bare: &Value, way: Direction, rule: Value) -> Result<Rule, String> {
    let mut object = bare.clone();
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        for way in Direction::ALL {
            spec.remove(key(way));
        }
        spec.insert(key(way).into(), json!([rule]));
    }
    let mut policy = read_policy(&object).map_err(|why| {
        let place = format!("spec.{}[0].", key(way));
        // A field that is no rule at all has no such place.
        why.strip_prefix(&place).map_or(why.clone(), str::to_owned)
    })?;
    rules_of(&mut policy, way).pop().ok_or_else(|| "expected a rule".into())
}

fn rules_of(policy: &mut Policy, way: Direction) -> &mut Vec<Rule> {
    match way {
        Direction::Ingress => &mut policy.ingress,
        Direction::Egress => &mut policy.egress,
    }
}

const fn key(way: Direction) -> &'static str {
    match way {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}
