//! The file with the pairs of sets and what the independent tool says of them.

use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::Value;

/// Two sets and the verdicts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// The pair's number, by which its packets are chosen.
    pub(crate) number: usize,
    pub(crate) a: Vec<Value>,
    pub(crate) b: Vec<Value>,
    /// Whether both allow the same connections.
    pub(crate) same: bool,
    /// The same question about their rules for packets that pods receive.
    pub(crate) ingress: bool,
    /// The same question about their rules for packets that pods send.
    pub(crate) egress: bool,
    pub(crate) allowed_a: AllowedPackets,
    pub(crate) allowed_b: AllowedPackets,
}

/// Of the packets that were asked about: how many are allowed, and the beginning of the SHA-256 of a text with `1` for each of them and `0` for each
/// of the others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct AllowedPackets(pub(crate) usize, pub(crate) String);

/// The first line, and the records of the others.
pub(crate) fn read(path: &Path) -> (Value, Vec<Record>) {
    let file = std::fs::File::open(path).expect("the file with the verdicts");
    let mut lines = BufReader::new(GzDecoder::new(file)).lines().map(|line| line.expect("a line"));
    let header = serde_json::from_str(&lines.next().expect("a header")).expect("JSON");
    (header, lines.map(|line| serde_json::from_str(&line).expect("a record")).collect())
}
