use std::collections::VecDeque;

use serde_json::json;
use types::policy::Policy;
use types::status::NotMoved;

use crate::commands::move_pods::apply::*;
use crate::commands::move_pods::decide::tests::{line, pod, sandbox};

/// A node on which time goes by as `apply` waits, and things happen at an act of the test or when time is up.
struct Node {
    now: Duration,
    facts: fn(&ActLog) -> Facts,
    seen: ActLog,
    answers: VecDeque<Answer>,
    stop: Result<(), String>,
    /// Until when the pod `a` has a connection over the network that leaves.
    connected_until: Duration,
    changes: VecDeque<Result<(), NetworkChangeError>>,
}

/// What was done to the node, and when.
#[derive(Debug, Default)]
struct ActLog {
    secs: u64,
    acts: Vec<(u64, String)>,
    reports: Vec<String>,
}

impl ActLog {
    /// When a call of this name was made; none if none was.
    fn since(&self, act: &str) -> Option<u64> {
        self.acts.iter().rev().find(|(_, name)| name == act).map(|(at, _)| self.secs - at)
    }
}

impl Node {
    fn new(facts: fn(&ActLog) -> Facts, answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = answers.into_iter().collect();
        Self {
            now: Duration::ZERO,
            facts,
            seen: ActLog::default(),
            answers,
            stop: Ok(()),
            connected_until: Duration::ZERO,
            changes: VecDeque::new(),
        }
    }

    fn act(&mut self, name: &str) -> Answer {
        let answer = self.answers.pop_front().expect("an answer");
        let name = if answer == Answer::Accepted { name.to_owned() } else { format!("{name}: refused") };
        self.seen.acts.push((self.now.as_secs(), name));
        answer
    }

    fn apply(&mut self, options: &MoveOptions) -> MoveResult {
        let first = decide(&(self.facts)(&self.seen), options).candidates;
        apply(self, options, first, Duration::from_secs(60))
    }

    fn acts(&self) -> Vec<(u64, &str)> {
        self.seen.acts.iter().map(|(at, name)| (*at, name.as_str())).collect()
    }
}

impl NodeClient for Node {
    fn gather(&mut self) -> Result<Facts, Problem> {
        self.seen.secs = self.now.as_secs();
        Ok((self.facts)(&self.seen))
    }

    fn evict(&mut self, pod: &BoundPod, depth: Depth) -> Answer {
        let word = if depth == Depth::Carried { "evict" } else { "try" };
        self.act(&format!("{word} {}", pod.name))
    }

    fn delete(&mut self, pod: &BoundPod) -> Answer {
        self.act(&format!("delete {}", pod.name))
    }

    fn stop(&mut self, sandbox: &str, grace: Duration) -> Result<(), String> {
        self.seen.acts.push((self.now.as_secs(), format!("stop {sandbox}")));
        assert_eq!(grace, Duration::from_secs(30), "the pod's grace");
        self.stop.clone()
    }

    fn connections(&mut self, change: &NetworkChange) -> Result<Vec<String>, String> {
        let is_connected = change.sandbox.name == "a" && self.now < self.connected_until;
        Ok(if is_connected { vec!["tcp 10.1.0.5:80 with 10.1.0.9:4000".into()] } else { Vec::new() })
    }

