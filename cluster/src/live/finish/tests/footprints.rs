//! The removal of each CNI, with every object that its table names, and near misses of them.

use clap::ValueEnum as _;
use migration::cni::footprint::{DEFINITION, Target};

use super::*;

/// What a removal refuses: it is of another installation of the same CNI.
fn is_refused(target: &Target) -> bool {
    matches!(target.kind.as_str(), "GatewayAPI" | "Istio")
        || target.kind == DEFINITION.kind
            && target.name.split_once('.').is_some_and(|(_, group)| group == "projectcalico.org")
}

/// An object as its CNI has it, as far as the command reads it.
fn object(cni: Cni, target: &Target) -> Value {
    let mut object = json!({"metadata": {"name": target.name, "namespace": target.namespace}});
    if target.part == Part::Agent {
        object["spec"] = json!({"template": {"spec": {"containers": containers(cni)}}});
    }
    if target.part == Part::ApiService {
        object["spec"] = json!({"service": {"name": "api"}});
    }
    if let Some((plural, group)) = target.name.split_once('.').filter(|_| target.kind == DEFINITION.kind) {
        object = definition(group, plural, &format!("Kind-{plural}"));
    }
    object
}

fn containers(cni: Cni) -> Value {
    let names: Vec<&str> = match cni {
        Cni::Canal => vec!["calico-node", "kube-flannel"],
        Cni::Calico | Cni::Flannel | Cni::AwsVpcCni | Cni::Cilium | Cni::Antrea => {
            vec![cni.facts().agent_container]
        }
    };
    json!(names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>())
}

/// The end of a migration from this CNI.
fn inputs(from: Cni, to: Cni, targets: &BTreeSet<Target>) -> FinishInputs {
    let mut collector = Collector::new();
    let agent = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "new", "namespace": "kube-system"},
        "spec": {"template": {"spec": {"containers": containers(to)}}},
        "status": {"desiredNumberScheduled": 1, "numberReady": 1}});
    collector.value(agent).expect("an agent of the new CNI");
    // Of a kind that the snapshot has, what is not there is known to be absent.
    let is_read = |target: &&Target| {
        matches!(target.kind.as_str(), "DaemonSet" | "Service") || target.kind == DEFINITION.kind
    };
    for target in targets.iter().filter(is_read) {
        let mut value = object(from, target);
        (value["apiVersion"], value["kind"]) =
            (target.api_version.clone().into(), target.kind.clone().into());
        collector.value(value).expect("an object");
    }
    let read =
        ["nodes", "pods", "daemonsets", "customresourcedefinitions", "services", "ingresses", "gateways"];
    for row in ALL_KINDS.iter().filter(|row| read.contains(&row.plural)) {
        collector.reading(row.kind, Reading::Read);
    }
    FinishInputs {
        config: config(0),
        snapshot: collector.finish(&[]),
        from,
        to,
        policies: PolicyComparison::default(),
        last_run: None,
    }
}

/// What looks like this object: one of another name, and one in another namespace. What an operator's definition has goes with that definition, whatever its name is.
fn near_misses(target: &Target) -> Vec<Target> {
    let named = (target.part != Part::Managed)
        .then(|| Target { name: format!("{}-exporter", target.name), ..target.clone() });
    let placed =
        target.namespace.as_ref().map(|_| Target { namespace: Some("shop".into()), ..target.clone() });
    named.into_iter().chain(placed).collect()
}

#[test]
fn a_removal_deletes_what_the_table_of_its_cni_names_and_nothing_that_looks_alike() {
    run(async {
        for from in Cni::value_variants().iter().copied() {
            // It has no setting of a last stage, and no object by a name of another CNI.
            let to = if from == Cni::AwsVpcCni { Cni::Flannel } else { Cni::AwsVpcCni };
            let footprint = from.facts().footprint;
            let mut targets = footprint.targets(&["kube-system".to_owned()].into());
            targets.retain(|target| !is_refused(target));
            let api = Api::new();
            for target in targets.iter().flat_map(near_misses) {
                api.put(&gather::path(&target), object(from, &target));
            }
            api.put("/api/v1/namespaces/kube-system", json!({"metadata": {"name": "kube-system"}}));
            for name in footprint.secrets.iter().flat_map(|(_, names)| *names) {
                api.put(
                    &format!("/api/v1/namespaces/kube-system/secrets/{name}"),
                    json!({"metadata": {"name": name}}),
                );
            }
            let stays = api.paths();
            for target in &targets {
                let object = object(from, target);
                if let Some(resources) = resources_of(&object) {
                    api.put(&format!("{resources}/of-a-user"), json!({"metadata": {"name": "of-a-user"}}));
                }
                api.put(&gather::path(target), object);
            }
            let inputs = || inputs(from, to, &targets);
            let approval = approval(&hash_of(&api, &inputs()).await, true);
            let files = Files::default();
            let view =
                called_with(&api, &files, inputs(), async |holder, note| holder.apply(&approval, note).await);
            let view = view.await.unwrap_or_else(|problem| panic!("{from}: {problem:?}"));
            assert_eq!(next_line(&view), None, "{from}: {view:#?}");
            assert!(view.record.is_some_and(|record| record.is_one_way), "{from}");
            assert_eq!(api.paths(), stays, "{from}");
        }
    });
}
