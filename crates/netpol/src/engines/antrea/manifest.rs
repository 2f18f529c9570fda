//! Policies of Antrea as they are written.

use serde::Deserialize;
use serde_json::Value;
use snapshot::model::Text;

use super::object::{Message, Peer, Policy, Port, Rule, RuleAction, Target};
use crate::engines::kubernetes::{self, LabelSelector, PortNumber};
use crate::engines::manifest::{self, BlockSpec, Manifest, Metadata, entries, last_port, peers, protocol};
use crate::expression::{ACCOUNT_NAME, Expression, LabelOwner};
use crate::tier::Direction;
use crate::world::mention::bounded_sources;

/// The tier of policies that name none. *Source*: Antrea, "Tier".
const DEFAULT_TIER: &str = "application";

/// Reads a NetworkPolicy or a ClusterNetworkPolicy of Antrea.
///
/// # Errors
/// One line that names what is not as the API has it, or what an evaluator cannot know; nothing of a policy is skipped.
pub fn read_policy(object: &Value) -> Result<Policy, String> {
    let written: Manifest<Spec> = manifest::object(object)?;
    let Metadata { name, namespace, .. } = written.metadata;
    let named = |why: String| format!("spec.{why}");
    let spec = written.spec;
    let applied = targets(spec.applied_to.as_deref(), namespace.as_ref()).map_err(named)?;
    let rules = |rules: Option<Vec<RuleSpec>>, direction: Direction| {
        let key = direction.name().to_lowercase();
        let read = |rule: RuleSpec| {
            rule.read(direction, &applied, namespace.as_ref()).map_err(|why| format!(".{why}"))
        };
        entries(rules.unwrap_or_default(), &key, read).map_err(named)
    };
    let ingress = rules(spec.ingress, Direction::Ingress)?;
    let egress = rules(spec.egress, Direction::Egress)?;
    let ports = ingress.iter().chain(&egress).flat_map(|rule| &rule.ports);
    bounded_sources(ports.filter(|port| port.from.is_some()).count()).map_err(named)?;
    Ok(Policy {
        ingress,
        egress,
        tier: spec.tier.filter(|tier| !tier.is_empty()).unwrap_or_else(|| DEFAULT_TIER.into()),
        priority: spec.priority,
        namespace,
        name,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    #[serde(default)]
    tier: Option<Text>,
    priority: f64,
    #[serde(default)]
    applied_to: Option<Vec<PeerSpec>>,
    #[serde(default)]
    ingress: Option<Vec<RuleSpec>>,
    #[serde(default)]
    egress: Option<Vec<RuleSpec>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuleSpec {
    action: Text,
    #[serde(default)]
    ports: Option<Vec<PortSpec>>,
    #[serde(default)]
    protocols: Option<Vec<ProtocolSpec>>,
    #[serde(default)]
    l7_protocols: Option<Value>,
    #[serde(default)]
    from: Option<Vec<PeerSpec>>,
    #[serde(default)]
    to: Option<Vec<PeerSpec>>,
    #[serde(default)]
    to_services: Option<Value>,
    #[serde(default)]
    applied_to: Option<Vec<PeerSpec>>,
    /// For people and logs, like the two after it.
    #[serde(default, rename = "name")]
    _name: Option<Text>,
    #[serde(default, rename = "enableLogging")]
    _enable_logging: bool,
    #[serde(default, rename = "logLabel")]
    _log_label: Option<Text>,
}

/// An entry of `appliedTo`, `from` or `to`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PeerSpec {
    #[serde(default)]
    pod_selector: Option<LabelSelector>,
    #[serde(default)]
    namespace_selector: Option<LabelSelector>,
    #[serde(default)]
    namespaces: Option<NamespacesSpec>,
    #[serde(default)]
    ip_block: Option<BlockSpec>,
    #[serde(default)]
    group: Option<Text>,
    #[serde(default)]
    service_account: Option<AccountSpec>,
    #[serde(default)]
    scope: Option<Text>,
    #[serde(default)]
    fqdn: Option<Text>,
    #[serde(default)]
    node_selector: Option<Value>,
    #[serde(default)]
    service: Option<Value>,
    #[serde(default)]
    external_entity_selector: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NamespacesSpec {
    #[serde(default, rename = "match")]
    matched: Option<Text>,
    #[serde(default)]
    same_labels: Option<Vec<Text>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountSpec {
    name: Text,
    namespace: Text,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PortSpec {
    #[serde(default)]
    protocol: Option<Text>,
    #[serde(default)]
    port: Option<Value>,
    #[serde(default)]
    end_port: Option<u16>,
    #[serde(default)]
    source_port: Option<u16>,
    #[serde(default)]
    source_end_port: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProtocolSpec {
    #[serde(default)]
    icmp: Option<Message>,
    #[serde(default)]
    igmp: Option<Value>,
}

/// The condition of a selector of pods and of one of namespaces: without the latter those of the namespace, or of all namespaces.
pub(super) fn pods(
    pods: Option<&LabelSelector>,
    namespaces: Option<&LabelSelector>,
    namespace: Option<&Text>,
) -> Result<Expression, String> {
    let place = match namespaces {
        Some(selector) => selector.expression(LabelOwner::Namespace)?,
        None => namespace.map_or(Expression::Always, |name| Expression::Within(name.clone())),
    };
    Ok(place.and(pods.map_or(Ok(Expression::Always), |selector| selector.expression(LabelOwner::Pod))?))
}

fn targets(written: Option<&[PeerSpec]>, namespace: Option<&Text>) -> Result<Vec<Target>, String> {
    entries(written.unwrap_or_default(), "appliedTo", |entry| entry.target(namespace))
}

impl RuleSpec {
    fn read(
        self,
        direction: Direction,
        applied: &[Target],
        namespace: Option<&Text>,
    ) -> Result<Rule, String> {
        for (value, why) in [
            (&self.l7_protocols, "l7Protocols: requests, of which no evaluator of packets can tell"),
            (&self.to_services, "toServices: the endpoints of Services, which no evaluator reads"),
        ] {
            if value.is_some() {
                return Err(why.into());
            }
        }
        let (peers, key) = peers(self.from, self.to, direction)?;
        let own = targets(self.applied_to.as_deref(), namespace)?;
        let applied = match (own.is_empty(), applied.is_empty()) {
            (true, false) => applied.to_vec(),
            (false, true) => own,
            _ => return Err("appliedTo: expected here or in the policy, and not in both".into()),
        };
        let action = match &*self.action {
            "Allow" => RuleAction::Allow,
            "Drop" | "Reject" => RuleAction::Deny,
            "Pass" => RuleAction::Pass,
            other => return Err(format!("action: {other:?}: expected Allow, Drop, Reject or Pass")),
        };
        let message = |protocol: ProtocolSpec| match (protocol.icmp, protocol.igmp) {
            (Some(message), None) => Ok(message),
            (_, Some(_)) => Err(".igmp: groups of receivers, which no evaluator reads".to_owned()),
            (None, None) => Err(": expected icmp".to_owned()),
        };
        Ok(Rule {
            applied,
            action,
            peers: entries(peers, key, |peer| peer.peer(namespace))?,
            ports: entries(self.ports.unwrap_or_default(), "ports", PortSpec::read)?,
            messages: entries(self.protocols.unwrap_or_default(), "protocols", message)?,
        })
    }
}

impl PeerSpec {
    /// Refuses what no evaluator can know, and more than one way to select.
    fn check(&self) -> Result<(), String> {
        for (is_there, field) in [
            (self.fqdn.is_some(), "fqdn: names, of which packets do not tell"),
            (self.node_selector.is_some(), "nodeSelector: nodes by their labels, which no evaluator reads"),
            (self.service.is_some(), "service: the endpoints of a Service, which no evaluator reads"),
            (
                self.external_entity_selector.is_some(),
                "externalEntitySelector: endpoints that no evaluator reads",
            ),
            (
                self.scope.as_deref().is_some_and(|scope| scope != "Cluster"),
                "scope: pods of other clusters, which no evaluator reads",
            ),
        ] {
            if is_there {
                return Err(format!(".{field}"));
            }
        }
        let selectors =
            self.pod_selector.is_some() || self.namespace_selector.is_some() || self.namespaces.is_some();
        let ways = [selectors, self.ip_block.is_some(), self.group.is_some(), self.service_account.is_some()];
        match ways.iter().filter(|is_used| **is_used).count() {
            1 if self.namespaces.is_some() && self.namespace_selector.is_some() => {
                Err(": namespaces beside namespaceSelector, which the API refuses".into())
            }
            1 => Ok(()),
            0 => Err(": expected podSelector, namespaceSelector, group, serviceAccount or ipBlock".into()),
            _ => Err(": more than one way to select, which the API refuses".into()),
        }
    }

    fn target(&self, namespace: Option<&Text>) -> Result<Target, String> {
        self.check()?;
        if self.ip_block.is_some() || self.namespaces.is_some() {
            return Err(": expected pods, for policies are not applied to anything else".into());
        }
        if namespace.is_some() && self.namespace_selector.is_some() {
            return Err(".namespaceSelector: no such field in a policy of one namespace".into());
        }
        match &self.group {
            Some(group) => Ok(Target::Group(group.clone())),
            None => self.condition(namespace).map(Target::Pods),
        }
    }

    fn peer(&self, namespace: Option<&Text>) -> Result<Peer, String> {
        self.check()?;
        if let Some(block) = &self.ip_block {
            return block.read().map(Peer::Block).map_err(|why| format!(".ipBlock{why}"));
        }
        if let Some(group) = &self.group {
            return Ok(Peer::Group(group.clone()));
        }
        let Some(namespaces) = &self.namespaces else { return self.condition(namespace).map(Peer::Pods) };
        if namespace.is_some() {
            return Err(".namespaces: no such field in a policy of one namespace".into());
        }
        let condition = self.condition(None)?;
        let labels = namespaces.same_labels.clone().unwrap_or_default();
        match (namespaces.matched.as_deref(), labels.is_empty()) {
            (Some("Self" | "self"), true) => Ok(Peer::SameNamespace(condition)),
            (None | Some(""), false) => Ok(Peer::SameLabels(labels, condition)),
            _ => Err(".namespaces: expected match: Self, or sameLabels".into()),
        }
    }

    fn condition(&self, namespace: Option<&Text>) -> Result<Expression, String> {
        if let Some(account) = &self.service_account {
            let named = Expression::In(LabelOwner::Account, ACCOUNT_NAME.into(), vec![account.name.clone()]);
            return Ok(Expression::Within(account.namespace.clone()).and(named));
        }
        let selected = pods(self.pod_selector.as_ref(), self.namespace_selector.as_ref(), namespace);
        selected.map_err(|why| format!(": {why}"))
    }
}

impl PortSpec {
    fn read(self) -> Result<Port, String> {
        let protocol = protocol(self.protocol.as_deref()).map_err(|why| format!(".{why}"))?;
        let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
        let port = match (&self.port, self.end_port) {
            (None, None) => None,
            (None, Some(_)) => return Err(".endPort: expected port beside it".into()),
            (Some(Value::String(name)), None) => Some(PortNumber::Name(name.as_str().into())),
            (Some(value), end) => {
                let first =
                    number(value).ok_or_else(|| format!(".port: {value}: expected 0 to 65535, or a name"))?;
                Some(PortNumber::Range(first, last_port(first, end, ".endPort")?))
            }
        };
        let from = match (self.source_port, self.source_end_port) {
            (None, None) => None,
            (None, Some(_)) => return Err(".sourceEndPort: expected sourcePort beside it".into()),
            (Some(first), end) => Some(first..=last_port(first, end, ".sourceEndPort")?),
        };
        Ok(Port { to: kubernetes::Port { protocol, port }, from })
    }
}
