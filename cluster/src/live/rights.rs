//! The check for missing rights, before the first list: a large cluster is read for minutes.

use std::collections::BTreeSet;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use migration::cni::footprint::{Part, Target};
use migration::finish::FinishPlan;
use reachability::manifests;
use snapshot::model::{CONFIG_MAPS, Kind};
use tokio::task::JoinSet;

use super::lease;
use crate::live::api::answer::answer;
use crate::live::api::call::{ApiRequest, Caller};
use crate::live::api::path::NAMESPACE;
use crate::live::api::server;

/// Where an API server says what a credential may do.
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// The rights that reading these kinds needs and the credential does not have, as a person says them: `list nodes`. Kinds of groups that the API
/// server does not serve need none.
///
/// An API server that does not answer such questions is no error: what it refuses later is known by its refusal.
pub(super) async fn find_missing(client: &Client, kinds: &BTreeSet<Kind>) -> Vec<String> {
    let served = groups(client).await;
    let is_served = |kind: &Kind| {
        served.as_ref().is_none_or(|groups| groups.iter().any(|group| group == group_of(*kind)))
    };
    let mut tasks = JoinSet::new();
    for right in kinds.iter().copied().filter(is_served).flat_map(rights) {
        tasks.spawn(missing_right(client.clone(), right));
    }
    let mut missing: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    missing.sort();
    missing
}

/// One rule of a run's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// What a run needs it for.
    pub why: &'static str,
    /// The API group.
    pub group: &'static str,
    /// The resources; a subresource after a slash.
    pub resources: &'static [&'static str],
    /// What they are called; all of them without names. A right to create has none: no name is known before.
    pub names: &'static [&'static str],
    /// What is done to them.
    pub verbs: &'static [&'static str],
    /// The namespace in which alone it is needed; none for the whole cluster.
    pub namespace: Option<&'static str>,
}

/// What a run does and watches, beside what a viewer reads. The manifest `deploy/cluster/rbac-operator.yaml` is made of it.
pub const ACTING: [Rule; 9] = [
    Rule {
        why: "Steps, cordons, desired phases, the taint crossfade/earlier, and the removal of the readiness taint: each one patch that fails if another writer has changed the Node.",
        group: "",
        resources: &["nodes"],
        names: &[],
        verbs: &["patch", "watch"],
        namespace: None,
    },
    Rule {
        why: "Kubernetes' conditions of a Node's lifecycle, such as MaintenanceInProgress: other programs keep off a Node that is being moved.",
        group: "",
        resources: &["nodes/status"],
        names: &[],
        verbs: &["patch"],
        namespace: None,
    },
    Rule {
        why: "Pods move by evictions, so that PodDisruptionBudgets count.",
        group: "",
        resources: &["pods/eviction"],
        names: &[],
        verbs: &["create"],
        namespace: None,
    },
    Rule {
        why: "Pods are deleted only if they have no owner and the operator has named them.",
        group: "",
        resources: &["pods"],
        names: &[],
        verbs: &["delete"],
        namespace: None,
    },
    Rule {
        why: "Pods are watched on nodes that are moving; besides these, pods of the cluster's DNS and pods without a node.",
        group: "",
        resources: &["pods"],
        names: &[],
        verbs: &["watch"],
        namespace: None,
    },
    Rule {
        why: "How many pods of each workload are ready.",
        group: "apps",
        resources: &["daemonsets", "deployments", "replicasets", "statefulsets"],
        names: &[],
        verbs: &["watch"],
        namespace: None,
    },
    Rule {
        why: "The plan, the run, the journal, and what people ask of a run that another process holds.",
        group: "",
        resources: &["configmaps"],
        names: &[],
        verbs: &["create", "delete", "get", "list", "patch", "watch"],
        namespace: Some(NAMESPACE),
    },
    Rule {
        why: "The Lease crossfade-run: only its holder acts.",
        group: "coordination.k8s.io",
        resources: &["leases"],
        names: &[],
        verbs: &["create"],
        namespace: Some(NAMESPACE),
    },
    Rule {
        why: "It is never deleted, since its number of transitions only grows.",
        group: "coordination.k8s.io",
        resources: &["leases"],
        names: &[lease::NAME],
        verbs: &["get", "update"],
        namespace: Some(NAMESPACE),
    },
];

