//! One file: JSON, JSON lines or YAML, maybe compressed.

use std::io::{BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use serde::de::DeserializeSeed as _;
use serde_json::Value;

use super::collect::Collector;
use super::document::Document;

/// How a gzip file begins. *Source*: RFC 1952, 2.3.1.
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Reads every document of a file.
///
/// # Errors
/// What is wrong, and at which line.
pub(super) fn read(collector: &mut Collector, input: impl BufRead) -> Result<(), String> {
    let mut input = input;
    let begin = input.fill_buf().map_err(|e| e.to_string())?;
    if begin.starts_with(&GZIP) {
        plain(collector, BufReader::with_capacity(1 << 16, MultiGzDecoder::new(input)))
    } else {
        plain(collector, input)
    }
}

fn plain(collector: &mut Collector, mut input: impl BufRead) -> Result<(), String> {
    let mut first = Vec::new();
    // A snapshot file and a dump in one line both begin with a line; the one of a snapshot is short.
    (&mut input).take(1 << 20).read_until(b'\n', &mut first).map_err(|e| e.to_string())?;
    match first.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None if first.is_empty() => Ok(()),
        Some(b'{') if is_header(&first) => lines(collector, first, input),
        Some(b'{') => documents(collector, first.as_slice().chain(input)),
        _ => yaml(collector, first, input),
    }
}

/// Whether a line is the header of a snapshot file.
fn is_header(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(br#"{"crossfade""#) && line.ends_with(b"\n")
}

/// One document in each line.
fn lines(collector: &mut Collector, mut line: Vec<u8>, mut input: impl BufRead) -> Result<(), String> {
    let mut number = 1;
    loop {
        if !line.trim_ascii().is_empty() {
            let mut deserializer = serde_json::Deserializer::from_slice(&line);
            let read = Document::new(collector).deserialize(&mut deserializer);
            read.and_then(|()| deserializer.end()).map_err(|e| format!("line {number}: {e}"))?;
        }
        line.clear();
        number += 1;
        if input.read_until(b'\n', &mut line).map_err(|e| e.to_string())? == 0 {
            return Ok(());
        }
    }
}

/// JSON documents one after the other, each over many lines.
fn documents(collector: &mut Collector, input: impl BufRead) -> Result<(), String> {
    let mut input = Peek(input);
    while !input.is_at_end()? {
        let mut deserializer = serde_json::Deserializer::from_reader(&mut input.0);
        Document::new(collector).deserialize(&mut deserializer).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// An input of which white space is skipped.
struct Peek<R>(R);

impl<R: BufRead> Peek<R> {
    fn is_at_end(&mut self) -> Result<bool, String> {
        loop {
            let buffer = self.0.fill_buf().map_err(|e| e.to_string())?;
            if buffer.is_empty() {
                return Ok(true);
            }
            let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let is_all = blank == buffer.len();
            self.0.consume(blank);
            if !is_all {
                return Ok(false);
            }
        }
    }
}

/// YAML documents. YAML cannot be read as it comes, so all of it is in memory.
fn yaml(collector: &mut Collector, first: Vec<u8>, mut input: impl Read) -> Result<(), String> {
    let mut bytes = first;
    input.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "neither JSON nor YAML: the file is no UTF-8 text")?;
    // The limits of the parser are made for settings; each value of a dump has at least one character. Those on aliases stay: kubectl
    // writes none.
    let size = text.len().max(1024);
    let budget = serde_saphyr::budget! {
        max_events: size.saturating_mul(2),
        max_nodes: size,
        max_documents: size,
        max_total_scalar_bytes: size,
    };
    let options = serde_saphyr::options! { budget: budget, strict_booleans: true };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(&text, options)
        .map_err(|e| e.without_snippet().to_string())?;
    documents.into_iter().try_for_each(|document| collector.value(document))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Snapshot};
    use std::io::Write as _;

    const NODE: &str = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}}"#;
    const HEADER: &str = r#"{"crossfade":"snapshot","version":1,"cluster":{"uid":"u"},"kinds":{"Node":"read","IPPool":"notServed"}}"#;

    fn read_bytes(bytes: &[u8]) -> Result<Snapshot, String> {
        let mut collector = Collector::new();
        read(&mut collector, bytes)?;
        Ok(collector.finish(&[]))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("written")
    }

    #[test]
    fn every_form_of_a_dump_is_read() {
        let pretty = "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Node\",\n  \"metadata\": {\n    \"name\": \"a\"\n  }\n}\n";
        for text in [
            NODE.to_owned(),
            pretty.to_owned(),
            format!("{pretty}\n{}", NODE.replace("\"a\"", "\"b\"")),
            format!("{HEADER}\n{NODE}\n"),
            "apiVersion: v1\nkind: Node\nmetadata:\n  name: a\n".to_owned(),
            "---\nkind: Node\napiVersion: v1\nmetadata: {name: a}\n---\n".to_owned(),
        ] {
            for bytes in [text.clone().into_bytes(), gzip(text.as_bytes())] {
                let snapshot = read_bytes(&bytes).expect(&text);
                assert_eq!(snapshot.nodes[0].name(), "a", "{text}");
            }
        }
    }

    #[test]
    fn a_header_says_how_each_kind_was_read() {
        let snapshot = read_bytes(format!("{HEADER}\n{NODE}\n").as_bytes()).expect("a snapshot");
        assert_eq!(snapshot.cluster.uid.as_deref(), Some("u"));
        assert!(snapshot.knows(Kind::IP_POOL) && !snapshot.knows(Kind::POD));
    }

    #[test]
    fn an_error_says_where() {
        let why = read_bytes(format!("{HEADER}\n{NODE}\n{{\"kind\n").as_bytes()).expect_err("torn");
        assert!(why.starts_with("line 3:"), "{why}");
        let why = read_bytes(b"{\n \"kind\": 1\n}").expect_err("no text");
        assert!(why.contains("at line "), "{why}");
        assert!(read_bytes(b"\xff\xfe").is_err());
    }

    #[test]
    fn an_empty_file_has_nothing() {
        assert_eq!(read_bytes(b"").expect("read"), Snapshot::default());
        assert_eq!(read_bytes(b"\n# nothing\n").expect("read"), Snapshot::default());
    }
}
