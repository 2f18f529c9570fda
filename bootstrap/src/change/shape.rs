//! A change as reports spell it, for their schemas.

/// One change, or the decision to leave something as it is.
#[derive(Debug, schemars::JsonSchema)]
#[allow(dead_code)]
pub(crate) struct Change {
    /// What is done, in a word: write, remove, keep, ...
    action: String,
    /// To what, in words of the node: a path, an attachment, a unit.
    target: String,
    /// Why.
    reason: String,
}