/// What a run needs where Karpenter replaces nodes, beside what a viewer reads.
pub const SEEING_DRIFT: [Rule; 1] = [Rule {
    why: "Which nodes Karpenter finds drifted: the run releases no other one.",
    group: "karpenter.sh",
    resources: &["nodeclaims"],
    names: &[],
    verbs: &["watch"],
    namespace: None,
}];

/// What reads the reports of agents that probe, for a run as well. Together with [`PROBING`], the manifest `deploy/cluster/rbac-probe.yaml` is made of it.
pub const READING_REPORTS: [Rule; 3] = [
    Rule {
        why: "Which agents there are, and why one does not start.",
        group: "",
        resources: &["pods"],
        names: &[],
        verbs: &["list"],
        namespace: Some(manifests::NAMESPACE),
    },
    Rule {
        why: "Hubs print what agents report; an agent's port answers the API server, which shows that it reaches pods.",
        group: "",
        resources: &["pods/log", "pods/proxy"],
        names: &[],
        verbs: &["get"],
        namespace: Some(manifests::NAMESPACE),
    },
    Rule {
        why: "The zones of nodes.",
        group: "",
        resources: &["configmaps"],
        names: &[manifests::NAME],
        verbs: &["get"],
        namespace: Some(manifests::NAMESPACE),
    },
];

/// What brings agents that probe to the cluster, and takes them away.
pub const PROBING: [Rule; 4] = [
    Rule {
        why: "The agents.",
        group: "apps",
        resources: &["daemonsets"],
        names: &[],
        verbs: &["create", "delete", "get", "list", "patch"],
        namespace: Some(manifests::NAMESPACE),
    },
    Rule {
        why: "The Service that they ask, and the zones of their nodes.",
        group: "",
        resources: &["configmaps", "services"],
        names: &[],
        verbs: &["create", "delete", "patch"],
        namespace: Some(manifests::NAMESPACE),
    },
    Rule {
        why: "The key that they share. It is never read.",
        group: "",
        resources: &["secrets"],
        names: &[],
        verbs: &["create", "delete"],
        namespace: Some(manifests::NAMESPACE),
    },
    Rule {
        why: "The policy whose enforcement they probe.",
        group: "networking.k8s.io",
        resources: &["networkpolicies"],
        names: &[],
        verbs: &["create", "delete", "patch"],
        namespace: Some(manifests::NAMESPACE),
    },
];

/// What a pipeline needs that asks for nodes: none of it changes a Node. The manifest `deploy/cluster/rbac-permit.yaml` is made of it.
pub const PERMITTING: [Rule; 3] = [
    Rule {
        why: "The Node that is asked for, whose annotation crossfade/step is the answer.",
        group: "",
        resources: &["nodes"],
        names: &[],
        verbs: &["get"],
        namespace: None,
    },
    Rule {
        why: "The run, its plan, and what pipelines ask for. The name of a plan is part of its hash.",
        group: "",
        resources: &["configmaps"],
        names: &[],
        verbs: &["get"],
        namespace: Some(NAMESPACE),
    },
    Rule {
        why: "Requests. The run makes the ConfigMap when it begins.",
        group: "",
        resources: &["configmaps"],
        names: &[migration::drive::permit::NAME],
        verbs: &["patch"],
        namespace: Some(NAMESPACE),
    },
];

/// What a run needs in the management cluster of Cluster API. The manifest `deploy/cluster/rbac-management.yaml` is made of it.
pub const MANAGING: [Rule; 1] = [Rule {
    why: "The pre-drain hook of each Machine whose Node has to wait: one annotation, which fails if another writer has changed the Machine.",
    group: "cluster.x-k8s.io",
    resources: &["machines"],
    names: &[],
    verbs: &["get", "list", "patch", "watch"],
    namespace: None,
}];

