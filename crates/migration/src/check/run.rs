//! Runs all checks.

use std::collections::BTreeMap;

use snapshot::model::{IllegibleObject, Kind, Reading};
use types::command::rule::Catalog;

use super::{ALL, Check, kinds};
use crate::check::Scene;
use crate::check::cni::requirements;
use crate::check::finding::{Finding, Rule, Severity, Subject, WAIVER_UNUSED, sort, waive};

const NOT_CHECKED: Rule = Severity::Blocks.rule(
    "not-checked",
    "Objects that a check needs are not in the snapshot.",
    "The checks that need these objects did not run, so it is unknown whether they would find something.",
    "Dump them, all at once (`check --dump-script` prints the script), or grant the right to list them. Of ConfigMaps, grant the right to get the one that is named.",
);

const OBJECT_ILLEGIBLE: Rule = Severity::Blocks.rule(
    "object-illegible",
    "Objects cannot be read, so no check knows what is in them.",
    "A check finds nothing wrong with an object that it does not see. All other objects are checked.",
    "Look at each of them: kubectl -n NAMESPACE get KIND NAME -o yaml. Correct the field that is named here, or delete the object. If the migration need not know it, accept this finding with a waiver for the object.",
);

/// What no single check finds.
const RULES: &[&Rule] = &[&NOT_CHECKED, &OBJECT_ILLEGIBLE, &WAIVER_UNUSED];

/// The rules of every check, of the requirements, and of what no single check finds, each with its name.
pub fn rule_lists() -> impl Iterator<Item = (&'static str, &'static [&'static Rule])> {
    let checks = ALL.iter().map(|check| (check.name, check.rules));
    checks.chain([("requirements", requirements::RULES), ("any", RULES)])
}

/// The rule of each finding that there may be, by their codes.
#[must_use]
pub fn rules() -> Vec<&'static Rule> {
    let mut all: Vec<&Rule> = rule_lists().flat_map(|(_, rules)| rules).copied().collect();
    all.sort_unstable();
    all
}

/// The codes of `check`.
pub const CATALOG: Catalog<Severity> = Catalog { rules, command: "check", page: "docs/check.md" };

/// The findings of all checks: accepted ones are marked, and the worst come first.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut missing: BTreeMap<Kind, Vec<&'static str>> = BTreeMap::new();
    for check in ALL {
        let unknown = unread_kinds(check, scene);
        if unknown.is_empty() {
            findings.extend((check.run)(scene));
        }
        for kind in unknown {
            missing.entry(kind).or_default().push(check.name);
        }
    }
    let required = requirements::findings(scene, &findings);
    findings.extend(required);
    for (kind, row) in requirements::missing_kinds(scene) {
        missing.entry(kind).or_default().push(row);
    }
    findings.extend(missing.iter().map(|(kind, checks)| find_not_checked(*kind, checks, scene)));
    findings.extend(find_illegible(scene));
    let mut findings = waive(findings, &scene.config.waivers);
    sort(&mut findings);
    findings
}

/// The kinds that a check needs and the snapshot does not have.
fn unread_kinds(check: &Check, scene: &Scene<'_>) -> Vec<Kind> {
    let needed = check.needs.iter().filter_map(|need| need.kind_for(scene.from, scene.to));
    needed.filter(|kind| !scene.snapshot.knows(*kind)).collect()
}

/// The objects of the kinds that this migration needs which could not be read. Their names may be any text, so that no command has them.
fn find_illegible(scene: &Scene<'_>) -> Option<Finding> {
    let needed = kinds(scene.from, scene.to);
    let all = scene.snapshot.illegible.iter().filter(|illegible| needed.contains(&illegible.kind));
    let subject = |illegible: &IllegibleObject| Subject {
        namespace: illegible.namespace.clone(),
        ..Subject::new(illegible.kind, &*illegible.name).detail(&*illegible.why)
    };
    let objects: Vec<Subject> = all.map(subject).collect();
    (!objects.is_empty()).then(|| Finding::new(&OBJECT_ILLEGIBLE).with_objects(objects))
}

