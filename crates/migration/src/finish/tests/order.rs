use super::*;

#[test]
fn lines_come_one_after_the_other() {
    let mut world = World::new();
    assert_eq!(world.next(), (LineName::Backup, LineState::Ready));
    world = World::approved();
    assert_eq!(world.next(), (LineName::Fence, LineState::Ready));
    world.close();
    assert_eq!(world.next(), (LineName::Soak, LineState::Ready));
    world = World::fenced();
    assert_eq!(world.next(), (LineName::Removal, LineState::Ready));
    world.now = "2026-01-01T23:59:59Z";
    assert_eq!(world.next(), (LineName::Soak, LineState::Waits));
    assert!(world.line(LineName::Soak).evidence[0].contains("ends at 2026-01-02T00:00:00Z"));
}

/// The record is in a namespace of Crossfade's, and goes with it.
#[test]
fn a_cluster_with_nothing_of_both_has_nothing_left_to_do() {
    let removed = json!([{"type": "Ready", "status": "True"}, {"type": "CrossfadeReady", "status": "Unknown", "reason": "Removed"}]);
    let left = object(Kind::NODE, "a", json!({"status": {"conditions": removed}}));
    let new = agent("kube-flannel", "kube-flannel-ds", "kube-flannel", 3);
    let over = |more: Option<(Kind, Value)>| {
        let all = [left.clone(), new.clone()].into_iter().chain(more).collect();
        World { case: Case::new(Cni::Calico, Cni::Flannel, all), inventory: present(vec![]), ..World::new() }
    };
    let world = over(None);
    assert_eq!(next(&world.lines()), None, "{:?}", world.lines());
    let world = over(Some(object(Kind::NAMESPACE, "crossfade", json!({}))));
    assert_eq!(world.next(), (LineName::Backup, LineState::Ready), "the record may be lost");
    let mut world = over(None);
    world.inventory.unread = vec!["not known".into()];
    assert_eq!(world.next(), (LineName::Backup, LineState::Ready));
    let world = World { inventory: whole(), ..over(None) };
    assert_eq!(world.next(), (LineName::Backup, LineState::Ready));
}

/// Others can write ConfigMaps, and delete nothing.
#[test]
fn a_record_does_not_shorten_the_way() {
    let mut world = World::approved();
    let record = world.record.as_mut().expect("a record");
    record.is_one_way = true;
    assert_eq!(world.next(), (LineName::Fence, LineState::Ready), "nothing is gone yet");
    let (target, _) = targets(&CALICO[1..2]).remove(0);
    world.inventory.objects.remove(&target);
    assert_eq!(world.next(), (LineName::Removal, LineState::Ready));
    let mut world = World::fenced();
    for (target, object) in &mut world.inventory.objects {
        if target.part == Part::Agent {
            object["metadata"]["managedFields"] = json!([{"manager": "crossfade", "time": "2026-01-02T12:00:00Z"}, {"manager": "kubectl", "time": "2026-01-02T23:00:00Z"}]);
        }
    }
    assert_eq!(world.next(), (LineName::Soak, LineState::Waits));
    assert!(world.line(LineName::Soak).evidence[0].contains("since 2026-01-02T12:00:00Z"));
}

/// A cluster may be moved twice.
#[test]
fn the_record_of_another_migration_counts_as_none() {
    for change in [
        |record: &mut Record| record.cluster = "d".into(),
        |record: &mut Record| record.from = Cni::Canal,
        |record: &mut Record| record.to = Cni::Cilium,
    ] {
        let mut world = World::fenced();
        let record = world.record.as_mut().expect("a record");
        record.is_one_way = true;
        change(record);
        world.inventory.objects.retain(|target, _| target.part != Part::PodNetwork);
        assert_eq!(world.next(), (LineName::Backup, LineState::Ready));
        assert_eq!(world.line(LineName::Soak).state, LineState::Ready);
    }
}

#[test]
fn what_is_not_moved_stops_everything() {
    let mut world = World::new();
    world.open_run = Some("r-1");
    assert_eq!(world.next(), (LineName::Moved, LineState::Waits));
    for kind in [Kind::POD, Kind::DAEMON_SET] {
        let mut world = World::new();
        world.case.snapshot.readings.remove(&kind);
        assert_eq!(world.next(), (LineName::Moved, LineState::Waits), "absent is not empty");
    }
}

#[test]
fn agents_that_probe_the_old_network_are_taken_away_first() {
    for (namespace, name, state) in [
        ("crossfade-probe", "old", LineState::Waits),
        ("crossfade-probe", "pod", LineState::Done),
        ("x", "old", LineState::Done),
    ] {
        let mut world = World::new();
        world.case = moved(Some(agent(namespace, name, "probe", 3)));
        let line = world.line(LineName::Moved);
        assert_eq!(line.state, state, "{namespace}/{name}");
        assert_eq!(line.help.contains("probe --remove"), state == LineState::Waits, "{line:?}");
    }
}
