//! Names of what a CNI leaves: exact, or anchored patterns.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The bytes that a pattern has before its first class. A shorter beginning would match names of other programs as well.
const LEAST_LITERAL: usize = 3;

/// A name, or a pattern of names, that is compared with a whole name.
///
/// *Shape*: text in which `{hex:11}` stands for eleven lower-case hexadecimal digits, `{base64:16}` for sixteen letters, digits, `-` or `_`,
/// `{digits}` for a decimal number, and `{any}` for one or more characters but `/`: `flannel.{digits}`, `cali{hex:11}`. A pattern begins with
/// three characters of its own, and only its end may be of any length, so that it matches in one way or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Hex(usize),
    Base64(usize),
    Digits,
    Any,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// In words: an unknown class, too short a beginning, or a class of any length before the end.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let piece = match rest.strip_prefix('{') {
                Some(inside) => {
                    let (class, after) =
                        inside.split_once('}').ok_or_else(|| format!("{text:?}: a {{ without }}"))?;
                    rest = after;
                    Piece::class(class).ok_or_else(|| {
                        format!(
                            "{text:?}: {{{class}}} is none of {{hex:N}}, {{base64:N}}, {{digits}}, {{any}}"
                        )
                    })?
                }
                None => {
                    let end = rest.find('{').unwrap_or(rest.len());
                    let literal = &rest[..end];
                    rest = &rest[end..];
                    Piece::Text(literal.to_owned())
                }
            };
            pieces.push(piece);
        }
        let early = pieces.iter().rev().skip(1).any(|piece| matches!(piece, Piece::Digits | Piece::Any));
        let begins = matches!(pieces.first(), Some(Piece::Text(begin)) if begin.len() >= LEAST_LITERAL);
        if early {
            Err(format!("{text:?}: {{digits}} and {{any}} may only be its end"))
        } else if !begins {
            Err(format!("{text:?} begins with fewer than {LEAST_LITERAL} characters of its own"))
        } else {
            Ok(Self { text: text.to_owned(), pieces })
        }
    }

    /// Whether the whole of `name` is what the pattern says.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut rest = name;
        for piece in &self.pieces {
            match piece.strip(rest) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.is_empty()
    }

    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The characters before the first class.
    #[must_use]
    pub fn beginning(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// The name itself, where the pattern is one name.
    #[must_use]
    pub fn exact_text(&self) -> Option<&str> {
        matches!(self.pieces.as_slice(), [Piece::Text(_)]).then_some(self.text.as_str())
    }
}

impl Piece {
    fn class(text: &str) -> Option<Self> {
        let count = |count: &str| count.parse().ok().filter(|count| (1..=64).contains(count));
        match text.split_once(':') {
            Some(("hex", length)) => count(length).map(Self::Hex),
            Some(("base64", length)) => count(length).map(Self::Base64),
            None if text == "digits" => Some(Self::Digits),
            None if text == "any" => Some(Self::Any),
            _ => None,
        }
    }

    /// What follows in `name`; none if it does not begin with this piece.
    fn strip<'a>(&self, name: &'a str) -> Option<&'a str> {
        let exactly = |count: usize, is: fn(u8) -> bool| {
            let bytes = name.as_bytes().get(..count)?;
            bytes.iter().all(|byte| is(*byte)).then(|| &name[count..])
        };
        match self {
            Self::Text(text) => name.strip_prefix(text.as_str()),
            Self::Hex(count) => {
                exactly(*count, |byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            }
            Self::Base64(count) => {
                exactly(*count, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            }
            Self::Digits => is_all(name, |c| c.is_ascii_digit()),
            Self::Any => is_all(name, |c| c != '/'),
        }
    }
}

fn is_all(name: &str, is: fn(char) -> bool) -> Option<&str> {
    (!name.is_empty() && name.chars().all(is)).then_some("")
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Pattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A name, or a pattern of names, that is compared with a whole name: {hex:N}, {base64:N}, {digits} and {any} stand for such characters.",
            "type": "string",
            "minLength": LEAST_LITERAL
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names_alone() {
        for (pattern, is, is_not) in [
            ("flannel.1", &["flannel.1"][..], &["flannel.10", "flannel.", "xflannel.1", "flannel11"][..]),
            ("flannel.{digits}", &["flannel.1", "flannel.4096"], &["flannel.", "flannel.1a", "flannel.-1"]),
            (
                "cali{hex:11}",
                &["cali0123456789a"],
                &[
                    "cali",
                    "caliente0",
                    "cali0123456789",
                    "cali0123456789ab",
                    "cali0123456789A",
                    "xcali0123456789a",
                ],
            ),
            (
                "cali-{any}",
                &["cali-FORWARD", "cali-pi-_x.y"],
                &["cali-", "cali", "calico-FORWARD", "my-cali-FORWARD", "cali-a/b"],
            ),
            (
                "cali:{base64:16}",
                &["cali:S93hcgKJrXEqnTfs", "cali:a-b_c-d_e-f_g-h_"],
                &[
                    "cali: my rule for cali",
                    "cali:S93hcgKJrXEqnTf",
                    "cali:S93hcgKJrXEqnTfs2",
                    "note cali:S93hcgKJrXEqnTfs",
                ],
            ),
        ] {
            let pattern = Pattern::parse(pattern).expect(pattern);
            for name in is {
                assert!(pattern.matches(name), "{pattern} {name}");
            }
            for name in is_not {
                assert!(!pattern.matches(name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn what_would_match_another_program_s_is_no_pattern() {
        for (text, why) in [
            ("{any}", "fewer than 3"),
            ("ca{any}", "fewer than 3"),
            ("", "fewer than 3"),
            ("cali{any}x", "only be its end"),
            ("cali{any}{digits}", "only be its end"),
            ("cali{hex}", "is none of"),
            ("cali{hex:0}", "is none of"),
            ("cali{word}", "is none of"),
            ("cali{hex:3", "without }"),
        ] {
            let refused = Pattern::parse(text).expect_err(text);
            assert!(refused.contains(why), "{refused}");
        }
        let pattern = Pattern::parse("cali{hex:11}").expect("valid");
        assert_eq!((pattern.beginning(), pattern.exact_text()), ("cali", None));
        assert_eq!(Pattern::parse("cni0").expect("valid").exact_text(), Some("cni0"));
    }
}
