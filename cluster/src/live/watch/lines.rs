//! Lines of a stream that comes in pieces. Pure.

/// What came and is not a whole line yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    /// Takes the next piece, and gives the lines that are whole now. Empty ones are left out.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<Vec<u8>> {
        self.bytes.extend_from_slice(piece);
        let Some(end) = self.bytes.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = self.bytes.split_off(end + 1);
        let whole = std::mem::replace(&mut self.bytes, rest);
        let lines = whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(<[u8]>::to_vec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_when_its_end_has_come() {
        let mut lines = Lines::default();
        let mut push = |piece: &str| -> Vec<String> {
            let lines = lines.push(piece.as_bytes()).into_iter();
            lines.map(|line| String::from_utf8(line).expect("text")).collect()
        };
        for (piece, whole) in [
            ("one", &[][..]),
            (" line\n", &["one line"]),
            ("two\nthree\nfo", &["two", "three"]),
            ("", &[]),
            ("ur\n\n", &["four"]),
            ("\n", &[]),
        ] {
            assert_eq!(push(piece), whole, "{piece:?}");
        }
    }
}
