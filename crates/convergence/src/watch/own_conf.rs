//! Crossfade's own conf: the wanted content, its state, and its repair.
//!
//! | mode | Crossfade's conf is written | it is taken away |
//! |---|---|---|
//! | private | when the networks that `attach` names are ready for the first time in this boot | never before the next boot |
//! | shared | whenever it is not as it should be, once it was installed | when Crossfade is switched off |
//!
//! In both modes the conf declares the capabilities of its networks, and every write is one rename.

pub mod directory;

use std::path::PathBuf;
use std::time::Duration;

use shim::node::layout::CONF_FILE;
use types::status::{ConfState, Reason};

use crate::change::{Act, Change, Write};
use crate::node::conf::name::DEFAULT_NAME;
use crate::node::conf::{CONF_MODE, foreign, rules};
use crate::node::settings::directories::{InstalledConf, OwnConfFile};
use crate::publish::report::{EventReason, NodeEvent};
use crate::runtime::answer::ConfUse;
use crate::watch::guard::{CALM, FEW, SHORT};
use crate::watch::memory::Memory;
use crate::watch::observation::Observation;
use crate::watch::own_conf::directory::{directory, last_writer, note_obstacles};
use crate::watch::runtime;

/// How long the directory may be absent before `watch` makes it: the program that removed it may be about to make it again.
const MADE_AGAIN_WITHIN: Duration = Duration::from_secs(2);

/// The state of Crossfade's conf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnConfState {
    /// The conf is as it should be.
    InPlace,
    /// This pass writes the conf.
    Written,
    /// It is as it should be, and the runtime has not loaded it.
    NotLoaded,
    /// The conf is not written until its networks are ready.
    Waiting,
    /// The conf is not installed, or `uninstall` is removing it.
    NotInstalled,
    /// The conf is wrong, and `watch` has given up repairing it.
    Contended,
    /// The conf's directory does not exist.
    NoDirectory,
    /// Crossfade is switched off.
    Off,
}

impl OwnConfState {
    /// The state as status.json has it.
    #[must_use]
    pub const fn to_reported(self) -> ConfState {
        match self {
            Self::InPlace | Self::Written => ConfState::InPlace,
            Self::NotLoaded => ConfState::NotLoaded,
            Self::Waiting => ConfState::Waiting,
            Self::NotInstalled => ConfState::NotInstalled,
            Self::Contended => ConfState::Contended,
            Self::NoDirectory => ConfState::NoDirectory,
            Self::Off => ConfState::Off,
        }
    }
}

/// The decision about Crossfade's conf.
#[derive(Debug)]
pub struct OwnConfDecision {
    pub state: OwnConfState,
    /// The changes to the conf and its directory.
    pub changes: Vec<Change>,
    /// What happened, for the journal and for Events.
    pub happened: Vec<NodeEvent>,
    /// What holds and takes a person, the gravest first.
    pub standing: Vec<(Reason, String)>,
    /// Findings for status.json.
    pub findings: Vec<String>,
    /// The bytes that the conf should have.
    pub expected: Option<Vec<u8>>,
}

