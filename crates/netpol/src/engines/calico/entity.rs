//! One end of a rule as it is written, with its protocols, ports and ranges.

use serde::Deserialize;
use serde_json::Value;
use snapshot::Range;
use snapshot::model::Text;

use super::object::{Entity, Port, Protocol};
use super::selector::{parse, parse_for_accounts, parse_for_namespaces};
use crate::engines::calico::manifest::conjunction;
use crate::engines::manifest::range_or_address;
use crate::expression::{ACCOUNT_NAME, Expression, LabelOwner};
use crate::traffic::{ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE};

/// Numbers that may be written as text.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Number {
    Number(u64),
    Text(Text),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct EntitySpec {
    selector: Text,
    namespace_selector: Text,
    not_selector: Text,
    nets: Vec<Text>,
    not_nets: Vec<Text>,
    ports: Vec<Number>,
    not_ports: Vec<Number>,
    service_accounts: Option<Accounts>,
    services: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Accounts {
    names: Vec<Text>,
    selector: Text,
}

/// *Source*: `numorstring.Protocol`.
pub(super) fn protocol(number: &Number) -> Result<Protocol, String> {
    let expected = "expected TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 1 to 255";
    match number {
        Number::Number(number) => u8::try_from(*number)
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| format!("{number}: {expected}")),
        Number::Text(name) => match name.to_ascii_lowercase().as_str() {
            "tcp" => Ok(TCP),
            "udp" => Ok(UDP),
            "icmp" => Ok(ICMP),
            "icmpv6" => Ok(ICMPV6),
            "sctp" => Ok(SCTP),
            "udplite" => Ok(UDPLITE),
            other => {
                other.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("{name:?}: {expected}"))
            }
        },
    }
}

impl EntitySpec {
    pub(super) fn read(self, namespace: Option<&Text>) -> Result<Entity, String> {
        if self.services.is_some() {
            return Err("services: the endpoints of Services, which no evaluator reads yet".into());
        }
        Ok(Entity {
            selected: self.selected_expression(namespace)?,
            not_selected: if self.not_selector.is_empty() {
                None
            } else {
                Some(parse(&self.not_selector).map_err(|why| format!("notSelector: {why}"))?)
            },
            nets: ranges(&self.nets).map_err(|why| format!("nets: {why}"))?,
            not_nets: ranges(&self.not_nets).map_err(|why| format!("notNets: {why}"))?,
            ports: ports(&self.ports).map_err(|why| format!("ports: {why}"))?,
            not_ports: ports(&self.not_ports).map_err(|why| format!("notPorts: {why}"))?,
        })
    }

    /// *Source*: projectcalico/calico, `libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go`, `getEndpointSelector`: a selector in a policy of one
    /// namespace means that namespace, unless a selector of namespaces stands beside it. So does one with nothing but `notSelector`, which itself is
    /// about every namespace.
    fn selected_expression(&self, namespace: Option<&Text>) -> Result<Option<Expression>, String> {
        let accounts = self.service_accounts.as_ref().map(Accounts::read).transpose();
        let accounts = accounts.map_err(|why| format!("serviceAccounts.{why}"))?.flatten();
        let has_not = namespace.is_some() && !self.not_selector.is_empty();
        if self.selector.is_empty() && self.namespace_selector.is_empty() && accounts.is_none() && !has_not {
            return Ok(None);
        }
        let place = if self.namespace_selector.is_empty() {
            namespace.map(|name| Expression::Within(name.clone()))
        } else {
            Some(
                parse_for_namespaces(&self.namespace_selector)
                    .map_err(|why| format!("namespaceSelector: {why}"))?,
            )
        };
        let own = (!self.selector.is_empty()).then(|| parse(&self.selector)).transpose();
        Ok(Some(conjunction([place, accounts, own.map_err(|why| format!("selector: {why}"))?])))
    }
}

impl Accounts {
    /// None if it says nothing.
    fn read(&self) -> Result<Option<Expression>, String> {
        if self.names.is_empty() && self.selector.is_empty() {
            return Ok(None);
        }
        let named = (!self.names.is_empty())
            .then(|| Expression::In(LabelOwner::Account, ACCOUNT_NAME.into(), self.names.clone()));
        let labelled = (!self.selector.is_empty()).then(|| parse_for_accounts(&self.selector)).transpose();
        Ok(Some(conjunction([named, labelled.map_err(|why| format!("selector: {why}"))?])))
    }
}

pub(super) fn ranges(written: &[Text]) -> Result<Vec<Range>, String> {
    written.iter().map(range_or_address).collect()
}

/// *Source*: `numorstring.Port`: a number, `FIRST:LAST`, or a name.
fn ports(written: &[Number]) -> Result<Vec<Port>, String> {
    let number = |number: u64| u16::try_from(number).map_err(|_| format!("{number}: expected 0 to 65535"));
    let to_port = |port: &Number| match port {
        Number::Number(value) => number(*value).map(|value| Port::Range(value..=value)),
        Number::Text(text) => match text.split_once(':') {
            Some((first, last)) => {
                let end = |text: &str| text.parse().map_err(|_| format!("{text:?}: expected FIRST:LAST"));
                let (first, last) = (end(first)?, end(last)?);
                if first > last {
                    Err(format!("{text:?}: the first port is above the last"))
                } else {
                    Ok(Port::Range(first..=last))
                }
            }
            None => match text.parse() {
                Ok(value) => Ok(Port::Range(value..=value)),
                Err(_) => Ok(Port::Name(text.clone())),
            },
        },
    };
    written.iter().map(to_port).collect()
}
