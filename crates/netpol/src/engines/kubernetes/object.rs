//! NetworkPolicies as they are written.

use serde::Deserialize;
use serde_json::Value;
use snapshot::Range;
use snapshot::model::Text;

use super::selector::{LabelSelector, Requirement};
use crate::engines::manifest::{self, BlockSpec, Manifest, directions, entries, last_port, peers, protocol};
use crate::tier::Direction;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub namespace: Text,
    pub name: Text,
    /// The pods of its namespace that it selects.
    pub pods: LabelSelector,
    /// The directions in which the selected pods are isolated.
    pub types: Vec<Direction>,
    /// What the selected pods may receive.
    pub ingress: Vec<Rule>,
    /// What they may send.
    pub egress: Vec<Rule>,
}

/// What is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// The other end; every peer, if the list is empty.
    pub peers: Vec<Peer>,
    /// The traffic; all of it, if the list is empty.
    pub ports: Vec<Port>,
}

impl Rule {
    /// A rule that allows nothing.
    pub(crate) fn new_empty() -> Self {
        let unmatchable = Requirement { key: Text::from("="), operator: "Exists".into(), values: Vec::new() };
        let pods = LabelSelector { match_expressions: vec![unmatchable], ..LabelSelector::default() };
        Self { peers: vec![Peer::Pods(Some(pods), None)], ports: Vec::new() }
    }
}

/// An other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Pods by their labels, in the policy's namespace or in those with some labels.
    Pods(Option<LabelSelector>, Option<LabelSelector>),
    /// Addresses.
    Block(Block),
}

/// A range of addresses without some parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub range: Range,
    /// The parts that it does not have.
    pub except: Vec<Range>,
}

/// Ports of a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The protocol's number.
    pub protocol: u8,
    /// The ports; all of them, if there is none.
    pub port: Option<PortNumber>,
}

/// Ports by number or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortNumber {
    Range(u16, u16),
    /// The container port of this name.
    Name(Text),
}

/// Reads a NetworkPolicy.
///
/// # Errors
/// One line that names what is not as the API has it, an unknown field among it: nothing of a policy is skipped.
pub fn read(object: &Value) -> Result<Policy, String> {
    let written: Manifest<Spec> = manifest::object(object)?;
    let (name, namespace) = (written.metadata.name, written.metadata.namespace.unwrap_or_default());
    Ok(Policy { namespace, name, ..written.spec.read()? })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    #[serde(default)]
    pod_selector: LabelSelector,
    #[serde(default)]
    ingress: Option<Vec<RuleSpec>>,
    #[serde(default)]
    egress: Option<Vec<RuleSpec>>,
    #[serde(default)]
    policy_types: Option<Vec<Text>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleSpec {
    #[serde(default)]
    from: Option<Vec<PeerSpec>>,
    #[serde(default)]
    to: Option<Vec<PeerSpec>>,
    #[serde(default)]
    ports: Option<Vec<PortSpec>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PeerSpec {
    #[serde(default)]
    pod_selector: Option<LabelSelector>,
    #[serde(default)]
    namespace_selector: Option<LabelSelector>,
    #[serde(default)]
    ip_block: Option<BlockSpec>,
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
}

impl Spec {
    fn read(self) -> Result<Policy, String> {
        let egress = self.egress.unwrap_or_default();
        let types = match self.policy_types.filter(|types| !types.is_empty()) {
            Some(types) => directions(&types, "spec.policyTypes")?,
            // *Source*: `NetworkPolicySpec.policyTypes`: always Ingress, and Egress if there is a rule for it.
            None if egress.is_empty() => vec![Direction::Ingress],
            None => vec![Direction::Ingress, Direction::Egress],
        };
        let rules = |rules: Vec<RuleSpec>, way: Direction| {
            entries(rules, &format!("spec.{}", way.name().to_lowercase()), |rule| rule.read(way))
        };
        Ok(Policy {
            namespace: Text::default(),
            name: Text::default(),
            pods: self.pod_selector,
            types,
            ingress: rules(self.ingress.unwrap_or_default(), Direction::Ingress)?,
            egress: rules(egress, Direction::Egress)?,
        })
    }
}

impl RuleSpec {
    fn read(self, way: Direction) -> Result<Rule, String> {
        let (written, key) = peers(self.from, self.to, way).map_err(|why| format!(".{why}"))?;
        Ok(Rule {
            peers: entries(written, &format!(".{key}"), PeerSpec::read)?,
            ports: entries(self.ports.unwrap_or_default(), ".ports", PortSpec::read)?,
        })
    }
}

impl PeerSpec {
    fn read(self) -> Result<Peer, String> {
        match (self.ip_block, self.pod_selector, self.namespace_selector) {
            (None, None, None) => Err(": expected podSelector, namespaceSelector or ipBlock".into()),
            (None, pods, namespaces) => Ok(Peer::Pods(pods, namespaces)),
            (Some(block), None, None) => {
                block.read().map(Peer::Block).map_err(|why| format!(".ipBlock{why}"))
            }
            (Some(_), _, _) => Err(": ipBlock beside a selector, which the API refuses".into()),
        }
    }
}

impl PortSpec {
    fn read(self) -> Result<Port, String> {
        let protocol = protocol(self.protocol.as_deref()).map_err(|why| format!(".{why}"))?;
        let number = |value: &Value| {
            value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0)
        };
        let port = match (self.port, self.end_port) {
            (None, None) => None,
            (None, Some(_)) => return Err(".endPort: expected port beside it".into()),
            (Some(Value::String(name)), None) => Some(PortNumber::Name(name.into())),
            (Some(value), end) => {
                let first = number(&value)
                    .ok_or_else(|| format!(".port: {value}: expected 1 to 65535, or a name"))?;
                let last = last_port(first, end, ".endPort")?;
                Some(PortNumber::Range(first, last))
            }
        };
        Ok(Port { protocol, port })
    }
}
