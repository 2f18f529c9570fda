//! Calico's selectors as label selectors of Kubernetes, one for each alternative.

use snapshot::model::Text;

use crate::convert::intermediate::PodSelection;
use crate::engines::kubernetes::{LabelSelector, Requirement};
use crate::expression::{ACCOUNT_NAME, Expression, LabelOwner, NAMESPACE_NAME, Test};
use crate::world::Namespace;

/// How many alternatives a selector may have; each of them becomes a peer, a policy or a part of one.
const MOST: usize = 64;
/// Longest value of a label, and longest name in a key. *Source*: Kubernetes, "Labels and Selectors", "Syntax and character set".
const LONGEST: usize = 63;
/// Longest prefix of a key. *Source*: the same.
const LONGEST_PREFIX: usize = 253;

/// The pods for which a condition is true: those of one of these. None of them has a condition that can never be true; the condition itself
/// may be, and then there are none.
///
/// # Errors
/// What no label selector can say.
pub(super) fn select_pods(condition: &Expression) -> Result<Vec<PodSelection>, String> {
    let ways = condition.alternatives(MOST + 1);
    if ways.len() > MOST {
        return Err(format!("more than {MOST} alternatives, each of which becomes a selector of its own"));
    }
    let mut selections: Vec<PodSelection> = Vec::new();
    for way in ways {
        let mut selection = PodSelection::default();
        let mut is_possible = true;
        for (literal, is_true) in way {
            is_possible &= selection.add_literal(literal, is_true)?;
        }
        if is_possible && !selections.contains(&selection) {
            selections.push(selection);
        }
    }
    Ok(selections)
}

impl PodSelection {
    /// Adds a simple condition that is to be true, or false. The answer is false if it never is so.
    fn add_literal(&mut self, literal: &Expression, is_true: bool) -> Result<bool, String> {
        match literal {
            Expression::Within(name) if is_true => {
                let is_other = self.namespace.as_ref().is_some_and(|current| current != name);
                self.namespace = Some(name.clone());
                Ok(!is_other)
            }
            Expression::Within(name) => {
                self.add(
                    LabelOwner::Namespace,
                    requirement(&NAMESPACE_NAME.into(), "NotIn", vec![name.clone()]),
                );
                Ok(true)
            }
            // Every pod is in a namespace, and has an account, with a name.
            Expression::Has(LabelOwner::Namespace, key) if **key == *NAMESPACE_NAME => Ok(is_true),
            Expression::Has(LabelOwner::Account, key) if **key == *ACCOUNT_NAME => Ok(is_true),
            Expression::Has(owner, key) => {
                if !is_key(key) {
                    return Ok(!is_true);
                }
                self.add(
                    *owner,
                    requirement(key, if is_true { "Exists" } else { "DoesNotExist" }, Vec::new()),
                );
                Ok(true)
            }
            Expression::In(owner, key, values) => {
                // The name of an account may be longer than a label.
                let is_name = **key == *ACCOUNT_NAME;
                let possible = |value: &&Text| is_name || (is_key(key) && is_value(value));
                let values: Vec<Text> = values.iter().filter(possible).cloned().collect();
                if values.is_empty() {
                    return Ok(!is_true);
                }
                self.add(*owner, requirement(key, if is_true { "In" } else { "NotIn" }, values));
                Ok(true)
            }
            Expression::Like(_, key, test, text) => {
                let test = match test {
                    Test::Contains => "contains",
                    Test::Begins => "starts with",
                    Test::Ends => "ends with",
                };
                Err(format!("{key} {test} {text:?}: a label selector compares whole values"))
            }
            Expression::Always => Ok(is_true),
            // Alternatives are of simple conditions.
            Expression::Not(_) | Expression::And(_) | Expression::Or(_) => {
                Err("a condition of several parts".into())
            }
        }
    }

    fn add(&mut self, owner: LabelOwner, requirement: Requirement) {
        let selector = match owner {
            LabelOwner::Pod => &mut self.pods,
            LabelOwner::Namespace => &mut self.namespaces,
            LabelOwner::Account => {
                if !self.accounts.contains(&requirement) {
                    self.accounts.push(requirement);
                }
                return;
            }
        };
        // A single value is what people write as a label.
        if let ("In", [value]) = (&*requirement.operator, requirement.values.as_slice())
            && selector.match_labels.get(&requirement.key).is_none_or(|current| current == value)
        {
            selector.match_labels.insert(requirement.key, value.clone());
        } else if !selector.match_expressions.contains(&requirement) {
            selector.match_expressions.push(requirement);
        }
    }

    /// The names of the only namespaces in which the pods can be, where the condition says them.
    pub(super) fn namespace_names(&self) -> Option<Vec<Text>> {
        if let Some(within) = &self.namespace {
            return Some(vec![within.clone()]);
        }
        if let Some(name) = self.namespaces.match_labels.get(NAMESPACE_NAME) {
            return Some(vec![name.clone()]);
        }
        let is_name = |requirement: &&Requirement| {
            *requirement.key == *NAMESPACE_NAME && *requirement.operator == *"In"
        };
        self.namespaces.match_expressions.iter().find(is_name).map(|requirement| requirement.values.clone())
    }

    /// Whether nothing is said of namespaces but names that they have.
    pub(super) fn is_by_namespace_name_only(&self) -> bool {
        let LabelSelector { match_labels, match_expressions } = &self.namespaces;
        let is_name = |key: &Text| **key == *NAMESPACE_NAME;
        let reported = match_labels.len() + match_expressions.len() + usize::from(self.namespace.is_some());
        let is_in = |requirement: &Requirement| is_name(&requirement.key) && *requirement.operator == *"In";
        reported == 1 && match_labels.keys().all(is_name) && match_expressions.iter().all(is_in)
    }