/// Decides. `ready` is whether the networks that `attach` names are; `memory` is brought up to date but for the write itself.
#[must_use]
pub fn decide(facts: &Observation, memory: &mut Memory, ready: bool) -> OwnConfDecision {
    let mut decided = OwnConfDecision {
        state: OwnConfState::NotInstalled,
        changes: Vec::new(),
        happened: Vec::new(),
        standing: Vec::new(),
        findings: Vec::new(),
        expected: None,
    };
    let installed_conf = facts.node.own_conf().cloned();
    if let Some(installed_conf) = &installed_conf {
        memory.good = Some(installed_conf.clone());
        memory.was_there = true;
    }
    if facts.off_switch.is_some() {
        decided.state = OwnConfState::Off;
        decided.changes.extend(removal_when_off(facts, installed_conf.is_some()));
        return decided;
    }
    expel(facts, memory, &mut decided);
    let called = facts.node.name.as_ref().ok().and_then(Option::as_deref);
    let called = called
        .map(str::to_owned)
        .or_else(|| installed_conf.as_ref().map(|installed_conf| installed_conf.name.clone()));
    decided.standing.extend(runtime::standing_reasons(facts, memory, called.as_deref()));
    directory(facts, memory, &mut decided);
    note_obstacles(facts, memory, &mut decided);
    if facts.leaving {
        decided.findings.push("Crossfade's conf is being taken away by uninstall".into());
        memory.settled_conf = None;
        return decided;
    }
    let basis = installed_conf.as_ref().or(memory.good.as_ref());
    let Some(name) = name(facts, installed_conf.as_ref(), basis) else {
        let why = "Crossfade's conf was never installed here: run crossfade-bootstrap install, or boot";
        decided.standing.push((Reason::BootFailed, why.into()));
        return decided;
    };
    if facts.is_private()
        && !(facts.not_booted.is_none() && (memory.was_there || ready && facts.node.policy.is_ok()))
    {
        decided.state = OwnConfState::Waiting;
        return decided;
    }
    let layout = basis.map_or(&facts.node.dirs.layout, |conf| &conf.layout);
    let expected_bytes =
        rules::own_conf_bytes((&facts.node, &facts.cni), basis, None, (layout, name.as_str()));
    decided.expected = Some(expected_bytes.clone());
    if installed_conf.is_some_and(|installed_conf| {
        installed_conf.bytes == expected_bytes && installed_conf.mode == CONF_MODE
    }) {
        memory.guard.note_settled();
        memory.settled_conf = Some(expected_bytes.clone());
        decided.state = judge_loaded(facts, memory, &mut decided, (&name, expected_bytes));
        return decided;
    }
    repair(facts, memory, &mut decided, (name, expected_bytes));
    decided
}

/// Crossfade's conf is as it should be, so the question is whether the runtime has loaded it. If the runtime uses another conf although
/// Crossfade's sorts first, `watch` writes the conf anew, which makes the runtime read its directory again.
fn judge_loaded(
    facts: &Observation,
    memory: &mut Memory,
    decided: &mut OwnConfDecision,
    (name, expected): (&str, Vec<u8>),
) -> OwnConfState {
    let what = match facts.node.runtime.answer.uses(name) {
        ConfUse::Ours => {
            memory.reload.note_loaded();
            return OwnConfState::InPlace;
        }
        ConfUse::Unknown | ConfUse::Failed(_) => return OwnConfState::InPlace,
        ConfUse::Other(what) => what,
    };
    if memory.reload.is_awaited(facts.now) {
        return OwnConfState::NotLoaded;
    }
    let why = format!("{} is in place, and the runtime does not use it: {what}", shown_path(facts));
    // Writing Crossfade's conf anew does not help while another conf sorts first.
    let is_first = !decided.standing.iter().any(|(reason, _)| {
        matches!(reason, Reason::ConfNotFirst | Reason::RuntimeRestartNeeded | Reason::PluginMissing)
    });
    if is_first && memory.reload.is_due(facts.now) {
        memory.reload.rewritten(facts.now);
        let message = format!("{why}; written anew so that it reloads");
        decided.happened.push(NodeEvent { reason: EventReason::ConfReloaded, warning: true, message });
        let path = facts.node.dirs.conf_dir.join(CONF_FILE);
        let write = Write { path, bytes: expected, mode: CONF_MODE, nudge: true };
        let reason = format!("the runtime has not loaded it: {what}");
        decided.changes.push(Change::new(Act::Write(write), shown_path(facts), reason));
    }
    decided.standing.push((Reason::ConfNotLoaded, why));
    OwnConfState::NotLoaded
}