    fn change_networks(&mut self, changes: &[NetworkChange]) -> Vec<Result<(), NetworkChangeError>> {
        let mut answers = Vec::new();
        for change in changes {
            let word = if change.joins { "join" } else { "leave" };
            self.seen.acts.push((self.now.as_secs(), format!("{word} {}", change.sandbox.name)));
            answers.push(self.changes.pop_front().unwrap_or(Ok(())));
        }
        answers
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn sleep(&mut self, time: Duration) {
        self.now += time;
    }

    fn report(&mut self, line: &str) {
        self.seen.reports.push(line.to_owned());
    }
}

fn policy() -> Option<Policy> {
    let text = json!({"version": 1, "attach": "new", "networks": {"old": {"conf": ["/o"]}, "new": {"conf": ["/n"]}}});
    Some(Policy::parse(text.to_string().as_bytes()).expect("valid"))
}

/// A node with these pods: each in the sandbox of this id, attached to these sides.
fn with(pods: Vec<(BoundPod, &str, &[&'static str])>) -> Facts {
    let mut facts = Facts { policy: policy(), ..Facts::default() };
    for (pod, id, sides) in pods {
        let title = format!("{}/{}", pod.namespace, pod.name);
        facts.sandboxes.push(sandbox(id, &title));
        if !sides.is_empty() {
            facts.lines.push(line(id, sides));
        }
        facts.pods.push(pod);
    }
    facts
}

fn daemon(title: &str) -> BoundPod {
    BoundPod { owner: Some(Owner { kind: "DaemonSet".into(), uid: "ds".into() }), ..pod(title) }
}

fn outcomes(carried: &MoveResult) -> Vec<MoveOutcome> {
    carried.done.iter().map(|done| done.outcome.clone()).collect()
}

fn why(carried: &MoveResult) -> &str {
    let stopped = carried.stopped.as_ref().expect("it stopped");
    assert_eq!(stopped.exit, Exit::No);
    &stopped.why[0].what
}

/// `a` is gone five seconds after its eviction, and `b` after its own; nothing comes back.
fn two(seen: &ActLog) -> Facts {
    let gone = |name: &str| seen.since(&format!("evict {name}")).is_some_and(|secs| secs >= 5);
    let all = ["a", "b"].into_iter().filter(|name| !gone(name));
    with(
        all.map(|name| (pod(&format!("web/{name}")), if name == "a" { "s1" } else { "s2" }, &["old"][..]))
            .collect(),
    )
}

#[test]
fn the_next_pod_goes_when_the_one_before_is_gone_and_its_owner_had_time() {
    let mut node = Node::new(two, [Answer::Accepted, Answer::Accepted]);
    let carried = node.apply(&MoveOptions::default());
    assert_eq!(outcomes(&carried), [MoveOutcome::Gone, MoveOutcome::Gone]);
    assert_eq!(carried.stopped, None);
    assert_eq!(node.acts(), [(0, "evict a"), (15, "evict b")], "5 s until it is gone, and 10 s more");
}

#[test]
fn a_budget_is_asked_again_until_it_allows_the_pod_or_the_time_is_over() {
    let refused = || std::iter::repeat_n(Answer::Budget(Some(7)), 3);
    let mut node = Node::new(two, refused().chain([Answer::Accepted, Answer::Busy(None), Answer::Accepted]));
    let carried = node.apply(&MoveOptions::default());
    assert_eq!(outcomes(&carried), [MoveOutcome::Gone, MoveOutcome::Gone]);
    assert_eq!(node.acts()[3], (21, "evict a"));
    assert_eq!(node.acts()[4..], [(36, "evict b: refused"), (41, "evict b")]);
    assert_eq!(node.seen.reports.iter().filter(|line| line.contains("PodDisruptionBudget")).count(), 1);

    // The next pod has its turn all the same.
    let answers = std::iter::repeat_n(Answer::Budget(None), 13).chain([Answer::Accepted]);
    let mut node = Node::new(two, answers);
    let carried = node.apply(&MoveOptions::default());
    let all = outcomes(&carried);
    assert!(matches!(&all[0], MoveOutcome::Left(_, why) if why.what.contains("has not for 60 s")), "{all:?}");
    assert_eq!((all[1].clone(), node.acts()[13]), (MoveOutcome::Gone, (60, "evict b")));

    // A time that is much too long is cut.
    let mut node = Node::new(two, [Answer::Budget(Some(3600)), Answer::Accepted, Answer::Gone]);
    assert_eq!(outcomes(&node.apply(&MoveOptions::default())), [MoveOutcome::Gone, MoveOutcome::Skipped]);
    assert_eq!(node.acts()[1], (30, "evict a"));

    let mut node = Node::new(two, [Answer::TwoBudgets, Answer::Gone]);
    let carried = node.apply(&MoveOptions::default());
    let all = outcomes(&carried);
    assert!(matches!(&all[0], MoveOutcome::Left(_, why) if why.what.contains("more than one")), "{all:?}");
    assert_eq!(all[1], MoveOutcome::Skipped);

    let mut node = Node::new(two, [Answer::Failed("lost".into())]);
    let carried = node.apply(&MoveOptions::default());
    let stopped = carried.stopped.expect("it stopped");
    assert_eq!((stopped.exit, carried.done.len()), (Exit::Failed, 0));
}

#[test]
fn a_pod_that_does_not_go_stops_all() {
    let stays = |_: &ActLog| with(vec![(pod("web/a"), "s1", &["old"]), (pod("web/b"), "s2", &["old"])]);
    let mut node = Node::new(stays, [Answer::Accepted]);
    let carried = node.apply(&MoveOptions::default());
    assert_eq!(why(&carried), "pod web/a: it is not gone after its grace and 60 s");
    assert_eq!((node.now, carried.done.len()), (Duration::from_secs(90), 0));
}

#[test]
fn a_pod_of_a_daemon_set_is_waited_for_until_it_is_ready_on_the_right_network() {
    fn facts(seen: &ActLog) -> Facts {
        let other = BoundPod { is_ready: seen.secs >= 40, ..daemon("web/b") };
        match seen.since("evict a") {
            None | Some(0..3) => with(vec![(daemon("web/a"), "s1", &["old"])]),
            Some(3..30) => with(Vec::new()),
            // Its ADD runs.
            Some(30..35) => with(vec![(other, "s2", &[])]),
            Some(_) => with(vec![(other, "s2", &["new"])]),
        }
    }
    let mut node = Node::new(facts, [Answer::Accepted]);
    let carried = node.apply(&MoveOptions::default());
    assert_eq!(outcomes(&carried), [MoveOutcome::Back("s2".into())]);
    assert_eq!(node.now.as_secs(), 40, "not before it is Ready");

    let never = |seen: &ActLog| match seen.since("evict a") {
        None => with(vec![(daemon("web/a"), "s1", &["old"])]),
        Some(_) => with(Vec::new()),
    };
    let mut node = Node::new(never, [Answer::Accepted]);
    let carried = node.apply(&MoveOptions::default());
    assert_eq!(why(&carried), "pod web/a: its DaemonSet has made no other pod on this node within 60 s");
}

#[test]
fn a_pod_that_comes_back_on_another_network_stops_all() {
    let wrong = |seen: &ActLog| match seen.since("evict a") {
        None => with(vec![(daemon("web/a"), "s1", &["old"]), (pod("web/z"), "s9", &["old"])]),
        Some(_) => with(vec![(daemon("web/b"), "s2", &["old"]), (pod("web/z"), "s9", &["old"])]),
    };
    let mut node = Node::new(wrong, [Answer::Accepted]);
    let carried = node.apply(&MoveOptions::default());
    assert_eq!(why(&carried), "pod web/a: it came back attached old, and the policy says new");
    assert_eq!(node.acts(), [(0, "evict a")], "no other pod goes");

    let past = |seen: &ActLog| match seen.since("evict a") {
        None => with(vec![(daemon("web/a"), "s1", &["old"])]),
        Some(_) => with(vec![(daemon("web/b"), "s2", &[])]),
    };
    let mut node = Node::new(past, [Answer::Accepted]);
    let carried = node.apply(&MoveOptions::default());
    assert_eq!(why(&carried), "pod web/a: sandbox s2 came up past Crossfade");
}

/// Stopped, `a` has a new sandbox after 4 seconds, and its status says so after 8.
fn restarted(seen: &ActLog) -> Facts {
    let (old, new) = (pod("web/a"), BoundPod { containers: ["new-c".to_owned()].into(), ..pod("web/a") });
    match seen.since("stop s1") {
        None => with(vec![(old, "s1", &["old"])]),
        Some(0..4) => Facts { pods: vec![old], ..with(Vec::new()) },
        Some(4..8) => with(vec![(old, "s2", &["new"])]),
        Some(_) => with(vec![(new, "s2", &["new"])]),
    }
}

#[test]
fn in_place_the_budget_is_asked_and_the_status_of_the_new_containers_counts() {
    let options = MoveOptions { in_place: true, ..MoveOptions::default() };
    let mut node = Node::new(restarted, [Answer::Budget(Some(2)), Answer::Accepted]);
    let carried = node.apply(&options);
    assert_eq!(outcomes(&carried), [MoveOutcome::Back("s2".into())]);
    assert_eq!(node.acts(), [(0, "try a: refused"), (2, "try a"), (2, "stop s1")]);
    assert_eq!(node.now.as_secs(), 10);

    let mut node = Node::new(restarted, [Answer::Accepted]);
    node.stop = Err("no answer".into());
    let carried = node.apply(&options);
    assert_eq!(carried.stopped.expect("it stopped").exit, Exit::Failed);
}

#[test]
fn a_pod_that_was_not_ready_has_to_be_attached_and_no_more() {
    fn sick(seen: &ActLog) -> Facts {
        let mut facts = restarted(seen);
        facts.pods.iter_mut().for_each(|pod| pod.is_ready = false);
        facts
    }
    let options = MoveOptions { in_place: true, ..MoveOptions::default() };
    let mut node = Node::new(sick, [Answer::Accepted]);
    assert_eq!(outcomes(&node.apply(&options)), [MoveOutcome::Back("s2".into())]);
}

#[test]
fn what_a_person_changes_meanwhile_counts() {
    // The operator deletes the second pod while the first one goes.
    let gone = |seen: &ActLog| match seen.since("evict a") {
        None => two(seen),
        Some(_) => with(Vec::new()),
    };
    let mut node = Node::new(gone, [Answer::Accepted]);
    assert_eq!(outcomes(&node.apply(&MoveOptions::default())), [MoveOutcome::Gone, MoveOutcome::Skipped]);

    // Its controller makes it again: in its new sandbox it is as it should be.
    let moved = |seen: &ActLog| match seen.since("evict a") {
        None => two(seen),
        Some(_) => with(vec![(pod("web/b"), "s9", &["new"])]),
    };
    let mut node = Node::new(moved, [Answer::Accepted]);
    assert_eq!(outcomes(&node.apply(&MoveOptions::default())), [MoveOutcome::Gone, MoveOutcome::Skipped]);

    // The new network fails.
    let fails = |seen: &ActLog| {
        let obstacles = match seen.since("evict a") {
            None => Vec::new(),
            Some(_) => vec![Problem::new("network new is not ready")],
        };
        Facts { obstacles, ..two(seen) }
    };
    let mut node = Node::new(fails, [Answer::Accepted]);
    let carried = node.apply(&MoveOptions::default());
    assert_eq!((why(&carried), node.acts().len()), ("network new is not ready", 1));
}

/// `a` and `b` on both networks with `new` as primary; the policy says new alone.
fn leaving(_: &ActLog) -> Facts {
    Facts {
        joining: types::policy::Side::BOTH.into(),
        ..with(vec![(pod("web/a"), "s1", &["new", "old"]), (pod("web/b"), "s2", &["new", "old"])])
    }
}

fn patient() -> MoveOptions {
    MoveOptions { connections_end_within: Duration::from_secs(20), ..MoveOptions::default() }
}

#[test]
fn a_network_leaves_a_pod_once_its_connections_have_ended_and_the_others_do_not_wait() {
    let mut node = Node::new(leaving, []);
    node.connected_until = Duration::from_secs(7);
    let carried = node.apply(&patient());
    assert_eq!(outcomes(&carried), [MoveOutcome::Changed, MoveOutcome::Changed]);
    assert_eq!(node.acts(), [(0, "leave b"), (7, "leave a")]);
    assert_eq!(node.seen.reports, ["waiting until no connection uses the network that leaves: web/a"]);

    let mut node = Node::new(leaving, []);
    node.connected_until = Duration::from_secs(99);
    let carried = node.apply(&patient());
    assert_eq!(node.acts(), [(0, "leave b")]);
    let all = outcomes(&carried);
    assert!(matches!(&all[1], MoveOutcome::Left(_, why) if why.what.contains("10.1.0.9:4000")), "{all:?}");
    assert_eq!(node.now.as_secs(), 20);

    let mut node = Node::new(leaving, []);
    node.connected_until = Duration::from_secs(99);
    node.apply(&MoveOptions { break_connections: true, ..patient() });
    assert_eq!(node.acts(), [(0, "leave a"), (0, "leave b")]);
}

#[test]
fn a_change_that_fails_leaves_the_pod_and_the_next_one_has_its_turn() {
    let mut node = Node::new(leaving, []);
    node.changes = [Err(NetworkChangeError::NeedsRestart("its record is damaged".into())), Ok(())].into();
    let carried = node.apply(&patient());
    let all = outcomes(&carried);
    assert!(matches!(&all[0], MoveOutcome::Left(_, why) if why.fix.contains("--restart-only")), "{all:?}");
    assert_eq!(all[1], MoveOutcome::Changed);
    assert_eq!(carried.stopped, None);
}

#[test]
fn what_is_left_is_counted_by_what_it_takes_and_quotes_no_plugin() {
    let remainder = |connected_until: u64, change: Result<(), NetworkChangeError>| {
        let mut node = Node::new(leaving, []);
        node.connected_until = Duration::from_secs(connected_until);
        node.changes = [change].into();
        let first = decide(&leaving(&node.seen), &patient()).candidates;
        node.apply(&patient()).remainder(&first)
    };
    assert_eq!(remainder(0, Ok(())), (0, NotMoved::default(), None));
    assert_eq!(
        remainder(0, Err(NetworkChangeError::NeedsRestart("x".into()))),
        (1, NotMoved::default(), None)
    );
    let failed = remainder(0, Err(NetworkChangeError::Failed("token=canary".into())));
    let not_moved = |connections, failed| NotMoved { connections, failed };
    assert_eq!(failed, (0, not_moved(0, 1), Some("pods left: 1, the first: web/a (failed)".into())));
    let busy = remainder(99, Ok(()));
    assert_eq!(busy, (0, not_moved(1, 0), Some("pods left: 1, the first: web/a (connections)".into())));

    let mut candidates = decide(&leaving(&ActLog::default()), &patient()).candidates;
    candidates[0].fate = PodDisposition::Stays(StayReason::NeedsRestart);
    candidates[1].fate = PodDisposition::Stays(StayReason::Unknown);
    let stopped = Interruption { exit: Exit::No, why: vec![Problem::new("the policy cannot be used")] };
    let stopped = MoveResult { done: Vec::new(), stopped: Some(stopped) };
    let why = Some("the policy cannot be used".into());
    assert_eq!(stopped.remainder(&candidates), (1, not_moved(0, 0), why.clone()));
    let untouched = decide(&leaving(&ActLog::default()), &patient()).candidates;
    assert_eq!(stopped.remainder(&untouched), (0, not_moved(0, 2), why));
}
