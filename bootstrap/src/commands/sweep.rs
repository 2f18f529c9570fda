//! `sweep`: one pass that closes attachments whose sandboxes the runtime no longer lists.
//!
//! The verdict over one attachment is the shim's ([`shim::sweep::decide`]); here the facts for it are gathered, and what was decided
//! is carried out one by one, each under its own lock and its own deadline. A pass that has no time left for an attachment leaves
//! it to the next pass, which begins with it ([`shim::node::pass_order`]).
//!
//! No list, no sweep: a runtime that does not answer ends the pass. A runtime that answers with nothing is believed only
//! if nothing contradicts it: while the netns of an attachment that it would have to list is alive, the answer is taken for
//! a fault (a runtime that has just started, another one's socket) and nothing is done. `--listed FILE` is believed as it is.

mod annotations;
mod budget;
pub(crate) mod every;
pub(crate) mod result;

use std::time::{Duration, Instant};

use convergence::change::{Act, Change};
use convergence::commands::sweep::decide;
use convergence::failure::Failure;
use convergence::node::attachments::sweep_candidates::{self, SweepCandidate};
use convergence::node::facts::NodeFacts;
use convergence::node::settings::directories::Directories;
use convergence::runtime::SandboxList;
use convergence::runtime::endpoint::RuntimeChoice;
use shim::attachment::owner::Owners;
use shim::attachment::route::Budget;
use shim::call::reply::CniError;
use shim::call::request::{Conf, Env};
use shim::call::serve::Session;
use shim::call::serve::pass::Pass;
use shim::host::boot::{self};
use shim::host::file::abandoned_temps;
use shim::host::signal::Signals;
use shim::node::inventory::{self};
use shim::node::layout::Layout;
use shim::node::pass_order::{self, TimeShares};
use shim::node::store::Store;
use shim::{attachment::hostroute, host::lock};
use types::command::exit::Exit;
use types::policy::Policy;

use self::annotations::PassFacts;
use crate::change::outcome::{ChangeReport, Done, Outcome};
use crate::change::{ChangeHandler, Executor};
use crate::cli::{Global, Sweep, print};
use crate::host::root::Root;
use crate::node::attachments::hostroutes;
use crate::node::attachments::sweep_candidates::judge;
use crate::node::facts::{ConfDirChoice, NodeQuery};
use crate::node::plugins::bin_dirs::BinDirSources;
use crate::node::plugins::join_dirs;
use crate::node::settings;
use crate::runtime;
use crate::runtime::cri::Runtime;

/// How long all probes of all networks may take together.
const PROBES_WITHIN: Duration = Duration::from_secs(5);

/// Sweeps once, or again and again, and prints what came of it.
///
/// # Errors
/// As [`sweep`].
pub(crate) fn answer(global: &Global, args: &Sweep) -> Result<Exit, Failure> {
    match args.every {
        Some(every_secs) => every::run(global, args, every_secs),
        None => Ok(print::report(global.output, &result::pass(global, args)?)),
    }
}

