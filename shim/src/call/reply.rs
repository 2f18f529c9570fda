//! The documents that the plugin answers with: results, errors and their codes.
//!
//! *Source*: CNI specification 1.1.0, section 5 "Result Types" and the table of error codes. 0 to 99 belong to the
//! specification, and Crossfade's own codes start at 100. The table in docs/architecture.md repeats them.

use std::fmt;

use serde::Serialize;

/// Error codes: the specification's, then Crossfade's.
pub mod code {
    /// Incompatible CNI version.
    pub const VERSION: u32 = 1;
    /// Container unknown: it does not exist, so the runtime need not DEL.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// Invalid environment variable; the message names it.
    pub const ENVIRONMENT: u32 = 4;
    /// I/O failure, also of Crossfade's records.
    pub const IO: u32 = 5;
    /// Content that cannot be decoded.
    pub const DECODE: u32 = 6;
    /// Invalid network configuration: the runtime's, the policy or a delegate's conf.
    pub const CONFIG: u32 = 7;
    /// Try again later.
    pub const TRY_LATER: u32 = 11;
    /// STATUS: not available.
    pub const NOT_AVAILABLE: u32 = 50;
    /// STATUS: not available, and existing containers may have limited connectivity.
    pub const LIMITED: u32 = 51;
    /// Crossfade's: a delegate failed without a CNI error.
    pub const DELEGATE: u32 = 100;
    /// Crossfade's: a plugin binary is missing or unusable.
    pub const BINARY: u32 = 101;
    /// Crossfade's: the attachment exists already.
    pub const EXISTS: u32 = 102;
    /// Crossfade's: the deadline has passed, on verbs other than ADD and STATUS.
    pub const DEADLINE: u32 = 103;
    /// Crossfade's: the route step of a pod with both networks failed.
    pub const ROUTE: u32 = 105;
    /// Crossfade's: CHECK does not find what ADD attached.
    pub const MISSING: u32 = 106;
    /// Crossfade's: a network cannot join or leave the running pod; only a restart of the pod can.
    pub const RESTART: u32 = 107;
}

/// An error as a runtime reads it.
///
/// *Shape*: `{"cniVersion":"1.0.0","code":11,"msg":"network \"new\" is not ready","details":"..."}` on stdout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniError {
    /// A code of [`code`], or the delegate's code.
    pub code: u32,
    /// One line that names what failed, and on which object.
    pub msg: String,
    /// The expected state, and what a person can do next.
    pub details: String,
    /// The part of `msg` that Crossfade wrote. Only this part goes to logs, because a delegate's text may hold a token.
    pub log: String,
}

impl CniError {
    /// An error without details.
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        let msg = msg.into();
        Self { code, log: msg.clone(), msg, details: String::new() }
    }

    /// Adds details behind those that the error has.
    #[must_use]
    pub fn details(mut self, details: impl AsRef<str>) -> Self {
        if !self.details.is_empty() {
            self.details.push_str("; ");
        }
        self.details.push_str(details.as_ref());
        self
    }

    /// The error in words that are safe for DEL.
    ///
    /// containerd's go-cni counts a DEL whose error text holds "not found" (or, with an empty netns, "no such file or
    /// directory") as done, and never repeats it. The attachment would leak without a trace. So the plugin breaks these words up, in its own text and
    /// in a delegate's.
    #[must_use]
    pub fn to_del_error(mut self) -> Self {
        self.msg = break_up(&self.msg);
        self.details = break_up(&self.details);
        self
    }

    /// The error as one JSON document.
    #[must_use]
    pub fn to_json(&self, cni_version: &str) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<'a> {
            cni_version: &'a str,
            code: u32,
            msg: &'a str,
            details: &'a str,
        }
        let wire = Wire { cni_version, code: self.code, msg: &self.msg, details: &self.details };
        types::json::raw::to_raw(&wire).get().to_owned()
    }
}

impl fmt::Display for CniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.msg, self.code)?;
        if self.details.is_empty() { Ok(()) } else { write!(f, ": {}", self.details) }
    }
}

/// Replaces the first space of words that a runtime takes for success, in any case, with a hyphen.
fn break_up(text: &str) -> String {
    // One pass, because a delegate's text may repeat the words a million times. ASCII lower-casing keeps byte offsets.
    let lower = text.to_ascii_lowercase();
    let mut spaces: Vec<usize> = ["not found", "no such file or directory"]
        .iter()
        .flat_map(|words| lower.match_indices(words).map(|(start, _)| start + words.find(' ').unwrap_or(0)))
        .collect();
    spaces.sort_unstable();
    let mut broken = String::with_capacity(text.len());
    let mut rest = 0;
    for space in spaces {
        broken.push_str(&text[rest..space]);
        broken.push('-');
        rest = space + 1;
    }
    broken.push_str(&text[rest..]);
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_mean_success_are_broken_up_whatever_their_case() {
        let error = CniError::new(5, "link Not Found, not found")
            .details("open /x: no such file or directory")
            .to_del_error();
        assert_eq!(error.msg, "link Not-Found, not-found");
        assert_eq!(error.details, "open /x: no-such file or directory");
    }

    #[test]
    fn every_key_of_the_specification_is_there_even_when_empty() {
        let text = r#"{"cniVersion":"1.0.0","code":4,"msg":"m","details":""}"#;
        assert_eq!(CniError::new(4, "m").to_json("1.0.0"), text);
    }
}
