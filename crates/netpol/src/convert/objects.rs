//! The objects that are written, and their names: the same ones for the same policies, and no two alike.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use snapshot::model::{Kind, Labels, Text};

use super::intermediate::PodSelection;
use super::report::Report;
use crate::engines::kubernetes::{Block, LabelSelector, Requirement};
use crate::gather::Reference;

/// The annotation that names the object which a converted one is made of, as JSON of a [`Reference`].
pub const CONVERTED_FROM: &str = "crossfade/converted-from";
/// Longest name of an object. *Source*: Kubernetes, "Object Names and IDs", "DNS Subdomain Names".
const LONGEST: usize = 253;
/// Digits of the hash behind a name that two objects want.
const DIGITS: usize = 8;

/// An object without its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) namespace: Option<Text>,
    /// The name that it gets if no other object wants it.
    pub(super) preferred_name: String,
    /// The tier and the policy that it is made of, and its number among those that are made of it.
    pub(super) tier: Text,
    pub(super) source: Reference,
    pub(super) part: usize,
    /// Its spec; a list of them becomes the field `specs`, which policies of Cilium have.
    pub(super) spec: Value,
}

impl Draft {
    /// What no other draft of the kind has: from it the hash in a name is made.
    fn identity(&self) -> String {
        let Reference { kind, namespace, name, .. } = &self.source;
        format!("{kind}\n{namespace}\n{}\n{name}\n{}", self.tier, self.part)
    }

    fn into_object(self, name: &str) -> Value {
        let from = serde_json::to_string(&self.source).unwrap_or_default();
        let mut metadata = Map::new();
        metadata.insert("name".into(), name.into());
        if let Some(namespace) = &self.namespace {
            metadata.insert("namespace".into(), (**namespace).into());
        }
        metadata.insert("labels".into(), json!({"app.kubernetes.io/managed-by": "crossfade"}));
        metadata.insert("annotations".into(), json!({ CONVERTED_FROM: from }));
        let field = if self.spec.is_array() { "specs" } else { "spec" };
        json!({"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata, field: self.spec})
    }
}

/// The kind, namespace and name of an object that no conversion made.
pub(super) type Name = (Kind, Option<Text>, Text);

/// The names of these objects.
pub(super) fn names<'o>(objects: impl Iterator<Item = &'o Value>) -> BTreeSet<Name> {
    let name = |object: &Value| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let kind = Kind::find(text("/apiVersion"), text("/kind"))?;
        let namespace = Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty());
        Some((kind, namespace.map(Text::from), Text::from(text("/metadata/name"))))
    };
    objects.filter_map(name).collect()
}

/// The objects, in the order of their kinds, namespaces and names. A name that two of them want, or that an object has which no conversion made, gets a
/// hash behind it, whichever of the two comes first: so another policy more or less does not change names but those that are like its own.
pub(super) fn name_drafts(drafts: Vec<Draft>, used_names: &BTreeSet<Name>) -> Vec<Value> {
    let mut counts: BTreeMap<(&str, Option<Text>, String), usize> = BTreeMap::new();
    for draft in &drafts {
        *counts.entry((draft.kind, draft.namespace.clone(), draft.preferred_name.clone())).or_default() += 1;
    }
    let is_taken = |draft: &Draft, name: &str| {
        let kind = Kind::find(draft.api_version, draft.kind);
        kind.is_some_and(|kind| used_names.contains(&(kind, draft.namespace.clone(), name.into())))
    };
    let is_free = |draft: &Draft| {
        let key = (draft.kind, draft.namespace.clone(), draft.preferred_name.clone());
        counts.get(&key) == Some(&1)
            && draft.preferred_name.len() <= LONGEST
            && !is_taken(draft, &draft.preferred_name)
    };
    let hashed = |draft: &Draft| {
        let mut identity = draft.identity();
        loop {
            let name = add_hash(&draft.preferred_name, &identity);
            if !is_taken(draft, &name) {
                return name;
            }
            identity.push('+');
        }
    };
    let mut named_drafts: Vec<(&str, Option<Text>, String, Draft)> = Vec::new();
    let names: Vec<String> = drafts
        .iter()
        .map(|draft| if is_free(draft) { draft.preferred_name.clone() } else { hashed(draft) })
        .collect();
    for (name, draft) in names.into_iter().zip(drafts) {
        named_drafts.push((draft.kind, draft.namespace.clone(), name, draft));
    }
    named_drafts.sort_by(|row, other| (row.0, &row.1, &row.2).cmp(&(other.0, &other.1, &other.2)));
    named_drafts.into_iter().map(|(.., name, draft)| draft.into_object(&name)).collect()
}

