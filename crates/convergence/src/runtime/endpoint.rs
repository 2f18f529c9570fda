//! The endpoint of the runtime to ask.

use types::command::problem::Problem;

/// The runtime that a command asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeChoice {
    /// No runtime: disabled with `none`, or the tree is no node.
    None,
    /// The command asks no runtime, and looked for none.
    NotSought,
    At(String),
    /// Nothing says which; what to name.
    Unknown(Problem),
}

impl RuntimeChoice {
    /// Its endpoint, where there is one to ask.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        match self {
            Self::At(endpoint) => Some(endpoint),
            Self::None | Self::NotSought | Self::Unknown(_) => None,
        }
    }
}
