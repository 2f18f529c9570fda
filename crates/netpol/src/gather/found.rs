//! What was read, with the objects that it was read from.

use super::reference::{Reference, Unread};

/// What was read of some kinds. Both lists have the same length: the entry of [`Self::of`] at a place is the object of which the entry of
/// [`Self::all`] at this place was read. An object of which several policies were read is there several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// What was read.
    pub all: Vec<T>,
    /// The objects.
    pub of: Vec<Reference>,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self { all: Vec::new(), of: Vec::new() }
    }
}

impl<T> Found<T> {
    pub(super) fn add(&mut self, object: Reference, one: T) {
        self.all.push(one);
        self.of.push(object);
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.all.extend(more.all);
        self.of.extend(more.of);
    }

    /// Each with its object.
    pub fn iter(&self) -> impl Iterator<Item = (&Reference, &T)> {
        self.of.iter().zip(&self.all)
    }

    /// Without those of which an evaluator says something is wrong, which become unread.
    pub(super) fn tried(self, unread: &mut Vec<Unread>, try_one: impl Fn(&T) -> Result<(), String>) -> Self {
        let mut kept = Self::default();
        for (object, one) in self.of.into_iter().zip(self.all) {
            match try_one(&one) {
                Ok(()) => kept.add(object, one),
                Err(why) => unread.push(object.unread(why)),
            }
        }
        kept
    }
}
