//! The changes of `graduate`, in their order.
//!
//! | stage | what | why it is there before the next one |
//! |---|---|---|
//! | prepare | other confs with the name of Crossfade's network go aside | CRI-O collects by name: under a name without a conf it collects nothing |
//! | prepare | entries of the runtime's cache, under the new network's name (containerd) | the DEL of a pod that lives finds its `prevResult` by the name of the conf that is loaded |
//! | switch | a copy of Crossfade's conf | to put it back |
//! | switch | Crossfade's conf goes | from now on the runtime calls the new network |
//! | confirm | a restart of CRI-O, if it is configured with the name of its network | it would have no network otherwise |
//! | confirm | the runtime uses the new network, and an attachment to it works | else Crossfade's conf comes back |
//! | settle | the entries of pods that came in between | as above |
//! | settle | node.json says `confDir` none | a boot after this one must not bring Crossfade's conf back, where its records are gone |
//! | leave | Crossfade's entries of the cache, its records, inventory, plugin and name | no DEL comes through Crossfade any more |
//!
//! CRI-O sends a DEL with the conf of the ADD. So there the last stage waits until the last sandbox with a record is gone, and the cache stays as it is.

pub mod handover;
pub mod refuse;

use std::collections::BTreeSet;
use std::path::Path;

use shim::host::file::PRIVATE;
use shim::node::layout::CONF_FILE;
use shim::node::store::Key;
use types::command::problem::Problem;
use types::text::list::join_first;

use crate::change::{Act, Change, Write};
use crate::commands::graduate::decide::handover::{handovers, stale_keys};
use crate::commands::graduate::facts::{GraduateFacts, NodeJson};
use crate::node::conf::LEAVING_FILE;
use crate::node::conf::confdir::ConfFile;
use crate::runtime::cache::handover::file_name;

/// Mode of files that every user of the node may read.
const PUBLIC: u32 = 0o644;
/// How many attachments a line names.
const NAMED: usize = 5;

/// What graduating takes now.
#[derive(Debug, Default)]
pub struct Decision {
    /// What stands in the way, each with the way on.
    pub refusals: Vec<Problem>,
    /// What stands in the way for now.
    pub later: Vec<Problem>,
    /// The steps that are left, in their order.
    pub steps: Vec<Step>,
    /// The attachments whose entries of the runtime's cache are written.
    pub handing: Vec<Key>,
    /// What has to end before the last stage.
    pub waits: Vec<Problem>,
    /// What a person may want to know.
    pub notes: Vec<String>,
}

#[derive(Debug)]
pub struct Step {
    pub stage: Stage,
    pub change: Change,
}

/// The stages, in their order. Before each of them the node is read once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Everything that a DEL needs after the switch.
    Prepare,
    /// Crossfade's conf goes.
    Switch,
    /// The runtime is seen to use the new network; else Crossfade's conf comes back.
    Confirm,
    /// What keeps it so.
    Settle,
    /// Files that no command needs any more.
    Leave,
}

impl Stage {
    /// All, in their order.
    pub const ALL: [Self; 5] = [Self::Prepare, Self::Switch, Self::Confirm, Self::Settle, Self::Leave];
}

#[must_use]
pub fn decide(facts: &GraduateFacts) -> Decision {
    let mut decision = Decision::default();
    if facts.progress.is_ended && facts.conf.ours.is_none() {
        decision.notes.push("this node has graduated already".into());
        return decision;
    }
    refuse::refuse(facts, &mut decision);
    let (Some(name), Some((new, path))) = (&facts.conf.name, new_of(facts)) else { return decision };
    if !decision.refusals.is_empty() || !decision.later.is_empty() {
        return decision;
    }
    let names = NetworkNames { ours: name, new, conf: path };
    prepare(facts, &names, &mut decision);
    switch(facts, &names, &mut decision);
    confirm(facts, &names, &mut decision);
    settle(facts, &names, &mut decision);
    leave(facts, &names, &mut decision);
    notes(facts, &mut decision);
    decision
}

/// The two names of a node that Crossfade leaves.
struct NetworkNames<'a> {
    ours: &'a str,
    new: &'a str,
    conf: &'a Path,
}

fn new_of(facts: &GraduateFacts) -> Option<(&str, &Path)> {
    let (name, path) = facts.new.as_ref()?.conf.as_ref().ok()?;
    Some((name.as_str(), path.as_path()))
}

impl Decision {
    fn step(&mut self, stage: Stage, change: Change) {
        self.steps.push(Step { stage, change });
    }
}