/// Sweeps, or says what sweeping would do.
///
/// # Errors
/// Bad settings; 75 when the runtime does not answer, or not credibly.
pub(crate) fn sweep(global: &Global, node: &NodeFacts, args: &Sweep) -> Result<ChangeReport, Failure> {
    let policy = &node.require_policy()?.policy;
    let layout = &node.dirs.layout;
    let failed = |e: std::io::Error| Failure::new(Exit::Failed, e);
    let store = Store::new(layout);
    // What is attached is read before the list is asked for: whatever was there then is in the list, if it lives.
    let now = boot::now().map_err(failed)?;
    let (records, damaged) = store.load_all().map_err(failed)?;
    let inventory = inventory::load(layout).map_err(failed)?;
    let listing = listing(&node.runtime.choice, args)?;
    let owners = Owners::ask(policy, Instant::now() + PROBES_WITHIN);
    let mut judged = judge(&records, &inventory, &listing, &owners, &now);
    pass_order::order(&mut judged, pass_order::last_tried(layout).as_deref(), |candidate| &candidate.key);
    if listing.is_empty_answer() {
        believe(&judged)?;
    }
    let mut changes = decide(&judged, policy.gc.grace_secs);
    let live = judged.len() - changes.len();
    let routes = hostroutes::to_change(&records, &damaged)?;
    changes.extend(routes.map(|what| Change::new(Act::HostRoutes, "host routes", what)));
    changes.extend(litter(&store, &node.dirs)?);
    let mut notes: Vec<String> = damaged
        .iter()
        .map(|(path, why)| {
            format!(
                "record {} is damaged ({why}); delete its pod, for only the pod's DEL can resolve the record",
                path.display()
            )
        })
        .collect();
    notes.push(format!("{live} attachments belong to living sandboxes and stay"));
    let before =
        PassFacts { policy, records: &records, damaged: &damaged, inventory: &inventory, listing: &listing };
    if global.dry_run {
        let stale = annotations::gather(node, args, before);
        changes.extend(stale.changes);
        notes.extend(stale.notes);
        return Ok(ChangeReport::from_plan(changes, notes));
    }
    shim::host::journal::init();
    let signals =
        Signals::receive().map_err(|e| Failure::new(Exit::Failed, format!("receive signals: {e}")))?;
    // Each record says where its plugins are; this is for what has none.
    let (bin_dirs, config) = (args.bin_dirs.as_slice(), node.runtime.config());
    let sources = BinDirSources { flags: bin_dirs, config, ..BinDirSources::from_node(&node.settings) };
    let search = join_dirs(&sources.search(&Root::new(&node.root)));
    let mut done = apply(&node.dirs, policy, changes, &search, &signals);
    // Last, and bounded: no DEL waits for an API server.
    if !signals.stop_requested() {
        let (unannotated, more) = annotations::gather(node, args, before).apply();
        done.extend(unannotated);
        notes.extend(more);
    }
    Ok(ChangeReport::from_done(done, notes))
}

/// The node, with the runtime whose sandboxes live; nothing is guessed.
///
/// # Errors
/// Bad settings.
fn gather(global: &Global, args: &Sweep) -> Result<NodeFacts, Failure> {
    let root = Root::new(&global.root);
    let settings = settings::require(&root)?;
    let runtime = match &args.listed {
        Some(_) => crate::runtime::facts::gather_from_files(&root, &settings.node),
        None => crate::runtime::facts::to_ask(&root, &settings.node, &args.runtime),
    };
    let node =
        crate::node::facts::gather(NodeQuery { global, settings, runtime, conf_dir: ConfDirChoice::Named });
    node.dirs.require_readable()?;
    Ok(node)
}

fn listing(whom: &RuntimeChoice, args: &Sweep) -> Result<SandboxList, Failure> {
    if let Some(file) = &args.listed {
        let exit = if file.exists() { Exit::BadSettings } else { Exit::Usage };
        return runtime::read_list(file).map_err(|why| Failure::new(exit, why).with_place(file.display()));
    }
    let endpoint = match whom {
        RuntimeChoice::None | RuntimeChoice::NotSought => {
            return Err(Failure::usage("sweep needs the living sandboxes")
                .with_place("--runtime-endpoint")
                .fix("name the runtime with --runtime-endpoint, or a list with --listed FILE"));
        }
        RuntimeChoice::Unknown(why) => return Err(Failure::from_problem(Exit::No, why.clone())),
        RuntimeChoice::At(endpoint) => endpoint,
    };
    let sandboxes = Runtime::connect(endpoint).and_then(|runtime| runtime.sandboxes());
    sandboxes.map(SandboxList::Cri).map_err(|e| {
        Failure::try_later(format!("{e:#}; nothing is swept without a list"))
            .with_place(endpoint)
            .fix("start the runtime, or name another with --runtime-endpoint, then run sweep again")
    })
}

