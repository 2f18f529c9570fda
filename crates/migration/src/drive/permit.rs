//! Requests of pipelines to take nodes away, and what a pipeline is answered.
//!
//! A request is an entry of the ConfigMap `crossfade-permits`: the key is the UID of a Node, the value is JSON with the Node's name, the run, the phase of the
//! pass that replaces the Node, and the time of the request. A Node may outlive its run, and the pass. The answer is the Node's own step, which only the holder of the run writes, so that it is the same after a crash of either side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::api::step::State as NodeState;
use types::policy::Phase;
use types::text::quote::quote;

use crate::plan::Plan;
use crate::roll::replacement::pipeline;
use crate::roll::replacement::{self, Direction, cannot_return, is_begun};
use crate::roll::run::{Run, State};
use crate::roll::view::is_of_pass;
use crate::roll::world::{Node, PermitRequest, Permits};

/// The ConfigMap with the requests.
pub const NAME: &str = "crossfade-permits";
/// How many requests are kept and read; the oldest go first. Many more nodes than are ever on their way.
const MOST: usize = 1000;
/// Longest key and longest value that count, in bytes.
const KEY_BYTES: usize = 64;
const VALUE_BYTES: usize = 512;
/// How many entries are named that are no requests.
const NAMED: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What is asked for.
    #[serde(flatten)]
    pub permit: PermitRequest,
    /// When, in RFC 3339, by the clock of the pipeline's machine.
    #[serde(rename = "at")]
    pub time: String,
}

/// What a pipeline is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It may drain the node and take it away.
    Go,
    /// Not now; why.
    Later(String),
    /// Never by this run; why, and what helps.
    Never(String, String),
}

fn entry(key: &str, value: &str) -> Result<Request, String> {
    if key.len() > KEY_BYTES || value.len() > VALUE_BYTES {
        return Err(format!("it has more than {KEY_BYTES} bytes of key or {VALUE_BYTES} of value"));
    }
    serde_json::from_str(value).map_err(|e| e.to_string())
}

/// The requests of a ConfigMap.
#[must_use]
pub fn read(data: &BTreeMap<String, String>) -> Permits {
    let mut permits = Permits::default();
    for (key, value) in data {
        let named = || quote(key.as_bytes(), KEY_BYTES);
        match entry(key, value) {
            Ok(_) if permits.requested.len() >= MOST => {}
            Ok(request) => drop(permits.requested.insert(key.as_str().into(), request.permit)),
            Err(_) if permits.unreadable.len() >= NAMED => {}
            Err(why) => {
                permits.unreadable.push(format!("{}: {}", named(), quote(why.as_bytes(), VALUE_BYTES)))
            }
        }
    }
    permits
}

/// The request of a pipeline for a Node of this name, at this time; none where no pass of the run replaces nodes of its pool any more.
#[must_use]
pub fn request(run: &Run, plan: &Plan, name: &str, node: &Node, at: String) -> Option<Request> {
    let pool = pool(plan, node);
    let to = match next_replacement(run, plan, pool)? {
        Direction::Forth | Direction::Final => plan.image_phase(pool)?,
        Direction::Back => Phase::Old,
    };
    Some(Request { permit: PermitRequest { node: name.into(), run: run.id.clone(), to }, time: at })
}

/// The changes of a ConfigMap that add a request: the entry itself, and entries to be taken away, which have no value: those of other runs, and the oldest of
/// too many. None if it is there.
#[must_use]
pub fn add_request(
    data: &BTreeMap<String, String>,
    uid: &str,
    new: &Request,
) -> BTreeMap<String, Option<String>> {
    if data.get(uid).is_some_and(|value| entry(uid, value).is_ok_and(|known| known.permit == new.permit)) {
        return BTreeMap::new();
    }
    let entries = data.iter().map(|(key, value)| (key, entry(key, value).ok()));
    let is_of_other =
        |known: &Option<Request>| known.as_ref().is_some_and(|known| known.permit.run != new.permit.run);
    let (others, own): (Vec<_>, Vec<_>) = entries.partition(|(_, known)| is_of_other(known));
    let mut own: Vec<(String, &String)> = own
        .into_iter()
        .map(|(key, known)| (known.map(|known| known.time).unwrap_or_default(), key))
        .collect();
    own.sort();
    let excess = (own.len() + 1).saturating_sub(MOST);
    let gone = others.into_iter().map(|(key, _)| key).chain(own.into_iter().take(excess).map(|(_, key)| key));
    let mut changes: BTreeMap<String, Option<String>> = gone.map(|key| (key.clone(), None)).collect();
    changes.insert(uid.to_owned(), serde_json::to_string(new).ok());
    changes
}

