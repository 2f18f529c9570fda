//! `cleanup`: removes what a CNI has left on a node, once nothing needs it any more.
//!
//! Gather ([`mod@gather`]) -> decide ([`mod@decide`], pure) -> act ([`act`]) -> record ([`journal`]) -> report ([`report`]). A dry run is the
//! default, and prints the very list that `--apply` carries out. The names come from the profile; a name that the profile does not know has
//! no owner. Before each kind of object everything is read once more, and only what was on the first list and still is on the new one is
//! removed: other software changes the same tables meanwhile. At the end everything is read again, and what is still there is said.

pub(crate) mod act;
pub(crate) mod dump;
pub(crate) mod gather;
pub(crate) mod journal;
pub(crate) mod kernel;
pub(crate) mod report;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use convergence::commands::cleanup::decide::{Decision, Removal, Stage, decide};
use convergence::failure::Failure;
use convergence::node::facts::NodeFacts;
use shim::host::boot;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::profile::{Profile, Profiles};

use self::act::CleanupHandler;
use self::gather::{Subject, gather};
use self::journal::{Event, Journal};
use self::report::CleanupReport;
use crate::change::Executor;
use crate::change::outcome::{Done, Outcome};
use crate::cli::{Cleanup, Global};
use crate::host::chroot;
use crate::host::command_lock::CommandLock;
use crate::host::root::Root;
use crate::node::facts::{ConfDirChoice, NodeQuery};
use crate::node::settings;
use crate::runtime;

/// One clean-up at a time.
const LOCK: CommandLock =
    CommandLock { lock: "cleanup", command: "the clean-up", another: "another clean-up" };

/// Removes what a CNI has left, or says what that would be.
///
/// # Errors
/// A name that is no profile's; bad settings; what still needs the network, all of it at once; 75 while another clean-up runs.
pub(crate) fn cleanup(global: &Global, args: &Cleanup) -> Result<CleanupReport, Failure> {
    let root = Root::new(&global.root);
    let profile = find_profile(&args.profile, &global.profiles)?;
    chroot::require_node_network(global)?;
    let node = node(global, args, &root)?;
    let journal = Journal::new(&node.dirs.layout.state_dir, &profile.name);
    let listed = args.listed.as_deref().map(read_list).transpose()?;
    let subject = Subject {
        node: &node,
        profile,
        journal: &journal,
        listed: listed.as_ref(),
        bin_dirs: &args.bin_dirs,
    };
    if !args.apply {
        let decision = require_allowed(&subject)?;
        return Ok(plan_report(profile, decision));
    }
    LOCK.run(&node.dirs.layout, || apply(&subject))
}

/// The sandboxes that live, by a file.
fn read_list(file: &Path) -> Result<BTreeSet<String>, Failure> {
    let exit = if file.exists() { Exit::BadSettings } else { Exit::Usage };
    let listing =
        runtime::read_list(file).map_err(|why| Failure::new(exit, why).with_place(file.display()))?;
    Ok(listing.ids())
}

/// The profile of this name, which says what its CNI leaves. Every profile of the node must be right: it says what another CNI has, which stays.
fn find_profile<'p>(name: &str, profiles: &'p Profiles) -> Result<&'p Profile, Failure> {
    let unusable: Vec<Problem> = profiles.all_unusable().map(Problem::new).collect();
    if !unusable.is_empty() {
        return Err(Failure::all(Exit::BadSettings, unusable));
    }
    let Some(profile) = profiles.find(name) else {
        return Err(Failure::usage(profiles.unknown_text(name)).with_place("PROFILE"));
    };
    if profile.leaves.is_none() && !profile.parts.is_empty() {
        let why = format!(
            "{name} is made of {}, and each of them is cleaned up by itself",
            profile.parts.join(" and ")
        );
        let commands: Vec<String> =
            profile.parts.iter().map(|part| format!("crossfade-bootstrap cleanup {part}")).collect();
        let fix = format!("once the agent and the conf of {name} are gone: {}", commands.join("; then "));
        return Err(Failure::from_problem(Exit::No, Problem::new(why).with_place(name).fix(fix)));
    }
    if profile.leaves.is_none() {
        let why =
            format!("what {name} leaves on a node was not read in its sources yet, so nothing is removed");
        let fix = format!(
            "remove it by hand as its own documentation says, rotate the node, or write /etc/crossfade/profiles/{name}.json"
        );
        return Err(Failure::from_problem(Exit::No, Problem::new(why).with_place(name).fix(fix)));
    }
    Ok(profile)
}

