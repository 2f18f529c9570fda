//! Flows of Hubble: `hubble observe -o jsonpb`, and what Cilium exports to a file.
//!
//! *Source*: cilium/cilium, `api/v1/flow/flow.proto`, `api/v1/observer/observer.proto`; `hubble/pkg/printer`. `-o json` of Hubble before 0.11 has the
//! flow itself. A field that is false, 0 or empty is left out.
//!
//! An agent with `monitor-aggregation: none` also records each packet where it arrives, before it looks up the connection. *Source*: cilium/cilium,
//! `bpf/lib/trace.h`.

use std::net::IpAddr;

use crate::flows::{Flow, FlowEnd, Record, RecordedPod, Unjudged};
use crate::traffic::{Detail, ICMP, ICMPV6, Kind, SCTP, TCP, UDP};
use serde::Deserialize;
use serde_json::Value;
use snapshot::model::{Labels, Text};

use super::moment;

/// The labels that pods have in Kubernetes. *Source*: cilium/cilium, `pkg/labels`, `LabelSourceK8s`.
const KUBERNETES: &str = "k8s:";
/// What Cilium adds to these labels. *Source*: cilium/cilium, `pkg/k8s/apis/cilium.io/const.go`.
const ADDED: [&str; 2] = ["io.cilium.k8s.", "io.kubernetes.pod.namespace"];
/// Points of observation before the connection is looked up: `FROM_ENDPOINT`, `FROM_NETWORK`.
const ARRIVAL: &str = "FROM_";
const ACCOUNT: &str = "k8s:io.cilium.k8s.policy.serviceaccount=";

#[derive(Deserialize)]
struct HubbleFlow {
    #[serde(default)]
    time: Text,
    #[serde(default)]
    verdict: Text,
    #[serde(rename = "IP")]
    addresses: Option<Addresses>,
    l4: Option<Layer4>,
    #[serde(default)]
    source: Endpoint,
    #[serde(default)]
    destination: Endpoint,
    #[serde(rename = "Type", default)]
    kind: Text,
    is_reply: Option<bool>,
    #[serde(default)]
    trace_observation_point: Text,
}

#[derive(Deserialize)]
struct Addresses {
    source: IpAddr,
    destination: IpAddr,
}

#[derive(Deserialize)]
struct Layer4 {
    #[serde(rename = "TCP")]
    tcp: Option<Ports>,
    #[serde(rename = "UDP")]
    udp: Option<Ports>,
    #[serde(rename = "SCTP")]
    sctp: Option<Ports>,
    #[serde(rename = "ICMPv4")]
    icmp: Option<Message>,
    #[serde(rename = "ICMPv6")]
    icmpv6: Option<Message>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ports {
    source_port: u16,
    destination_port: u16,
    flags: Flags,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "UPPERCASE", default)]
struct Flags {
    syn: bool,
    ack: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Message {
    r#type: u8,
    code: u8,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoint {
    namespace: Text,
    pod_name: Text,
    labels: Vec<String>,
}

/// How many flows a line says to be lost. 64 bits are a text in the JSON of protobuf.
pub(super) fn parse_lost(events: &Value) -> Record {
    let number = events.get("num_events_lost");
    let count = number.and_then(|number| number.as_u64().or_else(|| number.as_str()?.parse().ok()));
    Record::Lost(count.unwrap_or(1))
}

/// # Errors
/// A field that has another type, or none of those that a packet must have.
pub(super) fn parse(line: &Value) -> Result<Record, String> {
    let flow = line.get("flow").unwrap_or(line);
    let flow = HubbleFlow::deserialize(flow).map_err(|e| format!("a flow of Hubble: {e}"))?;
    if &*flow.kind != "L3_L4" {
        return Ok(Record::Unjudged(Unjudged::NoPacket));
    }
    if &*flow.verdict == "DROPPED" {
        return Ok(Record::Unjudged(Unjudged::Dropped));
    }
    if flow.is_reply.is_none() && flow.trace_observation_point.starts_with(ARRIVAL) {
        return Ok(Record::Unjudged(Unjudged::SeenAgain));
    }
    // A frame of another protocol than IP has neither.
    let Some(layer) = &flow.l4 else { return Ok(Record::Unjudged(Unjudged::NoPacket)) };
    let addresses = flow.addresses.ok_or("a flow of Hubble: expected IP.source and IP.destination")?;
    let Some((kind, opens)) = kind(layer) else { return Ok(Record::Unjudged(Unjudged::NoPacket)) };
    if flow.is_reply == Some(true) || is_about_another(&kind) {
        return Ok(Record::Unjudged(Unjudged::Reply));
    }
    if flow.is_reply.is_none() && !opens {
        return Ok(Record::Unjudged(Unjudged::UnknownDirection));
    }
    Ok(Record::Flow(Flow {
        source: FlowEnd::Address(addresses.source, pod(flow.source)),
        destination: FlowEnd::Address(addresses.destination, pod(flow.destination)),
        kind,
        has_translated_source: false,
        time: moment(&flow.time)?,
    }))
}

/// The traffic, and whether the packet opens a connection.
fn kind(layer: &Layer4) -> Option<(Kind, bool)> {
    let ports = [(TCP, &layer.tcp), (UDP, &layer.udp), (SCTP, &layer.sctp)];
    if let Some((protocol, ports)) =
        ports.into_iter().find_map(|(protocol, ports)| Some((protocol, ports.as_ref()?)))
    {
        let detail = Detail::Port(ports.destination_port);
        let opens = ports.flags.syn && !ports.flags.ack;
        return Some((Kind { protocol, detail, source: Some(ports.source_port) }, opens));
    }
    let messages = [(ICMP, &layer.icmp), (ICMPV6, &layer.icmpv6)];
    let (protocol, message) =
        messages.into_iter().find_map(|(protocol, message)| Some((protocol, message.as_ref()?)))?;
    let kind = Kind { protocol, detail: Detail::Message(message.r#type, message.code), source: None };
    Some((kind, false))
}

/// An answer to an echo request, or an error about another packet. *Source*: RFC 792; RFC 4443.
fn is_about_another(kind: &Kind) -> bool {
    matches!(
        (kind.protocol, kind.detail),
        (ICMP, Detail::Message(0 | 3 | 4 | 11 | 12, _)) | (ICMPV6, Detail::Message(1..=4 | 129, _))
    )
}

fn pod(endpoint: Endpoint) -> Option<RecordedPod> {
    if endpoint.pod_name.is_empty() {
        return None;
    }
    let of_kubernetes = || endpoint.labels.iter().filter_map(|label| label.strip_prefix(KUBERNETES));
    let own = of_kubernetes().filter(|label| !ADDED.iter().any(|added| label.starts_with(added)));
    let labels: Labels = own
        .map(|label| label.split_once('=').unwrap_or((label, "")))
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    let account = endpoint.labels.iter().find_map(|label| label.strip_prefix(ACCOUNT)).map(Text::from);
    Some(RecordedPod {
        // A pod always has the label of its namespace; without labels the record says nothing of it.
        labels: of_kubernetes().next().is_some().then_some(labels),
        namespace: endpoint.namespace,
        name: endpoint.pod_name,
        account,
    })
}
