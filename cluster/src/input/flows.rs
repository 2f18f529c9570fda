//! Records of flows: what Hubble, Calico's Whisker and conntrack write.
//!
//! Each of them writes a line for a flow, and no line looks like one of another's, so that files of all of them are read alike.

mod calico;
mod conntrack;
mod hubble;

use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use netpol::flows::{Record, Unjudged};
use serde_json::Value;
use snapshot::model::Text;
use types::command::problem::Problem;

use crate::input;

/// Largest line, in bytes. *Source*: none; a flow of Hubble has a few thousand, with the labels of both pods.
const MAX_LINE: u64 = 1 << 20;
/// What a line is expected to be.
const EXPECTED: &str = "expected a flow of Hubble (hubble observe -o jsonpb), of Whisker (jq -c '.items[]'), or of conntrack (conntrack -L -o extended)";

/// Hands over all that is in files, where `-` is stdin.
///
/// # Errors
/// The first file that cannot be read, or line that is no flow.
pub(crate) fn read_all(files: &[PathBuf], add: &mut dyn FnMut(Record)) -> Result<(), Problem> {
    files.iter().try_for_each(|file| read_file(file, add))
}

fn read_file(file: &Path, add: &mut dyn FnMut(Record)) -> Result<(), Problem> {
    let name = file.display().to_string();
    let problem = |why: String| {
        Problem::new(format!("{name}: {why}"))
            .with_place(&name)
            .fix("record the flows again: docs/policies.md has the commands, under \"Which real flows would be denied\"")
    };
    if name == "-" {
        return read(std::io::stdin().lock(), add).map_err(problem);
    }
    let open = input::open(file).map_err(|e| problem(e.to_string()))?;
    read(BufReader::with_capacity(1 << 16, open), add).map_err(problem)
}

/// Hands over the record of each line.
fn read(mut input: impl BufRead, add: &mut dyn FnMut(Record)) -> Result<(), String> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let length =
            (&mut input).take(MAX_LINE + 1).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
        if length == 0 {
            break;
        }
        if length as u64 > MAX_LINE {
            return Err(format!("line {number}: it has more than {} MiB; {EXPECTED}", MAX_LINE >> 20));
        }
        let text = std::str::from_utf8(&line).map_err(|e| format!("line {number}: {e}"))?.trim();
        if !text.is_empty() {
            add(parse(text).map_err(|why| format!("line {number}: {why}"))?);
        }
    }
    Ok(())
}

/// The record of a line.
///
/// # Errors
/// The line is none, or lacks something.
fn parse(line: &str) -> Result<Record, String> {
    // Whisker streams events: `data: {..}`. *Source*: projectcalico/calico, `lib/httpmachinery/pkg/apiutil/eventstream.go`.
    let json = line.strip_prefix("data:").unwrap_or(line).trim_start();
    if !json.starts_with('{') {
        return conntrack::parse(line);
    }
    let value: Value = serde_json::from_str(json).map_err(|e| format!("no JSON: {e}; {EXPECTED}"))?;
    let has = |key: &str| value.get(key).is_some();
    if has("source_name") {
        calico::parse(&value)
    } else if ["flow", "IP"].into_iter().any(has) {
        hubble::parse(&value)
    } else if let Some(lost) = value.get("lost_events") {
        Ok(hubble::parse_lost(lost))
    } else if ["node_status", "agent_event", "debug_event"].into_iter().any(has) {
        Ok(Record::Unjudged(Unjudged::NoPacket))
    } else {
        Err(EXPECTED.into())
    }
}

/// The moment of a flow; none if the record does not have it.
///
/// # Errors
/// It is no moment.
fn moment(text: &str) -> Result<Option<Text>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(to_second).map_err(|e| format!("time: {text:?}: {e}"))
}

/// A moment as flows have it.
fn to_second(time: Timestamp) -> Option<Text> {
    Some(Timestamp::from_second(time.as_second()).ok()?.to_string().into())
}

#[cfg(test)]
mod tests;
