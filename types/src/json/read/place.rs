//! The place of a value in a file.

use std::fmt;

/// A value's place: the way to it from the outermost object.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The place of the object or list that it is in.
    pub(super) parent: Option<&'a Place<'a>>,
    /// The last step.
    pub(super) step: Step<'a>,
}

/// One step of the way.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    /// The outermost object, by the name that messages call it.
    File(&'a str),
    /// To the value of a key.
    Key(&'a str),
    /// To an item of a list.
    Index(usize),
}

impl Place<'_> {
    /// Its path, or the file's name where it is the outermost object.
    pub(super) fn name(&self) -> String {
        match self.step {
            Step::File(name) => name.to_owned(),
            Step::Key(_) | Step::Index(_) => self.to_string(),
        }
    }

    /// Whether messages must not quote what is here: a header of a request may hold a token.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.step, Step::Key("headers")) || self.parent.is_some_and(Place::is_secret)
    }
}

/// As in `networks.old.ready[0].http`; nothing for the outermost object.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.parent {
            above.fmt(f)?;
        }
        let is_first = self.parent.is_none_or(|above| matches!(above.step, Step::File(_)));
        match self.step {
            Step::File(_) => Ok(()),
            Step::Key(key) if is_first => f.write_str(key),
            Step::Key(key) => write!(f, ".{key}"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}
