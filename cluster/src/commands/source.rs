//! The sources of a command's settings and snapshot.

use std::collections::BTreeSet;

use migration::check;
use migration::cni::support::Cni;
use migration::config::Config;
use netpol::gather::CLUSTER_KINDS;
use snapshot::model::{ALL_KINDS, IllegibleObject, Kind, Snapshot};
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::text::list::join_first;

use crate::cli::Migration;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::input;
use crate::live::{self, Event};
use crate::print::Progress;

/// Kinds of which a large cluster has many objects. A check asks for them only if it reads them.
const FREQUENT: [Kind; 5] = [Kind::POD, Kind::REPLICA_SET, Kind::ENDPOINT_SLICE, Kind::JOB, Kind::IPAM_BLOCK];

/// The operator's settings.
pub(super) fn settings(global: &Global) -> Result<Config, Failure> {
    input::settings::gather(global.config.as_deref())
        .map_err(|problem| Failure::from_problem(Exit::BadSettings, problem))
}

/// The snapshot of the files that the command line names; without one, of the live cluster. A migration needs less than the whole.
pub(super) fn snapshot(global: &Global, migration: Option<&Migration>) -> Result<Snapshot, Failure> {
    if global.snapshot.is_empty() {
        let needed = migration.map(|migration| check::kinds(migration.from, migration.to));
        let is_wanted = |kind: &Kind| {
            needed.as_ref().is_none_or(|needed| needed.contains(kind) || !FREQUENT.contains(kind))
        };
        return take_live(global, all().filter(is_wanted).collect());
    }
    read_snapshot_file(global)
}

/// The live cluster without its pods and whatever else it has many of: what says from which ranges both networks give addresses, its nodes and Services.
pub(super) fn without_pods(global: &Global, migration: &Migration) -> Result<Snapshot, Failure> {
    if !global.snapshot.is_empty() {
        let problem = Problem::new("agents send packets in a live cluster, and a snapshot has none");
        return Err(Failure::from_problem(
            Exit::Usage,
            problem.with_place("--snapshot").fix("leave --snapshot out"),
        ));
    }
    let mut kinds = check::kinds(migration.from, migration.to);
    kinds.retain(|kind| !FREQUENT.contains(kind));
    kinds.extend([Kind::NODE, Kind::SERVICE]);
    take_live(global, kinds)
}

/// The same with nodes and pods alone, as far as that saves reading anything.
pub(super) fn nodes_and_pods(global: &Global) -> Result<Snapshot, Failure> {
    if global.snapshot.is_empty() {
        return take_live(global, [Kind::NODE, Kind::POD].into());
    }
    read_snapshot_file(global)
}

/// The snapshot of the files that the command line names.
fn read_snapshot_file(global: &Global) -> Result<Snapshot, Failure> {
    let dumped = if global.dumped.is_all() { all().collect() } else { global.dumped.kinds().to_vec() };
    let progress = Progress::new();
    let read = input::snapshot::gather(&global.snapshot, &dumped, &mut |left_out| progress.note(left_out));
    read.map(note_snapshot).map_err(|problems| Failure::all(Exit::Failed, problems))
}

/// The kinds without which it is unknown what policies mean, as these CNIs enforce them: the policies, what they go by, and what says how a CNI is set.
pub(super) fn policy_kinds(from: Cni, to: Cni) -> BTreeSet<Kind> {
    let both = [from, to].map(|cni| cni.facts().policy_kinds);
    both.into_iter().flatten().copied().flatten().chain(&CLUSTER_KINDS).copied().collect()
}

/// The manifest with the rights.
const VIEWER: &str = "deploy/cluster/rbac-viewer.yaml";

fn all() -> impl Iterator<Item = Kind> {
    ALL_KINDS.iter().map(|row| row.kind)
}

/// How many missing rights are named.
const NAMED: usize = 8;

/// What to say of missing rights before anything is read.
fn describe_missing_rights(rights: &[String]) -> String {
    let named = join_first(rights, NAMED);
    format!(
        "Rights are missing: {named}. The ClusterRole in {VIEWER} has all that are needed; what they reach is not checked."
    )
}

fn take_live(global: &Global, kinds: BTreeSet<Kind>) -> Result<Snapshot, Failure> {
    let progress = Progress::new();
    let mut show = |event: &Event| match event {
        Event::MissingRights(rights) => progress.note(&describe_missing_rights(rights)),
        Event::Page { kind, objects, remaining: Some(remaining) } => {
            progress.event(&format!("{}: {objects} read, {remaining} to come", kind.plural_name()));
        }
        Event::Page { kind, objects, remaining: None } => {
            progress.event(&format!("{}: {objects} read", kind.plural_name()));
        }
        Event::Done { kind, objects } => progress.passing(&format!("{}: {objects}", kind.plural_name())),
        Event::Again { kind, why } => progress.event(&format!("{}: again, since {why}", kind.plural_name())),
    };
    let snapshot = live::gather(&global.access, &kinds, &mut show);
    snapshot.map(note_snapshot).map_err(|(exit, problem)| Failure::from_problem(exit, problem))
}

/// Says which objects could not be read, whatever the command does with the others.
fn note_snapshot(snapshot: Snapshot) -> Snapshot {
    let progress = Progress::new();
    for IllegibleObject { kind, namespace, name, why } in snapshot.illegible.iter().take(NAMED) {
        progress.note(&format!("{kind} {namespace}/{name} cannot be read and is left out: {why}"));
    }
    if let more @ 1.. = snapshot.illegible.len().saturating_sub(NAMED) {
        progress.note(&format!("{more} more objects cannot be read and are left out"));
    }
    snapshot
}
