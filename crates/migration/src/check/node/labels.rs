//! The label keys of the six roles, judged by label syntax, by what kubelet may set, and against each other.

use std::collections::BTreeMap;

use snapshot::model::Kind;
use types::{api::label, text::qualified};

use crate::check::Scene;
use crate::check::finding::{Finding, Severity, Subject};
use crate::check::{Check, Need};

/// The codes of [`finding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Code {
    Invalid,
    Misspelt,
    Protected,
    Reserved,
    Twice,
}

impl Code {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "label-invalid",
            Self::Misspelt => "label-misspelt",
            Self::Protected => "label-protected",
            Self::Reserved => "label-reserved",
            Self::Twice => "label-twice",
        }
    }
}

pub(in crate::check) const CHECK: Check = Check {
    name: "labels",
    codes: &[
        (Code::Invalid.as_str(), "a label key or value that Kubernetes refuses"),
        (Code::Misspelt.as_str(), "a label key that looks like one of Kubernetes and is not"),
        (Code::Protected.as_str(), "a label key that kubelet may not set"),
        (Code::Reserved.as_str(), "a label key that Crossfade itself writes"),
        (Code::Twice.as_str(), "two roles have one label key"),
    ],
    needs: &[Need::Always(Kind::NODE)],
    run,
};

/// Written by `crossfade-bootstrap unit watch`.
const RESERVED: [&str; 1] = ["crossfade/phase"];
/// Prefixes that are written where `PREFIX.io` is meant. `node-role.kubernetes/` is in a published migration.
const MISSPELT: [&str; 4] = ["node-role.kubernetes", "node.kubernetes", "kubernetes", "topology.kubernetes"];

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let settings = &scene.config.labels;
    let mut subjects_by_code: BTreeMap<Code, Vec<Subject>> = BTreeMap::new();
    let mut add = |code, role: &str, detail: String| {
        let subject = Subject {
            kind: "Setting".into(),
            namespace: String::new(),
            name: format!("labels.{role}"),
            detail,
        };
        subjects_by_code.entry(code).or_default().push(subject);
    };
    if let Err(why) = qualified::value(&settings.value) {
        add(Code::Invalid, "value", why);
    }
    let mut roles: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (role, key) in settings.roles() {
        roles.entry(key).or_default().push(role);
        if let Err(why) = qualified::key(key) {
            add(Code::Invalid, role, why);
            continue;
        }
        let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
        if MISSPELT.contains(&prefix) {
            add(Code::Misspelt, role, format!("{key}: did you mean {prefix}.io/?"));
        }
        if RESERVED.contains(&key) {
            add(Code::Reserved, role, key.to_owned());
        }
        if settings.set_by_kubelet
            && let Some(why) = label::refusal(key, "")
        {
            add(Code::Protected, role, why);
        }
    }
    for (key, named) in roles.iter().filter(|(_, named)| named.len() > 1) {
        for role in named {
            add(Code::Twice, role, (*key).to_owned());
        }
    }
    subjects_by_code.into_iter().map(|(code, subjects)| finding(code).with_objects(subjects)).collect()
}

fn finding(code: Code) -> Finding {
    let (severity, what, why, fix) = match code {
        Code::Invalid => (
            Severity::Blocks,
            "Label keys or values of the settings are not valid.",
            "The API server refuses each patch of a Node with them, so no node would change its role.",
            "Correct labels in the settings file: KEY or PREFIX/KEY, of at most 63 letters, digits, -, _ and .; the prefix is a DNS name.",
        ),
        Code::Misspelt => (
            Severity::Risk,
            "Label keys look like keys of Kubernetes and are others.",
            "The label is set and nothing selects by it, so a DaemonSet that requires the right key runs on no node.",
            "Write the whole prefix, or better one of your own, such as crossfade/, in labels of the settings file.",
        ),
        Code::Protected => (
            Severity::Blocks,
            "kubelet may not set label keys of the settings.",
            "kubelet exits at its start with such a key, or the admission plugin NodeRestriction refuses it: the node never joins.",
            "Use a prefix of your own in labels of the settings file. If only Crossfade's commands set these labels and no kubelet does: labels: {setByKubelet: false}.",
        ),
        Code::Reserved => (
            Severity::Blocks,
            "Label keys of the settings are written by Crossfade itself.",
            "Both would overwrite each other's value for ever.",
            "Choose another key in labels of the settings file.",
        ),
        Code::Twice => (
            Severity::Blocks,
            "Roles have the same label key.",
            "With one value for all roles, a node in one role is in the other, too, so both DaemonSets run on it.",
            "Give each role its own key in labels of the settings file.",
        ),
    };
    Finding::new(code.as_str(), severity, what, why, fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    #[test]
    fn each_key_is_valid_unprotected_and_its_own() {
        for (config, codes) in [
            ("", &[][..]),
            ("labels: {both: io.cilium.migration/both}", &[]),
            ("labels: {both: a b}", &["label-invalid"]),
            ("labels: {value: 'a b'}", &["label-invalid"]),
            ("labels: {both: node-role.kubernetes.io/canal-cilium}", &["label-protected"]),
            ("labels: {both: node-role.kubernetes.io/canal-cilium, setByKubelet: false}", &[]),
            ("labels: {both: node-role.kubernetes/canal-cilium}", &["label-misspelt"]),
            ("labels: {both: crossfade/phase}", &["label-reserved"]),
            ("labels: {both: crossfade/new}", &["label-twice"]),
        ] {
            assert_eq!(Case::from_yaml("").config(config).codes(&CHECK), codes, "{config}");
        }
        let finding = Case::from_yaml("").config("labels: {both: x, new: x}").finding(&CHECK, "label-twice");
        assert_eq!(objects(&finding), ["Setting/labels.both: x", "Setting/labels.new: x"]);
    }
}