/// The node. A policy that is there and cannot be used might name the CNI.
fn node(global: &Global, args: &Cleanup, root: &Root) -> Result<NodeFacts, Failure> {
    let settings = settings::require(root)?;
    let runtime = if root.is_node() && args.listed.is_none() {
        crate::runtime::facts::to_ask(root, &settings.node, &args.node.runtime)
    } else {
        crate::runtime::facts::gather_from_files(root, &settings.node)
    };
    let node =
        crate::node::facts::gather(NodeQuery { global, settings, runtime, conf_dir: ConfDirChoice::Named });
    node.dirs.require_readable()?;
    let policy = node.dirs.layout.policy_file();
    if policy.symlink_metadata().is_ok() {
        node.require_policy()?;
    }
    Ok(node)
}

/// What is decided, unless something still needs the network.
fn require_allowed(subject: &Subject<'_>) -> Result<Decision, Failure> {
    let decision = decide(&gather(subject)?);
    if decision.refusals.is_empty() { Ok(decision) } else { Err(Failure::all(Exit::No, decision.refusals)) }
}

fn plan_report(profile: &Profile, decision: Decision) -> CleanupReport {
    let notes = if decision.removals.is_empty() {
        vec![format!("nothing of {} is left that can be removed", profile.name)]
    } else {
        vec![format!(
            "nothing was changed; crossfade-bootstrap cleanup {} --apply carries this out",
            profile.name
        )]
    };
    let changes =
        decision.removals.into_iter().map(|removal| Done { change: removal.change, outcome: None }).collect();
    CleanupReport {
        profile: profile.name.clone(),
        dry_run: true,
        changes,
        retained: decision.retained,
        look: decision.look,
        remains: Vec::new(),
        reboot: decision.reboot,
        journal: None,
        notes,
        stopped: Vec::new(),
    }
}

fn apply(subject: &Subject<'_>) -> Result<CleanupReport, Failure> {
    let facts = gather(subject)?;
    let first = decide(&facts);
    if !first.refusals.is_empty() {
        return Err(Failure::all(Exit::No, first.refusals));
    }
    let journal = subject.journal;
    let noted = |why: io::Error| {
        let what =
            format!("journal {}: {why}; nothing is removed that is not noted", journal.path().display());
        Failure::new(Exit::Failed, what).with_place(journal.path().display())
    };
    let mut report = plan_report(subject.profile, Decision::default());
    (report.dry_run, report.notes) = (false, Vec::new());
    if first.removals.is_empty() {
        report.notes.push(format!("nothing of {} is left that can be removed", subject.profile.name));
    } else {
        journal
            .write(Event::Begin { networks: facts.networks.clone(), reboot: first.reboot.clone() })
            .map_err(noted)?;
        if Root::new(&subject.node.root).is_node() {
            let now = boot::now().map_err(noted)?;
            let dump = dump::write(&journal.aside_dir(), &facts.kernel, now.wall_secs).map_err(noted)?;
            report.notes.push(format!("the network's state from before is in {}", dump.display()));
        }
    }
    let plan: BTreeSet<(&str, &str)> = first.removals.iter().map(key).collect();
    for stage in Stage::ALL {
        if !first.removals.iter().any(|removal| removal.stage == stage) {
            continue;
        }
        let now = decide(&gather(subject)?);
        if !now.refusals.is_empty() {
            report.stopped = now.refusals;
            break;
        }
        let due =
            now.removals.into_iter().filter(|removal| removal.stage == stage && plan.contains(&key(removal)));
        for removal in due {
            journal.removing(&removal).map_err(noted)?;
            report.changes.push(apply_removal(subject, removal).map_err(noted)?);
        }
    }
    let last = decide(&gather(subject)?);
    report.remains = last.removals.iter().map(|removal| removal.change.target.clone()).collect();
    report.remains.dedup();
    (report.retained, report.look, report.reboot) = (last.retained, last.look, last.reboot);
    if !first.removals.is_empty() {
        journal.write(Event::End { remains: report.remains.clone() }).map_err(noted)?;
        report.journal = Some(journal.path().display().to_string());
    }
    Ok(report)
}

/// What tells one removal from all others.
fn key(removal: &Removal) -> (&str, &str) {
    (removal.change.act.word(), &removal.change.target)
}

/// Carries out one removal. One that fails stops none of the others: each is looked at again at the end.
fn apply_removal(subject: &Subject<'_>, removal: Removal) -> io::Result<Done> {
    let target = removal.change.target.clone();
    let root = Root::new(&subject.node.root);
    let mut executor = Executor::new(&root, CleanupHandler);
    let done = executor.apply_each(vec![removal.change]).remove(0);
    let event = match &done.outcome {
        Some(Outcome::Failed(why)) => Event::Failed { target, why: why.clone() },
        Some(Outcome::Done | Outcome::Busy | Outcome::Skipped) | None => Event::Done { target },
    };
    subject.journal.write(event)?;
    Ok(done)
}
