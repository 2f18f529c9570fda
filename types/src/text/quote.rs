//! Text of other programs in messages.

/// Shortens text of another program for a one-line message: without control characters, and at most `max` bytes, cut between characters.
#[must_use]
pub fn quote(bytes: &[u8], max: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(max)]);
    let clean: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if bytes.len() > max { format!("{clean}...") } else { clean }
}

/// Text as one word of a POSIX shell, in quotes only where it needs some. No shell has a way to write a control character that a terminal does not obey, so
/// such a character is [shown](crate::text::escape) instead.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let text = crate::text::escape::line(text);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-@:+,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_bounded_and_on_one_line() {
        assert_eq!(quote("a\nb\u{1b}c".as_bytes(), 512), "a b c");
        assert_eq!(quote("äää".as_bytes(), 3).chars().next(), Some('ä'));
        assert!(quote(&[b'x'; 9], 4).ends_with("..."));
    }

    #[test]
    fn text_is_one_word_of_a_shell() {
        for (path, expected) in [
            ("/etc/cni/net.d/00-a.conflist", "/etc/cni/net.d/00-a.conflist"),
            ("/etc/cni/net.d/!a b.conf", "'/etc/cni/net.d/!a b.conf'"),
            ("/x/it's $(here)", r"'/x/it'\''s $(here)'"),
            ("", "''"),
            ("a=b", "a=b"),
            ("a\nfix: b\u{202e}", r"'a\nfix: b\u{202e}'"),
        ] {
            assert_eq!(shell_word(path), expected);
        }
    }
}
