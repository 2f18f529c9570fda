//! The label keys of the six roles, judged by label syntax, by what kubelet may set, and against each other.

use std::collections::BTreeMap;

use snapshot::model::Kind;
use types::{api::label, text::qualified};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};

pub(in crate::check) const CHECK: Check = Check {
    name: "labels",
    rules: &[&LABEL_INVALID, &LABEL_MISSPELT, &LABEL_PROTECTED, &LABEL_RESERVED, &LABEL_TWICE],
    needs: &[Need::Always(Kind::NODE)],
    run,
};

const LABEL_INVALID: Rule = Severity::Blocks.rule(
    "label-invalid",
    "Label keys or values of the settings are not valid.",
    "The API server refuses each patch of a Node with them, so no node would change its role.",
    "Correct labels in the settings file: KEY or PREFIX/KEY, of at most 63 letters, digits, -, _ and .; the prefix is a DNS name.",
);

const LABEL_MISSPELT: Rule = Severity::Risk.rule(
    "label-misspelt",
    "Label keys look like keys of Kubernetes and are others.",
    "The label is set and nothing selects by it, so a DaemonSet that requires the right key runs on no node.",
    "Write the whole prefix, or better one of your own, such as crossfade/, in labels of the settings file.",
);

const LABEL_PROTECTED: Rule = Severity::Blocks.rule(
    "label-protected",
    "kubelet may not set label keys of the settings.",
    "kubelet exits at its start with such a key, or the admission plugin NodeRestriction refuses it: the node never joins.",
    "Use a prefix of your own in labels of the settings file. If only Crossfade's commands set these labels and no kubelet does: labels: {setByKubelet: false}.",
);

const LABEL_RESERVED: Rule = Severity::Blocks.rule(
    "label-reserved",
    "Label keys of the settings are written by Crossfade itself.",
    "Both would overwrite each other's value for ever.",
    "Choose another key in labels of the settings file.",
);

const LABEL_TWICE: Rule = Severity::Blocks.rule(
    "label-twice",
    "Roles have the same label key.",
    "With one value for all roles, a node in one role is in the other, too, so both DaemonSets run on it.",
    "Give each role its own key in labels of the settings file.",
);

/// Written by `crossfade-bootstrap unit watch`.
const RESERVED: [&str; 1] = ["crossfade/phase"];
/// Prefixes that are written where `PREFIX.io` is meant. `node-role.kubernetes/` is in a published migration.
const MISSPELT: [&str; 4] = ["node-role.kubernetes", "node.kubernetes", "kubernetes", "topology.kubernetes"];

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let settings = &scene.config.labels;
    let mut subjects_by_rule: BTreeMap<&'static Rule, Vec<Subject>> = BTreeMap::new();
    let mut add = |rule, role: &str, detail: String| {
        let subject = Subject {
            kind: "Setting".into(),
            namespace: String::new(),
            name: format!("labels.{role}"),
            detail,
        };
        subjects_by_rule.entry(rule).or_default().push(subject);
    };
    if let Err(why) = qualified::value(&settings.value) {
        add(&LABEL_INVALID, "value", why);
    }
    let mut roles: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (role, key) in settings.roles() {
        roles.entry(key).or_default().push(role);
        if let Err(why) = qualified::key(key) {
            add(&LABEL_INVALID, role, why);
            continue;
        }
        let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
        if MISSPELT.contains(&prefix) {
            add(&LABEL_MISSPELT, role, format!("{key}: did you mean {prefix}.io/?"));
        }
        if RESERVED.contains(&key) {
            add(&LABEL_RESERVED, role, key.to_owned());
        }
        if settings.set_by_kubelet
            && let Some(why) = label::refusal(key, "")
        {
            add(&LABEL_PROTECTED, role, why);
        }
    }
    for (key, named) in roles.iter().filter(|(_, named)| named.len() > 1) {
        for role in named {
            add(&LABEL_TWICE, role, (*key).to_owned());
        }
    }
    subjects_by_rule.into_iter().map(|(rule, subjects)| Finding::new(rule).with_objects(subjects)).collect()
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
