//! What our conf should be, whether it is, and what to do about it: pure.
//!
//! | mode | our conf is written | it is taken away |
//! |---|---|---|
//! | private | when the networks that `attach` names are ready for the first time in this boot | never before the next boot |
//! | shared | whenever it is not as it should be, once it was installed | when we are switched off |
//!
//! In both it follows what its networks declare, and every write is one rename.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use shim::layout::{CONF_FILE, PLUGIN};
use types::node::RuntimeKind;

use super::facts::Facts;
use super::guard::{CALM, FEW, SHORT};
use super::memory::Memory;
use super::runtime;
use crate::change::{Act, Change, Write};
use crate::commands::install::decide::{CONF_MODE, DEFAULT_NAME};
use crate::node::conf::{OWN_CAPABILITIES, conf};
use crate::node::confdir::{ConfDir, Content};
use crate::node::directories::Installed;
use crate::node::foreign;
use crate::publish::report::{Happened, Reason};
use crate::runtime::asked::Uses;
use crate::runtime::picks::Told;
use types::profile;

/// How long a directory may be gone before we make it: whoever removed it may be about to make it himself.
const MADE_AGAIN_WITHIN: Duration = Duration::from_secs(2);

/// How our conf is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    InPlace,
    /// It is about to be written.
    Written,
    /// It is as it should be, and the runtime has not loaded it.
    NotLoaded,
    /// It waits for its networks.
    Waiting,
    /// Nobody has installed it, or somebody takes it away on purpose.
    NotInstalled,
    /// It is not as it should be, and left alone.
    Contended,
    /// Its directory is gone.
    NoDirectory,
    /// We are switched off.
    Off,
}

impl State {
    /// In one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::InPlace | Self::Written => "in place",
            Self::NotLoaded => "not loaded",
            Self::Waiting => "waiting",
            Self::NotInstalled => "not installed",
            Self::Contended => "contended",
            Self::NoDirectory => "no directory",
            Self::Off => "off",
        }
    }
}

/// What is decided about our conf.
#[derive(Debug)]
pub struct Decided {
    /// How it is.
    pub state: State,
    /// What to do.
    pub changes: Vec<Change>,
    /// What happened.
    pub happened: Vec<Happened>,
    /// What holds and takes a person, the gravest first.
    pub standing: Vec<(Reason, String)>,
    /// What a person may want to know.
    pub findings: Vec<String>,
    /// The bytes that it should have.
    pub wanted: Option<Vec<u8>>,
}

/// Decides. `ready` is whether the networks that `attach` names are; `memory` is brought up to date but for the write itself.
#[must_use]
pub fn decide(facts: &Facts, memory: &mut Memory, ready: bool) -> Decided {
    let mut decided = Decided {
        state: State::NotInstalled,
        changes: Vec::new(),
        happened: Vec::new(),
        standing: Vec::new(),
        findings: Vec::new(),
        wanted: None,
    };
    let own = facts.own.as_ref().ok().and_then(Option::as_ref).filter(|own| own.is_ours).cloned();
    if let Some(own) = &own {
        memory.good = Some(own.clone());
        memory.was_there = true;
    }
    if facts.off.is_some() {
        decided.state = State::Off;
        decided.changes.extend(taken_away(facts, own.is_some()));
        return decided;
    }
    expel(facts, memory, &mut decided);
    let called = facts.name.as_ref().ok().and_then(Option::as_deref);
    let called = called.map(str::to_owned).or_else(|| own.as_ref().map(|own| own.name.clone()));
    decided.standing.extend(runtime::standing(facts, memory, called.as_deref()));
    directory(facts, memory, &mut decided);
    in_the_way(facts, memory, &mut decided);
    if facts.leaving {
        decided.findings.push("our conf is being taken away by uninstall".into());
        memory.settled = None;
        return decided;
    }
    let basis = own.as_ref().or(memory.good.as_ref());
    let Some(name) = name(facts, own.as_ref(), basis) else {
        let why = "our conf was never installed here: run crossfade-bootstrap install, or boot";
        decided.standing.push((Reason::BootFailed, why.into()));
        return decided;
    };
    if facts.is_private()
        && !(facts.not_booted.is_none() && (memory.was_there || ready && facts.policy.is_ok()))
    {
        decided.state = State::Waiting;
        return decided;
    }
    let wanted = bytes(facts, basis, &name);
    decided.wanted = Some(wanted.clone());
    if own.is_some_and(|own| own.bytes == wanted && own.mode == CONF_MODE) {
        memory.guard.settled();
        memory.settled = Some(wanted.clone());
        decided.state = loaded(facts, memory, &mut decided, (&name, wanted));
        return decided;
    }
    repair(facts, memory, &mut decided, (name, wanted));
    decided
}