fn add_hash(name: &str, identity: &str) -> String {
    let hash: String = Sha256::digest(identity.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    // A name is ASCII, and ends with a letter or a digit.
    let prefix = name.get(..LONGEST - DIGITS - 1).unwrap_or(name).trim_end_matches(['-', '.']);
    format!("{prefix}-{}", &hash[..DIGITS])
}

/// A label selector, as it is written.
pub(super) fn selector(selector: &LabelSelector) -> Value {
    let mut written = Map::new();
    if !selector.match_labels.is_empty() {
        written.insert("matchLabels".into(), labels(&selector.match_labels));
    }
    if !selector.match_expressions.is_empty() {
        let to_value = |Requirement { key, operator, values }: &Requirement| {
            let mut object = Map::new();
            object.insert("key".into(), (**key).into());
            object.insert("operator".into(), (**operator).into());
            if !values.is_empty() {
                object.insert("values".into(), values.iter().map(|value| Value::from(&**value)).collect());
            }
            Value::Object(object)
        };
        written.insert("matchExpressions".into(), selector.match_expressions.iter().map(to_value).collect());
    }
    Value::Object(written)
}

fn labels(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|(key, value)| (key.to_string(), Value::from(&**value))).collect())
}

/// A range with its exceptions, as `ipBlock` of Kubernetes and of Antrea is written.
pub(super) fn ip_block(block: &Block) -> Value {
    let mut written = Map::new();
    written.insert("cidr".into(), block.range.to_string().into());
    if !block.except.is_empty() {
        let except = block.except.iter().map(|range| Value::from(range.to_string()));
        written.insert("except".into(), except.collect());
    }
    Value::Object(written)
}

/// Pods as a peer of Kubernetes and of Antrea, in an object of this namespace.
pub(super) fn pods_as_peer(selection: &PodSelection, namespace: Option<&Text>) -> Map<String, Value> {
    let mut peer = Map::new();
    let is_own = selection.namespace.is_some()
        && selection.namespace.as_ref() == namespace
        && !selection.has_namespace_labels();
    if !is_own {
        peer.insert("namespaceSelector".into(), selector(&selection.namespace_selector()));
    }
    // Without it a selector of namespaces means all their pods.
    if is_own || selection.pods != LabelSelector::default() {
        peer.insert("podSelector".into(), selector(&selection.pods));
    }
    peer
}

/// The objects of a target, and what became of the fields that it does not say as they were.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConvertedObjects {
    /// The objects, in the order of their kinds, namespaces and names.
    pub objects: Vec<Value>,
    /// What became of the fields.
    pub report: Report,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(namespace: Option<&str>, preferred_name: &str, source: &str, part: usize) -> Draft {
        let source = Reference {
            kind: Kind::CALICO_GLOBAL_NETWORK_POLICY,
            namespace: Text::default(),
            name: source.into(),
            uid: "u".into(),
            generation: 1,
        };
        let namespace = namespace.map(Text::from);
        Draft {
            api_version: "networking.k8s.io/v1",
            kind: "NetworkPolicy",
            namespace,
            preferred_name: preferred_name.into(),
            tier: "t".into(),
            source,
            part,
            spec: json!({}),
        }
    }

    fn names(drafts: Vec<Draft>, taken: &[&str]) -> Vec<String> {
        let taken = taken.iter().map(|name| (Kind::NETWORK_POLICY, None, Text::from(*name))).collect();
        let name = |object: &Value| object["metadata"]["name"].as_str().expect("a name").to_owned();
        name_drafts(drafts, &taken).iter().map(name).collect()
    }

    #[test]
    fn names_that_two_want_get_a_hash_whichever_comes_first() {
        let (plain, other) = (draft(None, "a", "x", 0), draft(None, "a", "y", 0));
        let (first, second) =
            (names(vec![plain.clone(), other.clone()], &[]), names(vec![other, plain.clone()], &[]));
        assert_eq!(first, second);
        assert!(
            first.iter().all(|name| name.len() == 10 && name.starts_with("a-")) && first[0] != first[1],
            "{first:?}"
        );
        // In another namespace, or alone, it keeps its name.
        assert_eq!(names(vec![plain.clone(), draft(Some("n"), "a", "y", 0)], &[]), ["a", "a"]);
        assert_ne!(names(vec![plain.clone()], &["a"]), ["a"]);
        assert_ne!(names(vec![plain.clone()], &["a"]), names(vec![draft(None, "a", "x", 1)], &["a"]));
        // A hash that the cluster has already is no name either.
        let hash = names(vec![plain.clone()], &["a"]).remove(0);
        assert!(![hash.as_str(), "a"].contains(&names(vec![plain.clone()], &["a", &hash])[0].as_str()));
        // An object of another kind has no part in it.
        let other_kind = [(Kind::CALICO_NETWORK_POLICY, None, Text::from("a"))].into();
        assert_eq!(name_drafts(vec![plain.clone()], &other_kind)[0]["metadata"]["name"], "a");
        let long = "l".repeat(300);
        let drafted_names = names(vec![draft(None, &long, "x", 0)], &[]);
        assert_eq!(drafted_names[0].len(), LONGEST);
    }
}
