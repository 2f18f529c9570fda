//! Flows of Calico: what Whisker answers, of the flows that Goldmane collects in the open-source releases from 3.30 on.
//!
//! *Source*: projectcalico/calico, `whisker-backend/pkg/apis/v1/flows.go` (`FlowResponse`), `whisker-backend/pkg/handlers/v1/protoconvert.go`;
//! `felix/collector/types/endpoint`: the record has no addresses, a pod has the `generateName` that it was made of, and a host its name.

use crate::flows::{Flow, FlowEnd, Record, Unjudged};
use crate::traffic::{Detail, ICMP, ICMPV6, Kind, SCTP, TCP, UDP};
use serde::Deserialize;
use serde_json::Value;
use snapshot::model::Text;

use super::moment;

#[derive(Deserialize)]
struct WhiskerFlow {
    start_time: Text,
    action: Text,
    source_name: Text,
    source_namespace: Text,
    dest_name: Text,
    dest_namespace: Text,
    protocol: Text,
    dest_port: u16,
}

/// # Errors
/// A field that is missing or has another type, or a protocol that is none.
pub(super) fn parse(line: &Value) -> Result<Record, String> {
    let flow = WhiskerFlow::deserialize(line).map_err(|e| format!("a flow of Whisker: {e}"))?;
    if &*flow.action == "Deny" {
        return Ok(Record::Unjudged(Unjudged::Dropped));
    }
    Ok(Record::Flow(Flow {
        kind: kind(&flow)?,
        source: end(flow.source_namespace, flow.source_name),
        destination: end(flow.dest_namespace, flow.dest_name),
        has_translated_source: false,
        time: moment(&flow.start_time)?,
    }))
}

/// The names are those of `felix/collector/utils`. Types of ICMP are not in the record.
fn kind(flow: &WhiskerFlow) -> Result<Kind, String> {
    let protocol = match &*flow.protocol.to_ascii_lowercase() {
        "tcp" => TCP,
        "udp" => UDP,
        "sctp" => SCTP,
        "icmp" => ICMP,
        "icmp6" => ICMPV6,
        "ipip" => 4,
        "esp" => 50,
        number => number.parse().map_err(|_| {
            format!("a flow of Whisker: protocol: {number:?}: expected a name such as tcp, or a number")
        })?,
    };
    let detail =
        if matches!(protocol, TCP | UDP | SCTP) { Detail::Port(flow.dest_port) } else { Detail::None };
    Ok(Kind { protocol, detail, source: None })
}

fn end(namespace: Text, name: Text) -> FlowEnd {
    match (&*namespace, &*name) {
        (_, "PRIVATE NETWORK" | "pvt") => FlowEnd::Network { is_private: true },
        (_, "PUBLIC NETWORK" | "pub") => FlowEnd::Network { is_private: false },
        ("" | "-" | "Global", _) => FlowEnd::Host(name),
        _ => FlowEnd::Pods(namespace, name),
    }
}
