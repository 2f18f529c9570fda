//! The end of a pass: every node is done, and a count of all pods shows that no node forgot any.

use std::time::Duration;

use super::memory::{REPORT_TIME, counted_on, is_count_over};
use super::replacement::arrival::{other_network_waits, outdated_report};
use super::replacement::open_places;
use super::step::Act;
use super::transit::DOWN;
use super::view::View;
use super::view::{NodeStatus, Standing};
use super::wait::{Reason, Subject, Wait};
use super::world::Census;

/// All pods are counted again after this time where a node knew of fewer: the API server lists all of them for it.
const RECOUNT: Duration = Duration::from_secs(30);

/// How far the end of the pass is.
#[derive(Debug)]
pub enum Barrier {
    /// Nodes are left.
    NotYet,
    /// All nodes are done, and something is still to be done or waited for.
    Almost(Vec<Act>, Vec<Wait>),
    /// The pass is over.
    Over,
}

/// How far the end of the pass is.
#[must_use]
pub fn barrier(view: &View<'_>) -> Barrier {
    if open_places(view) > 0 {
        return Barrier::NotYet;
    }
    let mut waits = other_network_waits(view);
    for &NodeStatus { name, node, standing, is_plain, .. } in view.nodes() {
        match standing {
            // What it said is from before, and its machine may have been made anew since.
            Standing::Done if !node.is_ready => waits.push(unreachable_wait(view, name)),
            Standing::Done => {}
            Standing::Skipped if node.is_cordoned && node.attached_count() == Some(0) => {}
            Standing::Skipped => {
                let what = "it was skipped, and the next phase must not begin while it has pods or takes any";
                let gone =
                    if is_plain { format!(", and then kubectl delete node {name}") } else { String::new() };
                let help = format!(
                    "drain it: kubectl drain {name} --ignore-daemonsets{gone}; or let it take part: kubectl crossfade roll retry {name}"
                );
                waits.push(Wait::new_held(Subject::node(name), Reason::WouldPart, what, help));
            }
            Standing::LeftOut | Standing::Transit(_) | Standing::Foreign(_) | Standing::Pending => {
                return Barrier::NotYet;
            }
        }
    }
    if !waits.is_empty() {
        return Barrier::Almost(Vec::new(), waits);
    }
    let now = view.world.now;
    // A node without Crossfade has no account of its pods, and no pod of another network than the old one.
    let reporting = view.nodes().filter(|status| !status.is_plain);
    let uncounted: Vec<&NodeStatus<'_>> =
        reporting.filter(|status| !view.memory.is_counted(status.name, now)).collect();
    if uncounted.is_empty() {
        return Barrier::Over;
    }
    let is_later = |census: &&Census| {
        let is_older = |status: &&NodeStatus<'_>| {
            view.memory.since(status.name, now) > now.saturating_sub(census.started_at)
        };
        uncounted.iter().all(is_older)
            && view.memory.pass_since().is_none_or(|since| census.started_at > since)
    };
    let Some(census) = view.world.census.as_ref().filter(is_later) else {
        return Barrier::Almost(
            vec![Act::Census],
            vec![Wait::new(Subject::Run, Reason::Census, "all pods are counted")],
        );
    };
    if !is_count_over(census, now) {
        let what = "all pods were counted, and nodes have time to tell what was on them";
        let wait = Wait::new(Subject::Run, Reason::Census, what).with_time(census.started_at + REPORT_TIME);
        return Barrier::Almost(Vec::new(), vec![wait]);
    }
    for status in uncounted {
        // The machine that it is now may have no Crossfade, which no count of it agrees with.
        if let Some(wait) = outdated_report(view, status) {
            waits.push(wait);
            continue;
        }
        let name = status.name;
        let running = counted_on(census, name);
        if !view.memory.disagrees(name) {
            let what = format!(
                "{running} of its pods ran when all pods were counted, and it knew of fewer; pods come and go, so they are counted once more"
            );
            waits.push(Wait::new(Subject::node(name), Reason::Census, what));
            continue;
        }
        let what =
            format!("{running} of its pods ran when all pods were counted, and it knew of fewer attachments");
        let help = format!(
            "on the node: crossfade-bootstrap attachments; then: kubectl crossfade roll retry {name}"
        );
        waits.push(Wait::new(Subject::node(name), Reason::AttachmentsUnknown, what).help(help));
    }
    let is_due = view.ago(census.started_at) >= RECOUNT;
    for wait in waits.iter_mut().filter(|_| !is_due) {
        wait.until = Some(census.started_at + RECOUNT);
    }
    Barrier::Almost(is_due.then_some(Act::Census).into_iter().collect(), waits)
}

/// A wait for a node that counts as done by what it said before kubelet went silent.
fn unreachable_wait(view: &View<'_>, name: &str) -> Wait {
    let help = format!(
        "repair it; or, if its machine is gone for good, take its Node away: kubectl delete node {name}"
    );
    let wait = Wait::new(
        Subject::node(name),
        Reason::NodeNotReady,
        "it is not Ready, so it is unknown whether what it said still holds",
    );
    let is_held = view.memory.down_for(name, view.world.now).is_some_and(|down| down >= DOWN);
    Wait { is_held, ..wait.help(help) }
}
