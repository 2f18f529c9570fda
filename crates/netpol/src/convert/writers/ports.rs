//! Ports as NetworkPolicies of Kubernetes and of Antrea write them.

use serde_json::{Map, Value};

use crate::convert::intermediate::Traffic;
use crate::convert::report::Refusal;
use crate::engines::kubernetes::PortNumber;
use crate::traffic::{SCTP, TCP, UDP};

/// The protocols that both APIs know. *Source*: `networking.k8s.io/v1`, `NetworkPolicyPort`; `crd.antrea.io/v1beta1`, `NetworkPolicyPort`.
const PROTOCOLS: [(u8, &str); 3] = [(TCP, "TCP"), (UDP, "UDP"), (SCTP, "SCTP")];

/// The protocol and the destination port. `known` says which protocols there are.
///
/// # Errors
/// Another protocol, or a port that neither API has.
pub(crate) fn destination(traffic: &Traffic, supported: &str) -> Result<Map<String, Value>, Refusal> {
    let Traffic { protocol, to, .. } = traffic;
    let Some((_, name)) = PROTOCOLS.iter().find(|(number, _)| number == protocol) else {
        return Err(Refusal::new("protocol", format!("protocol {protocol}: {supported}")));
    };
    let mut port = Map::new();
    port.insert("protocol".into(), (*name).into());
    match to {
        None | Some(PortNumber::Range(0, u16::MAX)) => {}
        Some(PortNumber::Name(name)) => drop(port.insert("port".into(), (**name).into())),
        Some(PortNumber::Range(0, 0)) => {
            return Err(Refusal::new("destination.ports", "port 0 alone, at which no program receives"));
        }
        Some(PortNumber::Range(first, last)) => {
            // The APIs have no port 0.
            let first = (*first).max(1);
            port.insert("port".into(), first.into());
            if *last > first {
                port.insert("endPort".into(), (*last).into());
            }
        }
    }
    Ok(port)
}
