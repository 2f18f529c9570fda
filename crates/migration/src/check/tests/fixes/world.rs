//! A cluster and its settings, on which the commands of a fix are carried out as they are printed.

use serde_json::{Map, Value, json};
use snapshot::model::Kind;

use crate::check::Scene;
use crate::check::finding::Finding;
use crate::check::run;
use crate::check::tests::nearest::snapshot;
use crate::cni::support::{Cni, Strategy};
use crate::config;

/// A cluster, the settings file, and the migration that is planned.
#[derive(Clone)]
pub(super) struct World {
    pub(super) documents: Vec<Value>,
    settings: Value,
    pub(super) from: Cni,
    pub(super) to: Cni,
    pub(super) strategy: Strategy,
    /// Kinds that were not read.
    pub(super) unread: Vec<Kind>,
}

fn read(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap_or_else(|e| panic!("{e}:\n{yaml}"))
}

impl World {
    pub(super) fn new(yaml: &str) -> Self {
        let (from, to, strategy) = (Cni::Calico, Cni::Cilium, Strategy::Double);
        let settings = json!({"version": 1});
        let mut world = Self { documents: Vec::new(), settings, from, to, strategy, unread: Vec::new() };
        world.add(yaml);
        world
    }

    /// Creates objects, or replaces them.
    pub(super) fn add(&mut self, yaml: &str) {
        for text in format!("\n{yaml}").split("\n---").filter(|text| !text.trim().is_empty()) {
            let value = read(text);
            let (kind, name) = (text_at(&value, "/kind"), text_at(&value, "/metadata/name"));
            let namespace = text_at(&value, "/metadata/namespace");
            self.documents.retain(|object| {
                !(text_at(object, "/kind") == kind
                    && text_at(object, "/metadata/name") == name
                    && text_at(object, "/metadata/namespace") == namespace)
            });
            self.documents.push(value);
        }
    }

    /// The object of a kind, as kubectl names kinds.
    #[track_caller]
    pub(super) fn at(&mut self, kind: &str, name: &str) -> &mut Value {
        let object = self
            .documents
            .iter_mut()
            .find(|object| is_kind(object, kind) && text_at(object, "/metadata/name") == name);
        object.unwrap_or_else(|| panic!("{kind} {name} is not found"))
    }

    #[track_caller]
    pub(super) fn merge(&mut self, kind: &str, name: &str, patch: Value) {
        merge(self.at(kind, name), patch);
    }

    #[track_caller]
    pub(super) fn remove(&mut self, kind: &str, name: &str) {
        self.at(kind, name);
        self.documents.retain(|object| !(is_kind(object, kind) && text_at(object, "/metadata/name") == name));
    }

    /// Writes an entry of the settings file.
    pub(super) fn set(&mut self, yaml: &str) {
        merge(&mut self.settings, read(yaml));
    }

    /// What check finds now.
    pub(super) fn check(&self) -> Vec<Finding> {
        let mut snapshot = snapshot(&self.documents);
        for kind in &self.unread {
            snapshot.readings.remove(kind);
        }
        let settings = self.settings.to_string();
        let config = config::read(&settings).unwrap_or_else(|e| panic!("{e}:\n{settings}"));
        let Self { from, to, strategy, .. } = *self;
        run(&Scene { snapshot: &snapshot, config: &config, from, to, strategy })
    }

    /// Carries out what a fix prints: manifests, values of Helm and commands. How many changed something.
    pub(super) fn apply(&mut self, fix: &str) -> usize {
        let mut changes = 0;
        let mut before = "";
        for (index, part) in fix.split("```").enumerate() {
            if index % 2 == 0 {
                for line in part.lines() {
                    changes += self.commands(line);
                }
                before = part;
            } else if before.contains("helm install") {
                self.install(&read(part));
                changes += 1;
            } else {
                self.add(part);
                changes += 1;
            }
        }
        changes
    }

    fn commands(&mut self, line: &str) -> usize {
        let mut changes = 0;
        let starts = ["kubectl ", "helm "].into_iter().flat_map(|word| line.match_indices(word));
        let mut starts: Vec<usize> = starts.map(|(index, _)| index).collect();
        starts.sort_unstable();
        for index in starts {
            // Part of a word, or of an argument in quotes.
            if line[..index].ends_with(|c: char| c.is_alphanumeric() || c == '-' || c == '/') {
                continue;
            }
            let words = words(&line[index..]);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            changes += usize::from(match words[0] {
                "helm" => self.helm(&words),
                _ => self.kubectl(&words[1..]),
            });
        }
        changes
    }

