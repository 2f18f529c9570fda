//! YAML documents of a file, one after the other, read as they come.

use std::io::{self, BufRead, Read};

use serde_saphyr::Deserializer;

/// How much of a line is read at once.
const PIECE: u64 = 1 << 16;
/// How deep a document may be. Each level takes a part of the stack; what the API server itself writes is a tenth as deep.
const DEPTH: usize = 256;

/// The next document of a file, up to the mark that ends it.
pub(super) struct Yaml<R> {
    input: R,
    /// What was read and not yet handed on.
    piece: Vec<u8>,
    handed_on: usize,
    /// The next piece begins a line.
    at_begin: bool,
    is_over: bool,
}

impl<R: BufRead> Yaml<R> {
    /// The document that begins with this line.
    pub(super) fn new(line: Vec<u8>, input: R) -> Self {
        let at_begin = line.ends_with(b"\n");
        Self { input, piece: line, handed_on: 0, at_begin, is_over: false }
    }

    /// Reads the document.
    ///
    /// # Errors
    /// What is wrong, and where in the document.
    pub(super) fn document<T>(
        &mut self,
        read: impl FnOnce(Deserializer<'_, '_>) -> Result<T, serde_saphyr::Error>,
    ) -> Result<T, String> {
        // The limits of the parser are made for settings, and the file has a bound for each of its objects. Those on aliases stay: kubectl writes none.
        let budget = serde_saphyr::budget! {
            max_reader_input_bytes: None,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_depth: DEPTH,
        };
        let options = serde_saphyr::options! { budget: budget, strict_booleans: true, with_snippet: false };
        let result = serde_saphyr::with_deserializer_from_reader_with_options(&mut *self, options, read);
        result.map_err(|e| e.without_snippet().to_string())
    }

    /// The line with the mark that ended the document; empty at the end of the file.
    pub(super) fn rest(self) -> Vec<u8> {
        if self.is_over { self.piece } else { Vec::new() }
    }
}

impl<R: BufRead> Read for Yaml<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.is_over && self.handed_on == self.piece.len() {
            self.piece.clear();
            self.handed_on = 0;
            (&mut self.input).take(PIECE).read_until(b'\n', &mut self.piece)?;
            self.is_over = self.piece.is_empty() || self.at_begin && is_mark(&self.piece);
            self.at_begin = self.piece.ends_with(b"\n");
        }
        if self.is_over {
            return Ok(0);
        }
        let read = self.piece[self.handed_on..].as_ref().read(buffer)?;
        self.handed_on += read;
        Ok(read)
    }
}

/// Whether a line begins with a mark, which ends a document wherever it stands. *Source*: YAML 1.2.2, 9.1.2.
fn is_mark(line: &[u8]) -> bool {
    [b"---", b"..."].iter().any(|mark| {
        line.strip_prefix(*mark).is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
    })
}

/// What a line has beside a mark, a comment or a directive; empty if it begins no document.
pub(super) fn without_mark(line: &[u8]) -> &[u8] {
    let rest = if is_mark(line) { &line[3..] } else { line };
    let text = rest.trim_ascii();
    if text.is_empty() || text.starts_with(b"#") || line.starts_with(b"%") { &[] } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_ends_at_a_mark_that_begins_a_line() {
        let file = "a: |\n  ---\n  x\nb: ---x\n--- # next\nc: 1\n";
        let mut input = file.as_bytes();
        let mut line = Vec::new();
        input.read_until(b'\n', &mut line).expect("a line");
        let mut yaml = Yaml::new(line, &mut input);
        let mut text = String::new();
        yaml.read_to_string(&mut text).expect("text");
        assert_eq!(text, "a: |\n  ---\n  x\nb: ---x\n");
        assert_eq!(yaml.rest(), b"--- # next\n");
        for (line, rest) in
            [("---\r\n", ""), ("--- {a: b}\n", " {a: b}\n"), ("---a: b\n", "---a: b\n"), ("# x", "")]
        {
            assert_eq!(without_mark(line.as_bytes()), rest.as_bytes(), "{line:?}");
        }
    }
}
