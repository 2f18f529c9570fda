use super::*;
use crate::finish::cleaning::{Cleaning, CleanupPod, DONE, REQUESTED};
use crate::plan::{PlannedNode, Wave, WaveKind, WaveName};

/// A node in the new phase, with a value of the label that asks for the clean-up.
fn labelled(name: &str, label: &str) -> snapshot::model::Node {
    let (_, mut value) = node(name, "new");
    value["metadata"]["name"] = name.into();
    if !label.is_empty() {
        value["metadata"]["labels"] = json!({"crossfade/cleanup": label});
    }
    serde_json::from_value(value).expect("a Node")
}

fn plan_of(waves: &[(&[&str], u32)]) -> crate::plan::Plan {
    let mut plan = crate::plan::tests::case::planned(&crate::plan::tests::case::cluster([
        crate::plan::tests::case::node("x", "z"),
    ]));
    let planned = |name: &&str| PlannedNode {
        name: (*name).into(),
        uid: "u".into(),
        pool: "".into(),
        why: String::new(),
    };
    let wave = |(nodes, at_once): &(&[&str], u32)| Wave {
        name: WaveName::Canary,
        kind: WaveKind::Canary,
        at_once: *at_once,
        soak_seconds: 0,
        nodes: nodes.iter().map(planned).collect(),
    };
    plan.waves = waves.iter().map(wave).collect();
    plan
}

/// Nodes with their labels, those whose pods are ready, and what comes of them: clean, open, next, later.
#[test]
fn nodes_are_cleaned_wave_by_wave() {
    let plan = plan_of(&[(&["d"], 1), (&["c", "b", "a"], 2)]);
    type Row<'a> = ([&'a str; 5], &'a [&'a str], [&'a [&'a str]; 3], usize);
    let rows: [Row<'_>; 7] = [
        (["", "", "", "", ""], &[], [&[], &[], &["d"]], 4),
        (["", "", "", REQUESTED, ""], &[], [&[], &["d"], &[]], 4),
        (["", "", "", REQUESTED, ""], &["d"], [&["d"], &[], &["c", "b"]], 2),
        (["", "", "", DONE, ""], &[], [&[], &[], &["c", "b"]], 2),
        // The one that fails takes a place of its wave, and keeps the next wave from beginning.
        (["", "", REQUESTED, DONE, ""], &[], [&[], &["c"], &["b"]], 2),
        ([DONE, DONE, REQUESTED, DONE, ""], &[], [&[], &["c"], &[]], 1),
        // A node that the plan does not know comes last.
        ([DONE, DONE, DONE, DONE, "other"], &["e"], [&[], &[], &["e"]], 0),
    ];
    for (labels, ready, [cleaned, open, next], later) in rows {
        let nodes: Vec<_> =
            ["a", "b", "c", "d", "e"].iter().zip(labels).map(|(name, label)| labelled(name, label)).collect();
        let pod =
            |name: &str, is_ready| (name.to_owned(), CleanupPod { name: format!("p-{name}"), is_ready });
        let pods = ["a", "b", "c", "d"].iter().map(|name| pod(name, ready.contains(name))).collect();
        let cleaning = Cleaning::new(&nodes, Some(&pods), Some(&plan));
        let done = labels.iter().filter(|label| **label == DONE).count();
        let expected =
            Cleaning { done, cleaned: cleaned.to_vec(), open: open.to_vec(), next: next.to_vec(), later };
        assert_eq!(cleaning, expected, "{labels:?} {ready:?}");
    }
    // Without a plan, one by one.
    let nodes = [labelled("a", ""), labelled("b", "")];
    assert_eq!(Cleaning::new(&nodes, None, None).next, ["a"]);
}

#[test]
fn the_line_of_the_nodes_says_what_it_waits_for() {
    let mut world = World::fenced();
    let first = world.line(LineName::Nodes);
    assert_eq!((first.state, first.help.as_str()), (LineState::Waits, "the removal comes first"));
    if let Some(record) = &mut world.record {
        record.is_one_way = true;
    }
    world.inventory.objects.clear();
    let line = world.line(LineName::Nodes);
    assert_eq!(line.state, LineState::Waits);
    assert!(line.help.contains("name the profile calico in deploy/cleanup.yaml"), "{line:?}");
    let mut canal = World::fenced();
    canal.inventory.objects.clear();
    canal.case = Case::new(Cni::Canal, Cni::Flannel, vec![node("a", "new")]);
    canal.plan = Some(FinishPlan { from: Cni::Canal, ..canal.plan() });
    let record = canal.record.as_mut().expect("a record");
    (record.from, record.is_one_way) = (Cni::Canal, true);
    let help = canal.line(LineName::Nodes).help;
    assert!(help.contains("name the profiles calico and flannel, each in an init container"), "{help}");
    world.inventory.cleanup = Some(BTreeMap::new());
    assert_eq!(world.next(), (LineName::Nodes, LineState::Ready));
    world.inventory.nodes = Some(vec![labelled("a", REQUESTED)]);
    let line = world.line(LineName::Nodes);
    let none = "Node/a has no pod of DaemonSet/crossfade-system/crossfade-cleanup yet";
    assert_eq!((line.state, line.evidence[0].as_str()), (LineState::Waits, none));
    let pod = CleanupPod { name: "crossfade-cleanup-x".into(), is_ready: false };
    world.inventory.cleanup = Some([("a".to_owned(), pod)].into());
    let line = world.line(LineName::Nodes);
    assert_eq!(line.evidence, ["Node/a: Pod/crossfade-system/crossfade-cleanup-x is not ready"]);
    assert!(
        line.help.starts_with("kubectl -n crossfade-system logs crossfade-cleanup-x -c cleanup "),
        "{line:?}"
    );
    world.inventory.nodes = Some(vec![labelled("a", DONE)]);
    assert_eq!(world.line(LineName::Nodes).state, LineState::Done);
    // A node without Crossfade was replaced.
    world.inventory.nodes = Some(Vec::new());
    assert_eq!(world.line(LineName::Nodes).evidence, ["no node that had Crossfade is there"]);
}