    fn kubectl(&mut self, words: &[&str]) -> bool {
        let mut words = words.to_vec();
        if let Some(index) = words.iter().position(|word| *word == "-n") {
            words.drain(index..index + 2);
        }
        let option = |name: &str| {
            words.iter().zip(words.iter().skip(1)).find(|(word, _)| **word == name).map(|(_, value)| *value)
        };
        match words[0] {
            "patch" => {
                let text = option("-p").expect("a patch");
                let patch = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
                let object = self.at(words[1], words[2]);
                match option("--type") {
                    Some("json") => json_patch(object, &patch),
                    Some("merge") => merge(object, patch),
                    other => panic!("patch of type {other:?}"),
                }
                true
            }
            "label" | "annotate" => {
                let map = if words[0] == "label" { "labels" } else { "annotations" };
                let is_change = |word: &&&str| word.contains('=') || word.ends_with('-');
                let rest = || words[2..].iter().filter(|word| !word.starts_with("--"));
                let changes: Map<String, Value> = rest()
                    .filter(is_change)
                    .map(|word| match word.split_once('=') {
                        Some((key, value)) => (key.to_owned(), value.into()),
                        None => (word.trim_end_matches('-').to_owned(), Value::Null),
                    })
                    .collect();
                for name in rest().filter(|word| !is_change(word)) {
                    self.merge(words[1], name, json!({"metadata": {map: changes}}));
                }
                !changes.is_empty()
            }
            "taint" => {
                let (names, key) = (&words[2..words.len() - 1], words[words.len() - 1].trim_end_matches('-'));
                for name in names {
                    let taints = self.at(words[1], name)["spec"]["taints"].as_array_mut().expect("taints");
                    taints.retain(|taint| taint["key"] != key);
                }
                true
            }
            "uncordon" => {
                for name in &words[1..] {
                    self.merge("node", name, json!({"spec": {"unschedulable": false}}));
                }
                true
            }
            "scale" => {
                let named = words[1].split_once('/');
                let (kind, name) = named.unwrap_or((words[1], words[2]));
                let replicas = words.iter().find_map(|word| word.strip_prefix("--replicas="));
                let replicas: u64 = replicas.and_then(|count| count.parse().ok()).expect("a count");
                // Its controller makes them.
                let now = json!({"spec": {"replicas": replicas}, "status": {"readyReplicas": replicas}});
                self.merge(kind, name, now);
                true
            }
            "delete" => {
                for name in &words[2..] {
                    self.remove(words[1], name);
                }
                true
            }
            "set" => {
                let (kind, name) = words[2].split_once('/').expect("a workload");
                let (key, value) = words[3].split_once('=').expect("a variable");
                let container = &mut self.at(kind, name)["spec"]["template"]["spec"]["containers"][0];
                let mut all = container["env"].as_array().cloned().unwrap_or_default();
                all.retain(|item| item["name"] != key);
                all.push(json!({"name": key, "value": value}));
                container["env"] = all.into();
                true
            }
            "rollout" | "get" | "describe" | "edit" | "drain" | "cordon" | "apply" | "crossfade" => false,
            other => panic!("kubectl {other} is not known to the test: {words:?}"),
        }
    }

    fn helm(&mut self, words: &[&str]) -> bool {
        if words[1] != "upgrade" {
            return false;
        }
        for (_, set) in words.iter().zip(&words[1..]).filter(|(word, _)| **word == "--set") {
            let (key, value) = set.split_once('=').expect("a value");
            self.value(key, value);
        }
        true
    }

