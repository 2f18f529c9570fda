//! Leftovers of an earlier image on a node of a final image, gathered before anything is decided.

use convergence::commands::boot::facts::Leavings;
use convergence::node::facts::NodeFacts;
use convergence::node::identity::Identity;
use shim::node::layout::{CONF_DIR, Layout, RUNTIME_CACHE};
use shim::node::store::Store;
use shim::{host::boot, node::inventory};

use super::owed_dels;
use crate::host::root::Root;
use crate::node::conf::our_conf;
use crate::runtime::cache;

/// Records and inventory entries of the boot `boot_id`; `may_live` makes those count that do not say theirs.
fn list_living(layout: &Layout, boot_id: &str, may_live: bool) -> Result<Vec<String>, String> {
    let (sound, damaged) = Store::new(layout).load_all().map_err(|e| format!("list the records: {e}"))?;
    let inventory = match inventory::load(layout) {
        Err(why) if may_live => return Err(why.to_string()),
        read => read.unwrap_or_default(),
    };
    let records = sound.iter().filter(|record| record.intent.began_at.boot_id == boot_id);
    let mut living: Vec<String> =
        records.map(|record| format!("{} {}", record.intent.container_id, record.intent.ifname)).collect();
    let is_of_now = |listed_at: Option<&shim::host::boot::Moment>| {
        listed_at.map_or(may_live, |listed_at| listed_at.boot_id == boot_id)
    };
    let entries = inventory.attachments.iter().filter(|entry| is_of_now(entry.listed_at.as_ref()));
    living.extend(entries.map(|entry| format!("{} {}", entry.container_id, entry.ifname)));
    if may_live {
        living.extend(damaged.iter().map(|(path, _)| path.display().to_string()));
    }
    Ok(living)
}

/// Gathers what is left. `may_live` says that a runtime has run in this boot, so a sandbox whose boot is not recorded may be alive.
pub(super) fn gather(
    NodeFacts { root, runtime, dirs, .. }: &NodeFacts,
    (identity, may_live): (&Identity, bool),
) -> Leavings {
    let root = &Root::new(root);
    let layout = &dirs.layout;
    let mut dirs = vec![root.join(CONF_DIR), root.join(runtime.agents_dir())];
    dirs.dedup();
    let is_crio = runtime.crio().is_some();
    let cache = root.join(RUNTIME_CACHE);
    let replayed = || {
        root.check_links(&cache).map_err(std::io::Error::other)?;
        cache::gather(&cache).map(|cache| cache.attachments)
    };
    Leavings {
        confs: dirs.iter().filter_map(|dir| our_conf(root, dir)).collect(),
        living: list_living(layout, &identity.boot_id, may_live),
        // A cache that cannot be read may hold one.
        is_replayed: is_crio && replayed().map_or(true, |all| all.iter().any(|handover| handover.through_us)),
        // Without a clock a line has no time; everything else of it counts.
        owed: owed_dels::lines(layout, &identity.boot_id, boot::now().map_or(0, |now| now.wall_secs)),
    }
}
