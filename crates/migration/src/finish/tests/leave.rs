use super::*;

/// Each row: an object of Crossfade's, what the line says of it, and the command that takes it away.
#[test]
fn what_is_left_of_crossfade_is_named_with_the_command_that_takes_it_away() {
    let step = |more: &str| {
        let step = r#"{"run":"r-1","plan":"p","epoch":1,"claim":"c","to":"new","state":"moving""#;
        node_of(json!({"metadata": {"annotations": {"crossfade/step": format!("{step}{more}}}")}}}))
    };
    let condition = |kind: &str, reason: &str| {
        let condition = json!({"type": kind, "status": "True", "reason": reason});
        node_of(json!({"status": {"conditions": [condition]}}))
    };
    let taint = |key: &str| node_of(json!({"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}}));
    let config = |key: &str| {
        let spec = json!({"nodeSelector": {"matchLabels": {key: "new"}}});
        object(Kind::CILIUM_NODE_CONFIG, "d", json!({"metadata": {"namespace": "kube-system"}, "spec": spec}))
    };
    for (left, words, help) in [
        (
            node("a", "new"),
            "1 Nodes have labels or annotations of Crossfade, such as Node/a",
            "kubectl apply -f deploy/graduate.yaml",
        ),
        (step(""), "Node/a has a step of a run", "kubectl annotate node a crossfade/step- ("),
        (
            step(r#","cordon":"theirs""#),
            "Node/a has a step of a run",
            "the run; or: kubectl annotate node a crossfade/step- (",
        ),
        (
            step(r#","cordon":"ours","undisturbed":true"#),
            "Node/a has a step of a run",
            "kubectl uncordon a && kubectl annotate node a crossfade/step- karpenter.sh/do-not-disrupt-",
        ),
        (
            taint("crossfade/earlier"),
            "Nodes have the taint crossfade/earlier",
            "kubectl taint nodes --all crossfade/earlier-",
        ),
        (
            condition("Drained", "CrossfadeRoll"),
            "Node/a has the condition Drained of a run",
            r#"kubectl patch node a --subresource=status --type strategic -p '{"status":{"conditions":[{"type":"Drained","$patch":"delete"}]}}'"#,
        ),
        (
            config("crossfade/phase"),
            "CiliumNodeConfig/kube-system/d selects nodes",
            "kubectl -n kube-system delete ciliumnodeconfig d",
        ),
        (
            object(Kind::NAMESPACE, "crossfade", json!({})),
            "Namespace/crossfade is there",
            "kubectl delete namespace crossfade",
        ),
    ] {
        let line = World { case: Case::new(Cni::Calico, Cni::Antrea, vec![left]), ..World::new() }
            .line(LineName::Leave);
        assert_eq!((line.state, line.evidence.len()), (LineState::Waits, 1), "{line:?}");
        assert!(line.evidence[0].starts_with(words), "{line:?}");
        assert!(line.help.contains(help), "{line:?}");
    }
    let named = |name: &str, (kind, mut node): (Kind, Value)| {
        node["metadata"]["name"] = name.into();
        (kind, node)
    };
    let steps = vec![named("a", step(r#","cordon":"theirs""#)), named("b", step(r#","cordon":"ours""#))];
    let line =
        World { case: Case::new(Cni::Calico, Cni::Antrea, steps), ..World::new() }.line(LineName::Leave);
    let commands = "or: kubectl annotate node a crossfade/step-; kubectl uncordon b && kubectl annotate node b crossfade/step- (";
    assert!(line.help.contains(commands), "{line:?}");
    for near in [
        node_of(json!({})),
        node_of(
            json!({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}, "spec": {"unschedulable": true}}),
        ),
        taint("karpenter.sh/disrupted"),
        condition("Drained", "OtherTool"),
        condition("CrossfadeReady", "CrossfadeRemoved"),
        config("kubernetes.io/os"),
        object(Kind::NAMESPACE, "crossfades", json!({})),
    ] {
        let line = World { case: Case::new(Cni::Calico, Cni::Antrea, vec![near]), ..World::new() }
            .line(LineName::Leave);
        assert_eq!((line.state, line.help.as_str()), (LineState::Done, ""), "{line:?}");
        assert!(
            line.evidence[1].starts_with("not looked for: a cordon or karpenter.sh/do-not-disrupt"),
            "{line:?}"
        );
    }
}

fn node_of(more: Value) -> (Kind, Value) {
    object(Kind::NODE, "a", more)
}

#[test]
fn roles_of_crossfade_and_whatever_gives_them_are_left() {
    let role = |name: &str| json!({"metadata": {"name": name}});
    let binding = |name: &str, role: &str| json!({"metadata": {"name": name}, "roleRef": {"kind": "ClusterRole", "name": role}});
    let roles = [role("admin"), role("crossfade-viewer"), role("crossfade-viewers")];
    let bindings = [binding("crossfade-viewer", "admin"), binding("pipelines", "crossfade-permit")];
    let rights = Rights::new(&roles, &bindings);
    assert_eq!(rights, Rights { roles: vec!["crossfade-viewer".into()], bindings: vec!["pipelines".into()] });
    let bare = || World { case: Case::new(Cni::Calico, Cni::Antrea, vec![]), ..World::new() };
    let mut world = bare();
    world.inventory.rights = Some(rights);
    let line = world.line(LineName::Leave);
    assert_eq!(
        (line.state, line.evidence),
        (
            LineState::Waits,
            vec![
                "ClusterRoleBinding/pipelines is there".into(),
                "ClusterRole/crossfade-viewer is there".to_owned()
            ]
        )
    );
    assert!(
        line.help.starts_with(
            "kubectl delete clusterrolebinding pipelines; kubectl delete clusterrole crossfade-viewer"
        ),
        "{}",
        line.help
    );
    world.inventory.rights = None;
    let line = world.line(LineName::Leave);
    assert_eq!(line.state, LineState::Waits, "what was not read may be there");
    assert!(line.evidence[0].contains("are not known") && line.help.contains("rbac-finish.yaml"), "{line:?}");
    world.now = "";
    let line = world.line(LineName::Leave);
    assert!(line.evidence[0].ends_with("a snapshot does not have them"), "{line:?}");
    assert!(line.help.starts_with("leave --snapshot out"), "{line:?}");
    assert!(ROLES.is_sorted() && bare().line(LineName::Leave).state == LineState::Done);
}

#[test]
fn annotations_and_namespaces_of_the_old_cni_are_named_after_the_removal() {
    let node = object(
        Kind::NODE,
        "a",
        json!({"metadata": {"annotations": {"projectcalico.org/IPv4Address": "10.0.0.1", "projectcalico.org/ASNumber": "1"}}}),
    );
    let namespace = object(Kind::NAMESPACE, "calico-apiserver", json!({}));
    let mut world = World::fenced();
    world.case = Case::new(Cni::Calico, Cni::Antrea, vec![node, namespace]);
    world.inventory.objects.clear();
    world.record.as_mut().expect("a record").is_one_way = true;
    let line = world.line(LineName::Absence);
    assert_eq!(line.state, LineState::Waits);
    assert!(
        line.help.contains("kubectl annotate nodes --all projectcalico.org/IPv4Address-")
            && !line.help.contains("ASNumber"),
        "{line:?}"
    );
    assert!(line.help.contains("kubectl delete namespace calico-apiserver"), "{line:?}");
}
