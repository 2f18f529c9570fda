//! Nodes that Cluster API replaces: with Machines that the run sees, and without.

use super::*;

/// The hooks of all Machines, by their nodes.
pub(super) fn hooks(rotation: &Rotation) -> Vec<(&str, &str)> {
    let machines = rotation.world.machines.iter().flat_map(|machines| machines.iter());
    machines.filter_map(|(node, machine)| Some((&**node, machine.hook.as_deref()?))).collect()
}

/// A rotation with the Machines of all four nodes.
pub(super) fn with_machines() -> Rotation {
    let mut rotation = Rotation::new("cluster-api");
    let machine = |node: &str| Machine {
        namespace: "fleet".into(),
        name: format!("m-{node}").into(),
        uid: format!("uid-m-{node}").into(),
        ..Machine::default()
    };
    let machines = ["a", "b", "c", "d"].map(|node| (node.into(), machine(node)));
    rotation.world.machines = Some(Arc::new(machines.into()));
    rotation
}

impl Rotation {
    /// Cluster API deletes a Machine.
    pub(super) fn delete_machine(&mut self, node: &str) {
        self.machine(node).is_deleted = true;
    }

    /// Cluster API has drained a node and removed it with its Machine, and has a new one.
    pub(super) fn replace(&mut self, gone: &str, fresh: &str) {
        self.lose(gone);
        Arc::make_mut(self.world.machines.as_mut().expect("machines")).remove(gone);
        self.gain(fresh, new(&format!("uid-{fresh}")));
    }
}

#[test]
fn all_machines_are_hooked_before_the_first_one_goes() {
    let mut rotation = with_machines();
    rotation.delete_machine("c");
    rotation.go();
    assert_eq!((hooks(&rotation), rotation.state("c")), (vec![], Some(State::Waiting)));
    rotation.machine("b").hook = Some("r-0".into());
    rotation.go();
    assert_eq!(hooks(&rotation), [("a", "r-1"), ("b", "r-0"), ("c", "r-1"), ("d", "r-1")]);
    assert_eq!(rotation.permitted(), [""; 0]);
    rotation.go();
    assert_eq!(rotation.permitted(), ["c"], "Cluster API chose it");
    assert_eq!(hooks(&rotation).len(), 4, "the step is on the Node before the hook is taken away");
    let decided = rotation.go();
    assert_eq!(hooks(&rotation), [("a", "r-1"), ("b", "r-0"), ("d", "r-1")]);
    let leaving = wait(&decided, Reason::Leaving, "Node/c").expect("a wait");
    assert!(leaving.help.contains("-n fleet describe machine m-c"), "{leaving:?}");
    assert_eq!(rotation.go().acts, [], "nothing is done twice");
}

/// Each row: what becomes of the Machine whose Node is the scout, and the wait that names it.
#[test]
fn a_machine_that_is_not_deleted_and_one_that_others_hold_wait_by_name() {
    let is_foreign = |rotation: &mut Rotation| {
        rotation.machine("a").hook = Some("r-0".into());
        rotation.delete_machine("a");
    };
    let is_missing = |rotation: &mut Rotation| {
        Arc::make_mut(rotation.world.machines.as_mut().expect("machines")).remove("a");
    };
    let is_present = |_: &mut Rotation| {};
    let changes: [fn(&mut Rotation); 3] = [is_present, is_foreign, is_missing];
    let rows = [
        (Reason::NotAsked, "fleet/m-a", "delete machine m-a", false),
        (Reason::Undisturbed, "hook of run r-0", "annotate machine m-a pre-drain", true),
        (Reason::NotAsked, "no Machine", "roll skip a", true),
    ];
    for (change, (reason, what, help, is_held)) in changes.into_iter().zip(rows) {
        let mut rotation = with_machines();
        change(&mut rotation);
        let decided = rotation.go_for(30);
        assert_eq!(rotation.permitted(), [""; 0]);
        let wait = wait(&decided, reason, "Node/a").unwrap_or_else(|| panic!("{what}: {:?}", decided.waits));
        assert!(wait.what.contains(what) && wait.help.contains(help) && wait.is_held == is_held, "{wait:?}");
    }
}