/// Whether Crossfade's conf has left, so that the runtime calls the new network.
fn has_left(facts: &GraduateFacts) -> bool {
    facts.conf.ours.is_none() && facts.progress.left_at.is_some()
}

fn prepare(facts: &GraduateFacts, names: &NetworkNames<'_>, decision: &mut Decision) {
    for conf in same_name(facts, names.ours, names.conf) {
        let from = facts.conf.dir.path.join(&conf.file);
        let to = facts.aside_dir.join("net.d").join(&conf.file);
        let why = format!("its network has the name of Crossfade's, {}; to {}", names.ours, to.display());
        let target = from.display().to_string();
        decision.step(Stage::Prepare, Change::new(Act::SetAside { from, to, nudge: true }, target, why));
    }
    // Under one name the entry is Crossfade's as long as its conf is there.
    if !has_left(facts) && names.ours != names.new {
        entries(facts, names, Stage::Prepare, decision);
    }
}

/// The confs of other owners that bear the name of Crossfade's network, without the one that stays.
fn same_name<'a>(
    facts: &'a GraduateFacts,
    name: &'a str,
    stays: &'a Path,
) -> impl Iterator<Item = &'a ConfFile> {
    let dir = &facts.conf.dir;
    dir.confs.iter().filter(move |conf| {
        conf.file != CONF_FILE && conf.name() == Some(name) && dir.path.join(&conf.file) != stays
    })
}

/// Writes the entries of the runtime's cache under the new network's name.
fn entries(facts: &GraduateFacts, names: &NetworkNames<'_>, stage: Stage, decision: &mut Decision) {
    if facts.runtime.replays {
        return;
    }
    for handover in handovers(facts, names.new) {
        let path = facts.cache.dir.join(file_name(names.new, &handover.key));
        let bytes = handover.entry(facts.cache.entries.get(&handover.key).map(Vec::as_slice));
        let why =
            format!("the DEL of {} goes to {} with its own result", handover.key.container_id, names.new);
        decision.step(stage, Change::ensure(Write { path, bytes, mode: PRIVATE, nudge: false }, why));
        decision.handing.push(handover.key);
    }
}

fn switch(facts: &GraduateFacts, names: &NetworkNames<'_>, decision: &mut Decision) {
    if let Some(ours) = &facts.conf.ours {
        let path = facts.aside_dir.join(CONF_FILE);
        let copy = Write { path, bytes: ours.bytes.clone(), mode: PRIVATE, nudge: false };
        decision.step(Stage::Switch, Change::ensure(copy, "to put Crossfade's conf back"));
        let why = format!("the runtime calls {} from now on", names.new);
        decision.step(Stage::Switch, Change::remove(facts.conf.file.clone(), true, why));
    }
}

fn confirm(facts: &GraduateFacts, names: &NetworkNames<'_>, decision: &mut Decision) {
    if facts.progress.is_confirmed && has_left(facts) {
        return;
    }
    if refuse::needs_restart(facts, names.ours) && !(has_left(facts) && facts.runtime.is_restarted) {
        let why = "CRI-O is told the name of its network at its start; its pods run on";
        let restart = Change::new(
            Act::Systemctl(vec!["restart", "crio.service"]),
            "systemctl restart crio.service",
            why,
        );
        if facts.runtime.can_restart {
            decision.step(Stage::Confirm, restart);
        } else if has_left(facts) {
            let what =
                "CRI-O has not started since Crossfade's conf left, and uses no network before it does";
            let fix = "restart CRI-O now (its pods run on), then run the same command again";
            decision.waits.push(Problem::new(what).with_place("CRI-O").fix(fix));
            return;
        } else {
            decision
                .step(Stage::Confirm, Change::new(Act::Wait, "CRI-O", "restart it then: its pods run on"));
        }
    }
    let why = "the runtime uses it, and an attachment to it works; else Crossfade's conf comes back";
    decision.step(Stage::Confirm, Change::new(Act::Confirm, format!("network {}", names.new), why));
}

