//! What policies tell apart: from it, a world gets the parties that it must have. Pure.

use std::collections::BTreeSet;

use super::expression::Expression;
use super::traffic::Ports;
use crate::cidr::Range;
use crate::model::Text;

/// Everything by which some policies tell packets apart, but for destination ports and protocols, which a set of traffic holds exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentions {
    /// Conditions on pods, each with the namespace in which it is asked; `None` is every namespace.
    pub conditions: BTreeSet<(Option<Text>, Expression)>,
    /// Ranges of addresses.
    pub ranges: Vec<Range>,
    /// Ranges of source ports.
    pub sources: Vec<Ports>,
    /// Ports by their names, each with its protocol's number.
    pub port_names: BTreeSet<(u8, Text)>,
}

impl Mentions {
    /// What either of them mentions.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.conditions.extend(other.conditions);
        self.ranges.extend(other.ranges);
        self.sources.extend(other.sources);
        self.port_names.extend(other.port_names);
        self
    }
}
