//! A result that is parsed while its plugin is still ending.
//!
//! A plugin writes its result, and then its process takes a while to end: a tenth of a millisecond is usual. The shim has nothing else to do meanwhile.
//! The result counts only once the plugin has ended with success, and only if these were its last bytes.

use crate::reply::CniError;
use crate::version::{AddResult, Version};

/// What an ADD's plugin has written so far, parsed.
#[derive(Debug)]
pub(super) struct EarlyResult<T> {
    conf_version: Version,
    /// The number of bytes that were parsed.
    length: usize,
    /// The result that these bytes are, and what was made of it; none if they are not a whole one.
    parsed: Option<(AddResult, T)>,
}

impl<T> EarlyResult<T> {
    /// Nothing so far, of a plugin whose conf has this version.
    pub(super) const fn new(conf_version: Version) -> Self {
        Self { conf_version, length: 0, parsed: None }
    }

    /// Parses everything that the plugin has written so far, if it may be a whole result and is more than before. `make` gets each whole result, twice if
    /// the plugin writes the line's end by itself.
    pub(super) fn read(&mut self, output: &[u8], make: impl FnOnce(&AddResult) -> T) {
        // Whoever writes a long result in many pieces has few that end like an object, and those are all that is parsed.
        if output.len() > self.length && output.trim_ascii_end().ends_with(b"}") {
            self.length = output.len();
            let parsed = AddResult::parse(output, self.conf_version).ok();
            self.parsed = parsed.map(|result| {
                let made = make(&result);
                (result, made)
            });
        }
    }

    /// The result of a plugin that has ended with success, of all that it has written, and what was made of this result; none if that was of another.
    ///
    /// # Errors
    /// As [`AddResult::parse`].
    pub(super) fn of_all(self, stdout: &[u8]) -> Result<(AddResult, Option<T>), CniError> {
        match self.parsed {
            // The output only ever grows, so the bytes are the same if there are no more of them.
            Some((result, made)) if self.length == stdout.len() => Ok((result, Some(made))),
            _ => AddResult::parse(stdout, self.conf_version).map(|result| (result, None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &str = r#"{"cniVersion":"1.0.0","ips":[{"address":"10.1.0.2/24"}]}"#;

    /// What comes of an output that was seen in these pieces.
    fn of(pieces: &[&str]) -> (EarlyResult<usize>, String) {
        let (mut early, mut output) = (EarlyResult::new(Version::V100), String::new());
        for piece in pieces {
            output += piece;
            early.read(output.as_bytes(), |result| result.addresses().len());
        }
        (early, output)
    }

    #[test]
    fn a_result_is_parsed_as_soon_as_it_is_whole() {
        let (head, tail) = RESULT.split_at(RESULT.len() - 2);
        for pieces in [&[RESULT][..], &[head, tail], &[head, "]}\n"], &["", RESULT, "\n \n"]] {
            let (early, output) = of(pieces);
            assert!(early.parsed.is_some(), "{pieces:?}");
            let (result, made) = early.of_all(output.as_bytes()).expect("a result");
            assert_eq!(result.addresses(), ["10.1.0.2/24".parse().expect("an address")]);
            assert_eq!(made, Some(1));
        }
        assert!(of(&[head]).0.parsed.is_none());
    }

    #[test]
    fn what_was_made_of_a_result_counts_only_if_nothing_has_followed() {
        let mut early = EarlyResult::new(Version::V100);
        let mut made = 0;
        let mut output = String::new();
        for piece in [RESULT, "\n"] {
            output += piece;
            early.read(output.as_bytes(), |_| {
                made += 1;
                made
            });
        }
        // It was read twice, and the second time counts.
        assert_eq!(early.of_all(output.as_bytes()).expect("a result").1, Some(2));
        // The rest was never seen before the plugin had ended.
        let (early, output) = of(&[RESULT]);
        assert_eq!(early.of_all((output + "\n").as_bytes()).expect("a result").1, None);
    }

    #[test]
    fn what_follows_a_result_counts_as_if_nothing_had_been_parsed_before() {
        for more in ["x", "{}", RESULT, "}"] {
            let (early, output) = of(&[RESULT, more]);
            assert_eq!(
                early.of_all(output.as_bytes()).expect_err(more).to_string(),
                AddResult::parse(output.as_bytes(), Version::V100).expect_err(more).to_string()
            );
            // Also if the rest was never seen before the plugin had ended.
            let (early, _) = of(&[RESULT]);
            assert!(early.of_all(output.as_bytes()).is_err(), "{more}");
        }
    }
}
