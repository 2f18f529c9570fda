//! Workloads that the settings name: what must exist, what must be ready, and what is removed at the end.

use snapshot::model::{Kind, Workload};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::config::Resources;
use crate::workload::agents;

pub(in crate::check) const CHECK: Check = Check {
    name: "resources",
    rules: &[
        &CLEAN_UP_ABSENT,
        &CLEAN_UP_NEW_AGENT,
        &PREFLIGHT_ABSENT,
        &WATCHED_ABSENT,
        &WATCHED_EMPTY,
        &WATCHED_NOT_READY,
    ],
    needs: &[
        Need::Always(Kind::DAEMON_SET),
        Need::Always(Kind::DEPLOYMENT),
        Need::Always(Kind::STATEFUL_SET),
    ],
    run,
};

const CLEAN_UP_ABSENT: Rule = Severity::Note.rule(
    "clean-up-absent",
    "Workloads that are removed at the end do not exist.",
    "Either they come during the migration, or the name is misspelt, and what is meant stays for ever.",
    "Compare with cleanUpResources in the settings file: `kubectl -n NAMESPACE get KIND NAME`",
);

const CLEAN_UP_NEW_AGENT: Rule = Severity::Blocks.rule(
    "clean-up-new-agent",
    "Every agent of the new CNI is among what is removed at the end.",
    "The cluster would be without a network.",
    "Remove at least one of them from cleanUpResources in the settings file.",
);

const PREFLIGHT_ABSENT: Rule = Severity::Blocks.rule(
    "preflight-absent",
    "Workloads that must exist before the start do not.",
    "The migration depends on them: agents, probes, or what restores the service if something fails.",
    "Create them, or correct preflightResources in the settings file: `kubectl -n NAMESPACE get KIND NAME`",
);

const WATCHED_ABSENT: Rule = Severity::Blocks.rule(
    "watched-absent",
    "Workloads that are watched do not exist.",
    "A gate that waits for them never opens. On most clusters kube-controller-manager and kube-scheduler are static pods and not DaemonSets.",
    "Correct watchedResources in the settings file: `kubectl -n NAMESPACE get KIND NAME`",
);

const WATCHED_EMPTY: Rule = Severity::Risk.rule(
    "watched-empty",
    "DaemonSets that are watched select no node.",
    "No pod is wanted and none is there, which looks like ready and proves nothing.",
    "Correct the node selector, or remove them from watchedResources until they select nodes: `kubectl -n NAMESPACE get KIND NAME`",
);

const WATCHED_NOT_READY: Rule = Severity::Blocks.rule(
    "watched-not-ready",
    "Workloads that are watched are not ready.",
    "What is broken before the migration cannot be told from what it breaks.",
    "Repair them, or remove them from watchedResources in the settings file: `kubectl -n NAMESPACE get KIND NAME`",
);

const KINDS: [Kind; 3] = [Kind::DAEMON_SET, Kind::DEPLOYMENT, Kind::STATEFUL_SET];

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let config = scene.config;
    let (_, preflight_absent) = split_existing(scene, &config.preflight_resources);
    let (watched, watched_absent) = split_existing(scene, &config.watched_resources);
    let (clean_up, clean_up_absent) = split_existing(scene, &config.clean_up_resources);
    let subject = |(kind, workload): &(Kind, &Workload), detail: String| {
        Subject::from_meta(*kind, &workload.metadata).detail(detail)
    };
    let not_ready =
        watched.iter().filter_map(|entry| Some(subject(entry, unready_reason(entry.0, entry.1)?))).collect();
    let is_empty = |entry: &&(Kind, &Workload)| {
        entry.0 == Kind::DAEMON_SET && entry.1.status.desired_number_scheduled == 0
    };
    let empty = watched.iter().filter(is_empty).map(|entry| subject(entry, String::new())).collect();
    let new = agents(scene, scene.to);
    let is_new =
        |entry: &&(Kind, &Workload)| new.iter().any(|agent| agent.daemon_set.metadata == entry.1.metadata);
    // A migration with two DaemonSets of the new CNI removes the first one; some agent must stay.
    let doomed: Vec<Subject> =
        clean_up.iter().filter(is_new).map(|entry| subject(entry, String::new())).collect();
    let doomed = if doomed.len() == new.len() { doomed } else { Vec::new() };
    let all: [(&'static Rule, Vec<Subject>); 6] = [
        (&CLEAN_UP_ABSENT, clean_up_absent),
        (&CLEAN_UP_NEW_AGENT, doomed),
        (&PREFLIGHT_ABSENT, preflight_absent),
        (&WATCHED_ABSENT, watched_absent),
        (&WATCHED_EMPTY, empty),
        (&WATCHED_NOT_READY, not_ready),
    ];
    all.into_iter()
        .filter(|(_, subjects)| !subjects.is_empty())
        .map(|(rule, subjects)| Finding::new(rule).with_commands(&subjects).with_objects(subjects))
        .collect()
}

