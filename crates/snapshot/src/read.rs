//! One file: JSON, JSON lines or YAML, maybe compressed, or documents of both.

use std::io::{BufRead, BufReader, Read as _};

use flate2::bufread::MultiGzDecoder;
use serde::de::DeserializeSeed as _;
use serde_json::Value;
use serde_json::value::RawValue;

use super::collect::Collector;
use super::document::{Document, text};
use super::yaml::{self, Yaml};

/// How a gzip file begins. *Source*: RFC 1952, 2.3.1.
pub const GZIP: [u8; 2] = [0x1f, 0x8b];
/// How much of a line is looked at to tell what it begins.
const LOOKED_AT: u64 = 1 << 16;

/// Reads every document of a file.
///
/// # Errors
/// What is wrong, and at which line.
pub fn read(collector: &mut Collector, input: impl BufRead) -> Result<(), String> {
    let mut input = input;
    let begin = input.fill_buf().map_err(|e| e.to_string())?;
    if begin.starts_with(&GZIP) {
        let unpacked = BufReader::with_capacity(1 << 16, MultiGzDecoder::new(input));
        let unpacked = collector.bound_reader(unpacked);
        read_plain(collector, unpacked)
    } else {
        let input = collector.bound_reader(input);
        read_plain(collector, input)
    }
}

fn read_plain(collector: &mut Collector, mut input: impl BufRead) -> Result<(), String> {
    let mut number = 0;
    let mut line = Vec::new();
    loop {
        // What begins the next document may have been read already, where that ended the last one.
        if line.is_empty() {
            let length = (&mut input).take(LOOKED_AT).read_until(b'\n', &mut line);
            if length.map_err(|e| e.to_string())? == 0 {
                return Ok(());
            }
        }
        let begin = yaml::without_mark(&line);
        if begin.is_empty() {
            line.clear();
            continue;
        }
        number += 1;
        let read = if is_header(begin) {
            lines(collector, std::mem::take(&mut line), &mut input)
        } else if is_json(&mut line, &mut input)? {
            let begin = yaml::without_mark(&line).to_vec();
            line.clear();
            document(collector, begin.as_slice().chain(&mut input), &mut line)
        } else {
            let mut yaml = Yaml::new(std::mem::take(&mut line), &mut input);
            let read = yaml.document(|yaml| Document::<Value>::new(collector).deserialize(yaml));
            line = yaml.rest();
            read
        };
        read.map_err(|why| if number == 1 { why } else { format!("document {number}: {why}") })?;
    }
}

/// Whether a line is the header of a snapshot file.
fn is_header(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(br#"{"crossfade""#) && line.ends_with(b"\n")
}

/// Whether a document begins as one of JSON does: YAML may begin with a brace, too, but needs no quotes behind it. Adds lines until that is known.
fn is_json(begin: &mut Vec<u8>, input: &mut impl BufRead) -> Result<bool, String> {
    loop {
        let Some(rest) = yaml::without_mark(begin).trim_ascii_start().strip_prefix(b"{") else {
            return Ok(false);
        };
        if let Some(next) = rest.trim_ascii_start().first() {
            return Ok(matches!(next, b'"' | b'}'));
        }
        if input.take(LOOKED_AT).read_until(b'\n', begin).map_err(|e| e.to_string())? == 0 {
            return Ok(true);
        }
    }
}

/// One document in each line.
fn lines(collector: &mut Collector, mut line: Vec<u8>, mut input: impl BufRead) -> Result<(), String> {
    let mut number = 1;
    loop {
        if !line.trim_ascii().is_empty() {
            let read = std::str::from_utf8(&line).map_err(|e| e.to_string());
            read.and_then(|line| text(collector, line, None)).map_err(|e| format!("line {number}: {e}"))?;
        }
        line.clear();
        number += 1;
        if input.read_until(b'\n', &mut line).map_err(|e| e.to_string())? == 0 {
            return Ok(());
        }
    }
}

/// A JSON document over many lines. What stands behind it on its last line goes to `rest`.
fn document(collector: &mut Collector, mut input: impl BufRead, rest: &mut Vec<u8>) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_reader(&mut input);
    Document::<Box<RawValue>>::new(collector).deserialize(&mut json).map_err(|e| e.to_string())?;
    drop(json);
    input.take(LOOKED_AT).read_until(b'\n', rest).map(drop).map_err(|e| e.to_string())
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
        read(&mut collector, BufReader::new(bytes))?;
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
            format!("{NODE}\n---\nkind: Node\napiVersion: v1\nmetadata: {{name: b}}\n"),
            format!("{pretty}---\n{pretty}---\n{pretty}"),
            "{kind: Node, apiVersion: v1, metadata: {name: a}}\n---\n{}\n".to_owned(),
            "%YAML 1.2\n---\nkind: Node\napiVersion: v1\nmetadata:\n  name: a\n...\n---\n# nothing\n"
                .to_owned(),
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
    fn an_object_has_a_bound_and_aliases_do_not_multiply() {
        let long = format!(
            r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"a","x":"{}"}}}}"#,
            "x".repeat(17 << 20)
        );
        for text in [format!("{HEADER}\n{long}\n"), long, format!("a: {}", "x".repeat(17 << 20))] {
            for bytes in [gzip(text.as_bytes()), text.into_bytes()] {
                let why = read_bytes(&bytes).expect_err("too long");
                assert!(why.contains("more than 16 MiB"), "{why}");
            }
        }
        let many = vec![NODE; 100].join("\n");
        assert_eq!(read_bytes(many.as_bytes()).expect("many documents").nodes.len(), 1);
        let mut bomb =
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cilium-config}\na: &a0 [x, x]\n".to_owned();
        for level in 1..40 {
            bomb.push_str(&format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}]\n", level - 1));
        }
        let why = read_bytes(bomb.as_bytes()).expect_err("a bomb");
        assert!(why.contains("alias") || why.contains("anchor"), "{why}");
    }

    #[test]
    fn an_empty_file_has_nothing() {
        assert_eq!(read_bytes(b"").expect("read"), Snapshot::default());
        assert_eq!(read_bytes(b"\n# nothing\n").expect("read"), Snapshot::default());
    }
}