/// The rights that a run needs in the management cluster, in the namespace of a Cluster, and the credential does not have.
pub(super) async fn missing_to_manage(client: &Client, namespace: &str) -> Vec<String> {
    let of_namespace = |right| ResourceAttributes { namespace: Some(namespace.to_owned()), ..right };
    missing_rights(client, MANAGING.iter().flat_map(acting).map(of_namespace)).await
}

/// The rights that a run needs where Karpenter replaces nodes, and the credential does not have.
pub(super) async fn missing_to_see_drift(client: &Client) -> Vec<String> {
    missing_rights(client, SEEING_DRIFT.iter().flat_map(acting)).await
}

/// The rights that reading the reports of agents needs and the credential does not have.
pub(super) async fn missing_to_read_reports(client: &Client) -> Vec<String> {
    missing_rights(client, READING_REPORTS.iter().flat_map(acting)).await
}

/// The same with the rights to bring agents to the cluster, and to take them away.
pub(super) async fn missing_to_probe(client: &Client) -> Vec<String> {
    missing_rights(client, READING_REPORTS.iter().chain(&PROBING).flat_map(acting)).await
}

/// The rights that the end of a migration needs and the credential does not have: to read and to delete each object of a plan, to fence agents, and to record
/// how far it is.
pub(super) async fn missing_to_finish(caller: &Caller, plan: &FinishPlan) -> Vec<String> {
    let right = |target: &Target, verb: &str| ResourceAttributes {
        group: Some(target.group().to_owned()),
        resource: Some(target.plural.clone()),
        verb: Some(verb.to_owned()),
        namespace: target.namespace.clone(),
        name: Some(target.name.clone()),
        ..ResourceAttributes::default()
    };
    // Resources are read by lists, which their definitions' names do not narrow.
    let verbs =
        |target: &Target| if target.part == Part::Resource { &["delete"][..] } else { &["delete", "get"] };
    let deletions =
        plan.delete.iter().flat_map(|pin| verbs(&pin.target).iter().map(|verb| right(&pin.target, verb)));
    let agents = plan.delete.iter().chain(&plan.vanish).filter(|pin| pin.target.part == Part::Agent);
    let fences = agents.map(|pin| right(&pin.target, "patch"));
    let own = ACTING.iter().filter(|rule| rule.namespace.is_some()).flat_map(acting);
    let mut tasks = JoinSet::new();
    for right in deletions.chain(fences).chain(own) {
        caller.turn().await;
        let client = caller.client().clone();
        tasks.spawn(async move {
            let words = describe_right(&right);
            match is_allowed(&client, right).await {
                Some(true) => None,
                Some(false) => Some(words),
                // There is no way back: what is not known counts as missing.
                None => Some(format!("{words} (the API server did not say)")),
            }
        });
    }
    let mut missing: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    missing.sort();
    missing
}

/// The rights that a run needs to act and the credential does not have, as a person says them: `patch nodes`, `create pods/eviction`.
pub(super) async fn missing_to_act(client: &Client) -> Vec<String> {
    missing_rights(client, ACTING.iter().flat_map(acting)).await
}

async fn missing_rights(client: &Client, rights: impl Iterator<Item = ResourceAttributes>) -> Vec<String> {
    let mut tasks = JoinSet::new();
    for right in rights {
        tasks.spawn(missing_right(client.clone(), right));
    }
    let mut missing: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    missing.sort();
    missing
}