/// Refuses an empty answer that something contradicts.
fn believe(judged: &[SweepCandidate]) -> Result<(), Failure> {
    let contradiction = sweep_candidates::contradiction(judged);
    match contradiction {
        None => Ok(()),
        Some(candidate) => {
            let key = format!("{} {}", candidate.key.container_id, candidate.key.ifname);
            let why = format!(
                "the runtime lists no sandbox at all, but the netns of {key} is there; nothing is swept"
            );
            let fix = "if the answer is right, say so with --listed FILE and an empty list []";
            Err(Failure::try_later(why).with_place(format!("attachment {key}")).fix(fix))
        }
    }
}

/// What killed calls of the plugin left: temporary files, and locks that no process holds.
fn litter(store: &Store, settings: &Directories) -> Result<Vec<Change>, Failure> {
    let failed =
        |e: std::io::Error| Failure::new(Exit::Failed, format!("look for what killed calls left: {e}"));
    let layout = &settings.layout;
    let mut paths = store.abandoned_temps().map_err(failed)?;
    for dir in [&layout.state_dir, &layout.ready_dir(), &settings.conf_dir] {
        if dir.is_dir() {
            paths.extend(abandoned_temps(dir).map_err(failed)?);
        }
    }
    let temps = paths.into_iter().map(|path| Change::remove(path, false, "left by a writer that is gone"));
    let locks = lock::list_abandoned(layout).map_err(failed)?.into_iter();
    let locks = locks.map(|path| {
        let target = path.display().to_string();
        Change::new(Act::Unlock(path), target, "a lock left by a call that is gone")
    });
    Ok(temps.chain(locks).collect())
}

fn apply(
    settings: &Directories,
    policy: &Policy,
    changes: Vec<Change>,
    search: &str,
    signals: &Signals,
) -> Vec<Done> {
    let name = settings.installed.conf().map(|conf| conf.name.as_str());
    let end = Instant::now() + Duration::from_secs(budget::pass_secs(policy.deadlines.del_secs));
    let shares = TimeShares::new(Duration::from_secs(policy.deadlines.del_secs), end);
    let env = Env::for_sweep(Some(search).filter(|search| !search.is_empty()));
    let conf = Conf::for_sweep(&settings.layout, name.unwrap_or_default());
    let session = Session::new(&env, &conf, signals).with_policy(policy.clone());
    let pass = Pass { session: &session, deadline: end };
    let closing = SweepHandler { pass, shares, layout: &settings.layout, signals };
    Executor::new(&Root::default(), closing).apply_each(changes)
}

/// Closes attachments, each within its share of the pass; what there is no time for is left to the next pass.
struct SweepHandler<'a> {
    pass: Pass<'a>,
    shares: TimeShares,
    layout: &'a Layout,
    signals: &'a Signals,
}

impl SweepHandler<'_> {
    fn close(
        &self,
        close: impl FnOnce(&Pass<'_>, Instant) -> Result<bool, CniError>,
    ) -> Result<Outcome, Failure> {
        let until = self.shares.next_deadline(1, Instant::now()).filter(|_| !self.signals.stop_requested());
        let Some(until) = until else { return Ok(Outcome::Busy) };
        match close(&self.pass, until) {
            Ok(true) => Ok(Outcome::Done),
            Ok(false) => Ok(Outcome::Busy),
            Err(error) => Err(Failure::new(Exit::Failed, error)),
        }
    }
}

impl ChangeHandler for SweepHandler<'_> {
    fn apply(&mut self, change: &Change) -> Option<Result<Outcome, Failure>> {
        match &change.act {
            Act::Close(key, begun) => Some(self.close(|pass, until| pass.close(key, begun, until))),
            Act::CloseEntry(key) => Some(self.close(|pass, until| pass.close_entry(key, until))),
            Act::HostRoutes => {
                let converged = hostroute::converge(self.layout, Budget::new_brief());
                Some(converged.map(|_| Outcome::Done).map_err(|e| Failure::new(Exit::Failed, e)))
            }
            // The executor names all acts, and refuses one that it has no means for.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
