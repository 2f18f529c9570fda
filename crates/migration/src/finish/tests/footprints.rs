use super::*;

#[test]
fn what_goes_with_another_object_is_not_deleted_by_itself() {
    let mut inventory = whole();
    let (finalized, mut value) = pool("kept");
    value["metadata"]["finalizers"] = json!(["projectcalico.org/ippool-finalizer"]);
    inventory.objects.insert(finalized, value);
    inventory.objects.extend(targets(&[("Installation.operator.tigera.io/default", Part::Managed)]));
    let installation =
        json!({"apiVersion": "operator.tigera.io/v1", "kind": "Installation", "name": "default"});
    for (part, owners) in [
        (Part::PodNetwork, json!([installation])),
        // An owner that stays, alone or beside one that goes, keeps what it owns.
        (Part::Agent, json!([installation, {"apiVersion": "x.io/v1", "kind": "X", "name": "x"}])),
        (Part::Right, json!([{"apiVersion": "x.io/v1", "kind": "Installation", "name": "default"}])),
    ] {
        for (_, object) in inventory.objects.iter_mut().filter(|(target, _)| target.part == part) {
            object["metadata"]["ownerReferences"] = owners.clone();
        }
    }
    let case = moved(None);
    let plan = FinishPlan::new(&case.scene(), &inventory);
    let names = |pins: &[Pin]| pins.iter().map(|pin| pin.target.name.clone()).collect::<BTreeSet<_>>();
    assert!(names(&plan.delete).contains("kept") && !names(&plan.delete).contains("default-ipv4-ippool"));
    let own: Vec<String> = plan.delete.iter().map(|pin| pin.target.to_string()).collect();
    for title in ["DaemonSet/kube-system/calico-node", "ClusterRole/calico-node"] {
        assert!(own.contains(&title.to_owned()), "{own:?}");
    }
    assert!(
        names(&plan.vanish)
            .is_superset(&["default-ipv4-ippool".to_owned(), "calico-kube-controllers".to_owned()].into())
    );
    assert_eq!(plan.delete[1].target.name, "kept", "while its controller lives");
    assert_eq!(FinishPlan::read(&plan.bytes()), Ok(plan));
}

/// Others can write ConfigMaps: a stored plan deletes nothing that is not the CNI's.
#[test]
fn a_plan_that_names_objects_of_others_is_refused() {
    let case = moved(None);
    let plan = FinishPlan::new(&case.scene(), &whole());
    for change in [
        |plan: &mut FinishPlan| plan.delete[0].target.name = "coredns".into(),
        |plan: &mut FinishPlan| plan.delete.reverse(),
        |plan: &mut FinishPlan| plan.delete[0].uid = String::new(),
        |plan: &mut FinishPlan| plan.version = 2,
    ] {
        let mut forged = plan.clone();
        change(&mut forged);
        assert!(FinishPlan::read(&forged.bytes()).is_err(), "{forged:?}");
    }
}

/// A kind that a snapshot has without such an object is known to have none; one that it does not have is not.
#[test]
fn a_snapshot_says_what_is_there_and_what_is_not_known() {
    let set = object(
        Kind::DAEMON_SET,
        "calico-node",
        json!({"metadata": {"namespace": "kube-system", "uid": "u"}, "spec": {"template": {"spec": {"containers": [{"name": "calico-node"}]}}}}),
    );
    let near =
        object(Kind::DAEMON_SET, "calico-node-exporter", json!({"metadata": {"namespace": "kube-system"}}));
    let case = Case::new(Cni::Calico, Cni::Antrea, vec![set, near]);
    let inventory = inventory(&case.scene());
    let titles: Vec<String> = inventory.objects.keys().map(ToString::to_string).collect();
    assert_eq!(titles, ["DaemonSet/kube-system/calico-node"]);
    assert!(
        inventory.unread.iter().any(|what| what.starts_with("clusterroles.rbac.authorization.k8s.io: ")),
        "{:?}",
        inventory.unread
    );
    let world = World { case, inventory, ..World::new() };
    assert_eq!(world.line(LineName::Removal).state, LineState::Refused);
}

#[test]
fn what_the_new_cni_has_too_stays() {
    let set = object(
        Kind::DAEMON_SET,
        "canal",
        json!({"metadata": {"namespace": "kube-system"}, "spec": {"template": {"spec": {"containers": [{"name": "calico-node"}, {"name": "kube-flannel"}]}}}}),
    );
    let names = |from, to| -> BTreeSet<String> {
        let case = Case::new(from, to, vec![set.clone()]);
        candidates(&case.scene(), &["kube-system".to_owned()].into())
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let role = "ClusterRole/calico-node";
    assert!(names(Cni::Canal, Cni::Antrea).contains(role) && !names(Cni::Canal, Cni::Calico).contains(role));
}

/// Whatever the policies are, their finalizers need the controller.
#[test]
fn the_settings_of_a_controller_of_users_policies_stay() {
    let settings = Cni::AwsVpcCni.facts().footprint.targets(&BTreeSet::new()).into_iter();
    let settings = settings.filter(|target| target.to_string() == "ConfigMap/kube-system/amazon-vpc-cni");
    let settings: Vec<Target> = settings.collect();
    for (value, stays) in [("true", true), ("false", false)] {
        let object = json!({"metadata": {"uid": "u"}, "data": {"enable-network-policy-controller": value}});
        let mut world = World::new();
        world.case = Case::new(Cni::AwsVpcCni, Cni::Cilium, vec![]);
        world.inventory = present(settings.iter().map(|target| (target.clone(), object.clone())).collect());
        assert_eq!(world.plan().delete.is_empty(), stays, "{value}");
        assert_eq!(removal::remaining(&world.inventory).is_empty(), stays, "{value}");
        let line = world.line(LineName::Removal);
        let names_it = line.evidence.iter().any(|what| what.contains("amazon-vpc-cni stays"));
        assert_eq!(names_it, stays, "{line:?}");
    }
}