/// Repairs Crossfade's conf, which is not as it should be.
fn repair(
    facts: &Observation,
    memory: &mut Memory,
    decided: &mut OwnConfDecision,
    (name, expected): (String, Vec<u8>),
) {
    if facts.dir_id.is_none() && memory.dir.is_some() {
        // A conf that appears with another directory was not taken away.
        memory.settled_conf = None;
        let since = *memory.dir_missing.get_or_insert(facts.now);
        if facts.now.saturating_sub(since) < MADE_AGAIN_WITHIN {
            decided.state = OwnConfState::NoDirectory;
            return;
        }
    }
    // The conf was right and is not any more. If the wanted content has changed, no other program took the conf away.
    let was_settled = memory.settled_conf.take();
    let was_removed = was_settled.as_ref() == Some(&expected);
    let gave_up = memory.guard.gave_up();
    let left_alone = memory.guard.is_contended(facts.now)
        || (was_removed && !gave_up && !memory.guard.record_taking(facts.now));
    let path = facts.node.dirs.conf_dir.join(CONF_FILE);
    let shown = path.display();
    if left_alone {
        decided.state = OwnConfState::Contended;
        let writer = last_writer(facts);
        let why = format!(
            "{writer} takes {shown} away, {FEW} times within {} s; it is left alone for {} min, or until watch is restarted",
            SHORT.as_secs(),
            CALM.as_secs() / 60
        );
        decided.standing.push((Reason::ConfContended, why));
        return;
    }
    let what = what_was_wrong(facts, &expected);
    let outdated = facts.node.own_conf().is_some_and(|own| own.bytes != expected);
    let first = !was_removed && !gave_up && (facts.is_private() || was_settled.is_some() || outdated);
    let (reason, warning, message) = if first {
        (
            EventReason::ConfWritten,
            false,
            format!("{shown}: it {what}; written for the phase and the networks of now"),
        )
    } else {
        memory.repairs += 1;
        (
            EventReason::ConfRepaired,
            true,
            format!("{shown} {what}; put back ({} times since boot)", memory.repairs),
        )
    };
    decided.happened.push(NodeEvent { reason, warning, message });
    decided.state = OwnConfState::Written;
    memory.reload.wrote(facts.now);
    if matches!(facts.node.name, Ok(None)) {
        let why = format!("Crossfade's network is called {name}");
        decided.changes.push(rules::name_change(&facts.node.dirs.layout, &name, why));
    }
    let reason = format!("{what}; {}", if first { "the switch" } else { "put back" });
    let write = Write { path, bytes: expected, mode: CONF_MODE, nudge: true };
    decided.changes.push(Change::new(Act::Write(write), shown_path(facts), reason));
}

fn what_was_wrong(facts: &Observation, expected: &[u8]) -> &'static str {
    match &facts.node.dirs.installed {
        OwnConfFile::Absent => "was missing",
        OwnConfFile::Ours(installed_conf) if installed_conf.bytes == expected => "had another mode",
        OwnConfFile::Ours(_) => "had another content",
        OwnConfFile::Foreign => "was another program's",
        OwnConfFile::Unreadable(_) => "could not be read",
    }
}

fn shown_path(facts: &Observation) -> String {
    facts.node.dirs.conf_dir.join(CONF_FILE).display().to_string()
}

/// Private mode: foreign entries leave Crossfade's directory at once, both before its conf is there and after. Unlike in a shared
/// directory, `watch` never gives up: a foreign conf gives pods a network that no policy names, and no other program has to write here.
fn expel(facts: &Observation, memory: &mut Memory, decided: &mut OwnConfDecision) {
    if !facts.foreign.is_empty() {
        let why =
            foreign::describe(&facts.node.dirs.conf_dir, &facts.foreign, &facts.node.profiles).to_string();
        decided.changes.extend(facts.foreign.iter().map(foreign::ForeignEntry::removal));
        memory.expelled = Some((memory.expelled.as_ref().map_or(0, |(count, _)| *count) + 1, why.clone()));
        decided.standing.push((Reason::ForeignConf, why));
    } else if let Some((count, why)) = &memory.expelled {
        decided.findings.push(format!("removed {count} times since watch began: {why}"));
    }
}

/// Switched off: in shared mode Crossfade's conf goes, and no other file. A runtime that boots without Crossfade does not read the private
/// directory.
fn removal_when_off(facts: &Observation, ours: bool) -> Option<Change> {
    let path: PathBuf = facts.node.dirs.conf_dir.join(CONF_FILE);
    let remove = !facts.is_private() && ours;
    remove.then(|| Change::remove(path, true, "switched off"))
}

/// The name of Crossfade's network: from the name file, else from the conf. In private mode without either, a name is chosen, because there
/// was no network before Crossfade's. If a shared directory has neither, the operator has uninstalled Crossfade, and what `watch` remembers does not count.
fn name(
    facts: &Observation,
    installed_conf: Option<&InstalledConf>,
    basis: Option<&InstalledConf>,
) -> Option<String> {
    let name_in = |conf: Option<&InstalledConf>| conf.map(|conf| conf.name.clone());
    let private = || facts.is_private().then(|| DEFAULT_NAME.to_owned());
    let recorded_name = match &facts.node.name {
        Ok(Some(name)) => Some(name.clone()),
        Ok(None) => name_in(installed_conf),
        Err(_) => name_in(basis),
    };
    recorded_name.or_else(private)
}