    /// The selector of namespaces that says all that is said of them, the name among it.
    pub(super) fn namespace_selector(&self) -> LabelSelector {
        let mut all = self.namespaces.clone();
        if let Some(within) = &self.namespace {
            match all.match_labels.get(NAMESPACE_NAME) {
                Some(current) if current != within => {
                    let name = requirement(&NAMESPACE_NAME.into(), "In", vec![within.clone()]);
                    all.match_expressions.push(name);
                }
                _ => drop(all.match_labels.insert(NAMESPACE_NAME.into(), within.clone())),
            }
        }
        all
    }

    /// Whether such pods can be in a namespace.
    pub(super) fn may_be_in(&self, namespace: &Namespace) -> bool {
        let expression = self.namespace_selector().expression(LabelOwner::Pod).unwrap_or(Expression::Always);
        let mut labels = namespace.labels.clone();
        labels.insert(NAMESPACE_NAME.into(), namespace.name.clone());
        expression.holds(&labels, None)
    }

    /// Whether something is said of namespaces beside a name.
    pub(super) fn has_namespace_labels(&self) -> bool {
        self.namespaces != LabelSelector::default()
    }
}

fn requirement(key: &Text, operator: &str, values: Vec<Text>) -> Requirement {
    Requirement { key: key.clone(), operator: operator.into(), values }
}

/// A label of Kubernetes can have this key.
fn is_key(key: &str) -> bool {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_prefix = |prefix: &str| {
        let is_part = |part: &str| {
            is_framed(part, char::is_alphanumeric)
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        prefix.len() <= LONGEST_PREFIX && prefix.split('.').all(is_part)
    };
    !name.is_empty() && is_value(name) && prefix.is_none_or(is_prefix)
}

/// A label of Kubernetes can have this value.
fn is_value(value: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    value.is_empty()
        || (value.len() <= LONGEST && value.chars().all(is_part) && is_framed(value, char::is_alphanumeric))
}

fn is_framed(text: &str, is_end: fn(char) -> bool) -> bool {
    text.starts_with(is_end) && text.ends_with(is_end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::calico::{parse, parse_for_namespaces};

    fn pod_selections(text: &str) -> Vec<PodSelection> {
        select_pods(&parse(text).expect("a selector")).expect("label selectors")
    }

    fn pods(selection: &PodSelection) -> String {
        let labels = selection.pods.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
        let more = selection.pods.match_expressions.iter().map(|requirement| {
            format!("{} {} {:?}", requirement.key, requirement.operator, requirement.values)
        });
        labels.chain(more).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_alternative_is_a_label_selector() {
        for (text, expected) in [
            ("all()", vec![""]),
            ("!all()", vec![]),
            ("global()", vec![]),
            ("a == 'b'", vec!["a=b"]),
            ("a == 'b' && a == 'c'", vec!["a=b, a In [\"c\"]"]),
            ("a == 'b' || c == 'd'", vec!["a=b", "c=d"]),
            ("!(a == 'b' || c == 'd')", vec!["a NotIn [\"b\"], c NotIn [\"d\"]"]),
            ("!(a == 'b' && has(c))", vec!["a NotIn [\"b\"]", "c DoesNotExist []"]),
            ("a in {'b', 'c'}", vec!["a In [\"b\", \"c\"]"]),
            ("a in {}", vec![]),
            ("a not in {}", vec![""]),
            ("has(a) && !has(b)", vec!["a Exists [], b DoesNotExist []"]),
            // No pod can have such labels.
            ("a == 'b c'", vec![]),
            ("a != 'b c'", vec![""]),
            ("has(a_/b)", vec![]),
            ("!has(-a)", vec![""]),
            ("a == ''", vec!["a="]),
        ] {
            assert_eq!(pod_selections(text).iter().map(pods).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn namespaces_and_accounts_have_their_own_place() {
        let selections = pod_selections(
            "projectcalico.org/namespace == 'shop' && pcns.team == 'a' && projectcalico.org/serviceaccount == 'web'",
        );
        assert_eq!(selections[0].namespace_names(), Some(vec!["shop".into()]));
        assert!(selections[0].has_namespace_labels());
        assert_eq!(
            (&*selections[0].accounts[0].operator, &selections[0].accounts[0].values[..]),
            ("In", &["web".into()][..])
        );
        let all = select_pods(&parse_for_namespaces("all()").expect("a selector")).expect("a label selector");
        assert_eq!(all, [PodSelection::default()]);
        let within = |name: &str| Expression::Within(name.into());
        assert_eq!(select_pods(&within("a").and(within("b"))), Ok(Vec::new()));
        let both = select_pods(&within("a").and(parse_for_namespaces("team == 'x'").expect("a selector")))
            .expect("one");
        assert_eq!(both[0].namespace_selector().match_labels.len(), 2);
    }

    #[test]
    fn what_no_label_selector_can_say_is_an_error() {
        for (text, words) in [
            ("a contains 'b'", "a contains \"b\""),
            ("!(a starts with 'b')", "a starts with \"b\""),
            ("a ends with 'b'", "whole values"),
        ] {
            let why = select_pods(&parse(text).expect("a selector")).expect_err(text);
            assert!(why.contains(words), "{why}");
        }
        let many: Vec<String> = (0..65).map(|number| format!("a == 'v{number}'")).collect();
        assert!(select_pods(&parse(&many.join(" || ")).expect("a selector")).is_err());
        assert_eq!(pod_selections(&many[..64].join(" || ")).len(), 64);
    }
}
