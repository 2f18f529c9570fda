//! Text of other programs in messages.

/// Shortens text of another program for a one-line message: without control characters, and at most `max` bytes, cut between characters.
#[must_use]
pub fn quote(bytes: &[u8], max: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(max)]);
    let clean: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if bytes.len() > max { format!("{clean}...") } else { clean }
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
}