fn acting(rule: &Rule) -> Vec<ResourceAttributes> {
    let names = || if rule.names.is_empty() { vec![None] } else { rule.names.iter().map(Some).collect() };
    let right = |resource: &str, verb: &str, name: Option<&&str>| {
        let (resource, subresource) =
            resource.split_once('/').map_or((resource, None), |(parent, sub)| (parent, Some(sub)));
        ResourceAttributes {
            group: Some(rule.group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: subresource.map(str::to_owned),
            verb: Some(verb.to_owned()),
            name: name.map(|name| (*name).to_owned()),
            namespace: rule.namespace.map(str::to_owned),
            ..ResourceAttributes::default()
        }
    };
    let of_verb = |resource, verb| names().into_iter().map(move |name| right(resource, verb, name));
    let of_resource = |resource| rule.verbs.iter().flat_map(move |verb| of_verb(resource, verb));
    rule.resources.iter().flat_map(|resource| of_resource(resource)).collect()
}

/// The groups that the API server has, with the one without a name; none if it does not say.
async fn groups(client: &Client) -> Option<Vec<String>> {
    let groups = server::groups(client).await.ok()?;
    Some(groups.into_iter().map(|(name, _)| name).chain([String::new()]).collect())
}

/// The group that is asked for first.
fn group_of(kind: Kind) -> &'static str {
    kind.served_by()[0].0
}

