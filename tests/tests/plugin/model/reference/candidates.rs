//! Every state of the node that explains what was seen so far.
//!
//! Calls at once may be explained by more than one order, and what tells the orders apart may show only later: two ADDs of a container that
//! fail before their secondary is called leave names behind with which no delegate was called. So all explanations are kept, until what is
//! seen leaves one of them.

use anyhow::{Result, anyhow};

use super::Reference;

/// States of which one is the node's; never none, no two alike.
#[derive(Debug)]
pub(crate) struct Candidates(Vec<Reference>);

impl Candidates {
    pub(crate) fn new(reference: Reference) -> Self {
        Self(vec![reference])
    }

    /// One of them, for what they all agree on, or where any of them will do.
    pub(crate) fn any(&self) -> &Reference {
        &self.0[0]
    }

    /// What happens to the node whichever it is.
    pub(crate) fn each(&mut self, change: impl FnMut(&mut Reference)) {
        self.0.iter_mut().for_each(change);
    }

    /// Replaces each by those that it may have become, by what was seen.
    ///
    /// # Errors
    /// Why each of them cannot have come to this, if none can.
    pub(crate) fn become_those(
        &mut self,
        become_of: impl Fn(&Reference) -> Result<Vec<Reference>>,
    ) -> Result<()> {
        let (mut next, mut why) = (Vec::new(), Vec::new());
        for candidate in &self.0 {
            match become_of(candidate) {
                Ok(all) => add_new(&mut next, all),
                Err(error) => why.push(format!("before: {:?}\n{error:#}", candidate.attachments)),
            }
        }
        if next.is_empty() {
            return Err(anyhow!("{}", why.join("\n")));
        }
        self.0 = next;
        Ok(())
    }

    /// Holds when it does for one of them.
    ///
    /// # Errors
    /// What the first says against it.
    pub(crate) fn hold(&self, holds: impl Fn(&Reference) -> Result<()>) -> Result<()> {
        let mut all = self.0.iter().map(holds);
        let first = all.next().unwrap_or(Ok(()));
        if first.is_err() && all.any(|held| held.is_ok()) { Ok(()) } else { first }
    }
}

/// Those that are not refuted, no two alike.
///
/// # Errors
/// Why each of them is refuted, if all are.
pub(super) fn surviving<T: PartialEq>(all: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    let (mut values, mut why): (Vec<T>, Vec<String>) = (Vec::new(), Vec::new());
    for outcome in all {
        match outcome.map_err(|error| format!("{error:#}")) {
            Ok(next) if !values.contains(&next) => values.push(next),
            Err(error) if !why.contains(&error) => why.push(error),
            _ => {}
        }
    }
    if values.is_empty() { Err(anyhow!("{}", why.join("\nor: "))) } else { Ok(values) }
}

/// Adds those that are not there yet.
pub(super) fn add_new(to: &mut Vec<Reference>, those: impl IntoIterator<Item = Reference>) {
    for reference in those {
        if !to.contains(&reference) {
            to.push(reference);
        }
    }
}
