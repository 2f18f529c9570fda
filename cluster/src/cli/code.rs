//! A finding's code as an argument.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command, Error};

use crate::finding::Explanation;

/// Reads a code, and offers all of them to shells that complete it. clap's own parser would answer a wrong one with all 171.
#[derive(Debug, Clone, Copy)]
pub(super) struct Code;

impl TypedValueParser for Code {
    type Value = Explanation;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Explanation, Error> {
        let parser: fn(&str) -> Result<Explanation, String> = Explanation::of;
        parser.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Explanation::all().map(|one| PossibleValue::new(one.code))))
    }
}