/// What reading a kind asks for: all of it, but ConfigMaps one by one.
fn rights(kind: Kind) -> Vec<ResourceAttributes> {
    let right = |verb: &str, namespace: Option<&str>, name: Option<&str>| ResourceAttributes {
        group: Some(group_of(kind).to_owned()),
        resource: Some(kind.plural_name().to_owned()),
        verb: Some(verb.to_owned()),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    if kind == Kind::CONFIG_MAP {
        CONFIG_MAPS.iter().map(|(namespace, name)| right("get", Some(namespace), Some(name))).collect()
    } else {
        vec![right("list", None, None)]
    }
}

/// The right in words, if the API server says that it is missing.
async fn missing_right(client: Client, right: ResourceAttributes) -> Option<String> {
    let words = describe_right(&right);
    (is_allowed(&client, right).await == Some(false)).then_some(words)
}

/// Whether the credential has a right; none if the API server does not say.
async fn is_allowed(client: &Client, right: ResourceAttributes) -> Option<bool> {
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(right), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let ask = ApiRequest::post(REVIEWS, serde_json::to_vec(&review).ok()?);
    let answer = answer(client, ask.request().ok()?).await.ok()?;
    let answer: SelfSubjectAccessReview = serde_json::from_slice(answer.body()).ok()?;
    answer.status.map(|status| status.allowed)
}

/// `list ippools.crd.projectcalico.org`, `get configmaps kube-system/cilium-config`.
fn describe_right(right: &ResourceAttributes) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (verb, resource, group) = (text(&right.verb), text(&right.resource), text(&right.group));
    let dot = if group.is_empty() { "" } else { "." };
    let sub = right.subresource.as_ref().map(|sub| format!("/{sub}")).unwrap_or_default();
    let what = format!("{verb} {resource}{sub}{dot}{group}");
    match (&right.namespace, &right.name) {
        (Some(namespace), Some(name)) => format!("{what} {namespace}/{name}"),
        (Some(namespace), None) => format!("{what} in namespace {namespace}"),
        (None, _) => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::api::test_server::{self, Answer, Server};

    #[test]
    fn each_kind_is_asked_for_as_it_is_read() {
        let words = |kind: Kind| rights(kind).iter().map(describe_right).collect::<Vec<_>>();
        assert_eq!(words(Kind::POD), ["list pods"]);
        assert_eq!(words(Kind::IP_POOL), ["list ippools.crd.projectcalico.org"]);
        assert_eq!(words(Kind::CONFIG_MAP).len(), CONFIG_MAPS.len());
        assert!(words(Kind::CONFIG_MAP).contains(&"get configmaps kube-system/cilium-config".to_owned()));
    }

    /// Resources with finalizers are listed, agents that go with their owner are fenced, and what the API server does not answer counts as missing.
    #[test]
    fn the_rights_of_a_removal_are_those_that_it_uses() {
        let pin = |part: Part, plural: &str, name: &str| {
            let (api_version, kind) = ("g/v1".to_owned(), "K".to_owned());
            let (plural, name) = (plural.to_owned(), name.to_owned());
            let target = Target { part, api_version, kind, plural, namespace: None, name };
            migration::finish::Pin { target, uid: "u".into() }
        };
        let plan = FinishPlan {
            version: FinishPlan::VERSION,
            cluster: "c".into(),
            from: migration::cni::support::Cni::Calico,
            to: migration::cni::support::Cni::Flannel,
            soak_hours: 0,
            observation_hours: 0,
            delete: vec![pin(Part::Resource, "tiers", "t"), pin(Part::Right, "roles", "r")],
            vanish: vec![pin(Part::Agent, "agents", "a")],
        };
        test_server::run(async {
            let server = Server::by_rule(|request| {
                match request.json()["spec"]["resourceAttributes"]["namespace"].as_str() {
                    Some("crossfade") => {
                        Answer::json(201, &serde_json::json!({"spec": {}, "status": {"allowed": true}}))
                    }
                    _ => Answer::json(201, &serde_json::json!({"spec": {}, "status": {"allowed": false}})),
                }
            });
            let missing = missing_to_finish(&server.caller(), &plan).await;
            assert_eq!(missing, ["delete roles.g", "delete tiers.g", "get roles.g", "patch agents.g"]);
            let silent = Server::by_rule(|_| Answer::refusal(500, "InternalError", "no"));
            let missing = missing_to_finish(&silent.caller(), &plan).await;
            assert!(
                missing.contains(&"delete roles.g (the API server did not say)".to_owned()),
                "{missing:?}"
            );
        });
    }

    #[test]
    fn requests_for_many_rights_keep_to_the_pace() {
        test_server::run(async {
            let server = Server::by_rule(|_| {
                Answer::json(201, &serde_json::json!({"spec": {}, "status": {"allowed": true}}))
            });
            let target = Target {
                part: Part::Right,
                api_version: "g/v1".into(),
                kind: "K".into(),
                plural: "roles".into(),
                namespace: None,
                name: "r".into(),
            };
            let pin = migration::finish::Pin { target, uid: "u".into() };
            let (from, to) = (migration::cni::support::Cni::Calico, migration::cni::support::Cni::Flannel);
            let delete = vec![pin; 100];
            let plan = FinishPlan {
                version: 1,
                cluster: "c".into(),
                from,
                to,
                soak_hours: 0,
                observation_hours: 0,
                delete,
                vanish: Vec::new(),
            };
            let caller = server.caller();
            let began = caller.clock().now();
            assert_eq!(missing_to_finish(&caller, &plan).await, [""; 0]);
            assert!(caller.clock().now() > began, "200 requests do not go at once");
        });
    }

    #[test]
    fn missing_rights_to_act_are_named() {
        test_server::run(async {
            let server = Server::by_rule(|request| {
                let spec = &request.json()["spec"]["resourceAttributes"];
                let asks_to =
                    |verb: &str, resource: &str| spec["verb"] == verb && spec["resource"] == resource;
                let is_allowed = !asks_to("patch", "nodes")
                    && !asks_to("get", "leases")
                    && spec["subresource"] != "eviction";
                Answer::json(201, &serde_json::json!({"spec": {}, "status": {"allowed": is_allowed}}))
            });
            let missing = missing_to_act(&server.client()).await;
            let expected = [
                "create pods/eviction",
                "get leases.coordination.k8s.io crossfade/crossfade-run",
                "patch nodes",
                "patch nodes/status",
            ];
            assert_eq!(missing, expected);
            let own: Vec<bool> = server
                .requests()
                .iter()
                .map(|request| request.json()["spec"]["resourceAttributes"]["namespace"] == "crossfade")
                .collect();
            assert_eq!((own.len(), own.iter().filter(|own| **own).count()), (19, 9));
        });
    }
}
