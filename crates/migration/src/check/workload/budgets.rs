//! PodDisruptionBudgets that never let a pod go.

mod arithmetic;

use std::collections::{BTreeMap, HashMap};

use snapshot::model::{Budget, Kind, Labels, Pod, Snapshot};

use crate::check::Scene;
use crate::check::finding::{Finding, Severity, Subject};
use crate::check::{Check, Need};
use arithmetic::{ReplicaCount, Verdict};

/// The codes of [`finding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Code {
    BlockedNow,
    CannotCount,
    NeverYields,
    SelectsNothing,
}

impl Code {
    const fn as_str(self) -> &'static str {
        match self {
            Self::BlockedNow => "pdb-blocked-now",
            Self::CannotCount => "pdb-cannot-count",
            Self::NeverYields => "pdb-never-yields",
            Self::SelectsNothing => "pdb-selects-nothing",
        }
    }
}

pub(in crate::check) const CHECK: Check = Check {
    name: "budgets",
    codes: &[
        (
            Code::BlockedNow.as_str(),
            "a PodDisruptionBudget allows no eviction now, because pods are not ready",
        ),
        (
            Code::CannotCount.as_str(),
            "a PodDisruptionBudget whose pods Kubernetes cannot count allows no eviction",
        ),
        (
            Code::NeverYields.as_str(),
            "a PodDisruptionBudget allows no eviction even if all its pods are ready",
        ),
        ("pdb-overlap", "two PodDisruptionBudgets select the same pod, so every eviction of it fails"),
        (Code::SelectsNothing.as_str(), "a PodDisruptionBudget selects no pod"),
    ],
    needs: &[
        Need::Always(Kind::POD),
        Need::Always(Kind::POD_DISRUPTION_BUDGET),
        Need::Always(Kind::DEPLOYMENT),
        Need::Always(Kind::STATEFUL_SET),
        Need::Always(Kind::REPLICA_SET),
    ],
    run,
};

/// The pods of a namespace by their labels, so that a selector is tried once for all pods of a template.
type Sets<'a> = HashMap<&'a str, HashMap<&'a Labels, Vec<&'a Pod>>>;

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let snapshot = scene.snapshot;
    let sets = sets(snapshot);
    let mut budgets_by_code: BTreeMap<Code, Vec<(&Budget, Subject)>> = BTreeMap::new();
    let mut selected: HashMap<(&str, &Labels), Vec<&Budget>> = HashMap::new();
    for budget in &snapshot.budgets {
        let mut pods: Vec<&Pod> = Vec::new();
        for (labels, of_set) in sets.get(&*budget.metadata.namespace).into_iter().flatten() {
            if budget.spec.selector.as_ref().is_some_and(|selector| selector.selects(labels)) {
                pods.extend(of_set);
                selected.entry((&budget.metadata.namespace, labels)).or_default().push(budget);
            }
        }
        let (code, detail) = match arithmetic::judge(budget, &pods, &ReplicaCount::count(snapshot, &pods)) {
            Verdict::Fine => continue,
            Verdict::Empty => (Code::SelectsNothing, String::new()),
            Verdict::Never(words) => (Code::NeverYields, words),
            Verdict::Now(words) => (Code::BlockedNow, words),
            Verdict::Uncounted(words) => (Code::CannotCount, words),
        };
        let subject = Subject::from_meta(Kind::POD_DISRUPTION_BUDGET, &budget.metadata).detail(detail);
        budgets_by_code.entry(code).or_default().push((budget, subject));
    }
    let mut findings: Vec<Finding> =
        budgets_by_code.into_iter().map(|(code, all)| finding(code, all)).collect();
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

/// One finding for all budgets of a verdict.
fn finding(code: Code, all: Vec<(&Budget, Subject)>) -> Finding {
    let each = |command: fn(&Budget) -> String| {
        all.iter().map(|(budget, _)| command(budget)).collect::<Vec<_>>().join("; ")
    };
    let relaxed = |budget: &Budget| {
        format!(
            "kubectl -n {} patch pdb {} --type merge -p '{{\"spec\":{{\"minAvailable\":null,\"maxUnavailable\":1}}}}'",
            budget.metadata.namespace, budget.metadata.name
        )
    };
    let removed = |budget: &Budget| {
        format!("kubectl -n {} delete pdb {}", budget.metadata.namespace, budget.metadata.name)
    };
    let unhealthy = |budget: &Budget| {
        let (namespace, name) = (&budget.metadata.namespace, &budget.metadata.name);
        format!(
            "kubectl -n {namespace} patch pdb {name} --type merge -p '{{\"spec\":{{\"unhealthyPodEvictionPolicy\":\"AlwaysAllow\"}}}}'"
        )
    };
    let (severity, what, why, fix) = match code {
        Code::NeverYields => (
            Severity::Blocks,
            "PodDisruptionBudgets allow no eviction, even if every pod is ready.",
            "The API server refuses each eviction with status 429, so the first node with such a pod never becomes empty, and the migration stands still.",
            format!("Add a replica, or let one pod go at a time: {}", each(relaxed)),
        ),
        Code::CannotCount => (
            Severity::Blocks,
            "Kubernetes cannot count the pods of PodDisruptionBudgets, and so allows no eviction.",
            "A percentage or maxUnavailable is taken of the replicas of the pods' owner. DaemonSets, Jobs and pods without an owner have no such number, and the budget fails closed.",
            format!("Remove the budget, or use a number in minAvailable: {}", each(removed)),
        ),
        Code::BlockedNow => (
            Severity::Risk,
            "PodDisruptionBudgets allow no eviction now, because pods are not ready.",
            "The migration waits at the first node with such a pod until enough of the others are ready.",
            format!(
                "Repair the pods. If broken pods may be evicted whatever the budget says: {}",
                each(unhealthy)
            ),
        ),
        Code::SelectsNothing => (
            Severity::Note,
            "PodDisruptionBudgets select no pod.",
            "They protect nothing. Often a label was renamed, and the pods that should be protected are not.",
            format!("Correct spec.selector, or remove the budget: {}", each(removed)),
        ),
    };
    Finding::new(code.as_str(), severity, what, why, fix)
        .with_objects(all.into_iter().map(|(_, subject)| subject))
}

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
    let fix =
        objects.iter().map(|subject| format!("kubectl -n {} delete pdb {}", subject.namespace, subject.name));
    let fix = fix.collect::<Vec<_>>().join("; ");
    (!objects.is_empty()).then(|| {
        Finding::new(
            "pdb-overlap",
            Severity::Blocks,
            "PodDisruptionBudgets select the same pods.",
            "The eviction of a pod with two budgets is not refused but fails, with status 500, for ever. No tool can drain its node.",
            format!("Change one selector, or remove one of each pair: {fix}"),
        )
        .with_objects(objects)
    })
}

#[cfg(test)]
mod tests;
