//! The steps that only `graduate` carries out: removing Crossfade's conf, seeing that the new network works, and putting the conf back.

use crate::node::agent::own_command;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use shim::host::boot;
use shim::node::inventory::{Deleter, Entry};
use shim::node::layout::CONF_FILE;
use shim::node::store::Key;
use types::command::problem::Problem;
use types::node::Proof;
use types::policy::Side;

use super::gather::NodeSnapshot;
use super::journal::{Event, Journal};
use crate::change::outcome::Outcome;
use crate::change::{self, ChangeHandler, Executor};
use crate::cli::Global;
use crate::host::command::{RunLimits, run};
use crate::host::root::Root;
use crate::publish::removal::Removal;
use crate::runtime::cache;
use crate::runtime::conf_removal;
use crate::runtime::cri::Runtime;
use crate::runtime::running_adds::{AddPath, Caller, wait_for_quiet};
use crate::systemd::systemctl;
use convergence::change::{Act, Change, Write};
use convergence::failure::Failure;
use convergence::node::agent::own_command::{OwnCommand, proof_within_secs};
use convergence::node::conf::CONF_MODE;
use convergence::runtime::CniSetup;
use convergence::runtime::answer::RuntimeAnswer;
use convergence::runtime::cache::handover::file_name;
use convergence::runtime::conf_selection::ConfSelection;
use types::command::exit::Exit;

/// How long the runtime may take to load the next conf, and an ADD through Crossfade to end.
const UNUSED_WITHIN: Duration = Duration::from_secs(240);
/// Beside the time that a proof gives itself: for its program to start and to end.
const PROOF_SPARE: Duration = Duration::from_secs(30);
/// Largest answer of a proof, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// Between two tries while another proof runs, and while the runtime is not ready.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a runtime that has loaded the conf may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What carries the steps out.
#[derive(Debug)]
pub(crate) struct GraduationHandler<'a> {
    /// The node as it was read before this stage.
    pub snapshot: &'a NodeSnapshot,
    pub journal: &'a Journal,
    /// What a person may want to know.
    pub notes: Vec<String>,
}

impl ChangeHandler for GraduationHandler<'_> {
    fn apply(&mut self, change: &Change) -> Option<Result<Outcome, Failure>> {
        match &change.act {
            Act::Remove { path, .. } if *path == self.snapshot.facts.conf.file => {
                Some(self.remove_conf(path).map(|()| Outcome::Done))
            }
            Act::Systemctl(arguments) if arguments.first() == Some(&"restart") => {
                let restarted = systemctl::run(arguments).map(|()| Outcome::Done);
                Some(restarted.map_err(|why| {
                    let unit = arguments.last().copied().unwrap_or_default();
                    self.restore_conf(Problem::new(format!("restart {unit}: {why}")).with_place(unit))
                }))
            }
            Act::Confirm => Some(self.confirm().map(|()| Outcome::Done)),
            Act::Retract => {
                let (problem, by_hand) =
                    Removal::gather(&Root::new(&self.snapshot.node.root), &self.snapshot.node.settings)
                        .apply();
                self.notes.extend(by_hand);
                Some(Ok(problem.and_then(|done| done.outcome).unwrap_or(Outcome::Done)))
            }
            // The executor names all acts, and refuses one that it has no means for.
            _ => None,
        }
    }
}

