//! What kubelet is told: Crossfade's labels, and the union of all taints, once and last.
//!
//! `--node-labels` merges key by key and the later value wins, so Crossfade's labels alone are appended. `--register-with-taints` replaces
//! whatever configuration, drop-ins and other flags said, so it must say all of it again:
//!
//! - every taint of every list that was found, also of one that another list would have replaced: a taint that is lost lets pods in
//!   too early, and nobody sees it, while one too many keeps them out, and everybody does. Who wants none of the earlier ones says
//!   so with an empty list, which takes back all before it;
//! - a key with an effect is one taint to the API server, and may come once. Its value is the last one that was said, which is Crossfade's
//!   where node.json gives one;
//! - Crossfade's own taints, at the end;
//! - where kubelet reads a directory of configuration drop-ins and nobody uses the flag, which is deprecated, Crossfade does not either: the
//!   union is the last file of a directory of Crossfade's, behind copies of theirs. It lies below /run, so that it does not outlive
//!   Crossfade, and nobody's file can come after it;
//! - where Crossfade has none, nothing is said at all, and kubelet does what it would have done without Crossfade.

use std::collections::BTreeMap;

use types::taint::Taint;

use super::sources::{KubeletSources, Label};
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
    /// Every label with who says so, by key.
    pub labels: Vec<Label>,
    /// Every taint with who says so, in the order in which they are registered.
    pub taints: Vec<(Taint, String)>,
    /// What a person may want to know.
    pub notes: Vec<String>,
    /// What should be settled before an image is built: two who say different things.
    pub conflicts: Vec<String>,
}

/// Who says what is in node.json.
const NODE_JSON: &str = "node.json";
/// Who says that the gate gave up.
const GATE: &str = "the gate, which gave up";

/// Decides. Pure.
#[must_use]
pub fn decide(own: &OwnRegistration, found: &KubeletSources) -> Registration {
    let mut told = Registration::default();
    labels(own, found, &mut told);
    taints(own, found, &mut told);
    if !own.labels.is_empty() {
        let pairs: Vec<String> = own.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        told.arguments.push(format!("--node-labels={}", pairs.join(",")));
    }
    if !own.taints.is_empty() {
        match &found.drop_ins {
            Some(theirs) if !found.flags_taints => {
                told.drop_in = Some(drop_in(&told.taints));
                told.arguments.push(format!("--config-dir={KUBELET_CONFIG_DIR}"));
                told.notes.push(format!(
                    "the taints are the last file of {KUBELET_CONFIG_DIR}, behind copies of the {} files of kubelet's own --config-dir",
                    theirs.len()
                ));
            }
            _ => {
                let all: Vec<String> = told.taints.iter().map(|(taint, _)| taint.to_string()).collect();
                told.arguments.push(format!("--register-with-taints={}", all.join(",")));
            }
        }
    }
    if !found.registers && !told.arguments.is_empty() {
        told.conflicts.push(
            "kubelet is told not to register its Node (registerNode), so neither labels nor taints count; set them from the cluster".into(),
        );
    }
    told
}

/// The content of the environment file that systemd adds to kubelet's; none where there is nothing to say.
#[must_use]
pub fn environment_file(registration: &Registration) -> Option<String> {
    if registration.arguments.is_empty() {
        return None;
    }
    Some(format!(
        "# Written by crossfade-bootstrap render at every start of kubelet; edit node.json instead.\n{KUBELET_ARGUMENTS}={}\n",
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

fn labels(own: &OwnRegistration, found: &KubeletSources, told: &mut Registration) {
    let mut all: BTreeMap<&str, Label> = BTreeMap::new();
    for label in &found.labels {
        all.insert(&label.key, label.clone());
    }
    for (key, value) in &own.labels {
        if let Some(other) = all.get(key.as_str()).filter(|other| other.value != *value) {
            told.conflicts.push(format!(
                "label {key}: node.json says {value:?}, and {} says {:?}; Crossfade's comes last and counts: say it in one place",
                other.source, other.value
            ));
        }
        all.insert(key, Label { key: key.clone(), value: value.clone(), source: NODE_JSON.into() });
    }
    told.labels = all.into_values().collect();
}

fn taints(own: &OwnRegistration, found: &KubeletSources, told: &mut Registration) {
    let ours = |taint: &Taint| own.taints.iter().any(|one| one.is_same(taint));
    if own.taints.is_empty() {
        let source = found.lists.last().map(|list| list.source.clone()).unwrap_or_default();
        told.taints = found.effective().iter().map(|taint| (taint.clone(), source.clone())).collect();
        return;
    }
    let mut all: Vec<(Taint, String)> = Vec::new();
    for list in &found.lists {
        if list.taints.is_empty() && !all.is_empty() {
            told.notes.push(format!("{} is empty, which takes back the taints before it", list.source));
            all.clear();
        }
        for taint in &list.taints {
            let said = (taint.clone(), list.source.clone());
            match all.iter_mut().find(|(other, _)| other.is_same(taint)) {
                Some(other) => *other = said,
                None => all.push(said),
            }
        }
    }
    for (taint, source) in &all {
        if !found.effective().iter().any(|one| one.is_same(taint)) && !ours(taint) {
            let last = found.lists.last().map(|list| list.source.as_str()).unwrap_or_default();
            told.conflicts.push(format!(
                "taint {taint} of {source}: kubelet alone would lose it, since {last} replaces every list before it; we register both: say them in one place"
            ));
        }
    }
    for taint in &own.taints {
        let mut taint = taint.clone();
        if let Some(at) = all.iter().position(|(other, _)| other.is_same(&taint)) {
            let (other, source) = all.remove(at);
            if taint.value.is_empty() {
                taint.value = other.value;
            } else if taint.value != other.value {
                told.conflicts.push(format!(
                    "taint {taint}: {source} says {other}; Crossfade's counts: say it in one place"
                ));
            }
        }
        let source = if taint.is_same(&Taint::unfit()) { GATE } else { NODE_JSON };
        all.push((taint, source.into()));
    }
    told.taints = all;
}

#[cfg(test)]
mod tests;
