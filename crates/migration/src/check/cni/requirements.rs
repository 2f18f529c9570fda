//! The requirements of a migration that this cluster does not meet, in the words of `check --requirements`.

use snapshot::model::Kind;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::cni::requirements::{Requirement, State, for_migration};

const REQUIREMENT_NOT_MET: Rule = Severity::Blocks.rule(
    "requirement-not-met",
    "The cluster does not meet a requirement of the migration: the pair of CNIs, the strategy, a version or a mode.\n\n\
     Another finding that says the same in more detail stands for it, if that one blocks, too.",
    "Such a migration was not shown to work.",
    "What the row of `kubectl crossfade check --requirements` says.",
);

const REQUIREMENT_UNKNOWN: Rule = Severity::Blocks.rule(
    "requirement-unknown",
    "The snapshot does not show whether the cluster meets a requirement.",
    "Missing evidence is no evidence that all is well.",
    "Take a snapshot that has the named kinds, or accept the requirement by a waiver once you have looked yourself.",
);

pub(in crate::check) const RULES: &[&Rule] = &[&REQUIREMENT_NOT_MET, &REQUIREMENT_UNKNOWN];

/// The requirements that are not met, or of which that is not known. What another finding says in more detail is left out, but a requirement that is not met
/// only where that finding blocks as well.
pub(in crate::check) fn findings(scene: &Scene<'_>, others: &[Finding]) -> Vec<Finding> {
    let is_hidden = |row: &Requirement, candidate: &Finding| {
        let mut same = others.iter().filter(|other| row.found_by.contains(&other.rule));
        same.any(|other| candidate.rule == &REQUIREMENT_UNKNOWN || other.severity == Severity::Blocks)
    };
    for_migration(scene.from, scene.to)
        .filter(|row| row.missing_kinds(scene.snapshot).is_empty())
        .filter_map(|row| Some((row, finding(row, scene)?)))
        .filter(|(row, candidate)| !is_hidden(row, candidate))
        .map(|(_, candidate)| candidate)
        .collect()
}

/// The kinds that requirements need and the snapshot does not have, each with the requirement.
pub(in crate::check) fn missing_kinds(scene: &Scene<'_>) -> impl Iterator<Item = (Kind, &'static str)> {
    let snapshot = scene.snapshot;
    for_migration(scene.from, scene.to)
        .flat_map(move |row| row.missing_kinds(snapshot).into_iter().map(move |kind| (kind, row.name)))
}

fn finding(requirement: &Requirement, scene: &Scene<'_>) -> Option<Finding> {
    let row = requirement.row(scene);
    let rule = match row.state {
        State::Met { .. } => return None,
        State::NotMet { .. } => &REQUIREMENT_NOT_MET,
        State::Unknown { .. } => &REQUIREMENT_UNKNOWN,
    };
    let (_, _, fix) = row.state.words();
    // A waiver names the one that it accepts.
    let subject = Subject {
        kind: "Requirement".into(),
        namespace: String::new(),
        name: row.name.into(),
        detail: String::new(),
    };
    let finding = Finding::new(rule).what(format!("{}.", row.sentence())).why(row.why).fix(fix);
    Some(finding.with_objects([subject]))
}

#[cfg(test)]
mod tests {
    use snapshot::model::{ALL_KINDS, Reading, Snapshot};

    use super::*;
    use crate::cni::support::{Cni, Strategy};
    use crate::config::Config;

    fn complete_snapshot() -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.readings.extend(ALL_KINDS.iter().map(|row| (row.kind, Reading::Read)));
        snapshot
    }

    fn list_findings(snapshot: &Snapshot, to: Cni, others: &[Finding]) -> Vec<(&'static str, String)> {
        let config = Config::default();
        let scene = Scene { snapshot, config: &config, from: Cni::Calico, to, strategy: Strategy::Double };
        let describe = |finding: &Finding| (finding.rule.code, finding.objects[0].to_string());
        findings(&scene, others).iter().map(describe).collect()
    }

    #[test]
    fn a_pair_that_is_not_supported_blocks() {
        let pair = ("requirement-not-met", "Requirement/pair".to_owned());
        assert!(list_findings(&complete_snapshot(), Cni::Flannel, &[]).contains(&pair));
        assert!(!list_findings(&complete_snapshot(), Cni::Cilium, &[]).contains(&pair));
        // What cannot be read does not hide it.
        assert_eq!(list_findings(&Snapshot::default(), Cni::Flannel, &[])[0], pair);
    }

    #[test]
    fn an_unknown_requirement_blocks_as_well() {
        let unknown = ("requirement-unknown", "Requirement/cilium-version".to_owned());
        assert!(
            list_findings(&complete_snapshot(), Cni::Cilium, &[]).contains(&unknown),
            "no agent names its version"
        );
        let mut installed = complete_snapshot();
        let agent = serde_json::json!({"metadata": {"name": "cilium"},
            "spec": {"template": {"spec": {"containers": [{"name": "cilium-agent", "image": "quay.io/cilium/cilium:v1.17.4"}]}}}});
        let agent = serde_json::from_value(agent).expect("a DaemonSet");
        installed.workloads.insert(Kind::DAEMON_SET, vec![agent]);
        assert!(!list_findings(&installed, Cni::Cilium, &[]).contains(&unknown));
    }

    #[test]
    fn what_another_finding_says_is_not_said_again() {
        let (ranges, version) = ("Requirement/distinct-ranges", "Requirement/cilium-version");
        let names = |others: &[Finding]| -> Vec<String> {
            list_findings(&complete_snapshot(), Cni::Cilium, others)
                .into_iter()
                .map(|(_, name)| name)
                .collect()
        };
        assert!([ranges, version].iter().all(|name| names(&[]).iter().any(|item| item == name)));
        let finding = Finding::new(&crate::check::CIDR_UNKNOWN).severity(Severity::Risk);
        let left = names(&[finding]);
        assert!(
            !left.iter().any(|item| item == ranges) && left.iter().any(|item| item == version),
            "{left:?}"
        );
    }

    #[test]
    fn the_findings_that_say_the_same_exist() {
        let rules = crate::check::rules();
        for pair in crate::cni::requirements::PAIRS {
            for row in for_migration(pair.from, pair.to) {
                let unknown: Vec<_> = row.found_by.iter().filter(|rule| !rules.contains(rule)).collect();
                assert!(unknown.is_empty(), "{}: no check reports {unknown:?}", row.name);
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_once_by_its_kind() {
        let (snapshot, config) = (Snapshot::default(), Config::default());
        let (from, to, strategy) = (Cni::Calico, Cni::Cilium, Strategy::Double);
        let scene = Scene { snapshot: &snapshot, config: &config, from, to, strategy };
        assert!(missing_kinds(&scene).any(|entry| entry == (Kind::DAEMON_SET, "calico-version")));
        assert!(list_findings(&snapshot, to, &[]).is_empty(), "only rows that read no object");
    }
}
