//! Sets of parties of a world.

use std::hash::{Hash, Hasher};

use fixedbitset::FixedBitSet;

/// Some of the parties of one world, by their numbers. Sets of different worlds have nothing to do with each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parties(FixedBitSet);

impl Parties {
    #[must_use]
    pub fn none(count: usize) -> Self {
        Self(FixedBitSet::with_capacity(count))
    }

    #[must_use]
    pub fn all(count: usize) -> Self {
        let mut all = FixedBitSet::with_capacity(count);
        all.insert_range(..);
        Self(all)
    }

    pub fn add(&mut self, party: usize) {
        self.0.insert(party);
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(&self, party: usize) -> bool {
        self.0.contains(party)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_clear()
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.intersect_with(&other.0);
        self
    }

    /// Those that are in one of them.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        self.0.union_with(&other.0);
        self
    }

    /// Those that are not in the other.
    #[must_use]
    pub fn without(mut self, other: &Self) -> Self {
        self.0.difference_with(&other.0);
        self
    }

    /// Whether some are in both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    /// Their numbers, in order.
    pub fn numbers(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.ones()
    }

    #[must_use]
    pub fn first(&self) -> Option<usize> {
        self.0.minimum()
    }
}

impl Hash for Parties {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
