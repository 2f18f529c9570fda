//! Lines of a stream that comes in pieces.

/// Longest line, in bytes. etcd takes objects of 1.5 MiB, and JSON escapes make a byte six.
const LONGEST: usize = 16 << 20;

/// What came and is not a whole line yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    /// Takes the next piece, and gives the lines that are whole now. Empty ones are left out.
    ///
    /// # Errors
    /// A line is too long.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        if self.bytes.len() + piece.len() > LONGEST {
            return Err(format!("a line of more than {} MiB", LONGEST >> 20));
        }
        let end = piece.iter().rposition(|byte| *byte == b'\n');
        let start = self.bytes.len();
        self.bytes.extend_from_slice(piece);
        let Some(end) = end else { return Ok(Vec::new()) };
        let rest = self.bytes.split_off(start + end + 1);
        let whole = std::mem::replace(&mut self.bytes, rest);
        let lines = whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Ok(lines.map(<[u8]>::to_vec).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_when_its_end_has_come() {
        let mut lines = Lines::default();
        let mut push = |piece: &str| -> Vec<String> {
            let lines = lines.push(piece.as_bytes()).expect("short lines").into_iter();
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

    /// A tenant may write such a Pod, and its node must not lose its watch by it.
    #[test]
    fn the_largest_object_of_etcd_fits_however_it_is_escaped() {
        let object = "\u{1}".repeat(3 << 19);
        let mut line = serde_json::to_vec(&object).expect("JSON");
        line.push(b'\n');
        let mut lines = Lines::default();
        let whole: Vec<Vec<u8>> =
            line.chunks(16 << 10).flat_map(|piece| lines.push(piece).expect("a line")).collect();
        assert_eq!(whole.len(), 1);
    }

    #[test]
    fn a_line_that_does_not_end_is_refused() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..64).find_map(|_| lines.push(&piece).err());
        assert!(refused.is_some_and(|why| why.contains("16 MiB")));
        assert!(lines.bytes.len() <= LONGEST);
    }
}
