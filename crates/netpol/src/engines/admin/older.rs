//! AdminNetworkPolicies and the BaselineAdminNetworkPolicy, which came before ClusterNetworkPolicy, as they are written.
//!
//! *Source*: kubernetes-sigs/network-policy-api, `apis/v1alpha1`.

use serde::Deserialize;
use serde_json::Value;
use snapshot::model::Text;

use super::object::{LAST, PeerSpec, Place, Policy, Port, Rule, RuleAction, Subject, ends};
use crate::engines::kubernetes::{self, PortNumber};
use crate::engines::manifest::{self, Manifest, entries, protocol};
use crate::tier::Direction;

/// Reads an AdminNetworkPolicy.
///
/// # Errors
/// As [`super::read`].
pub fn read_admin(object: &Value) -> Result<Policy, String> {
    let policy = read_older(object, "AdminNetworkPolicy", Place::Admin)?;
    let priority = object.pointer("/spec/priority").and_then(Value::as_u64);
    let priority = priority.and_then(|number| u16::try_from(number).ok()).filter(|number| *number <= LAST);
    let why = || format!("spec.priority: expected 0 to {LAST}");
    Ok(Policy { priority: priority.ok_or_else(why)?, ..policy })
}

/// Reads the BaselineAdminNetworkPolicy, of which a cluster has one.
///
/// # Errors
/// As [`super::read`].
pub fn read_baseline(object: &Value) -> Result<Policy, String> {
    let policy = read_older(object, "BaselineAdminNetworkPolicy", Place::Baseline)?;
    let rules = policy.ingress.iter().chain(&policy.egress);
    if rules.into_iter().any(|rule| rule.action == RuleAction::Pass) {
        return Err("action: Pass: expected Allow or Deny".into());
    }
    Ok(policy)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    /// Read on its own, for the baseline has none.
    #[serde(default, rename = "priority")]
    _priority: Option<Value>,
    subject: Subject,
    #[serde(default)]
    ingress: Vec<RuleSpec>,
    #[serde(default)]
    egress: Vec<RuleSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleSpec {
    #[serde(default, rename = "name")]
    _name: Option<Text>,
    action: Text,
    #[serde(default)]
    from: Option<Vec<PeerSpec>>,
    #[serde(default)]
    to: Option<Vec<PeerSpec>>,
    #[serde(default)]
    ports: Option<Vec<PortSpec>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PortSpec {
    #[serde(default)]
    port_number: Option<Number>,
    #[serde(default)]
    named_port: Option<Text>,
    #[serde(default)]
    port_range: Option<Range>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Number {
    #[serde(default)]
    protocol: Option<Text>,
    port: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    #[serde(default)]
    protocol: Option<Text>,
    start: u16,
    end: u16,
}

fn read_older(object: &Value, kind: &'static str, place: Place) -> Result<Policy, String> {
    let written: Manifest<Spec> = manifest::object(object)?;
    let name = written.metadata.name;
    let named = |why: String| format!("spec.{why}");
    let Spec { subject, ingress, egress, .. } = written.spec;
    let rules = |written: Vec<RuleSpec>, way: Direction| {
        entries(written, &way.name().to_lowercase(), |rule| rule.read(way)).map_err(named)
    };
    Ok(Policy {
        kind,
        place,
        priority: 0,
        pods: subject.read().map_err(|why| named(format!("subject{why}")))?,
        ingress: rules(ingress, Direction::Ingress)?,
        egress: rules(egress, Direction::Egress)?,
        name,
    })
}

impl RuleSpec {
    fn read(self, way: Direction) -> Result<Rule, String> {
        let action = match &*self.action {
            "Allow" => RuleAction::Accept,
            "Deny" => RuleAction::Deny,
            "Pass" => RuleAction::Pass,
            other => return Err(format!(".action: {other:?}: expected Allow, Deny or Pass")),
        };
        let peers = ends(self.from, self.to, way)?;
        let ports = entries(self.ports.unwrap_or_default(), ".ports", PortSpec::read)?;
        Rule { action, peers, ports }.check()
    }
}

impl PortSpec {
    fn read(self) -> Result<Port, String> {
        let to = |name: Option<Text>, first: u16, last: u16| {
            let protocol = protocol(name.as_deref()).map_err(|why| format!(".{why}"))?;
            Ok(Port::To(kubernetes::Port { protocol, port: Some(PortNumber::Range(first, last)) }))
        };
        match (self.port_number, self.named_port, self.port_range) {
            (Some(Number { protocol, port }), None, None) => to(protocol, port, port),
            (None, Some(name), None) => Ok(Port::Named(name)),
            (None, None, Some(Range { protocol, start, end })) if start <= end => to(protocol, start, end),
            (None, None, Some(Range { start, end, .. })) => {
                Err(format!(".portRange: {start} to {end}: expected the start below the end"))
            }
            _ => Err(": expected one of portNumber, namedPort and portRange".into()),
        }
    }
}