/// All of them are deleted at once, and go as the waves say.
#[test]
fn a_whole_rotation_of_machines_ends_without_a_hook() {
    let mut rotation = with_machines();
    rotation.go_for(15);
    for node in ["a", "b", "c", "d"] {
        rotation.delete_machine(node);
    }
    let mut gone = Vec::new();
    for round in 0..40 {
        rotation.go_for(15);
        let permitted: Vec<String> = rotation.permitted().into_iter().map(str::to_owned).collect();
        assert!(permitted.len() <= if gone.is_empty() { 1 } else { 2 }, "{permitted:?}");
        let free = permitted.into_iter().find(|name| rotation.machine(name).hook.is_none());
        if let Some(name) = free {
            rotation.replace(&name, &format!("new-{round}"));
            gone.push(name);
        }
    }
    assert_eq!((gone.len(), hooks(&rotation)), (4, vec![]), "{gone:?}");
    assert_eq!(rotation.run.target(), None, "{:?}", rotation.go().waits);
}

/// A deletion cannot be taken back: a person who flips the Node does not let Cluster API have it before its turn.
#[test]
fn a_machine_that_is_deleted_keeps_its_hook_while_its_node_is_flipped_by_hand() {
    let mut rotation = with_machines();
    rotation.go_for(15);
    rotation.delete_machine("a");
    rotation.delete_machine("b");
    rotation.go_for(15);
    assert_eq!(rotation.permitted(), ["a"]);
    let step = rotation.world.nodes["b"].step.clone();
    rotation.gain("b", Node { version: "9".into(), step, ..new("uid-b") });
    let order = Order::new(&rotation.plan);
    let nodes = Nodes::new(&rotation.world, &rotation.run, &order);
    let view = View::new(&rotation.world, &rotation.memory, &rotation.run, &nodes);
    assert_eq!(view.way(&rotation.world.nodes["b"], Phase::New), Way::Replace, "its pods do not run on");
    rotation.go_for(60);
    assert!(hooks(&rotation).contains(&("b", "r-1")), "{:?}", hooks(&rotation));
    rotation.replace("a", "new-a");
    let decided = rotation.go_for(180);
    assert_eq!(rotation.permitted(), ["b"], "{:?}", decided.waits);
    assert!(!hooks(&rotation).contains(&("b", "r-1")), "it is its turn");
}

/// A deletion cannot be taken back, also where the node came later and has no Crossfade, as nodes that come on the way back.
#[test]
fn a_deleted_machine_of_a_later_node_keeps_its_hook_when_the_run_turns() {
    let mut rotation = with_machines();
    rotation.go_for(15);
    rotation.gain("b", old("uid-later"));
    rotation.go_for(15);
    rotation.delete_machine("a");
    rotation.delete_machine("b");
    rotation.go_for(15);
    assert_eq!(rotation.state("b"), Some(State::Waiting));
    assert!(hooks(&rotation).contains(&("b", "r-1")), "the place of the first b is open");
    rotation.wish(RunRequest::Abort(Phase::Old));
    for _ in 0..3 {
        rotation.go();
        assert!(hooks(&rotation).contains(&("b", "r-1")), "{:?}", hooks(&rotation));
    }
}

/// A person asked the node back and then let it take part again: the step that is left on it is none of a node that waits.
#[test]
fn a_deleted_machine_keeps_its_hook_while_its_node_is_held() {
    let mut rotation = with_machines();
    rotation.go_for(15);
    rotation.delete_machine("a");
    rotation.delete_machine("b");
    rotation.go_for(15);
    let step = rotation.world.nodes["b"].step.clone().expect("a step");
    let held = Step { state: State::Held, why: Some("NodeSilent".into()), ..step };
    rotation.world.node("b").step = Some(held);
    for _ in 0..3 {
        rotation.go();
        assert!(hooks(&rotation).contains(&("b", "r-1")), "{:?}", hooks(&rotation));
    }
}

/// Each row: whether the node is skipped. Another actor takes the run's annotation from the Node of a Machine that is deleted, and the hook is all that holds it.
#[test]
fn a_hook_stays_while_a_node_is_without_its_step() {
    for is_skipped in [false, true] {
        let mut rotation = with_machines();
        rotation.go_for(15);
        rotation.delete_machine("a");
        rotation.delete_machine("b");
        if is_skipped {
            rotation.wish(RunRequest::Skip("b".into()));
        }
        rotation.go_for(15);
        rotation.world.node("b").step = None;
        for _ in 0..3 {
            rotation.go();
            assert!(hooks(&rotation).contains(&("b", "r-1")), "{is_skipped}: {:?}", hooks(&rotation));
        }
        let expected = Some(State::Waiting).filter(|_| !is_skipped);
        assert_eq!(rotation.state("b"), expected, "it is taken up again, unless it is skipped");
        rotation.run.targets.clear();
        rotation.world.nodes.remove("a");
        rotation.go_for(10);
        assert!(!hooks(&rotation).contains(&("b", "r-1")), "the run is over");
    }
}

