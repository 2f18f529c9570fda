use super::CHECK;
use crate::check::tests::{Case, objects};

fn deployment(replicas: u8) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: x}}\nspec: {{replicas: {replicas}}}\n---\n"
    )
}

/// A Ready pod with the label app=web, of an owner.
fn pod(name: &str, owner: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: x, labels: {{app: web, pod-template-hash: h}}, ownerReferences: [{owner}]}}\n\
         status: {{phase: Running, conditions: [{{type: Ready, status: \"True\"}}]}}\n---\n"
    )
}

fn budget(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: {name}, namespace: x}}\nspec: {{{spec}}}\n---\n"
    )
}

const SET: &str = "{kind: ReplicaSet, name: web-h, controller: true}";
const WEB: &str = "selector: {matchLabels: {app: web}}";

fn codes(replicas: u8, owner: &str, budgets: &[String]) -> Vec<&'static str> {
    let all = [deployment(replicas), pod("a", owner), pod("b", owner), budgets.concat()].concat();
    Case::from_yaml(&all).codes(&CHECK)
}

#[test]
fn a_budget_that_never_yields_blocks() {
    let texts_of = |rule: &str| [budget("web", &format!("{rule}, {WEB}"))];
    assert!(codes(2, SET, &texts_of("minAvailable: 1")).is_empty());
    assert_eq!(codes(2, SET, &texts_of("minAvailable: 2")), ["pdb-never-yields"]);
    // Two pods are there and a third one is to come.
    assert_eq!(codes(3, SET, &texts_of("minAvailable: 2")), ["pdb-blocked-now"]);
    let all = [deployment(2), pod("a", SET), pod("b", SET), texts_of("minAvailable: 2").concat()].concat();
    let finding = Case::from_yaml(&all).finding(&CHECK, "pdb-never-yields");
    assert_eq!(
        objects(&finding),
        ["PodDisruptionBudget/x/web: minAvailable 2: 2 expected - 2 desired = 0 may go"]
    );
    assert!(finding.fix.contains("kubectl -n x patch pdb web"), "{}", finding.fix);
}

#[test]
fn pods_without_replicas_cannot_be_counted() {
    let texts_of = |rule: &str| [budget("web", &format!("{rule}, {WEB}"))];
    let daemons = "{kind: DaemonSet, name: web, controller: true}";
    assert_eq!(codes(2, daemons, &texts_of("maxUnavailable: 1")), ["pdb-cannot-count"]);
    assert!(codes(2, daemons, &texts_of("minAvailable: 1")).is_empty());
    assert_eq!(codes(2, "", &texts_of("maxUnavailable: 1")), ["pdb-cannot-count"]);
}

#[test]
fn an_owner_of_an_unknown_kind_is_counted_by_the_status() {
    let owner = "{kind: CloneSet, name: web, controller: true}";
    let texts_of = |expected: u8| {
        let budget = budget("web", &format!("maxUnavailable: 1, {WEB}"));
        [budget.replace("\n---\n", &format!("\nstatus: {{expectedPods: {expected}}}\n---\n"))]
    };
    assert!(codes(2, owner, &texts_of(2)).is_empty());
    assert_eq!(codes(2, owner, &texts_of(0)), ["pdb-cannot-count"]);
}

#[test]
fn two_budgets_over_a_pod_block() {
    let item = budget("one", &format!("maxUnavailable: 1, {WEB}"));
    let two = budget("two", "maxUnavailable: 1, selector: {}");
    let other = budget("two", "maxUnavailable: 1, selector: {matchLabels: {app: other}}");
    assert_eq!(codes(2, SET, &[item.clone(), two]), ["pdb-overlap"]);
    assert_eq!(codes(2, SET, &[item.clone(), other]), ["pdb-selects-nothing"]);
    // Without a selector it selects nothing, with an empty one everything.
    assert_eq!(codes(2, SET, &[item, budget("two", "maxUnavailable: 1")]), ["pdb-selects-nothing"]);
}
