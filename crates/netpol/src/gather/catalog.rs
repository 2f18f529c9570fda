//! Values with the objects that they were read from.

use super::reference::{Reference, UnreadObject};
use crate::engines::refusal::Refusal;

/// What was read of some kinds. Both lists have the same length: the entry of [`Self::list`] at a place is the object of which the entry of
/// [`Self::all`] at this place was read. An object of which several policies were read is there several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog<T> {
    pub entries: Vec<T>,
    pub references: Vec<Reference>,
}

impl<T> Default for Catalog<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), references: Vec::new() }
    }
}

impl<T> Catalog<T> {
    pub(super) fn add(&mut self, object: Reference, item: T) {
        self.entries.push(item);
        self.references.push(object);
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.entries.extend(more.entries);
        self.references.extend(more.references);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Reference, &T)> {
        self.references.iter().zip(&self.entries)
    }

    /// Without those of which an evaluator says something is wrong, which become unread.
    pub(super) fn retain_valid(
        self,
        unread: &mut Vec<UnreadObject>,
        try_one: impl Fn(&T) -> Result<(), Refusal>,
    ) -> Self {
        let mut valid = Self::default();
        for (object, item) in self.references.into_iter().zip(self.entries) {
            match try_one(&item) {
                Ok(()) => valid.add(object, item),
                Err(refusal) => unread.push(object.into_unread(refusal.why)),
            }
        }
        valid
    }
}
