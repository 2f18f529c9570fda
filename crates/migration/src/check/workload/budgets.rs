//! PodDisruptionBudgets that never let a pod go.

mod arithmetic;

use std::collections::{BTreeMap, HashMap};

use snapshot::model::{Budget, Kind, Labels, Pod, Snapshot};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use arithmetic::{ReplicaCount, Verdict};

pub(in crate::check) const CHECK: Check = Check {
    name: "budgets",
    rules: &[&PDB_BLOCKED_NOW, &PDB_CANNOT_COUNT, &PDB_NEVER_YIELDS, &PDB_OVERLAP, &PDB_SELECTS_NOTHING],
    needs: &[
        Need::Always(Kind::POD),
        Need::Always(Kind::POD_DISRUPTION_BUDGET),
        Need::Always(Kind::DEPLOYMENT),
        Need::Always(Kind::STATEFUL_SET),
        Need::Always(Kind::REPLICA_SET),
    ],
    run,
};

const PDB_BLOCKED_NOW: Rule = Severity::Risk.rule(
    "pdb-blocked-now",
    "PodDisruptionBudgets allow no eviction now, because pods are not ready.",
    "The migration waits at the first node with such a pod until enough of the others are ready.",
    r#"Repair the pods. If broken pods may be evicted whatever the budget says: `kubectl -n NAMESPACE patch pdb NAME --type merge -p '{"spec":{"unhealthyPodEvictionPolicy":"AlwaysAllow"}}'`"#,
);

const PDB_CANNOT_COUNT: Rule = Severity::Blocks.rule(
    "pdb-cannot-count",
    "Kubernetes cannot count the pods of PodDisruptionBudgets, and so allows no eviction.",
    "A percentage or maxUnavailable is taken of the replicas of the pods' owner. DaemonSets, Jobs and pods without an owner have no such number, and the budget fails closed.",
    "Remove the budget, or use a number in minAvailable: `kubectl -n NAMESPACE delete pdb NAME`",
);

const PDB_NEVER_YIELDS: Rule = Severity::Blocks.rule(
    "pdb-never-yields",
    "PodDisruptionBudgets allow no eviction, even if every pod is ready.",
    "The API server refuses each eviction with status 429, so the first node with such a pod never becomes empty, and the migration stands still.",
    r#"Add a replica, or let one pod go at a time: `kubectl -n NAMESPACE patch pdb NAME --type merge -p '{"spec":{"minAvailable":null,"maxUnavailable":1}}'`"#,
);

const PDB_SELECTS_NOTHING: Rule = Severity::Note.rule(
    "pdb-selects-nothing",
    "PodDisruptionBudgets select no pod.",
    "They protect nothing. Often a label was renamed, and the pods that should be protected are not.",
    "Correct spec.selector, or remove the budget: `kubectl -n NAMESPACE delete pdb NAME`",
);

/// The pods of a namespace by their labels, so that a selector is tried once for all pods of a template.
type Sets<'a> = HashMap<&'a str, HashMap<&'a Labels, Vec<&'a Pod>>>;

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let snapshot = scene.snapshot;
    let sets = sets(snapshot);
    let mut subjects_by_rule: BTreeMap<&'static Rule, Vec<Subject>> = BTreeMap::new();
    let mut selected: HashMap<(&str, &Labels), Vec<&Budget>> = HashMap::new();
    for budget in &snapshot.budgets {
        let mut pods: Vec<&Pod> = Vec::new();
        for (labels, of_set) in sets.get(&*budget.metadata.namespace).into_iter().flatten() {
            if budget.spec.selector.as_ref().is_some_and(|selector| selector.selects(labels)) {
                pods.extend(of_set);
                selected.entry((&budget.metadata.namespace, labels)).or_default().push(budget);
            }
        }
        let (rule, detail) = match arithmetic::judge(budget, &pods, &ReplicaCount::count(snapshot, &pods)) {
            Verdict::Fine => continue,
            Verdict::Empty => (&PDB_SELECTS_NOTHING, String::new()),
            Verdict::Never(words) => (&PDB_NEVER_YIELDS, words),
            Verdict::Now(words) => (&PDB_BLOCKED_NOW, words),
            Verdict::Uncounted(words) => (&PDB_CANNOT_COUNT, words),
        };
        let subject = Subject::from_meta(Kind::POD_DISRUPTION_BUDGET, &budget.metadata).detail(detail);
        subjects_by_rule.entry(rule).or_default().push(subject);
    }
    let all = subjects_by_rule.into_iter();
    let mut findings: Vec<Finding> = all
        .map(|(rule, subjects)| Finding::new(rule).with_commands(&subjects).with_objects(subjects))
        .collect();
    findings.extend(overlap(&selected));
    findings
}

fn sets(snapshot: &Snapshot) -> Sets<'_> {
    let mut sets: Sets<'_> = HashMap::new();
    for pod in snapshot.pods.iter().filter(|pod| !pod.is_finished()) {
        sets.entry(pod.namespace()).or_default().entry(&pod.metadata.labels).or_default().push(pod);
    }
    sets
}

const PDB_OVERLAP: Rule = Severity::Blocks.rule(
    "pdb-overlap",
    "PodDisruptionBudgets select the same pods.",
    "The eviction of a pod with two budgets is not refused but fails, with status 500, for ever. No tool can drain its node.",
    "Change one selector, or remove one of each pair: `kubectl -n NAMESPACE delete pdb NAME`",
);

/// Budgets that share a pod.
///
/// *Source*: Kubernetes 1.33, `pkg/registry/core/pod/storage/eviction.go`: a pod with more than one budget is refused with status 500.
fn overlap(selected: &HashMap<(&str, &Labels), Vec<&Budget>>) -> Option<Finding> {
    let mut objects = Vec::new();
    for ((namespace, _), budgets) in selected {
        if let [first, rest @ ..] = budgets.as_slice()
            && !rest.is_empty()
        {
            let names: Vec<&str> = rest.iter().map(|budget| budget.metadata.name.as_ref()).collect();
            let detail = format!("shares pods with {} in {namespace}", names.join(", "));
            objects.push(Subject::from_meta(Kind::POD_DISRUPTION_BUDGET, &first.metadata).detail(detail));
        }
    }
    objects.sort();
    objects.dedup();
    (!objects.is_empty()).then(|| Finding::new(&PDB_OVERLAP).with_commands(&objects).with_objects(objects))
}

#[cfg(test)]
mod tests;
