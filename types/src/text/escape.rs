//! Text of others on a terminal: everything that the terminal would obey is shown by its number.
//!
//! Names of files, pods, networks and units come from others, and so do errors that quote them. In them a control character could
//! move the cursor, hide or repaint a line, or answer for the person at the keyboard (ECMA-48; the C1 set counts, too, for
//! terminals obey it in UTF-8), and a change of direction could make a line read as another one (Unicode TR 36, 3.2).

use std::fmt::Write as _;

/// One line of text, for what a person reads: no line break is left in it.
#[must_use]
pub fn line(text: &str) -> String {
    escape(text, |_| false)
}

/// Text of several lines that is shown as it was written.
#[must_use]
pub fn lines(text: &str) -> String {
    escape(text, |c| matches!(c, '\n' | '\t'))
}

/// A JSON document with every such character as an escape of JSON, so that it reads the same to a program and is safe on a
/// terminal. All of them stand in strings, for JSON has none elsewhere but the line ends of one that is written for people.
#[must_use]
pub fn json(document: &str) -> String {
    let mut text = String::with_capacity(document.len());
    for c in document.chars() {
        // In a string of JSON there is none.
        if is_harmless(c) || c == '\n' {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// Text with every character shown by its number that is neither harmless nor meant.
pub fn escape(text: &str, is_meant: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmless(c) || is_meant(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
    }
    shown
}

/// Whether a character is seen where it stands, and does nothing else. *Source*: the Unicode character database, general
/// categories Cc, Cf, Zl and Zp.
const fn is_harmless(c: char) -> bool {
    !matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_means_the_same_and_is_safe() {
        let value = serde_json::json!({"a\u{9b}": ["\u{1b}\u{7f}\u{202e}\u{e0041}é\"\\\n"]});
        let text = json(&value.to_string());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
        assert!(text.chars().all(is_harmless) && text.contains('é'), "{text}");
        let pretty = serde_json::to_string_pretty(&value).expect("JSON");
        let text = json(&pretty);
        assert_eq!(text.lines().count(), pretty.lines().count());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
        assert!(text.lines().all(|line| line.chars().all(is_harmless)), "{text}");
    }
}
