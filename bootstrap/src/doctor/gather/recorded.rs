//! Records, inventory and ledger, and what runtime and kernel say of the same attachments.
//!
//! All of it moves while it is read. So leases are read twice ([`leaked_leases`]), and a sandbox without a record is looked for once more,
//! since its ADD may just have ended.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use convergence::doctor::facts::{AttachmentRecords, Kernel, Sandboxes, Source};
use convergence::node::attachments::Life;
use convergence::node::attachments::leaks::Leak;
use convergence::node::attachments::sweep_candidates::SweepCandidate;
use convergence::node::cni::CniFacts;
use convergence::node::facts::NodeFacts;
use convergence::runtime::State;
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
use crate::node::attachments::leaks::{container_ids, held_leases, leaked_leases};
use crate::node::attachments::sweep_candidates::judge_now;
use crate::node::attachments::{self, hostroutes};

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
    let container_ids = container_ids(&records, &inventory);
    let sandboxes = sandboxes::gather(node, Some(&container_ids));
    let listed = sandboxes.read().map(|sandboxes| sandboxes.listed.clone());
    let judged = judge_candidates(node, &records, &inventory, listed.clone());
    let kernel = if Root::new(&node.root).is_node() {
        let places = (&node.dirs.layout, cni.networks.as_slice());
        let attached = (records.as_slice(), container_ids);
        let leases = listed.map(|listed| leaked_leases(before, places, attached, &listed));
        kernel_source(&records, &damaged, leases.unwrap_or_default())
    } else {
        Source::Absent("a tree is inspected, and no node".into())
    };
    (records_source(node, records, damaged, judged), kernel, sandboxes)
}

/// What to do about a state directory that cannot be read.
const STATE: &str = "run crossfade-bootstrap attachments as root, which names the file";

/// The attachments as a sweep judges them. Without the runtime's list none of this boot counts as forgotten.
fn judge_candidates(
    node: &NodeFacts,
    records: &[Attachment],
    inventory: &Inventory,
    listed: Option<BTreeMap<String, State>>,
) -> Vec<SweepCandidate> {
    let Some(policy) = node.policy() else { return Vec::new() };
    let is_unlisted = listed.is_none();
    let judged = judge_now(policy, records, inventory, listed.unwrap_or_default());
    let mut judged = judged.unwrap_or_default();
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

fn kernel_source(records: &[Attachment], damaged: &[DamagedFile], leases: Vec<Leak>) -> Source<Kernel> {
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
