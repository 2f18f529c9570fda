//! The networks of CNIs by their objects: settings, tunnels, MTU, routers.

mod mtu;
mod tunnel;

use std::collections::HashMap;
use std::net::IpAddr;

pub(in crate::cni) use mtu::read_mtu;
pub use mtu::{Mtu, NODE_MTU, mtu};
use serde_json::Value;
use snapshot::Range;
use snapshot::model::{Kind, Object, Snapshot, Text, Workload};
pub use tunnel::{Protocol, Tunnel};

use super::support::Cni;
use crate::check::finding::Subject;

/// A setting of a CNI, and the object that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value as text.
    pub value: String,
    /// Where it stands; `detail` names the key.
    pub source: Subject,
}

impl Setting {
    pub(super) fn new(value: impl Into<String>, source: Subject, key: &str) -> Self {
        let value = value.into();
        let source = source.detail(format!("{key}: {value}"));
        Self { value, source }
    }
}

/// An object as the subject of a finding.
#[must_use]
pub fn subject(kind: Kind, object: &Object) -> Subject {
    Subject { namespace: object.namespace().into(), ..Subject::new(kind, object.name()) }
}

/// What a CNI does unless it is changed, as the subject of a finding.
pub(super) fn default_subject(cni: Cni) -> Subject {
    Subject {
        kind: "Default".into(),
        namespace: String::new(),
        name: cni.into_str().into(),
        detail: String::new(),
    }
}

/// The first of these DaemonSets that there is.
#[must_use]
pub fn agent<'a>(snapshot: &'a Snapshot, names: &[&str]) -> Option<&'a Workload> {
    names.iter().find_map(|name| snapshot.daemon_set(name))
}

/// An environment variable of any container of a DaemonSet.
#[must_use]
pub fn variable<'a>(workload: &'a Workload, name: &str) -> Option<&'a str> {
    let spec = &workload.spec.template.spec;
    let containers = spec.containers.iter().chain(spec.init_containers.iter());
    let mut all = containers.flat_map(|container| &container.env);
    all.find(|variable| variable.name.as_ref() == name).map(|variable| variable.value.as_ref())
}

/// The values that a command line gives a flag, as `--flag=value` or as the next word.
#[must_use]
pub fn flag_values<'a>(words: &[&'a Text], flag: &str) -> Vec<&'a str> {
    let next = words.iter().skip(1).map(|word: &&'a Text| Some(&***word)).chain([None]);
    let value = |(word, next): (&&'a Text, Option<&'a str>)| {
        let word: &'a str = word;
        match word.strip_prefix(flag)? {
            "" => next,
            rest => rest.strip_prefix('='),
        }
    };
    words.iter().zip(next).filter_map(value).collect()
}

/// The routers of a network: address, device and node.
pub type Routers<'s> = HashMap<IpAddr, (&'static str, &'s str)>;

/// The routers that have addresses at these positions of each node's pod CIDRs.
#[must_use]
pub fn routers_at<'s>(snapshot: &'s Snapshot, positions: &[(u128, &'static str)]) -> Routers<'s> {
    let mut routers = Routers::new();
    for node in &snapshot.nodes {
        let ranges = node.pod_cidrs().into_iter().filter_map(|cidr| Range::read(cidr).ok());
        for (range, _) in ranges {
            for (position, device) in positions {
                routers.extend(range.address(*position).map(|address| (address, (*device, node.name()))));
            }
        }
    }
    routers
}

/// Whether a text means yes, as Go's `strconv.ParseBool` and the agents read it.
#[must_use]
pub fn is_yes(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "true" | "1" | "t" | "yes" | "enabled" | "strict")
}

/// YAML or JSON text of a ConfigMap as a value; none if it is neither YAML nor JSON.
pub(super) fn read_yaml(text: &str) -> Option<Value> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).ok();
    }
    serde_saphyr::from_str(text).ok()
}

/// A scalar as text.
pub(super) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
