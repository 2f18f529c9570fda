//! Crossfade's addition to kubelet's registration: its labels, and the union of all taints, once and last.
//!
//! `--node-labels` merges key by key and the later value wins, so Crossfade's labels alone are appended. `--register-with-taints` replaces
//! whatever configuration, drop-ins and other flags said, so it must say all of it again:
//!
//! - every taint of every list that was found, also of one that another list would have replaced: a taint that is lost lets pods in
//!   too early and goes unnoticed, while one too many keeps them out and is noticed. To clear the earlier taints, pass
//!   an empty list, which takes back all before it;
//! - a key with an effect is one taint to the API server, and may come once. Its value is the last one that was said, which is Crossfade's
//!   where node.json gives one;
//! - Crossfade's own taints, at the end;
//! - where kubelet reads a directory of configuration drop-ins and the unit does not use the flag, which is deprecated, nor does Crossfade: the
//!   union is the last file of a directory of Crossfade's, behind copies of theirs. It lies below /run, so that it does not outlive
//!   Crossfade, and no other program's file can come after it;
//! - where Crossfade has none, nothing is said at all, and kubelet does what it would have done without Crossfade.

use std::collections::BTreeMap;

use types::api::taint::Taint;

use crate::kubelet::sources::{KubeletSources, Label};
use crate::node::paths::{KUBELET_ARGUMENTS, KUBELET_CONFIG_DIR};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnRegistration {
    /// Labels of node.json.
    pub labels: BTreeMap<String, String>,
    /// Taints of node.json, and that of a node whose gate gave up.
    pub taints: Vec<Taint>,
}

/// What kubelet registers its Node with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registration {
    /// Crossfade's flags on kubelet's command line; none where Crossfade has nothing to say.
    pub arguments: Vec<String>,
    /// Our configuration drop-in, where the taints go into one.
    pub drop_in: Option<String>,
    /// Every label with its source, by key.
    pub labels: Vec<Label>,
    /// Every taint with its source, in the order in which they are registered.
    pub taints: Vec<(Taint, String)>,
    /// Notes for the operator.
    pub notes: Vec<String>,
    /// Contradictions between two sources, to settle before an image is built.
    pub conflicts: Vec<String>,
}

/// The source of the settings in node.json.
const NODE_JSON: &str = "node.json";
/// The source of the taint of a gate that gave up.
const GATE: &str = "the gate, which gave up";

#[must_use]
pub fn decide(own: &OwnRegistration, sources: &KubeletSources) -> Registration {
    let mut registration = Registration::default();
    labels(own, sources, &mut registration);
    taints(own, sources, &mut registration);
    if !own.labels.is_empty() {
        let pairs: Vec<String> = own.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        registration.arguments.push(format!("--node-labels={}", pairs.join(",")));
    }
    if !own.taints.is_empty() {
        match &sources.drop_ins {
            Some(theirs) if !sources.flags_taints => {
                registration.drop_in = Some(drop_in(&registration.taints));
                registration.arguments.push(format!("--config-dir={KUBELET_CONFIG_DIR}"));
                registration.notes.push(format!(
                    "the taints are the last file of {KUBELET_CONFIG_DIR}, behind copies of the {} files of kubelet's own --config-dir",
                    theirs.len()
                ));
            }
            _ => {
                let all: Vec<String> =
                    registration.taints.iter().map(|(taint, _)| taint.to_string()).collect();
                registration.arguments.push(format!("--register-with-taints={}", all.join(",")));
            }
        }
    }
    if !sources.registers && !registration.arguments.is_empty() {
        registration.conflicts.push(
            "kubelet is told not to register its Node (registerNode), so neither labels nor taints count; set them from the cluster".into(),
        );
    }
    registration
}

/// The content of the environment file that systemd adds to kubelet's; none where there is nothing to say.
#[must_use]
pub fn environment_file(registration: &Registration) -> Option<String> {
    if registration.arguments.is_empty() {
        return None;
    }
    Some(format!(
        "# Written by crossfade-bootstrap unit render at every start of kubelet; edit node.json instead.\n{KUBELET_ARGUMENTS}={}\n",
        registration.arguments.join(" ")
    ))
}

/// A file of `--config-dir` that says all of the taints. *Source*: `kubelet/config/v1beta1/types.go`, `KubeletConfiguration`.
fn drop_in(taints: &[(Taint, String)]) -> String {
    let list: Vec<&Taint> = taints.iter().map(|(taint, _)| taint).collect();
    let file = serde_json::json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "registerWithTaints": list,
    });
    format!("{file:#}\n")
}

fn labels(own: &OwnRegistration, sources: &KubeletSources, registration: &mut Registration) {
    let mut all: BTreeMap<&str, Label> = BTreeMap::new();
    for label in &sources.labels {
        all.insert(&label.key, label.clone());
    }
    for (key, value) in &own.labels {
        if let Some(other) = all.get(key.as_str()).filter(|other| other.value != *value) {
            registration.conflicts.push(format!(
                "label {key}: node.json says {value:?}, and {} says {:?}; Crossfade's comes last and counts: say it in one place",
                other.source, other.value
            ));
        }
        all.insert(key, Label { key: key.clone(), value: value.clone(), source: NODE_JSON.into() });
    }
    registration.labels = all.into_values().collect();
}

fn taints(own: &OwnRegistration, sources: &KubeletSources, registration: &mut Registration) {
    let is_own = |taint: &Taint| own.taints.iter().any(|known_taint| known_taint.is_same(taint));
    if own.taints.is_empty() {
        let source = sources.lists.last().map(|list| list.source.clone()).unwrap_or_default();
        registration.taints =
            sources.effective().iter().map(|taint| (taint.clone(), source.clone())).collect();
        return;
    }
    let mut all: Vec<(Taint, String)> = Vec::new();
    for list in &sources.lists {
        if list.taints.is_empty() && !all.is_empty() {
            registration
                .notes
                .push(format!("{} is empty, which takes back the taints before it", list.source));
            all.clear();
        }
        for taint in &list.taints {
            let entry = (taint.clone(), list.source.clone());
            match all.iter_mut().find(|(other, _)| other.is_same(taint)) {
                Some(other) => *other = entry,
                None => all.push(entry),
            }
        }
    }
    for (taint, source) in &all {
        if !sources.effective().iter().any(|known_taint| known_taint.is_same(taint)) && !is_own(taint) {
            let last = sources.lists.last().map(|list| list.source.as_str()).unwrap_or_default();
            registration.conflicts.push(format!(
                "taint {taint} of {source}: kubelet alone would lose it, since {last} replaces every list before it; we register both: say them in one place"
            ));
        }
    }
    for taint in &own.taints {
        let mut taint = taint.clone();
        if let Some(index) = all.iter().position(|(other, _)| other.is_same(&taint)) {
            let (other, source) = all.remove(index);
            if taint.value.is_empty() {
                taint.value = other.value;
            } else if taint.value != other.value {
                registration.conflicts.push(format!(
                    "taint {taint}: {source} says {other}; Crossfade's counts: say it in one place"
                ));
            }
        }
        let source = if taint.is_same(&Taint::new_unfit()) { GATE } else { NODE_JSON };
        all.push((taint, source.into()));
    }
    registration.taints = all;
}

#[cfg(test)]
mod tests;
