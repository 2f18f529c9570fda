//! Attachments that ended without a DEL, as lines for the ledger.
//!
//! A boot of a final image ends every attachment of earlier boots: their sandboxes are gone, and no runtime calls Crossfade's plugin again. The
//! node's interfaces and rules ended with their boot. Leases on its disk remain, and so does what a network keeps in the cluster. The
//! ledger's lines list both for the person who cleans up after the migration.

use std::path::Path;

use shim::attachment::local_cleanup::{self, CleanupTarget, DelReach};
use shim::node::inventory::{self, Entry};
use shim::node::layout::Layout;
use shim::node::ledger::{self, Line};
use shim::node::store::Store;
use types::attachment::Attachment;

/// The reason in the ledger's lines: why there was no DEL.
const REASON: &str = "the node booted a final image (confDir none) before its DEL";
/// The name in the ledger of a network that no record names.
const UNKNOWN: &str = "unknown";

/// The lines for what `layout` still holds of boots other than `boot_id`, as of `now`, in seconds since 1970. Lines that the ledger has
/// already are left out, so an interrupted boot writes nothing twice. If something here cannot be listed, [`convergence::commands::boot::final_image`] refuses to
/// set anything aside.
pub(super) fn lines(layout: &Layout, boot_id: &str, now: u64) -> Vec<Line> {
    let (sound, damaged) = Store::new(layout).load_all().unwrap_or_default();
    let inventory = inventory::load(layout).unwrap_or_default();
    let earlier = sound.iter().filter(|record| record.intent.began_at.boot_id != boot_id);
    let mut all: Vec<Line> = earlier.flat_map(|record| record_lines(record, now)).collect();
    let listed = |entry: &&Entry| {
        let is_recorded = sound.iter().any(|record| {
            record.intent.container_id == entry.container_id && record.intent.ifname == entry.ifname
        });
        !is_recorded && entry.listed_at.as_ref().is_none_or(|moment| moment.boot_id != boot_id)
    };
    all.extend(inventory.attachments.iter().filter(listed).map(|entry| entry_line(entry, now)));
    all.extend(damaged.iter().map(|(path, why)| damaged_line(path, why, now)));
    let lines = ledger::read(layout).unwrap_or_default();
    let is_in_ledger = |line: &Line| {
        lines.iter().any(|entry| {
            (&entry.container_id, &entry.ifname, &entry.network, &entry.reason)
                == (&line.container_id, &line.ifname, &line.network, &line.reason)
        })
    };
    all.retain(|line| !is_in_ledger(line));
    all
}

fn record_lines<'a>(record: &'a Attachment, now: u64) -> impl Iterator<Item = Line> + 'a {
    record.pending().into_iter().map(move |leg| {
        let (progress, leg) = (&record.progress[leg], &record.intent.legs[leg]);
        line(
            now,
            &CleanupTarget {
                container_id: &record.intent.container_id,
                ifname: &leg.ifname,
                network: &leg.network,
                conf: leg.conf.get().as_bytes(),
                result: progress.result.as_deref().map(|raw| raw.get().as_bytes()),
                netns: None,
                reached: progress.resume_at.map_or(DelReach::NoPlugin, DelReach::Failed),
            },
        )
    })
}

/// An entry of the inventory: it may say no more than which side of the policy its network was.
fn entry_line(entry: &Entry, now: u64) -> Line {
    line(
        now,
        &CleanupTarget {
            container_id: &entry.container_id,
            ifname: &entry.ifname,
            network: &entry.network,
            conf: entry.conf.as_deref().map_or(b"{}", |raw| raw.get().as_bytes()),
            result: entry.prev_result.as_deref().map(|raw| raw.get().as_bytes()),
            netns: None,
            reached: DelReach::NoPlugin,
        },
    )
}

fn line(now: u64, attached: &CleanupTarget) -> Line {
    let owed = local_cleanup::owed_report(attached);
    Line {
        version: 1,
        wall_secs: now,
        container_id: attached.container_id.to_owned(),
        ifname: attached.ifname.to_owned(),
        network: attached.network.to_owned(),
        addresses: owed.addresses,
        reason: REASON.into(),
        removed: Vec::new(),
        leftovers: owed.leftovers,
        unknown: owed.unknown,
    }
}

/// A damaged record: only its file name is known.
fn damaged_line(path: &Path, why: &str, now: u64) -> Line {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (container_id, ifname) = name.rsplit_once('@').unwrap_or((&name, ""));
    Line {
        version: 1,
        wall_secs: now,
        container_id: container_id.to_owned(),
        ifname: ifname.to_owned(),
        network: UNKNOWN.into(),
        addresses: Vec::new(),
        reason: REASON.into(),
        removed: Vec::new(),
        leftovers: vec![format!("everything that its networks keep of it; its record is damaged: {why}")],
        unknown: Vec::new(),
    }
}
