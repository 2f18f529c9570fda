//! Conditions on the labels of a pod, of its namespace and of its service account: what the selectors of every kind of policy become.

use snapshot::model::{Labels, Text};

/// Whose labels a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LabelOwner {
    Pod,
    Namespace,
    /// Those of its service account.
    Account,
}

/// The label by which a namespace has its own name. *Source*: Kubernetes, "Well-Known Labels": the API server sets it on every namespace.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The label by which a service account has its own name here. No label of Kubernetes can have this key.
pub const ACCOUNT_NAME: &str = "=name";

/// A condition. It is true or false of every pod; a condition on a value is false where the key is absent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expression {
    /// Always true.
    Always,
    /// The key is there.
    Has(LabelOwner, Text),
    /// The key is there with one of these values.
    In(LabelOwner, Text, Vec<Text>),
    /// The key is there with a value that this test accepts.
    Like(LabelOwner, Text, Test, Text),
    /// The pod is in the namespace of this name.
    Within(Text),
    /// The condition is false.
    Not(Box<Self>),
    /// All of them are true; true for an empty list.
    And(Vec<Self>),
    /// One of them is true; false for an empty list.
    Or(Vec<Self>),
}

/// A test of a label's value against a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// The value has the text somewhere.
    Contains,
    /// The value begins with the text.
    Begins,
    /// The value ends with the text.
    Ends,
}

impl Test {
    /// Whether a value passes.
    #[must_use]
    pub fn accepts(self, value: &str, text: &str) -> bool {
        match self {
            Self::Contains => value.contains(text),
            Self::Begins => value.starts_with(text),
            Self::Ends => value.ends_with(text),
        }
    }
}

impl Expression {
    /// Never true.
    #[must_use]
    pub const fn never() -> Self {
        Self::Or(Vec::new())
    }

    /// The condition is false.
    #[must_use]
    pub fn negate(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// Both are true.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::And(vec![self, other])
    }

    /// Whether the condition is true of something with these labels, which is in a namespace with those labels if it is in any.
    #[must_use]
    pub fn holds(&self, labels: &Labels, namespace: Option<&Labels>) -> bool {
        let value = |owner: &LabelOwner, key: &Text| match owner {
            LabelOwner::Pod => labels.get(key),
            LabelOwner::Namespace => namespace?.get(key),
            LabelOwner::Account => None,
        };
        match self {
            Self::Always => true,
            Self::Has(owner, key) => value(owner, key).is_some(),
            Self::In(owner, key, values) => value(owner, key).is_some_and(|value| values.contains(value)),
            Self::Like(owner, key, test, text) => {
                value(owner, key).is_some_and(|value| test.accepts(value, text))
            }
            Self::Within(name) => namespace.and_then(|labels| labels.get(NAMESPACE_NAME)) == Some(name),
            Self::Not(inner) => !inner.holds(labels, namespace),
            Self::And(all) => all.iter().all(|expression| expression.holds(labels, namespace)),
            Self::Or(all) => all.iter().any(|expression| expression.holds(labels, namespace)),
        }
    }

    /// The alternatives of the condition, each a list of simple conditions that are all true or, marked with `false`, all false. At most
    /// `limit` of them: a condition that has more has the first ones here, so these are enough to find a pod for many ways in which it can be
    /// true, and not to replace it.
    #[must_use]
    pub fn alternatives(&self, limit: usize) -> Vec<Vec<(&Self, bool)>> {
        self.to_signed(true, limit)
    }

    fn to_signed(&self, is_true: bool, limit: usize) -> Vec<Vec<(&Self, bool)>> {
        match (self, is_true) {
            (Self::Always, true) => vec![Vec::new()],
            (Self::Always, false) => Vec::new(),
            (Self::Not(inner), _) => inner.to_signed(!is_true, limit),
            (Self::And(all), true) | (Self::Or(all), false) => {
                let mut terms = vec![Vec::new()];
                for expression in all {
                    let ways = expression.to_signed(is_true, limit);
                    let pairs = terms.iter().flat_map(|before| {
                        ways.iter().map(move |way| before.iter().chain(way).copied().collect::<Vec<_>>())
                    });
                    terms = pairs.take(limit).collect();
                }
                terms
            }
            (Self::Or(all), true) | (Self::And(all), false) => {
                all.iter().flat_map(|expression| expression.to_signed(is_true, limit)).take(limit).collect()
            }
            (Self::Has(..) | Self::In(..) | Self::Like(..) | Self::Within(_), _) => {
                vec![vec![(self, is_true)]]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_has_its_alternatives() {
        let has = |key: &str| Expression::Has(LabelOwner::Pod, key.into());
        let (a, b, c) = (has("a"), has("b"), has("c"));
        let both = a.clone().and(Expression::Or(vec![b.clone(), c.clone().negate()]));
        assert_eq!(both.alternatives(9), [vec![(&a, true), (&b, true)], vec![(&a, true), (&c, false)]]);
        assert_eq!(both.alternatives(1).len(), 1);
        let not = both.clone().negate();
        assert_eq!(not.alternatives(9), [vec![(&a, false)], vec![(&b, false), (&c, true)]]);
        assert_eq!(Expression::Always.alternatives(9), [vec![]]);
        assert!(Expression::never().alternatives(9).is_empty());
        assert!(Expression::Always.negate().alternatives(9).is_empty());
    }
}