    /// Renders a value of a chart into the cluster.
    fn value(&mut self, set: &str, value: &str) {
        let setting = self.to.facts().settings.iter().find(|setting| setting.set == set);
        let other = match set {
            "tunnelPort" => "tunnel-port",
            "tunnelProtocol" => "tunnel-protocol",
            "socketLB.enabled" => "bpf-lb-sock",
            "socketLB.hostNamespaceOnly" => "bpf-lb-sock-hostns-only",
            "ipv4NativeRoutingCIDR" => "ipv4-native-routing-cidr",
            "ipam.operator.clusterPoolIPv4PodCIDRList" => "cluster-pool-ipv4-cidr",
            other => setting
                .map_or_else(|| panic!("the value {other} is not known to the test"), |setting| setting.key),
        };
        let mapped = setting.and_then(|setting| setting.helm?.iter().find(|(_, chart)| *chart == value));
        let value = mapped.map_or(value, |(cluster, _)| cluster);
        if self.to == Cni::Cilium {
            self.merge("configmap", "cilium-config", json!({"data": {other: value}}));
            return;
        }
        let text = self.at("configmap", "antrea-config")["data"]["antrea-agent.conf"].as_str().map(read);
        let parts: Vec<&str> = other.trim_start_matches('/').split('/').collect();
        let patch = parts.iter().rev().fold(read(value), |inner, part| json!({ *part: inner }));
        let mut settings = text.unwrap_or_default();
        merge(&mut settings, patch);
        let text = serde_saphyr::to_string(&settings).expect("YAML");
        self.merge("configmap", "antrea-config", json!({"data": {"antrea-agent.conf": text}}));
    }

    /// Installs Cilium with a file of values.
    fn install(&mut self, values: &Value) {
        self.add(super::table::CILIUM);
        self.merge("configmap", "cilium-config", json!({"data": null}));
        let mut all = Vec::new();
        leaves(values, String::new(), &mut all);
        for (key, value) in all {
            self.value(&key, &value);
        }
    }
}

fn leaves(value: &Value, location: String, all: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, object)| {
            let location = if location.is_empty() { key.clone() } else { format!("{location}.{key}") };
            leaves(object, location, all);
        }),
        Value::Array(list) => {
            all.push((location, list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")));
        }
        Value::String(text) => all.push((location, text.clone())),
        other => all.push((location, other.to_string())),
    }
}

fn text_at<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn is_kind(document: &Value, word: &str) -> bool {
    let kind = text_at(document, "/kind").to_lowercase();
    let word = word.split('.').next().unwrap_or_default();
    let word = if word == "pdb" { "poddisruptionbudget" } else { word };
    word == kind
        || word == format!("{kind}s")
        || kind.strip_suffix('y').is_some_and(|stem| word == format!("{stem}ies"))
}

/// The words of a command, as a shell splits them, up to where prose goes on.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut is_quoted) = (String::new(), None, false);
    for c in text.chars().chain(['\n']) {
        match quote {
            Some(mark) if c == mark => quote = None,
            Some(_) => word.push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                is_quoted = true;
            }
            None if c.is_whitespace() => {
                // A mark of a sentence after the last word is none of the command.
                let end = word.chars().last().filter(|last| matches!(last, '.' | ',' | ';' | ':'));
                let bare = if end.is_some() { &word[..word.len() - 1] } else { &word };
                if bare.starts_with('(') || bare == "&&" {
                    return words;
                }
                if !bare.is_empty() || is_quoted {
                    words.push(bare.to_owned());
                }
                if end.is_some() {
                    return words;
                }
                word.clear();
                is_quoted = false;
            }
            None => word.push(c),
        }
    }
    words
}

/// RFC 7386.
pub(super) fn merge(object: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *object = patch;
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    let map = object.as_object_mut().expect("a map");
    for (key, value) in patch {
        if value.is_null() {
            map.remove(&key);
        } else {
            merge(map.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// RFC 6902, as far as fixes have it: the API server refuses a path that is not there.
fn json_patch(object: &mut Value, patch: &Value) {
    for operation in patch.as_array().expect("operations") {
        let path = operation["path"].as_str().expect("a path");
        let (parent, key) = path.rsplit_once('/').expect("a pointer");
        let key = key.replace("~1", "/").replace("~0", "~");
        let place = object.pointer_mut(parent).unwrap_or_else(|| panic!("the API server knows no {parent}"));
        match (operation["op"].as_str().expect("an operation"), place) {
            ("add", Value::Array(list)) if key == "-" => list.push(operation["value"].clone()),
            ("add", Value::Object(map)) => drop(map.insert(key, operation["value"].clone())),
            ("replace", Value::Object(map)) if map.contains_key(&key) => {
                map.insert(key, operation["value"].clone());
            }
            ("remove", Value::Object(map)) if map.contains_key(&key) => drop(map.remove(&key)),
            (operation, place) => panic!("{operation} of {key} in {place}"),
        }
    }
}
