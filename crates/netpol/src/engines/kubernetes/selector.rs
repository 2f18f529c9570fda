//! Label selectors of the Kubernetes API.

use serde::Deserialize;
use snapshot::model::{Labels, Text};

use crate::expression::{Expression, LabelOwner};

/// A label selector. An empty one matches everything.
///
/// *Source*: `meta/v1`, `LabelSelector`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LabelSelector {
    /// Keys and the values that they have.
    pub match_labels: Labels,
    /// More conditions, all of them true.
    pub match_expressions: Vec<Requirement>,
}

/// One condition of a label selector.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    pub key: Text,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: Text,
    /// The values of `In` and `NotIn`.
    #[serde(default)]
    pub values: Vec<Text>,
}

impl LabelSelector {
    /// The condition on the labels of a pod, or of its namespace.
    ///
    /// # Errors
    /// An operator that the API does not have.
    pub fn expression(&self, owner: LabelOwner) -> Result<Expression, String> {
        let labels = self
            .match_labels
            .iter()
            .map(|(key, value)| Ok(Expression::In(owner, key.clone(), vec![value.clone()])));
        let more = self.match_expressions.iter().map(|requirement| requirement.expression(owner));
        let mut all = labels.chain(more).collect::<Result<Vec<_>, String>>()?;
        Ok(match all.len() {
            0 => Expression::Always,
            1 => all.remove(0),
            _ => Expression::And(all),
        })
    }
}

impl Requirement {
    fn expression(&self, owner: LabelOwner) -> Result<Expression, String> {
        let within = || Expression::In(owner, self.key.clone(), self.values.clone());
        let has = || Expression::Has(owner, self.key.clone());
        match &*self.operator {
            "In" => Ok(within()),
            // Also true where the key is absent. *Source*: Kubernetes, "Labels and Selectors".
            "NotIn" => Ok(within().negate()),
            "Exists" => Ok(has()),
            "DoesNotExist" => Ok(has().negate()),
            other => Err(format!("operator {other:?}: expected In, NotIn, Exists or DoesNotExist")),
        }
    }
}
