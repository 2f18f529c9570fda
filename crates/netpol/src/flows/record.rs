//! Records of flows: what Hubble, Calico's Whisker and conntrack write.
//!
//! Each of them writes a line for a flow, and no line looks like one of another's, so that files of all of them are read alike.

mod calico;
mod conntrack;
mod hubble;

use jiff::Timestamp;
use serde_json::Value;
use snapshot::model::Text;

use super::{Record, Unjudged};

/// What a line is expected to be.
pub const EXPECTED: &str = "expected a flow of Hubble (hubble observe -o jsonpb), of Whisker (jq -c '.items[]'), or of conntrack (crossfade-bootstrap attachments --connections, conntrack -L -o extended)";

/// The record of a line.
///
/// # Errors
/// The line is none, or lacks something.
pub fn parse(line: &str) -> Result<Record, String> {
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