/// Our conf is as it should be; what counts is whether the runtime has loaded it. Where it has another one although ours is the first,
/// ours is written anew, which makes the runtime look again.
fn loaded(
    facts: &Facts,
    memory: &mut Memory,
    decided: &mut Decided,
    (name, wanted): (&str, Vec<u8>),
) -> State {
    let what = match facts.asked.uses(name) {
        Uses::Ours => {
            memory.reload.loaded();
            return State::InPlace;
        }
        Uses::Untold | Uses::Unanswered(_) => return State::InPlace,
        Uses::Other(what) => what,
    };
    if memory.reload.is_awaited(facts.now) {
        return State::NotLoaded;
    }
    let why = format!("{} is in place, and the runtime does not use it: {what}", shown_path(facts));
    // What another conf keeps from being used is not mended by writing ours.
    let is_first = !decided.standing.iter().any(|(reason, _)| {
        matches!(reason, Reason::ConfNotFirst | Reason::RuntimeRestartNeeded | Reason::PluginMissing)
    });
    if is_first && memory.reload.is_due(facts.now) {
        memory.reload.again(facts.now);
        let message = format!("{why}; written anew so that it reloads");
        decided.happened.push(Happened { reason: "ConfReloaded", warning: true, message });
        let path = facts.conf_dir.join(CONF_FILE);
        let write = Write { path, bytes: wanted, mode: CONF_MODE, nudge: true };
        let reason = format!("the runtime has not loaded it: {what}");
        decided.changes.push(Change::new(Act::Write(write), shown_path(facts), reason));
    }
    decided.standing.push((Reason::ConfNotLoaded, why));
    State::NotLoaded
}

/// Our conf is not as it should be.
fn repair(facts: &Facts, memory: &mut Memory, decided: &mut Decided, (name, wanted): (String, Vec<u8>)) {
    if facts.dir_id.is_none() && memory.dir.is_some() {
        // What comes back with another directory was not taken from us.
        memory.settled = None;
        let since = *memory.dir_missing.get_or_insert(facts.now);
        if facts.now.saturating_sub(since) < MADE_AGAIN_WITHIN {
            decided.state = State::NoDirectory;
            return;
        }
    }
    // It was so and is not any more; where what it should be has changed, nobody took it.
    let was_settled = memory.settled.take();
    let taken = was_settled.as_ref() == Some(&wanted);
    let gave_up = memory.guard.gave_up();
    let left_alone =
        memory.guard.is_contended(facts.now) || (taken && !gave_up && !memory.guard.taken(facts.now));
    let path = facts.conf_dir.join(CONF_FILE);
    let shown = path.display();
    if left_alone {
        decided.state = State::Contended;
        let who = who(facts);
        let why = format!(
            "{who} takes {shown} away, {FEW} times within {} s; it is left alone for {} min, or until watch is restarted",
            SHORT.as_secs(),
            CALM.as_secs() / 60
        );
        decided.standing.push((Reason::ConfContended, why));
        return;
    }
    let what = match &facts.own {
        Ok(None) => "was missing",
        Ok(Some(own)) if own.is_ours && own.bytes == wanted => "had another mode",
        Ok(Some(own)) if own.is_ours => "had another content",
        Ok(Some(_)) => "was somebody else's",
        Err(_) => "could not be read",
    };
    let outdated = matches!(&facts.own, Ok(Some(own)) if own.is_ours && own.bytes != wanted);
    let first = !taken && !gave_up && (facts.is_private() || was_settled.is_some() || outdated);
    let (reason, warning, message) = if first {
        ("ConfWritten", false, format!("{shown}: it {what}; written for the phase and the networks of now"))
    } else {
        memory.repairs += 1;
        ("ConfRepaired", true, format!("{shown} {what}; put back ({} times since boot)", memory.repairs))
    };
    decided.happened.push(Happened { reason, warning, message });
    decided.state = State::Written;
    memory.reload.wrote(facts.now);
    if matches!(facts.name, Ok(None)) {
        let bytes = format!("{name}\n").into_bytes();
        let write = Write { path: facts.layout.name(), bytes, mode: shim::file::PRIVATE, nudge: false };
        decided.changes.push(Change::write(write, None, &format!("our network is called {name}")));
    }
    let reason = format!("{what}; {}", if first { "the switch" } else { "put back" });
    let write = Write { path, bytes: wanted, mode: CONF_MODE, nudge: true };
    decided.changes.push(Change::new(Act::Write(write), shown_path(facts), reason));
}

