//! What a writer made of policies.

use serde_json::Value;

use super::report::Report;

/// The objects of a target, and what became of the fields that it does not say as they were.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConvertedObjects {
    /// The objects, in the order of their kinds, namespaces and names.
    pub objects: Vec<Value>,
    /// What became of the fields.
    pub report: Report,
}