fn find_not_checked(kind: Kind, checks: &[&str], scene: &Scene<'_>) -> Finding {
    let (what, fix) = match scene.snapshot.readings.get(&kind) {
        // They are read one by one: a right to list them would reach what applications keep in theirs.
        Some(Reading::Forbidden(why)) if kind == Kind::CONFIG_MAP => (
            format!("The API server refused to read a ConfigMap: {why}"),
            "Grant the verb get on this ConfigMap: deploy/cluster/rbac-viewer.yaml names those of all CNIs; add one whose name ends in a hash to its resourceNames.".into(),
        ),
        Some(Reading::Forbidden(why)) => (
            format!("The API server refused to list {}: {why}", kind.plural_name()),
            format!(
                "Grant the verb list on {}; deploy/cluster/rbac-viewer.yaml has all rights that are needed.",
                kind.resource()
            ),
        ),
        Some(Reading::Incomplete(why)) => (
            format!("The snapshot does not have all {kind} objects as they are: {why}."),
            format!(
                "Dump them once, and name no other file that has some of them: kubectl get {} -A -o json > {}.json.",
                kind.resource(),
                kind.plural_name()
            ),
        ),
        Some(Reading::Read | Reading::NotServed) | None => (
            format!("The snapshot has no {kind} objects, and does not say that the cluster has none."),
            format!(
                "Add them: kubectl get {} -A -o json > {}.json. If the cluster has none: --dumped {}",
                kind.resource(),
                kind.plural_name(),
                kind.plural_name()
            ),
        ),
    };
    let subject = Subject::new(kind, "*").detail(format!("needed by {}", checks.join(", ")));
    Finding::new(&NOT_CHECKED).what(what).fix(fix).with_objects([subject])
}

#[cfg(test)]
mod tests {
    use snapshot::model::Snapshot;

    use super::*;
    use crate::cni::support::{Cni, Strategy};
    use crate::config::Config;

    fn scene<'a>(snapshot: &'a Snapshot, config: &'a Config) -> Scene<'a> {
        // No object is needed to say that Calico is no second network.
        Scene { snapshot, config, from: Cni::Calico, to: Cni::Cilium, strategy: Strategy::Bridge }
    }

    #[test]
    fn a_check_without_its_objects_is_never_green() {
        let (mut snapshot, config) = (Snapshot::default(), Config::default());
        let findings = run(&scene(&snapshot, &config));
        assert!(
            findings.iter().all(|finding| finding.rule.code == "not-checked" && finding.blocks()),
            "{findings:?}"
        );
        assert!(findings.iter().any(|finding| finding.objects[0].kind == "IPPool"));
        snapshot.readings.insert(Kind::IP_POOL, Reading::Forbidden("no right".into()));
        let findings = run(&scene(&snapshot, &config));
        assert!(
            findings.iter().any(|finding| finding.what.contains("no right") && finding.fix.contains("Grant"))
        );
        snapshot.readings.insert(Kind::CONFIG_MAP, Reading::Forbidden("antrea-config-x".into()));
        let findings = run(&scene(&snapshot, &config));
        let of_map = findings.iter().find(|finding| finding.what.contains("antrea-config-x"));
        assert!(of_map.is_some_and(|finding| finding.fix.contains("verb get")), "{findings:?}");
    }

    #[test]
    fn an_object_that_cannot_be_read_is_a_finding_that_names_it() {
        let (mut snapshot, config) = (Snapshot::default(), Config::default());
        let illegible = |kind: Kind, name: &str| IllegibleObject {
            kind,
            namespace: "x".into(),
            name: name.into(),
            why: "invalid IP address".into(),
        };
        snapshot.illegible = vec![illegible(Kind::POD, "$(id)"), illegible(Kind::IPAM_BLOCK, "a")];
        let findings = run(&scene(&snapshot, &config));
        let finding =
            findings.iter().find(|finding| finding.rule.code == "object-illegible").expect("a finding");
        assert!(
            finding.blocks() && finding.objects.iter().any(|subject| subject.to_string() == "Pod/x/$(id)")
        );
        assert!(finding.objects[0].detail.contains("invalid IP address") || finding.objects.len() > 1);
        assert!(!finding.fix.contains("$(id)"));
    }

    #[test]
    fn codes_are_unique_and_of_one_form() {
        let rules = rules();
        for pair in rules.windows(2) {
            assert!(pair[0].code < pair[1].code, "{} twice", pair[0].code);
        }
        for (_, rules) in rule_lists() {
            assert!(rules.is_sorted(), "{rules:?}");
        }
        for Rule { code, what, why, fix, .. } in rules {
            assert!(
                code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_digit()),
                "{code}"
            );
            let sentences = [what.split("\n\n").next().unwrap_or_default(), why];
            assert!(sentences.iter().all(|text| text.ends_with('.')) && fix.len() > 10, "{code}");
            // The page has a chapter for each group of codes, and a section for each code.
            assert!([what, why, fix].iter().all(|text| !text.contains("##")), "{code}");
        }
    }
}
