use super::*;

fn with(nodes: Vec<(Kind, Value)>, ready: u32) -> Case {
    let agents = [
        agent("kube-system", "calico-node", "calico-node", 3),
        agent("kube-flannel", "kube-flannel-ds", "kube-flannel", ready),
    ];
    Case::new(Cni::Calico, Cni::Flannel, nodes.into_iter().chain(agents).collect())
}

fn bare(name: &str, conditions: &Value) -> (Kind, Value) {
    object(Kind::NODE, name, json!({"status": {"conditions": conditions}}))
}

/// A node that says nothing may be of the old network, and a new network whose agents are not ready serves no pod.
#[test]
fn nodes_are_on_the_new_network_by_evidence() {
    let ready = json!({"type": "Ready", "status": "True"});
    let is_removed = json!({"type": "CrossfadeReady", "status": "Unknown", "reason": "Removed"});
    let silent = "Node/b reports no phase, and is not known to be of the new network";
    for (case, evidence) in [
        (with(vec![node("a", "new")], 3), vec![]),
        (
            with(vec![node("a", "both-new")], 3),
            vec!["Node/a is in phase both-new", "Node/a has 1 more attachments of other phases"],
        ),
        (with(vec![bare("b", &json!([ready]))], 3), vec![silent]),
        (with(vec![bare("b", &json!([ready, is_removed]))], 3), vec![]),
        (with(vec![bare("b", &json!([is_removed]))], 3), vec!["Node/b is not Ready"]),
        (
            with(vec![node("a", "new")], 2),
            vec!["DaemonSet/kube-flannel/kube-flannel-ds is ready on 2 of 3 nodes"],
        ),
        (
            Case::new(Cni::Calico, Cni::Flannel, vec![node("a", "new")]),
            vec!["no agent of flannel is known to run on any node"],
        ),
    ] {
        let world = World { case, ..World::new() };
        let line = world.line(LineName::Moved);
        if evidence.is_empty() {
            assert_eq!(line.state, LineState::Done, "{line:?}");
        } else {
            assert_eq!(
                (line.state, line.evidence),
                (LineState::Waits, evidence.iter().map(ToString::to_string).collect())
            );
            assert!(!line.help.is_empty());
        }
    }
}

#[test]
fn addresses_of_pods_show_a_node_of_a_final_image() {
    for (address, state) in [("10.20.0.7", LineState::Done), ("10.10.0.7", LineState::Waits)] {
        let pod = object(
            Kind::POD,
            "p",
            json!({"metadata": {"namespace": "x"}, "spec": {"nodeName": "b"}, "status": {"phase": "Running", "podIPs": [{"ip": address}]}}),
        );
        let ready = bare("b", &json!([{"type": "Ready", "status": "True"}]));
        let case = with(vec![ready, pod], 3).config("networks: {new: {cidrs: [10.20.0.0/16]}}");
        assert_eq!(World { case, ..World::new() }.line(LineName::Moved).state, state, "{address}");
    }
}

#[test]
fn nothing_more_is_deleted_under_a_run_or_under_nodes_that_are_not_served() {
    let mut world = World::fenced();
    world.record.as_mut().expect("a record").is_one_way = true;
    world.inventory.objects.retain(|target, _| target.part != Part::PodNetwork);
    assert_eq!(world.next(), (LineName::Removal, LineState::Ready));
    world.open_run = Some("r-2");
    assert_eq!(world.next(), (LineName::Moved, LineState::Waits));
    world.open_run = None;
    world.case = with(vec![node("a", "new")], 1);
    assert_eq!(world.next(), (LineName::Moved, LineState::Waits));
    // Once all is gone, nodes come and go as before.
    world.inventory.objects.clear();
    assert_eq!(world.line(LineName::Moved).state, LineState::Done);
    assert_eq!(world.line(LineName::Removal).state, LineState::Done);
}

/// The old CNI's programs keep pods away once its agents end.
#[test]
fn what_keeps_pods_away_from_nodes_must_be_taken_back() {
    let condition = |status: &str, reason: &str| json!([{"type": "NetworkUnavailable", "status": status, "reason": reason}]);
    let taints = |key: &str| json!([{"key": key, "effect": "NoSchedule"}]);
    let patch = "kubectl patch node a --subresource=status";
    let untaint = "kubectl taint nodes --all node.cilium.io/agent-not-ready-";
    for (from, conditions, taints, help) in [
        (Cni::Calico, condition("False", "CalicoIsDown"), json!([]), Some(patch)),
        (Cni::Calico, condition("False", "CalicoIsUp"), json!([]), Some(patch)),
        (Cni::Calico, condition("False", "FlannelIsUp"), json!([]), None),
        (Cni::Calico, condition("False", "Migrated"), json!([]), None),
        (Cni::Calico, condition("True", "FlannelIsUp"), json!([]), Some(patch)),
        (Cni::Calico, condition("True", "NoRouteCreated"), json!([]), Some(patch)),
        (Cni::Cilium, json!([]), taints("node.cilium.io/agent-not-ready"), Some(untaint)),
        (Cni::Cilium, json!([]), taints("dedicated"), None),
        (Cni::Calico, json!([]), taints("node.cilium.io/agent-not-ready"), None),
    ] {
        let status = json!({"conditions": conditions});
        let node = object(Kind::NODE, "a", json!({"spec": {"taints": taints}, "status": status}));
        let case = Case::new(from, Cni::Flannel, vec![node]);
        let mut world = World { case, ..World::fenced() };
        let line = world.line(LineName::NodeState);
        assert_eq!(line.state == LineState::Done, help.is_none(), "{line:?}");
        assert!(line.help.contains(help.unwrap_or_default()), "{line:?}");
        // A Node that came later is found at the end.
        world.inventory.objects.clear();
        world.record.as_mut().expect("a record").is_one_way = true;
        let line = world.line(LineName::Absence);
        assert!(line.help.contains(help.unwrap_or_default()), "{line:?}");
        // Nodes that were read later count.
        world.record = None;
        world.inventory.nodes = Some(Vec::new());
        assert_eq!(world.line(LineName::NodeState).state, LineState::Done);
    }
}
