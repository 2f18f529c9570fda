//! The runtime's sandboxes, and those among them that are attached past Crossfade.

use std::collections::BTreeSet;

use convergence::doctor::facts::{Sandboxes, Source};
use convergence::node::facts::NodeFacts;
use convergence::runtime::answer::RuntimeAnswer;
use convergence::runtime::{Sandbox, State};
use shim::node::store::Store;
use types::command::problem::Problem;

use crate::runtime::cri::Runtime;

/// Asks the runtime, if it has answered before. `known` are the containers that Crossfade has attached, or found when it came.
pub(super) fn gather(node: &NodeFacts, container_ids: Option<&BTreeSet<String>>) -> Source<Sandboxes> {
    let answer = &node.runtime.answer;
    match answer {
        RuntimeAnswer::Setup(_) | RuntimeAnswer::Silent => {}
        RuntimeAnswer::NotAsked => return Source::Absent("no runtime is asked".into()),
        RuntimeAnswer::Unknown(why) | RuntimeAnswer::Absent(why) | RuntimeAnswer::Failed(why) => {
            return Source::Absent(why.clone());
        }
    }
    let unread = |error: anyhow::Error| {
        let fix = "run crossfade-bootstrap doctor again; see the runtime's log if it stays";
        Source::Unread(Problem::new(format!("{error:#}")).with_place("the runtime").fix(fix))
    };
    let endpoint = node.runtime.choice.endpoint().unwrap_or_default();
    let listed = match Runtime::connect(endpoint).and_then(|runtime| runtime.sandboxes()) {
        Ok(listed) => listed,
        Err(error) => return unread(error),
    };
    let Some(container_ids) = container_ids.filter(|_| node.own_conf().is_some()) else {
        return Source::Read(Sandboxes { listed, past_us: Vec::new() });
    };
    let is_known = |(id, state): (&String, &State)| *state != State::Ready || container_ids.contains(id);
    if listed.iter().all(is_known) {
        return Source::Read(Sandboxes { listed, past_us: Vec::new() });
    }
    match Runtime::connect(endpoint).and_then(|runtime| runtime.list_pod_network_sandboxes(container_ids)) {
        Ok(sandboxes) => {
            let past_us = sandboxes.into_iter().filter(|sandbox| has_no_record(node, sandbox)).collect();
            Source::Read(Sandboxes { listed, past_us })
        }
        Err(error) => unread(error),
    }
}

/// Whether the sandbox has no record now, either: its ADD may have begun after the records were read.
fn has_no_record(node: &NodeFacts, sandbox: &Sandbox) -> bool {
    Store::new(&node.dirs.layout).find_by_container(&sandbox.id).is_ok_and(|records| records.is_empty())
}
