//! The answer of a command: one JSON document, of one shape for all commands.
//!
//! *Shape*: `{"version":1,"ok":false,"problems":[{"what":"..","where":"/etc/crossfade/policy.json","fix":".."}], ..}`; the command's own
//! report stands beside these three keys. `ok` is true exactly if the exit status is 0.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of all answers.
pub const VERSION: u32 = 1;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// What happened, or what is wrong, in words.
    pub what: String,
    /// The object: a file, a key, a unit, an option, or the command.
    #[serde(rename = "where")]
    pub place: String,
    /// What to do next.
    pub fix: String,
    /// What kind of object it is, for the next step where the problem has none of its own.
    #[serde(skip)]
    pub subject: Subject,
}

/// A kind of object whose problems have a usual next step of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Subject {
    /// Any other object.
    #[default]
    Other,
    /// A policy, which `crossfade-bootstrap policy check` judges.
    Policy,
}

/// An answer: how it ended, and the command's own report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Answer<R> {
    /// Version of this shape; 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1)))]
    pub version: u32,
    /// The exit status is 0.
    pub ok: bool,
    /// Everything that is not as it should be; empty if `ok` is true.
    pub problems: Vec<Problem>,
    /// The command's own report. An error has none.
    #[serde(flatten)]
    pub report: R,
}

impl Problem {
    /// A problem of which only the words are known.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), place: String::new(), fix: String::new(), subject: Subject::Other }
    }

    /// The same, about this object.
    #[must_use]
    pub fn with_place(mut self, place: impl Into<String>) -> Self {
        self.place = place.into();
        self
    }

    /// The same, about an object of this kind.
    #[must_use]
    pub const fn with_subject(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// The same, with what to do next.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    /// The object that the words themselves name: the first absolute path, else the first option.
    #[must_use]
    pub fn named_object(&self) -> Option<&str> {
        let words = || self.what.split_whitespace().map(|word| word.trim_matches(is_mark));
        let is_path = |word: &&str| word.len() > 1 && word.starts_with('/');
        let is_option = |word: &&str| word.len() > 2 && word.starts_with("--");
        words().find(is_path).or_else(|| words().find(is_option))
    }
}

/// The problem in one line: what is wrong and, where it is known, what to do next.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, "; {}", self.fix) }
    }
}

/// The line of [`Problem`]'s `Display`, for a report that has no place for the next step.
impl From<Problem> for String {
    fn from(problem: Problem) -> Self {
        problem.to_string()
    }
}

/// What may stand around a path in a sentence.
const fn is_mark(c: char) -> bool {
    matches!(c, '"' | '\'' | '(' | ')' | ',' | ':' | ';' | '`' | '.')
}

impl From<String> for Problem {
    fn from(what: String) -> Self {
        Self::new(what)
    }
}

impl From<&str> for Problem {
    fn from(what: &str) -> Self {
        Self::new(what)
    }
}

impl From<&String> for Problem {
    fn from(what: &String) -> Self {
        Self::new(what)
    }
}

impl From<&Self> for Problem {
    fn from(problem: &Self) -> Self {
        problem.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_their_object() {
        for (what, named) in [
            ("read policy /etc/crossfade/policy.json: absent", Some("/etc/crossfade/policy.json")),
            ("--root: expected /x, or nothing", Some("/x")),
            ("--units needs --host", Some("--units")),
            ("conf dir (/etc/cni/net.d): writable by others", Some("/etc/cni/net.d")),
            ("a / b -- c", None),
            ("", None),
        ] {
            assert_eq!(Problem::new(what).named_object(), named, "{what}");
        }
    }

    #[test]
    fn one_line_says_what_is_wrong_and_what_to_do() {
        let problem = Problem::new("no policy").with_place("/etc/crossfade/policy.json");
        assert_eq!(problem.to_string(), "no policy");
        assert_eq!(problem.fix("write one").to_string(), "no policy; write one");
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let text = r#"{"version":1,"ok":false,"problems":[{"what":"a","where":"/b","fix":"c"}],"count":2}"#;
        let answer: Answer<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_str(text).expect("an answer");
        assert_eq!(answer.problems, [Problem::new("a").with_place("/b").fix("c")]);
        assert_eq!(answer.report["count"], 2);
        assert_eq!(serde_json::to_string(&answer).expect("JSON"), text);
    }
}
