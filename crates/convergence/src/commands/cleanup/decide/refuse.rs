//! The users of the network that forbid its removal.

use types::command::problem::Problem;
use types::profile::{Leaves, LinkRole};
use types::text::list::first_few;

use crate::commands::cleanup::facts::CleanupFacts;

/// How many things of one kind are named; the others are counted.
const MOST_NAMED: usize = 5;

/// Every reason, so that a person sees all of them at once.
pub fn refusals(facts: &CleanupFacts, leaves: &Leaves) -> Vec<Problem> {
    let name = &facts.profile.name;
    let mut all = Vec::new();
    let mut refuse = |what: String, place: &str, fix: &str| {
        all.push(Problem::new(what).with_place(place).fix(fix.to_owned()));
    };
    if !facts.claims.damaged.is_empty() {
        let what = format!("records cannot be read, and may name {name}: {}", join(&facts.claims.damaged));
        refuse(
            what,
            "records",
            "delete the pods of these records, whose DEL resolves them; crossfade-bootstrap attachments lists them",
        );
    }
    if !facts.claims.records.is_empty() {
        let what = format!("attachments of {name} are on record: {}", join(&facts.claims.records));
        refuse(
            what,
            "records",
            "delete or drain these pods, then run crossfade-bootstrap unit sweep; crossfade-bootstrap attachments must list none of them",
        );
    }
    if !facts.claims.inventory.is_empty() {
        let what =
            format!("sandboxes from before Crossfade are on {name}: {}", join(&facts.claims.inventory));
        refuse(what, "inventory.json", "delete or move these pods, then run crossfade-bootstrap unit sweep");
    }
    for side in &facts.claims.attached {
        let what = format!("the policy attaches pods to the network {side}, whose profile is {name}");
        refuse(
            what,
            "policy.json",
            "flip the node first: crossfade-bootstrap policy set; then move its pods",
        );
    }
    for cni in &facts.in_use {
        if cni.profile.name == *name || cni.profile.parts.contains(name) {
            let what = format!("{} is of {} and has what {name} leaves", cni.owner, cni.profile.name);
            refuse(what, &cni.owner, "what both use cannot be told apart; clean up when neither is in use");
        }
    }
    if let Some(conf) = &facts.used_conf {
        let what = format!("{} is the conf that the runtime uses, and it is of {name}", conf.display());
        refuse(what, &conf.display().to_string(), "have the new CNI's conf in place, and make it sort first");
    }
    if !facts.agents.is_empty() {
        let what = format!("the agent of {name} runs: {}", join(&facts.agents));
        refuse(
            what,
            "agent",
            "remove its DaemonSet from this node first; an agent makes again what is removed",
        );
    }
    if !facts.answering.is_empty() {
        let what = format!("the agent of {name} answers: {}", join(&facts.answering));
        refuse(
            what,
            "agent",
            "remove its DaemonSet from this node first; an agent makes again what is removed",
        );
    }
    let live = list_live(facts, leaves);
    if !live.is_empty() {
        let what = format!("pods live on {name}: {}", join(&live));
        refuse(
            what,
            "interfaces",
            "delete or move these pods; ip -d link show NAME tells the namespace of the other end",
        );
    }
    let leases = facts.files.leases.iter().flat_map(|dir| &dir.live).cloned().collect::<Vec<_>>();
    if !leases.is_empty() {
        let what = format!("sandboxes that live hold addresses of {name}: {}", join(&leases));
        refuse(what, "leases", "delete or move these pods");
    }
    if !facts.kernel.unread.is_empty() {
        let what = format!("not everything can be read: {}", join(&facts.kernel.unread));
        refuse(
            what,
            "kernel",
            "run the command as root in the node's own network namespace, with what the message names installed",
        );
    }
    all
}

/// Interfaces of pods whose other end is in a pod.
fn list_live(facts: &CleanupFacts, leaves: &Leaves) -> Vec<String> {
    let links = &facts.kernel.links;
    let mut all = Vec::new();
    for profile_link in &leaves.links {
        let is_profile_link = |link: &&crate::commands::cleanup::kernel::LinkFact| {
            profile_link.name.matches(&link.name) && link.kind.as_deref() == Some(profile_link.kind.as_str())
        };
        for link in links.iter().filter(is_profile_link) {
            let ports = links.iter().filter(|port| port.master == Some(link.index));
            match profile_link.role {
                LinkRole::Pod if link.peer_elsewhere => all.push(link.name.clone()),
                LinkRole::Bridge if !super::network::is_foreign_bridge(facts, &link.name) => {
                    all.extend(ports.map(|port| format!("{} at {}", port.name, link.name)));
                }
                LinkRole::Switch => {
                    let ports = ports.filter(|port| port.peer_elsewhere);
                    all.extend(ports.map(|port| format!("{} at {}", port.name, link.name)));
                }
                LinkRole::Own | LinkRole::Pod | LinkRole::Bridge | LinkRole::Down => {}
            }
        }
    }
    all
}

fn join(names: &[String]) -> String {
    first_few(names, MOST_NAMED).join(", ")
}