/// What a pipeline is answered that asks to take a node away: by the run and its plan, if there is a run, and by the Node, if it is there.
#[must_use]
pub fn answer(run: Option<(&Run, &Plan)>, name: &str, node: Option<&Node>) -> Answer {
    let never = |why: String, help: &str| Answer::Never(why, help.to_owned());
    let Some((run, plan)) = run else {
        return never("the cluster has no run".into(), "begin one: kubectl crossfade roll --plan HASH");
    };
    if run.target().is_none() || run.state == State::Done {
        return run_over_answer(run);
    }
    let Some(node) = node else {
        return never(
            format!("there is no Node {name}"),
            "kubectl get nodes; if its machine has gone already, there is nothing left to ask for",
        );
    };
    if let Some(why) = outside_answer(run, plan, name, node) {
        return why;
    }
    let pool = pool(plan, node);
    let Some(direction) = next_replacement(run, plan, pool) else {
        return never(
            format!(
                "run {} does not replace nodes any more: it goes from phase {} on to others",
                run.id, run.from
            ),
            "kubectl crossfade status shows where it goes",
        );
    };
    // Whatever a person makes of it meanwhile, its pipeline goes on with what it has begun.
    let is_begun = is_begun(node, run);
    if direction == Direction::Final && node.is_silent() && !is_begun {
        return never(
            format!("Node {name} has no Crossfade, as nodes of the final image"),
            "nothing is to be done",
        );
    }
    let image = plan.image_phase(pool).filter(|image| node.phase() == Some(*image));
    match (direction, image) {
        _ if is_begun => {}
        (Direction::Forth, Some(image)) => {
            return never(
                format!("Node {name} is in phase {image} already, that of the new image"),
                "nothing is to be done",
            );
        }
        // In whatever phase it is.
        (Direction::Back, _) if cannot_return(node) => {}
        (Direction::Back, None) => {
            return never(
                format!("run {} goes back, and Node {name} is of the earlier image already", run.id),
                "nothing is to be done",
            );
        }
        (Direction::Back, Some(_)) => {
            return never(
                format!("run {} goes back, and moves Node {name} to phase old in place", run.id),
                "leave the node as it is",
            );
        }
        (Direction::Forth, None) | (Direction::Final, _) => {}
    }
    let step = node.step.as_ref().filter(|step| is_of_pass(step, run));
    match (&run.state, step.map(|step| step.state)) {
        (State::Stopped(pause), _) => {
            Answer::Later(format!("{} paused the run at once: {}", pause.operator, pause.why))
        }
        (_, Some(NodeState::Permitted)) => Answer::Go,
        (State::Paused(pause), _) => {
            Answer::Later(format!("{} paused the run: {}", pause.operator, pause.why))
        }
        (_, Some(_)) => Answer::Later(format!("it is not the turn of Node {name} yet")),
        (_, None) => Answer::Later(format!("the run has not taken Node {name} up yet")),
    }
}

/// The answer of a run that is over.
#[must_use]
pub fn run_over_answer(run: &Run) -> Answer {
    let why = format!("run {} is over, and replaces no node any more", run.id);
    Answer::Never(why, "for nodes that are left: kubectl crossfade plan --strategy rotation".into())
}

/// Why no run ever lets a pipeline take the node away by this plan.
fn outside_answer(run: &Run, plan: &Plan, name: &str, node: &Node) -> Option<Answer> {
    let never = |why: String, help: &str| Some(Answer::Never(why, help.to_owned()));
    if plan.image.is_none() {
        return never(
            format!("the plan of run {} replaces no nodes", run.id),
            "a plan that does: kubectl crossfade plan --strategy rotation",
        );
    }
    if let Some(why) = plan.exclusion(name) {
        return never(
            format!("the plan leaves Node {name} out: {why}"),
            "the run takes no notice of it; drain it as you would without a run",
        );
    }
    let pool = pool(plan, node);
    let plan_pool = plan.pools.iter().find(|plan_pool| *plan_pool.name == *pool);
    let pool = quote(pool.as_bytes(), KEY_BYTES);
    let Some(plan_pool) = plan_pool else {
        return never(
            format!("Node {name} is of pool {pool:?}, which the plan does not know"),
            "correct its label, or make a new plan: kubectl crossfade plan --strategy rotation --save",
        );
    };
    let help = "roll.methods of the settings says how a pool moves; make a new plan after a change";
    let Some(pipeline) = pipeline::for_method(plan_pool.method) else {
        return never(format!("the plan moves the nodes of pool {pool:?} in place, and replaces none"), help);
    };
    if let Some(why) = pipeline.refusal(&pool) {
        return never(why, help);
    }
    let why = run.skipped.get(name)?;
    never(
        format!("Node {name} was skipped: {why}"),
        &format!("to let it take part again: kubectl crossfade roll retry {name} --reason TEXT"),
    )
}