fn shown_path(facts: &Facts) -> String {
    facts.conf_dir.join(CONF_FILE).display().to_string()
}

/// Private mode: what others have put into our directory goes at once, before our conf is there and after. It is not fought for as our
/// conf is in a shared directory: a foreign conf gives pods a network that no policy names, and nobody else has business here.
fn expel(facts: &Facts, memory: &mut Memory, decided: &mut Decided) {
    if !facts.foreign.is_empty() {
        let why = foreign::describe(&facts.conf_dir, &facts.foreign);
        decided.changes.extend(facts.foreign.iter().map(foreign::Foreign::removal));
        memory.expelled = Some((memory.expelled.as_ref().map_or(0, |(count, _)| *count) + 1, why.clone()));
        decided.standing.push((Reason::ForeignConf, why));
    } else if let Some((count, why)) = &memory.expelled {
        decided.findings.push(format!("removed {count} times since watch began: {why}"));
    }
}

/// Off: in shared mode our conf goes, and only ours; a private directory is not looked at by a runtime that boots without us.
fn taken_away(facts: &Facts, ours: bool) -> Option<Change> {
    let path: PathBuf = facts.conf_dir.join(CONF_FILE);
    let remove = !facts.is_private() && ours;
    remove.then(|| Change::remove(path, true, "switched off"))
}

/// Our network's name: as it was written once, else as our conf has it; in private mode nobody was before us.
/// What it is called. Where neither the file that says so nor our conf is there, somebody has uninstalled us, whatever we remember.
fn name(facts: &Facts, own: Option<&Installed>, basis: Option<&Installed>) -> Option<String> {
    let of = |conf: Option<&Installed>| conf.map(|conf| conf.name.clone());
    let private = || facts.is_private().then(|| DEFAULT_NAME.to_owned());
    let known = match &facts.name {
        Ok(Some(name)) => Some(name.clone()),
        Ok(None) => of(own),
        Err(_) => of(basis),
    };
    known.or_else(private)
}

fn bytes(facts: &Facts, basis: Option<&Installed>, name: &str) -> Vec<u8> {
    let layout = basis.map_or(&facts.layout, |conf| &conf.layout);
    let version = match basis {
        // Where there is a node.json, it decides; else what an installation chose stays.
        Some(conf) if !facts.node_decides => conf.cni_version.as_str(),
        _ => facts.node.cni_version.as_str(),
    };
    let mut capabilities: BTreeSet<String> = OWN_CAPABILITIES.map(str::to_owned).into();
    for network in &facts.networks {
        match &network.conf {
            Ok((conf, _)) => capabilities.extend(conf.capabilities.iter().cloned()),
            // While a network has no conf, what was declared stays.
            Err(_) => capabilities.extend(basis.iter().flat_map(|conf| conf.capabilities.iter().cloned())),
        }
    }
    if facts.policy.is_err() {
        capabilities.extend(basis.iter().flat_map(|conf| conf.capabilities.iter().cloned()));
    }
    conf(layout, name, version, &capabilities)
}

