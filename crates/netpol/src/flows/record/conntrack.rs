//! Connections that a node's kernel tracks: `crossfade-bootstrap attachments --connections`, `conntrack -L`, `conntrack -E -o timestamp`, and
//! `/proc/net/nf_conntrack`.
//!
//! *Source*: Linux, `net/netfilter/nf_conntrack_standalone.c`; libnetfilter_conntrack, `src/conntrack/snprintf_default.c`; man 8 `conntrack`. A line has
//! two tuples: that of the packets in the direction in which the connection was opened, then that of the answers. The second one has the pod that a
//! Service's address leads to.

use std::net::IpAddr;

use crate::flows::{Flow, FlowEnd, Record, Unjudged};
use crate::traffic::{Detail, ICMP, ICMPV6, Kind, SCTP, TCP, UDP, UDPLITE};
use jiff::Timestamp;
use snapshot::model::Text;

use super::{EXPECTED, to_second};

/// How the program's own count of lines begins, on stderr. *Source*: conntrack-tools, `src/conntrack.c`.
const SUMMARY: &str = "conntrack v";

/// # Errors
/// A line without what a connection must have.
pub(super) fn parse(line: &str) -> Result<Record, String> {
    if line.starts_with(SUMMARY) {
        return Ok(Record::Unjudged(Unjudged::NoPacket));
    }
    let mut time = None;
    let mut words = line.split_whitespace().peekable();
    // `[1700000000.123456]` and `[NEW]` of events, then `ipv4 2` of the long form.
    while let Some(mark) = words.next_if(|word| word.starts_with('[')) {
        time = time.or_else(|| event_time(mark));
    }
    if words.next_if(|word| matches!(*word, "ipv4" | "ipv6")).is_some() {
        words.next();
    }
    let protocol = words.nth(1).and_then(|number| number.parse::<u8>().ok()).ok_or(EXPECTED)?;
    let pairs: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).collect();
    let value = |key: &str, place: usize| {
        let found = pairs.iter().filter(|(other, _)| *other == key).nth(place).map(|(_, value)| *value);
        found.ok_or_else(|| format!("a line of conntrack: expected {key}= {} times", place + 1))
    };
    let address = |key: &str, place: usize| {
        let text = value(key, place)?;
        text.parse::<IpAddr>().map_err(|_| format!("a line of conntrack: {key}={text}: expected an address"))
    };
    let number = |key: &str, place: usize| {
        let text = value(key, place)?;
        text.parse::<u16>().map_err(|_| format!("a line of conntrack: {key}={text}: expected a number"))
    };
    let octet = |key: &str| {
        u8::try_from(number(key, 0)?).map_err(|_| format!("a line of conntrack: {key}: expected at most 255"))
    };
    let (detail, source) = match protocol {
        // The answers come from the port that the packets go to.
        TCP | UDP | SCTP | UDPLITE => (Detail::Port(number("sport", 1)?), Some(number("sport", 0)?)),
        ICMP | ICMPV6 => (Detail::Message(octet("type")?, octet("code")?), None),
        _ => (Detail::None, None),
    };
    let sender = address("src", 0)?;
    Ok(Record::Flow(Flow {
        source: FlowEnd::Address(sender, None),
        destination: FlowEnd::Address(address("src", 1)?, None),
        kind: Kind { protocol, detail, source },
        has_translated_source: address("dst", 1)? != sender,
        time,
    }))
}

/// The moment of an event: `[1700000000.123456]`.
fn event_time(mark: &str) -> Option<Text> {
    let seconds = mark.trim_matches(['[', ']']).split('.').next()?;
    to_second(Timestamp::from_second(seconds.parse().ok()?).ok()?)
}