/// The pool of a node. The settings may name other labels for pools than a pipeline knows; the plan has the pools of its nodes.
fn pool<'p>(plan: &'p Plan, node: &'p Node) -> &'p str {
    let planned = plan.waves.iter().flat_map(|wave| &wave.nodes).find(|planned| planned.uid == node.uid);
    planned.map_or(&node.pool, |planned| &planned.pool)
}

/// Which nodes come in the next pass that replaces nodes of a pool, if the run has one still before it, or is in it.
fn next_replacement(run: &Run, plan: &Plan, pool: &str) -> Option<Direction> {
    let froms = [run.from].into_iter().chain(run.targets.iter().copied());
    froms.zip(run.targets.iter().copied()).find_map(|(from, to)| replacement::direction(plan, pool, from, to))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use types::api::step::Step;

    use super::*;
    use crate::roll::run::Pause;

    fn plan(change: impl FnOnce(&mut Value)) -> Plan {
        let pool =
            |name: &str, method: &str| json!({"name": name, "nodes": 1, "zones": [""], "method": method});
        let mut plan = json!({
            "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "rotation", "settings": "s", "start": "old",
            "passes": ["both-old", "both-new", "new"], "image": "both-new", "ways": ["join", "replace", "leave"],
            "leftOut": [{"name": "out", "uid": "u", "why": "so"}], "leaveOut": [{"node": "edge-*", "reason": "no pod network"}], "limits": {}, "pods": {}, "gates": [],
            "waves": [{"name": "zone", "kind": "zone", "atOnce": 1, "soakSeconds": 0,
                "nodes": [{"name": "a", "uid": "uid-a", "pool": "asg", "why": ""}]}],
            "pools": [pool("asg", "permit"), pool("kept", "drain"), pool("spot", "karpenter"), pool("mng", "follow"), pool("capi", "cluster-api")],
            "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "networks": {"old": [], "new": []}, "agents": [],
            "unenforced": [], "waivers": [],
        });
        change(&mut plan);
        serde_json::from_value(plan).expect("a plan")
    }

    /// A run in the pass that replaces nodes.
    fn run() -> Run {
        Run::new("r-1", "4be1", &plan(|_| {})).next_pass()
    }

    /// A node in `both-old` with a step in this state.
    fn node(state: Option<NodeState>) -> Node {
        let step = |state| Step {
            run: "r-1".into(),
            plan: "4be1".into(),
            epoch: 1,
            claim: "r-1.2.1".into(),
            to: Phase::BothNew,
            state,
            cordon: None,
            since: None,
            r#try: 1,
            why: None,
            undisturbed: false,
        };
        Node {
            uid: "uid-a".into(),
            pool: "asg".into(),
            label: Some(Phase::BothOld),
            step: state.map(step),
            ..Node::default()
        }
    }

    fn words(answer: &Answer) -> String {
        match answer {
            Answer::Go => "go".into(),
            Answer::Later(why) => format!("later: {why}"),
            Answer::Never(why, help) => format!("never: {why}; {help}"),
        }
    }

    fn answered(run: &Run, plan: &Plan, name: &str, node: Option<&Node>) -> String {
        words(&answer(Some((run, plan)), name, node))
    }

    #[test]
    fn a_node_goes_when_its_step_says_so() {
        let plan = plan(|_| {});
        for (state, expected) in [
            (None, "later: the run has not taken Node a up yet"),
            (Some(NodeState::Waiting), "later: it is not the turn of Node a yet"),
            (Some(NodeState::Permitted), "go"),
        ] {
            let node = node(state);
            assert_eq!(answered(&run(), &plan, "a", Some(&node)), expected);
            assert_eq!(answered(&run(), &plan, "a", Some(&node)), expected, "the same once more");
        }
        let mut other = node(Some(NodeState::Permitted));
        other.step.as_mut().expect("a step").claim = "r-1.1.1".into();
        assert!(answered(&run(), &plan, "a", Some(&other)).starts_with("later"), "that was another pass");
        other.step.as_mut().expect("a step").run = "r-0".into();
        assert!(answered(&run(), &plan, "a", Some(&other)).starts_with("later"), "that was another run");
        let early = Run::new("r-1", "4be1", &plan);
        assert!(answered(&early, &plan, "a", Some(&node(None))).starts_with("later"), "a pass comes before");
    }

    /// Nodes that may go already go on, unless everything is stopped.
    #[test]
    fn a_pause_keeps_what_may_not_go_yet() {
        let pause = || Pause { operator: "alice".into(), why: "lunch".into() };
        let paused = Run { state: State::Paused(pause()), ..run() };
        let stopped = Run { state: State::Stopped(pause()), ..run() };
        let (waits, goes) = (node(Some(NodeState::Waiting)), node(Some(NodeState::Permitted)));
        for (run, node, expected) in [
            (&paused, &waits, "later: alice paused the run: lunch"),
            (&paused, &goes, "go"),
            (&stopped, &waits, "later: alice paused the run at once: lunch"),
            (&stopped, &goes, "later: alice paused the run at once: lunch"),
        ] {
            assert_eq!(answered(run, &plan(|_| {}), "a", Some(node)), expected);
        }
    }

    /// Each row: what the pipeline asks for, and what the answer has to name.
    #[test]
    fn never_has_a_reason_and_a_next_step() {
        let all = plan(|_| {});
        let of_pool = |pool: &str| Node { pool: pool.into(), uid: "u".into(), ..node(None) };
        let never = |answer: &str, parts: &[&str]| {
            assert!(answer.starts_with("never: "), "{answer}");
            parts.iter().for_each(|part| assert!(answer.contains(part), "{answer} names {part}"));
        };
        never(
            &words(&answer(None, "a", Some(&node(None)))),
            &["no run", "kubectl crossfade roll --plan HASH"],
        );
        never(&answered(&run(), &all, "z", None), &["no Node z", "kubectl get nodes"]);
        never(&answered(&run().next_pass().next_pass(), &all, "a", Some(&node(None))), &["r-1 is over"]);
        never(&answered(&run(), &all, "out", Some(&of_pool("asg"))), &["leaves Node out out", "so"]);
        never(
            &answered(&run(), &all, "edge-9", Some(&of_pool("asg"))),
            &["leaves Node edge-9 out", "no pod network"],
        );
        for (pool, part) in [
            ("kept", "in place"),
            ("spot", "Karpenter"),
            ("mng", "follows"),
            ("capi", "pre-drain hook"),
            ("else", "does not know"),
        ] {
            never(&answered(&run(), &all, "b", Some(&of_pool(pool))), &[pool, part]);
        }
        let in_place = plan(|plan| {
            plan["image"] = Value::Null;
            plan["ways"] = json!([]);
        });
        never(
            &answered(&run(), &in_place, "a", Some(&node(None))),
            &["replaces no nodes", "--strategy rotation"],
        );
        let mut skipped = run();
        skipped.skipped.insert("a".into(), "it burns".into());
        never(&answered(&skipped, &all, "a", Some(&node(None))), &["it burns", "roll retry a"]);
        let new = Node { label: Some(Phase::BothNew), uid: "u".into(), ..node(None) };
        never(&answered(&run(), &all, "e", Some(&new)), &["in phase both-new already"]);
        let back = Run { targets: vec![Phase::BothOld, Phase::Old], from: Phase::BothNew, ..run() };
        never(&answered(&back, &all, "a", Some(&node(None))), &["does not replace nodes any more"]);
        let far = Run { targets: vec![Phase::BothNew, Phase::BothOld], from: Phase::New, ..run() };
        never(&answered(&far, &all, "a", Some(&node(None))), &["does not replace nodes any more"]);
    }

    /// On the way back, nodes of the new image go, unless they can move in place.
    #[test]
    fn a_run_that_goes_back_replaces_nodes_of_the_new_image() {
        let plan = plan(|plan| {
            plan["passes"] = json!(["new"]);
            plan["image"] = json!("new");
            plan["ways"] = json!(["replace"]);
        });
        let back =
            Run { from: Phase::New, targets: vec![Phase::Old], pass: 2, ..Run::new("r-1", "4be1", &plan) };
        let in_phase = |phase: Phase, follows: Value, state| {
            let seen = json!({"bootId": "b", "phase": phase, "follows": follows});
            Node { observed: serde_json::from_value(seen).ok(), label: Some(phase), ..node(state) }
        };
        let of_image = |follows, state| in_phase(Phase::New, follows, state);
        for (node, expected) in [
            (of_image(json!([]), None), "later: the run has not taken Node a up yet"),
            (of_image(json!([]), Some(NodeState::Permitted)), "go"),
            (in_phase(Phase::BothNew, json!([]), None), "later: the run has not taken Node a up yet"),
            (
                of_image(json!(["old"]), None),
                "never: run r-1 goes back, and moves Node a to phase old in place; leave the node as it is",
            ),
            (
                Node { label: None, ..node(None) },
                "never: run r-1 goes back, and Node a is of the earlier image already; nothing is to be done",
            ),
        ] {
            assert_eq!(answered(&back, &plan, "a", Some(&node)), expected);
        }
    }

    /// Nodes of the migration image go, and those without Crossfade are there to stay.
    #[test]
    fn the_last_rotation_replaces_nodes_with_crossfade() {
        let plan = plan(|plan| {
            (plan["start"], plan["passes"]) = (json!("new"), json!(["new"]));
            (plan["image"], plan["ways"]) = (json!("new"), json!(["replace"]));
        });
        let run = Run::new("r-1", "4be1", &plan);
        let mut step = node(Some(NodeState::Permitted)).step.expect("a step");
        step.claim = run.claim(1);
        let migrated = Node { label: Some(Phase::New), step: Some(step), ..node(None) };
        assert_eq!(answered(&run, &plan, "a", Some(&migrated)), "go");
        assert_eq!(
            answered(&run, &plan, "a", Some(&Node { label: None, observed: None, ..node(None) })),
            "never: Node a has no Crossfade, as nodes of the final image; nothing is to be done"
        );
    }

    /// A pipeline does not have the settings that name the labels of pools.
    #[test]
    fn the_plan_says_of_which_pool_a_node_is() {
        let unlabelled = Node { pool: "".into(), ..node(Some(NodeState::Permitted)) };
        assert_eq!(answered(&run(), &plan(|_| {}), "a", Some(&unlabelled)), "go");
    }

    fn value(node: &str, run: &str, at: &str) -> String {
        json!({"node": node, "run": run, "to": "both-new", "at": at, "later": 1}).to_string()
    }

    fn permit(node: &str, run: &str) -> PermitRequest {
        PermitRequest { node: node.into(), run: run.into(), to: Phase::BothNew }
    }

    #[test]
    fn what_is_no_request_is_ignored_and_named() {
        let mut data: BTreeMap<String, String> = [
            ("uid-a".to_owned(), value("a", "r-1", "t")),
            ("uid-b".to_owned(), "b".to_owned()),
            ("uid-c".to_owned(), value(&"c".repeat(600), "r-1", "t")),
            ("k".repeat(70), value("d", "r-1", "t")),
        ]
        .into();
        let read = super::read(&data);
        assert_eq!(read.requested, [("uid-a".into(), permit("a", "r-1"))].into());
        assert_eq!(read.unreadable.len(), 3, "{:?}", read.unreadable);
        assert!(read.unreadable.iter().any(|why| why.starts_with("uid-b: ")), "{:?}", read.unreadable);
        data.extend((0..2 * MOST).map(|number| (format!("u-{number:05}"), value("n", "r-1", "t"))));
        data.extend((0..10).map(|number| (format!("x-{number}"), String::new())));
        let read = super::read(&data);
        assert_eq!((read.requested.len(), read.unreadable.len()), (MOST, NAMED));
    }

    #[test]
    fn a_request_is_written_once_and_the_oldest_make_room() {
        let new = Request { permit: permit("a", "r-1"), time: "2026-02".into() };
        let mut data = BTreeMap::new();
        let first = add_request(&data, "uid-a", &new);
        data.insert("uid-a".to_owned(), first["uid-a"].clone().expect("a value"));
        assert_eq!(super::read(&data).requested, [("uid-a".into(), permit("a", "r-1"))].into());
        let later = Request { time: "2026-03".into(), ..new.clone() };
        assert_eq!(add_request(&data, "uid-a", &later), BTreeMap::new(), "it is there");
        data.extend((0..MOST).map(|number| (format!("u-{number}"), value("n", "r-1", "2026-05"))));
        data.insert("u-7".into(), value("n", "r-1", "2026-01"));
        let changes = add_request(&data, "uid-b", &later);
        let gone: Vec<&str> =
            changes.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.as_str()).collect();
        assert_eq!(gone, ["u-7", "uid-a"]);
        assert!(changes["uid-b"].is_some());
    }

    /// Each pool is replaced in the pass to the phase of its own image.
    #[test]
    fn a_request_is_for_the_pass_of_the_images_of_its_pool() {
        let plan = plan(|plan| {
            plan["ways"] = json!(["join", "replace", "replace"]);
            let mut late = plan["pools"][0].clone();
            (late["name"], late["image"]) = ("late".into(), "new".into());
            plan["pools"].as_array_mut().expect("pools").push(late);
        });
        let late = Node { uid: "uid-b".into(), pool: "late".into(), ..node(None) };
        let to =
            |run: &Run, name: &str, node: &Node| Some(request(run, &plan, name, node, "t".into())?.permit.to);
        let (second, third) = (run(), run().next_pass());
        assert_eq!(
            (to(&second, "a", &node(None)), to(&second, "b", &late)),
            (Some(Phase::BothNew), Some(Phase::New))
        );
        assert_eq!((to(&third, "a", &node(None)), to(&third, "b", &late)), (None, Some(Phase::New)));
        let of_image = Node { label: Some(Phase::BothNew), ..late };
        assert_eq!(
            answered(&third, &plan, "b", Some(&of_image)),
            "later: the run has not taken Node b up yet"
        );
    }

    /// A step of a pipeline that was killed starts again from the top.
    #[test]
    fn a_pipeline_goes_on_with_a_node_that_a_person_flips_while_it_drains_it() {
        let flipped = |state, is_cordoned| Node {
            label: Some(Phase::BothNew),
            is_cordoned,
            is_ready: true,
            ..node(state)
        };
        let there =
            "never: Node a is in phase both-new already, that of the new image; nothing is to be done";
        for (node, expected) in [
            (flipped(Some(NodeState::Permitted), true), "go"),
            (flipped(Some(NodeState::Permitted), false), there),
            (flipped(Some(NodeState::Waiting), true), there),
            (flipped(None, true), there),
        ] {
            assert_eq!(answered(&run(), &plan(|_| {}), "a", Some(&node)), expected, "{node:?}");
        }
        let mut paused = run();
        paused.state = State::Stopped(Pause { operator: "alice".into(), why: "so".into() });
        let node = flipped(Some(NodeState::Permitted), true);
        assert_eq!(
            answered(&paused, &plan(|_| {}), "a", Some(&node)),
            "later: alice paused the run at once: so"
        );
    }

    /// A Node may outlive its run, and the way back of a run.
    #[test]
    fn a_request_is_of_one_run_and_one_direction() {
        let plan = plan(|_| {});
        let permit_of =
            |run: &Run| request(run, &plan, "a", &node(None), "t".into()).map(|request| request.permit);
        assert_eq!(permit_of(&run()), Some(permit("a", "r-1")));
        let back = Run { from: Phase::BothNew, targets: vec![Phase::Old], ..run() };
        assert_eq!(permit_of(&back), Some(PermitRequest { to: Phase::Old, ..permit("a", "r-1") }));
        assert_eq!(permit_of(&run().next_pass()), None, "no node is replaced any more");
        let mut data: BTreeMap<String, String> = [
            ("uid-a".to_owned(), value("a", "r-0", "t")),
            ("uid-b".to_owned(), value("b", "r-0", "t")),
            ("uid-c".to_owned(), value("c", "r-1", "t")),
        ]
        .into();
        let changes = add_request(
            &data,
            "uid-a",
            &request(&run(), &plan, "a", &node(None), "t".into()).expect("a request"),
        );
        assert!(changes["uid-a"].is_some(), "{changes:?}");
        assert_eq!((changes.get("uid-b"), changes.get("uid-c")), (Some(&None), None));
        data.insert("uid-a".into(), changes["uid-a"].clone().expect("a value"));
        let turned = add_request(
            &data,
            "uid-a",
            &request(&back, &plan, "a", &node(None), "t".into()).expect("a request"),
        );
        assert!(turned["uid-a"].is_some(), "the run was turned since");
    }
}