/// Notices that the directory is another one of the same name, and that the runtime that had lost it was restarted.
fn directory(facts: &Facts, memory: &mut Memory, decided: &mut Decided) {
    if memory.dir_path.replace(facts.conf_dir.clone()).is_some_and(|path| path != facts.conf_dir) {
        (memory.dir, memory.dir_missing, memory.settled) = (None, None, None);
    }
    if let Some(id) = &facts.dir_id {
        let other = memory.dir.as_ref().is_some_and(|known| known != id) || memory.dir_missing.is_some();
        if memory.dir.is_some() && other {
            memory.lost_by = Some(facts.runtime.clone().unwrap_or_default());
            // What is in the new directory was not taken from us, it was never there.
            memory.settled = None;
        }
        memory.dir = Some(id.clone());
        memory.dir_missing = None;
    }
    // A runtime makes its socket when it starts.
    if memory.lost_by.is_some() && facts.runtime.is_some() && memory.lost_by != facts.runtime {
        memory.lost_by = None;
    }
    if memory.lost_by.is_some() {
        let dir = facts.conf_dir.display();
        let why = match facts.kind {
            Some(RuntimeKind::Crio) if facts.picks.harm_of_a_restart().is_some() => format!(
                "{dir} was replaced, and CRI-O does not notice: restart CRI-O once our conf is the first one there, else it sends the DEL of \
                 every pod that lives"
            ),
            Some(RuntimeKind::Crio) => {
                format!("{dir} was replaced, and CRI-O does not notice: restart CRI-O (its pods run on)")
            }
            Some(RuntimeKind::Containerd) | None => format!(
                "{dir} was replaced, and containerd 1.6 does not notice: restart the runtime (its pods run on)"
            ),
        };
        decided.standing.push((Reason::RuntimeRestartNeeded, why));
    }
}

/// Files that the runtime would use instead of ours, and what agents left.
fn in_the_way(facts: &Facts, memory: &Memory, decided: &mut Decided) {
    let dir = match &facts.dir {
        Ok(dir) => dir,
        Err(why) => {
            decided.standing.push((Reason::ConfNotFirst, why.clone()));
            return;
        }
    };
    if !facts.foreign.is_empty() {
        // They are on their way out, so nobody has to rename them.
        return;
    }
    let name = facts.name.as_ref().ok().and_then(Option::as_deref);
    let name = name.or(memory.good.as_ref().map(|conf| conf.name.as_str())).unwrap_or_default();
    let before = facts.picks.instead_of_ours(dir, name);
    let before: Vec<&str> = before.iter().map(|conf| conf.file.as_str()).collect();
    if !before.is_empty() {
        let mut why = format!(
            "{} in {} sorts before {CONF_FILE}, so the runtime uses it instead: rename it to something later",
            before.join(", "),
            dir.path.display()
        );
        if let Some(harm) = facts.picks.harm_of_a_restart() {
            why = format!("{why}; {harm}");
        }
        decided.standing.push((Reason::ConfNotFirst, why));
    }
    // In private mode it is told on its command line; and where nothing of ours was installed there is nothing to tell.
    if !facts.is_private() && !name.is_empty() {
        match facts.picks.told(dir, name) {
            Told::Right => {}
            Told::Other(why) => decided.standing.push((Reason::ConfNotFirst, why)),
            Told::Nothing(why) => decided.findings.push(why),
        }
    }
    for conf in dir.of_others().filter(|conf| conf.content.as_ref().is_ok_and(Content::is_ours)) {
        decided
            .findings
            .push(format!("{} has a plugin {PLUGIN}, too: remove it, there must be one", conf.file));
    }
    for file in stale(dir) {
        decided.findings.push(format!(
            "{} is our conf as an agent renamed it: remove it, for agents read such files, too",
            dir.path.join(file).display()
        ));
    }
}

fn stale(dir: &ConfDir) -> impl Iterator<Item = &String> {
    dir.taken_away.iter().filter(|file| file.starts_with(CONF_FILE))
}

/// Who takes our conf away, as far as can be told, and what to change.
fn who(facts: &Facts) -> String {
    let taken = facts.dir.iter().flat_map(|dir| &dir.taken_away);
    let ours: Vec<&String> = taken.filter(|file| file.starts_with(CONF_FILE)).collect();
    let exclusive = profile::all().iter().filter_map(|profile| Some((profile, profile.exclusive.as_ref()?)));
    for (profile, exclusive) in exclusive {
        if ours.iter().any(|file| file.ends_with(&exclusive.suffix)) {
            return format!("{} ({})", profile.name, exclusive.setting);
        }
    }
    "somebody (see who writes into this directory)".into()
}
