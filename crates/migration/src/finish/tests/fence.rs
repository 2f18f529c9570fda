use super::*;

#[test]
fn an_agent_is_fenced_off_once_no_node_is_selected_and_no_pod_is_left() {
    let agent = |world: &mut World, object: Value| {
        for (target, value) in &mut world.inventory.objects {
            if target.part == Part::Agent {
                value["spec"] = object["spec"].clone();
                value["status"] = object["status"].clone();
            }
        }
    };
    let selector = |pairs: Value| json!({"template": {"spec": {"nodeSelector": pairs}}});
    for (spec, status, state) in [
        (selector(json!({FENCE: CLOSED})), json!({}), LineState::Done),
        // An operator of the cluster may have fenced it off in another way.
        (selector(json!({"io.cilium/aws-node-enabled": "true"})), json!({}), LineState::Done),
        (selector(json!({})), json!({}), LineState::Ready),
        (selector(json!({"kubernetes.io/os": "linux"})), json!({}), LineState::Ready),
        (selector(json!({FENCE: CLOSED})), json!({"currentNumberScheduled": 2}), LineState::Waits),
        (selector(json!({FENCE: CLOSED})), json!({"numberMisscheduled": 1}), LineState::Waits),
    ] {
        let mut world = World::approved();
        world.case.snapshot.nodes[0].metadata.labels =
            std::sync::Arc::new([("kubernetes.io/os".into(), "linux".into())].into());
        agent(&mut world, json!({"spec": spec, "status": status}));
        assert_eq!(world.line(LineName::Fence).state, state, "{spec} {status}");
    }
}

/// A line is read by people: one object selects, and two select.
#[test]
fn a_closed_fence_is_worded_for_as_many_agents_as_there_are() {
    let mut world = World::fenced();
    let words = |world: &World| world.line(LineName::Fence).evidence.join("; ");
    assert_eq!(words(&world), "DaemonSet/kube-system/calico-node selects no node, and has no pod");
    let agent = world.inventory.in_part(Part::Agent).next();
    let (target, object) = agent.map(|(target, object)| (target.clone(), object.clone())).expect("an agent");
    world.inventory.objects.insert(Target { name: "calico-node-two".into(), ..target }, object);
    assert!(words(&world).ends_with("calico-node-two select no node, and have no pod"), "{}", words(&world));
}

#[test]
fn the_backup_has_what_is_removed_as_it_was_before_the_fence() {
    let world = World::approved();
    let fenced = World::fenced();
    let backup = world.backup.clone().expect("a backup");
    assert_eq!(backup::lacking(&fenced.inventory, &backup), [""; 0], "the fence is not a change");
    let mut changed = World::approved();
    let (target, _) = pool("default-ipv4-ippool");
    changed.inventory.objects.get_mut(&target).expect("a pool")["spec"]["cidr"] = "10.1.0.0/16".into();
    let line = changed.line(LineName::Backup);
    assert_eq!(
        (line.state, line.evidence[1].as_str()),
        (LineState::Ready, "IPPool.crd.projectcalico.org/default-ipv4-ippool")
    );
    // What was deleted since stays in the file.
    let mut left = whole();
    left.objects.retain(|target, _| target.part == Part::Definition);
    let later = backup::backup(&left, Some(&backup));
    assert_eq!(later.objects.len(), backup.objects.len());
    let bytes = backup.bytes();
    let hash = crate::plan::canon::sha256(&bytes);
    assert_eq!(backup::read(&bytes, &hash, &backup.cluster), Ok(backup.clone()));
    assert!(backup::read(&bytes, "0", &backup.cluster).is_err_and(|why| why.contains("was changed")));
    let other = ClusterId { uid: "d".into(), ..ClusterId::default() };
    assert!(backup::read(&bytes, &hash, &other).is_err_and(|why| why.contains("another cluster")));
}

/// While all of it is there, a new file has as much as the lost one.
#[test]
fn a_backup_that_is_not_at_hand_is_written_anew_until_something_is_deleted() {
    let mut world = World { backup: None, ..World::fenced() };
    assert_eq!(world.next(), (LineName::Backup, LineState::Ready));
    world.record.as_mut().expect("a record").is_one_way = true;
    assert_eq!(world.next(), (LineName::Backup, LineState::Ready), "the first deletion failed");
    let (target, _) = targets(&CALICO[2..3]).remove(0);
    let role = world.inventory.objects.get_mut(&target).expect("a role");
    role["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z".into();
    assert_eq!(world.next(), (LineName::Backup, LineState::Waits), "what is going is begun");
    world.inventory.objects.remove(&target);
    assert_eq!(world.next(), (LineName::Backup, LineState::Waits), "nor is anything deleted without it");
}

/// An agent that was opened for an hour, or was made anew, may have run.
#[test]
fn the_soak_begins_anew_with_agents_that_were_changed() {
    for (key, value) in [("generation", json!(4)), ("uid", json!("another"))] {
        let mut world = World::fenced();
        world.plan = None;
        assert_eq!(world.line(LineName::Soak).state, LineState::Done);
        for (target, object) in &mut world.inventory.objects {
            if target.part == Part::Agent {
                object["metadata"][key] = value.clone();
            }
        }
        let line = world.line(LineName::Soak);
        assert_eq!(line.state, LineState::Ready, "{key}");
        assert!(line.evidence[0].contains("begin anew"), "{line:?}");
    }
}

/// Another program may have closed the agents later than the record says.
#[test]
fn the_soak_counts_from_the_last_change_of_the_selector_by_any_manager() {
    let mut world = World::fenced();
    for (target, object) in &mut world.inventory.objects {
        if target.part == Part::Agent {
            let fields = json!({"f:spec": {"f:template": {"f:spec": {"f:nodeSelector": {}}}}});
            object["metadata"]["managedFields"] =
                json!([{"manager": "operator", "time": "2026-01-02T13:00:00Z", "fieldsV1": fields}]);
        }
    }
    assert!(world.line(LineName::Soak).evidence[0].contains("since 2026-01-02T13:00:00Z"));
}

/// Each row: whether anything is fenced off, whether there is no way back, the migration of a run, its last phase, and whether it is barred.
#[test]
fn a_record_bars_runs_to_the_network_that_it_closed() {
    let (calico, flannel) = (Cni::Calico, Cni::Flannel);
    for (is_fenced, is_one_way, cluster, from, to, phase, is_barred) in [
        (true, false, "c", calico, flannel, Phase::Old, true),
        (true, false, "c", calico, flannel, Phase::BothNew, true),
        (false, true, "c", calico, flannel, Phase::Old, true),
        (false, false, "c", calico, flannel, Phase::Old, false),
        (true, false, "c", calico, flannel, Phase::New, false),
        (true, false, "d", calico, flannel, Phase::Old, false),
        (true, false, "c", Cni::Canal, flannel, Phase::Old, false),
        (true, false, "c", flannel, calico, Phase::New, true),
        (true, true, "c", flannel, calico, Phase::New, false),
        (true, true, "c", flannel, Cni::Cilium, Phase::Old, false),
    ] {
        let mut record = World::approved().record.expect("a record");
        record.fenced_at = is_fenced.then(|| "2026-01-01T00:00:00Z".into());
        record.is_one_way = is_one_way;
        let row = (is_fenced, is_one_way, cluster, from, to, phase);
        assert_eq!(record.bars(cluster, from, to, phase), is_barred, "{row:?}");
    }
}