/// The workloads that exist, and those that do not with what has the same name.
fn split_existing<'a>(scene: &Scene<'a>, named: &Resources) -> (Vec<(Kind, &'a Workload)>, Vec<Subject>) {
    let (mut present, mut absent) = (Vec::new(), Vec::new());
    let items_of = |kind: Kind, name: &str| {
        let name = name.to_owned();
        scene.snapshot.workloads(kind).iter().filter(move |workload| workload.name() == name)
    };
    for (kind, namespace, name) in named.all() {
        if let Some(workload) = items_of(kind, name).find(|workload| workload.namespace() == namespace) {
            present.push((kind, workload));
            continue;
        }
        let mut others = KINDS.into_iter().flat_map(|kind| {
            items_of(kind, name).map(move |workload| Subject::from_meta(kind, &workload.metadata))
        });
        let hint = others.next().map(|other| format!("there is {other}")).unwrap_or_default();
        absent.push(Subject { namespace: namespace.to_owned(), ..Subject::new(kind, name) }.detail(hint));
    }
    (present, absent)
}

/// Why a workload is not ready.
///
/// *Source*: Kubernetes 1.33, `staging/src/k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go`.
fn unready_reason(kind: Kind, workload: &Workload) -> Option<String> {
    let status = &workload.status;
    if let (Some(generation), Some(observed)) = (workload.metadata.generation, status.observed_generation)
        && observed < generation
    {
        return Some(format!("generation {generation} is not observed yet, only {observed}"));
    }
    let (desired, ready, updated) = if kind == Kind::DAEMON_SET {
        (status.desired_number_scheduled, status.number_ready, status.updated_number_scheduled)
    } else {
        (workload.spec.replicas.unwrap_or(1), status.ready_replicas, status.updated_replicas)
    };
    if ready < desired {
        return Some(format!("{ready} of {desired} pods are ready"));
    }
    let on_delete = workload.spec.update_strategy.pointer("/type").is_some_and(|kind| kind == "OnDelete");
    (updated < desired && !on_delete)
        .then(|| format!("{updated} of {desired} pods are of the current template"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    fn daemon_set(name: &str, container: &str, desired: u8, ready: u8, updated: u8) -> String {
        format!(
            "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: {name}, namespace: kube-system, generation: 2}}\nspec: {{template: {{spec: {{containers: [{{name: {container}}}]}}}}}}\n\
             status: {{observedGeneration: 2, desiredNumberScheduled: {desired}, numberReady: {ready}, updatedNumberScheduled: {updated}}}\n---\n"
        )
    }

    const WATCHED: &str = "watchedResources: {daemonSets: {kube-system: [probe]}}";

    #[test]
    fn what_is_watched_is_there_and_ready() {
        for (yaml, codes) in [
            (daemon_set("probe", "c", 2, 2, 2), &[][..]),
            (daemon_set("probe", "c", 2, 1, 2), &["watched-not-ready"]),
            (daemon_set("probe", "c", 2, 2, 1), &["watched-not-ready"]),
            (
                daemon_set("probe", "c", 2, 2, 1)
                    .replace("spec: {template", "spec: {updateStrategy: {type: OnDelete}, template"),
                &[],
            ),
            (
                daemon_set("probe", "c", 2, 2, 2).replace("observedGeneration: 2", "observedGeneration: 1"),
                &["watched-not-ready"],
            ),
            (daemon_set("probe", "c", 0, 0, 0), &["watched-empty"]),
            (daemon_set("probes", "c", 2, 2, 2), &["watched-absent"]),
        ] {
            assert_eq!(Case::from_yaml(&yaml).config(WATCHED).codes(&CHECK), codes, "{yaml}");
        }
        let static_pods = "watchedResources: {daemonSets: {kube-system: [kube-scheduler]}}";
        let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: kube-scheduler, namespace: control-plane}\n";
        let finding = Case::from_yaml(deployment).config(static_pods).finding(&CHECK, "watched-absent");
        assert_eq!(
            objects(&finding),
            ["DaemonSet/kube-system/kube-scheduler: there is Deployment/control-plane/kube-scheduler"]
        );
    }

    #[test]
    fn deployments_and_stateful_sets_count_too() {
        let config = "watchedResources: {deployments: {x: [web]}, statefulSets: {x: [db]}}";
        let text_of = |kind: &str, name: &str, ready: u8| {
            format!(
                "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: x}}\nspec: {{replicas: 2}}\nstatus: {{readyReplicas: {ready}, updatedReplicas: 2}}\n---\n"
            )
        };
        let codes = |web: u8, db: u8| {
            Case::from_yaml(&[text_of("Deployment", "web", web), text_of("StatefulSet", "db", db)].concat())
                .config(config)
                .codes(&CHECK)
        };
        assert!(codes(2, 2).is_empty());
        assert_eq!((codes(1, 2), codes(2, 1)), (vec!["watched-not-ready"], vec!["watched-not-ready"]));
    }

    #[test]
    fn what_must_exist_exists_and_all_that_is_missing_is_told_at_once() {
        let config =
            "preflightResources: {daemonSets: {kube-system: [probe, other]}, deployments: {x: [web]}}";
        let finding = Case::from_yaml(&daemon_set("probe", "c", 1, 1, 1))
            .config(config)
            .finding(&CHECK, "preflight-absent");
        assert_eq!(objects(&finding), ["DaemonSet/kube-system/other", "Deployment/x/web"]);
        let item = "preflightResources: {daemonSets: {kube-system: [probe]}}";
        assert!(Case::from_yaml(&daemon_set("probe", "c", 1, 1, 1)).config(item).codes(&CHECK).is_empty());
    }

    #[test]
    fn an_agent_of_the_new_cni_stays() {
        let config = "cleanUpResources: {daemonSets: {kube-system: [calico-node, cilium]}}";
        let calico = daemon_set("calico-node", "calico-node", 1, 1, 1);
        let cilium = daemon_set("cilium", "cilium-agent", 1, 1, 1);
        let second = daemon_set("cilium-migrated", "cilium-agent", 1, 1, 1);
        let codes = |all: &[&String]| {
            Case::from_yaml(&all.iter().map(|item| item.as_str()).collect::<String>())
                .config(config)
                .codes(&CHECK)
        };
        assert_eq!(codes(&[&calico, &cilium]), ["clean-up-new-agent"]);
        assert!(codes(&[&calico, &cilium, &second]).is_empty());
        assert_eq!(codes(&[&calico]), ["clean-up-absent"]);
    }
}
