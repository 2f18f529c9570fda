//! Records, inventory and ledger, and what runtime and kernel say of the same attachments.
//!
//! All of it moves while it is read. So leases are read twice, before the records and after the runtime's list: one that is there both times
//! and has no owner in between is left over. And a sandbox without a record is looked for once more, since its ADD may just have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use convergence::doctor::facts::{AttachmentRecords, Kernel, Sandboxes, Source};
use convergence::node::attachments::Life;
use convergence::node::attachments::leaks::{self, leaked_leases};
use convergence::node::attachments::sweep_candidates::SweepCandidate;
use convergence::node::cni::CniFacts;
use convergence::node::facts::NodeFacts;
use convergence::runtime::SandboxList;
use shim::attachment::owner::Owners;
use shim::host::netns::{self, Netns};
use shim::node::inventory::{self, Inventory};
use shim::node::store::{DamagedFile, Key, Store};
use shim::{
    host::{boot, lock},
    node::ledger,
};
use types::attachment::Attachment;
use types::command::problem::Problem;

use super::sandboxes;
use crate::host::root::Root;
use crate::node::attachments::leaks::held_leases;
use crate::node::attachments::sweep_candidates::judge;
use crate::node::attachments::{self, hostroutes};
use crate::node::networks::scratch;

/// How long the probes of the networks that owe DELs may take together.
const PROBES_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn gather(
    node: &NodeFacts,
    cni: &CniFacts,
) -> (Source<AttachmentRecords>, Source<Kernel>, Source<Sandboxes>) {
    let store = Store::new(&node.dirs.layout);
    let before =
        store.load_all().map(|(records, _)| held_leases(&cni.networks, &records)).unwrap_or_default();
    let read = store.load_all().and_then(|records| Ok((records, inventory::load(&node.dirs.layout)?)));
    let ((records, damaged), inventory) = match read {
        Ok(read) => read,
        Err(error) => {
            let place = node.dirs.layout.state_dir.display().to_string();
            let why = Problem::new(format!("records and inventory: {error}")).with_place(place).fix(STATE);
            let kernel = Source::Absent("the records cannot be read, to which it is compared".into());
            return (Source::Unread(why), kernel, sandboxes::gather(node, None));
        }
    };
    let container_ids: BTreeSet<String> = containers(&records, &inventory);
    let sandboxes = sandboxes::gather(node, Some(&container_ids));
    let listed = sandboxes.read().map(|sandboxes| sandboxes.listed.clone());
    let judged = judge_candidates(node, &records, &inventory, listed.clone());
    let kernel = if Root::new(&node.root).is_node() {
        let held_again = listed.as_ref().map(|_| held_leases(&cni.networks, &records)).unwrap_or_default();
        let held_twice: Vec<_> = before.into_iter().filter(|lease| held_again.contains(lease)).collect();
        let accounted: BTreeSet<String> =
            container_ids.into_iter().chain(scratch::containers(&node.dirs.layout)).collect();
        let leases = listed.map(|listed| leaked_leases(&held_twice, &accounted, &listed)).unwrap_or_default();
        kernel_source(&records, &damaged, leases)
    } else {
        Source::Absent("a tree is inspected, and no node".into())
    };
    (records_source(node, records, damaged, judged), kernel, sandboxes)
}

/// What to do about a state directory that cannot be read.
const STATE: &str = "run crossfade-bootstrap attachments as root, which names the file";

fn containers(records: &[Attachment], inventory: &Inventory) -> BTreeSet<String> {
    let recorded = records.iter().map(|record| record.intent.container_id.clone());
    recorded.chain(inventory.attachments.iter().map(|entry| entry.container_id.clone())).collect()
}

/// The attachments as a sweep judges them. Without the runtime's list none of this boot counts as forgotten.
fn judge_candidates(
    node: &NodeFacts,
    records: &[Attachment],
    inventory: &Inventory,
    listed: Option<BTreeMap<String, convergence::runtime::State>>,
) -> Vec<SweepCandidate> {
    let (Some(policy), Ok(now)) = (node.policy(), boot::now()) else { return Vec::new() };
    let owners = Owners::ask(policy, Instant::now() + PROBES_WITHIN);
    let is_unlisted = listed.is_none();
    let listing = SandboxList::Cri(listed.unwrap_or_default());
    let mut judged = judge(records, inventory, &listing, &owners, &now);
    if is_unlisted {
        judged.iter_mut().for_each(|candidate| candidate.listed = shim::sweep::ListStatus::OutOfScope);
    }
    judged
}

fn records_source(
    node: &NodeFacts,
    records: Vec<Attachment>,
    damaged: Vec<DamagedFile>,
    judged: Vec<SweepCandidate>,
) -> Source<AttachmentRecords> {
    let layout = &node.dirs.layout;
    let attached = match attachments::from_records(layout, records, damaged, node.policy()) {
        Ok(attached) => attached,
        Err(failure) => {
            let why =
                Problem::new(failure.lines().join("; ")).with_place(layout.state_dir.display().to_string());
            return Source::Unread(why.fix(STATE));
        }
    };
    let moving =
        attached.attachments.iter().filter(|line| matches!(line.life, Life::Attaching | Life::Detaching));
    let running = moving.filter_map(|line| {
        let key = Key::new(&line.container_id, &line.ifname);
        Some((key.clone(), lock::running_call(layout, &key)?))
    });
    let running = running.collect();
    match ledger::read(layout) {
        Ok(ledger) => Source::Read(AttachmentRecords { attached, judged, running, ledger }),
        Err(error) => {
            let path = layout.ledger().display().to_string();
            Source::Unread(Problem::new(format!("ledger {path}: {error}")).with_place(path).fix(STATE))
        }
    }
}

fn kernel_source(
    records: &[Attachment],
    damaged: &[DamagedFile],
    leases: Vec<leaks::Leak>,
) -> Source<Kernel> {
    let lost = records.iter().filter(|record| has_lost_its_netns(record));
    let key = |record: &Attachment| Key::new(&record.intent.container_id, &record.intent.ifname);
    match hostroutes::to_change(records, damaged) {
        Ok(routes) => Source::Read(Kernel { lost_netns: lost.map(key).collect(), routes, leases }),
        Err(failure) => {
            let fix = "run crossfade-bootstrap doctor as root in the node's network namespace; in a pod, with hostNetwork";
            Source::Unread(Problem::new(failure.lines().join("; ")).with_place("the kernel").fix(fix))
        }
    }
}

/// Whether the netns of a record of this boot is certainly not the attachment's own any more. What cannot be inspected is not lost.
fn has_lost_its_netns(record: &Attachment) -> bool {
    let intent = &record.intent;
    let Ok(boot_id) = boot::boot_id() else { return false };
    if intent.began_at.boot_id != boot_id {
        return false;
    }
    let path = Path::new(&intent.netns);
    let is_another = |netns: Netns| intent.is_its_netns(netns.id(), None, Some(boot_id)) == Some(false);
    netns::is_gone(path) || Netns::open(path).map(is_another).unwrap_or_else(|_: io::Error| false)
}