fn settle(facts: &GraduateFacts, names: &NetworkNames<'_>, decision: &mut Decision) {
    if !decision.waits.is_empty() {
        return;
    }
    if has_left(facts) || names.ours == names.new {
        entries(facts, names, Stage::Settle, decision);
    }
    if facts.conf.dir.confs.iter().any(|conf| conf.file == LEAVING_FILE) {
        let gone = facts.conf.dir.path.join(LEAVING_FILE);
        decision.step(Stage::Settle, Change::ensure_gone(gone, true, "left by a run that was killed"));
    }
    let NodeJson { path, before, after, .. } = &facts.node_json;
    let Ok(after) = after else { return };
    if let Some(bytes) = before.as_ref().filter(|bytes| *bytes != after) {
        let copy = facts.aside_dir.join("node.json");
        let copy = Write { path: copy, bytes: bytes.clone(), mode: PRIVATE, nudge: false };
        decision.step(Stage::Settle, Change::ensure(copy, "node.json as it was"));
    }
    let write = Write { path: path.clone(), bytes: after.clone(), mode: PUBLIC, nudge: false };
    let why = "confDir none: no later boot brings Crossfade's conf back; labels and taints stay";
    decision.step(Stage::Settle, Change::ensure(write, why));
}

fn leave(facts: &GraduateFacts, names: &NetworkNames<'_>, decision: &mut Decision) {
    decision.waits.extend(replay_problem(facts));
    let layout = &facts.layout;
    if !facts.runtime.replays {
        for key in facts.cache.under_ours.iter().filter(|_| names.ours != names.new) {
            let path = facts.cache.dir.join(file_name(names.ours, key));
            let why = format!("no conf is called {} any more", names.ours);
            decision.step(Stage::Leave, Change::ensure_gone(path, false, why));
        }
        for key in stale_keys(facts).filter(|_| has_left(facts)) {
            let path = facts.cache.dir.join(file_name(names.new, &key));
            let why = "its pod is gone";
            decision.step(Stage::Leave, Change::ensure_gone(path, false, why));
        }
    }
    for path in &facts.state {
        let to = facts.aside_dir.join(path.file_name().unwrap_or_default());
        let why = format!("no DEL comes through Crossfade any more; to {}", to.display());
        let aside = Act::SetAside { from: path.clone(), to, nudge: false };
        decision.step(Stage::Leave, Change::new(aside, path.display().to_string(), why));
    }
    for dir in &facts.plugins {
        match dir.plugin_removal() {
            Some(Ok(path)) => {
                decision.step(Stage::Leave, Change::ensure_gone(path, false, "no conf calls it"))
            }
            Some(Err(why)) => decision.notes.push(why),
            None => {}
        }
    }
    let marker = Write { path: facts.marker.clone(), bytes: Vec::new(), mode: PUBLIC, nudge: false };
    decision.step(Stage::Leave, Change::ensure(marker, "there is nothing to watch"));
    if facts.watch_runs {
        let stop = Act::Systemctl(vec!["stop", "crossfade-watch.service"]);
        let target = "systemctl stop crossfade-watch.service";
        decision.step(Stage::Leave, Change::new(stop, target, "there is nothing to watch"));
    }
    let gone = "its network is left; the next installation takes the name of the network then";
    decision.step(Stage::Leave, Change::ensure_gone(layout.name(), false, gone));
    if let Some(change) = facts.retract.clone() {
        decision.step(Stage::Leave, change);
    }
}

/// Sandboxes whose DEL CRI-O sends with Crossfade's conf.
fn replay_problem(facts: &GraduateFacts) -> Option<Problem> {
    let recorded = facts.records.iter().map(|(record, _)| record.intent.container_id.as_str());
    let cached = facts.cache.through_us.iter().map(|key| key.container_id.as_str());
    let cached = cached.filter(|id| facts.runtime.sandboxes.contains(*id));
    let all: BTreeSet<&str> = recorded.chain(cached).collect();
    if all.is_empty() || !facts.runtime.replays {
        return None;
    }
    let what = format!(
        "CRI-O sends the DEL of {} sandboxes with Crossfade's conf, so the plugin and the records stay for now: {}",
        all.len(),
        join(all.iter().copied())
    );
    let fix = "nothing has to be done for these pods; run the same command again when they are gone, or with --wait";
    Some(Problem::new(what).with_place("CRI-O").fix(fix))
}

fn notes(facts: &GraduateFacts, decision: &mut Decision) {
    if let Some(why) = &facts.transit.unseen {
        decision.notes.push(format!("whether a step of a roll is under way was not seen: {why}"));
    }
    if let Some(why) = &facts.node_json.fleeting {
        decision
            .notes
            .push(format!("{why}: the next boot brings Crossfade back; change the image of this node"));
    }
}

/// The first few, and how many more there are.
fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    join_first(names, NAMED)
}

#[cfg(test)]
mod tests;