#[test]
fn hooks_are_given_back_at_the_end() {
    let mut rotation = with_machines();
    rotation.machine("d").hook = Some("r-0".into());
    rotation.go_for(15);
    rotation.wish(RunRequest::Abort(Phase::Old));
    rotation.go_for(30);
    assert_eq!(hooks(&rotation), [("d", "r-0")], "that is not the run's");
    let mut rotation = with_machines();
    rotation.go_for(15);
    rotation.run.targets.clear();
    rotation.go_for(10);
    assert_eq!(rotation.go().end, Some(End::Done));
    assert_eq!(hooks(&rotation), []);
}

/// What decides may be wrong; what may be done is checked again.
#[test]
fn no_hook_of_a_node_that_waits_is_taken_away() {
    let mut rotation = with_machines();
    rotation.go_for(15);
    let refused = |rotation: &mut Rotation, node: &str, run: Option<&str>, uid: &str| {
        rotation.memory.observe(&rotation.world, &rotation.run);
        let machine = Machine { uid: uid.into(), ..rotation.machine(node).clone() };
        let order = Order::new(&rotation.plan);
        let nodes = Nodes::new(&rotation.world, &rotation.run, &order);
        let view = View::new(&rotation.world, &rotation.memory, &rotation.run, &nodes);
        let hook = Act::Hook(Box::new(Hook { node: node.into(), machine, run: run.map(Into::into) }));
        invariant::hold(&hook, &view, HASH).err().map(|broken| broken.name)
    };
    assert_eq!(refused(&mut rotation, "a", None, "uid-m-a"), Some("R15"));
    assert_eq!(refused(&mut rotation, "a", Some("r-1"), "uid-m-a"), Some("R7"), "it has one");
    assert_eq!(refused(&mut rotation, "a", None, "another"), Some("R10"));
    rotation.machine("a").hook = Some("r-0".into());
    assert_eq!(refused(&mut rotation, "a", None, "uid-m-a"), Some("R7"));
    rotation.machine("a").hook = None;
    assert_eq!(refused(&mut rotation, "a", Some("r-1"), "uid-m-a"), None);
    assert_eq!(refused(&mut rotation, "a", Some("r-2"), "uid-m-a"), Some("R10"));
    rotation.world.node("a").step = None;
    assert_eq!(refused(&mut rotation, "a", Some("r-1"), "uid-m-a"), Some("R10"));
}

/// Without access to the management cluster, the run follows, and says what would hold the nodes.
#[test]
fn without_a_management_cluster_nothing_is_held() {
    let mut rotation = Rotation::new("cluster-api");
    for (is_outdated, what) in [(false, "names another template"), (true, "is about to replace it")] {
        rotation.world.node("a").is_outdated = is_outdated;
        let decided = rotation.go_for(30);
        let wait = wait(&decided, Reason::Leaving, "Node/a").expect("a wait");
        assert!(wait.what.contains(what) && wait.help.contains("--management-context"), "{wait:?}");
    }
    assert!(rotation.world.nodes.values().all(|node| node.step.is_none() && node.is_fenced));
    rotation.lose("a");
    rotation.gain("e", new("uid-e"));
    rotation.go_for(30);
    assert_eq!(rotation.state("e"), Some(State::Done));
    let mut rotation = with_machines();
    rotation.go_for(15);
    let unseen = |rotation: &Rotation| {
        crate::roll::replacement::without_machines(&rotation.world, &rotation.run, &rotation.plan).cloned()
    };
    assert_eq!(unseen(&rotation), None);
    rotation.world.machines = None;
    assert_eq!(unseen(&rotation).as_deref(), Some("a"), "the run holds it");
    let unseen = rotation.go_for(15);
    let wait = wait(&unseen, Reason::NotAsked, "Node/a").expect("a wait");
    assert!(wait.what.contains("holds its Machine"), "{wait:?}");
    assert_eq!(rotation.state("a"), Some(State::Waiting));
}
