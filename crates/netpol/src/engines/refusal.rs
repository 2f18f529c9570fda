//! The refusal of an object whose meaning an evaluator cannot give.

use std::fmt;

/// An object that an evaluator refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The object, or the rule of it, as people name it: `GlobalNetworkPolicy web`. Empty if the evaluator does not know which of its objects it is.
    pub object: String,
    /// Why, in one line that does not name the object.
    pub why: String,
}

impl Refusal {
    /// The refusal of this object.
    pub(crate) fn new(object: impl Into<String>, why: impl Into<String>) -> Self {
        Self { object: object.into(), why: why.into() }
    }
}

/// `GlobalNetworkPolicy web: spec.tier: there is no tier "gone"`
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.object.is_empty() {
            f.write_str(&self.why)
        } else {
            write!(f, "{}: {}", self.object, self.why)
        }
    }
}

/// A refusal of an object that is not known.
impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::new(String::new(), why)
    }
}

/// The line of [`Refusal`]'s `Display`.
impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        refusal.to_string()
    }
}