impl GraduationHandler<'_> {
    fn remove_conf(&self, path: &Path) -> Result<(), Failure> {
        self.note(Event::Left {})?;
        change::remove(path, true).map_err(|e| {
            Failure::new(Exit::Failed, format!("remove {}: {e}", path.display())).with_place(path.display())
        })
    }

    fn note(&self, event: Event) -> Result<(), Failure> {
        self.journal.write(event).map_err(|why| journal_failure(self.journal, &why))
    }

    /// Sees that the runtime uses the new network, and that an attachment to it works; else puts Crossfade's conf back.
    fn confirm(&mut self) -> Result<(), Failure> {
        match self.require_in_use().and_then(|()| self.prove()) {
            Ok(note) => {
                self.notes.extend(note);
                self.note(Event::Confirmed {})
            }
            Err(why) => Err(self.restore_conf(why)),
        }
    }

    fn new_name(&self) -> &str {
        let new = self.snapshot.facts.new.as_ref().and_then(|new| new.conf.as_ref().ok());
        new.map_or("", |(name, _)| name.as_str())
    }

    fn endpoint(&self) -> &str {
        self.snapshot.node.runtime.choice.endpoint().unwrap_or_default()
    }

    /// Waits until the runtime has loaded the new network's conf, and no ADD runs through Crossfade.
    fn require_in_use(&self) -> Result<(), Problem> {
        let endpoint = self.endpoint();
        let problem = |why: anyhow::Error| Problem::new(format!("{why:#}")).with_place(endpoint);
        match &self.snapshot.facts.runtime.answer {
            RuntimeAnswer::Setup(_) => {
                let new = self.new_name();
                let uses = |setup: &CniSetup| {
                    !setup.has_ours() && setup.networks.first().is_some_and(|network| network.name == new)
                };
                Runtime::connect(endpoint)
                    .map_err(problem)?
                    .wait_for(UNUSED_WITHIN, uses)
                    .map_err(problem)?;
            }
            // One that is told the name of its network has been started anew since.
            RuntimeAnswer::Silent
                if matches!(self.snapshot.facts.runtime.picks, ConfSelection::ByName(_)) => {}
            RuntimeAnswer::Silent => {
                conf_removal::wait_for_reread(&self.snapshot.node.dirs.conf_dir, endpoint, UNUSED_WITHIN)?
            }
            other @ (RuntimeAnswer::NotAsked
            | RuntimeAnswer::Unknown(_)
            | RuntimeAnswer::Absent(_)
            | RuntimeAnswer::Failed(_)) => {
                let why = other.trouble().unwrap_or("no runtime was asked");
                return Err(Problem::new(why).with_place(endpoint));
            }
        }
        let caller = Caller::connect(endpoint, &self.snapshot.bin_dirs).map_err(problem)?;
        wait_for_quiet(AddPath::ThroughUs, caller, UNUSED_WITHIN).map_err(|running| {
            let ids: Vec<String> = running.into_iter().collect();
            Problem::new(format!("an ADD through Crossfade still runs for {}", ids.join(", ")))
                .with_place(endpoint)
        })?;
        let end = Instant::now() + READY_WITHIN;
        loop {
            match Runtime::connect(endpoint).and_then(|runtime| runtime.network_ready()) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(why)) if Instant::now() >= end => {
                    return Err(Problem::new(format!("the runtime's network is not ready: {why}"))
                        .with_place(endpoint));
                }
                Err(why) if Instant::now() >= end => return Err(problem(why)),
                Ok(Err(_)) | Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// A real ADD, CHECK and DEL of the new network in a scratch namespace, where its CNI allows one; else what its probes say has to do.
    fn prove(&self) -> Result<Option<String>, Problem> {
        let node = &self.snapshot.node;
        let network = self.snapshot.facts.policy.network(Side::New);
        let profile = network.and_then(|network| node.profiles.find(&network.profile));
        let is_never = node.settings.proof == Proof::Probe;
        if is_never || profile.is_some_and(|profile| profile.proof == Proof::Probe) {
            return Ok(Some(
                "the new network is judged by its probes: watch the first pods that start on this node"
                    .into(),
            ));
        }
        let layout = &node.dirs.layout;
        let global = Global {
            state_dir: Some(layout.state_dir.clone()),
            run_dir: Some(layout.run_dir.clone()),
            policy: Some(layout.policy_file()),
            ..Global::new(crate::cli::Output::Human)
        };
        let line = OwnCommand::prove(Side::New, 0, &node.dirs.conf_dir, &self.snapshot.bin_dirs);
        let line = own_command::with_directories(line, &global);
        let failed = |why: String| Problem::new(why).with_place("network new");
        let arguments = line.into_arguments();
        // The longest kind, whichever this network has; and as long for one of `watch` that is under way.
        let timeout = Duration::from_secs(proof_within_secs(Proof::Packet)) + PROOF_SPARE;
        let end = Instant::now() + timeout;
        loop {
            let limits = RunLimits { timeout, max_bytes: MAX_BYTES };
            let output = run(Command::new(own_command::PROGRAM).args(&arguments), limits)
                .map_err(|why| failed(format!("a proof of network new: {why}")))?;
            match output.status.code() {
                Some(0) => return Ok(None),
                // watch has one under way.
                Some(75) if Instant::now() < end => std::thread::sleep(PAUSE),
                _ => {
                    let stderr = output.stderr_text();
                    let first = stderr.lines().next().unwrap_or_default();
                    let first = first.trim_start_matches("crossfade-bootstrap: ");
                    return Err(failed(format!("a pod could not be attached without Crossfade: {first}")));
                }
            }
        }
    }

    /// Puts Crossfade's conf back, lists what was attached without it meanwhile, and removes what was written for the time without it.
    fn restore_conf(&self, why: Problem) -> Failure {
        let conf = self.snapshot.facts.conf.file.display().to_string();
        let fix = "remove the cause, then run the same command again";
        let mut problems = vec![why.clone().fix(fix)];
        match self.restore() {
            Ok(entries) => {
                let more = match entries {
                    0 => String::new(),
                    count => format!("; the inventory lists the {count} pods that came meanwhile"),
                };
                problems.push(Problem::new(format!("{conf} is back{more}")).with_place(conf).fix(fix));
                if let Err(why) = self.journal.write(Event::RolledBack { why: why.what }) {
                    problems.extend(journal_failure(self.journal, &why).problems);
                }
                Failure::all(Exit::No, problems)
            }
            Err(failed) => {
                let fix = "run crossfade-bootstrap install, which writes Crossfade's conf and lists the pods";
                problems.push(Problem::new(format!("put {conf} back: {failed}")).with_place(conf).fix(fix));
                Failure::all(Exit::Failed, problems)
            }
        }
    }

    fn restore(&self) -> Result<usize, String> {
        let facts = &self.snapshot.facts;
        let copy = facts.aside_dir.join(CONF_FILE);
        let (bytes, _) =
            change::read_with_mode(&copy).ok_or_else(|| format!("{} cannot be read", copy.display()))?;
        let write = Write { path: facts.conf.file.clone(), bytes, mode: CONF_MODE, nudge: true };
        change::write(&write).map_err(|e| e.to_string())?;
        // Behind Crossfade's conf, which the runtime uses in their place.
        for entry in std::fs::read_dir(facts.aside_dir.join("net.d")).into_iter().flatten().flatten() {
            let (from, to) = (entry.path(), facts.conf.dir.path.join(entry.file_name()));
            if to.symlink_metadata().is_err() {
                let target = to.display().to_string();
                let back = Change::new(Act::SetAside { from, to, nudge: true }, target, "as it was");
                Executor::new_plain(&Root::new(&self.snapshot.node.root))
                    .apply(back)
                    .map_err(|why| why.lines().join("; "))?;
            }
        }
        let name = facts.conf.name.clone().unwrap_or_default();
        if let RuntimeAnswer::Setup(_) = &facts.runtime.answer {
            let ours = |setup: &CniSetup| setup.is_ours(&name);
            let runtime = Runtime::connect(self.endpoint()).map_err(|e| format!("{e:#}"))?;
            runtime.wait_for(UNUSED_WITHIN, ours).map_err(|e| format!("{e:#}"))?;
        }
        if let Ok(caller) = Caller::connect(self.endpoint(), &self.snapshot.bin_dirs) {
            wait_for_quiet(AddPath::PastUs, caller, UNUSED_WITHIN)
                .map_err(|ids| format!("an ADD without Crossfade still runs for {ids:?}"))?;
        }
        self.list(&name)
    }

    /// Adds what was attached to the new network without Crossfade to the inventory; the entries that were written for records go.
    fn list(&self, ours: &str) -> Result<usize, String> {
        let facts = &self.snapshot.facts;
        let new = self.new_name();
        let now = boot::now().map_err(|e| e.to_string())?;
        let deleter = if facts.runtime.replays { Deleter::Runtime } else { Deleter::Crossfade };
        let is_known = |key: &Key| {
            facts.progress.handed.contains(key)
                || facts.entries.iter().any(|(entry, _)| entry.key() == *key)
                || facts.records.iter().any(|(record, _)| {
                    (&record.intent.container_id, &record.intent.ifname) == (&key.container_id, &key.ifname)
                })
        };
        let cache = cache::gather(&facts.cache.dir).map_err(|e| e.to_string())?;
        let came = cache
            .attachments
            .iter()
            .filter(|cached| cached.network == new && !cached.through_us && !is_known(&cached.key));
        let came: Vec<_> = came.collect();
        let entries: Vec<Entry> = came.iter().map(|cached| cached.entry(Side::New, deleter, &now)).collect();
        if !entries.is_empty() {
            change::inventory::list(&facts.layout, &entries).map_err(|e| e.to_string())?;
        }
        // Their DEL looks for the result under the name of the conf that is loaded.
        for cached in came.iter().filter(|_| ours != new && !facts.runtime.replays) {
            let place = |name: &str| facts.cache.dir.join(file_name(name, &cached.key));
            std::fs::rename(place(new), place(ours)).map_err(|e| format!("{}: {e}", place(new).display()))?;
        }
        let handed = facts.progress.handed.iter().filter(|_| ours != new && !facts.runtime.replays);
        for key in handed {
            let path = facts.cache.dir.join(file_name(new, key));
            change::remove(&path, false).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        Ok(entries.len())
    }
}

/// A journal that cannot be written: nothing is done that is not noted.
pub(crate) fn journal_failure(journal: &Journal, why: &std::io::Error) -> Failure {
    let path = journal.path().display();
    Failure::new(Exit::Failed, format!("journal {path}: {why}; nothing is done that is not noted"))
        .with_place(path)
}
