//! The attachments of a node, from records and inventory.

pub mod attached;
pub mod hostroutes;
pub mod last_sweep;
pub mod leaks;
pub mod selection;
pub mod sweep_candidates;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use shim::boot::{self, Age, Moment};
use shim::conflist::Conflist;
use shim::inventory::{self, Deleter, Entry};
use shim::layout::Layout;
use shim::owner::Sides;
use shim::store::{DamagedFile, Key, Store};
use types::attachment::{Attachment, Leg, Progress};
use types::pod::Pod;
use types::policy::{Policy, Side};

use crate::node::settings::directories::Directories;
use convergence::failure::Failure;
use types::exit::Exit;

/// Everything that is attached.
///
/// *Shape*: `{"attachments":[..],"damaged":[{"path":"..","reason":".."}]}`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Attachments {
    /// One line per attachment: first those with a record, then inventory entries without one.
    pub attachments: Vec<Line>,
    /// Records that Crossfade cannot read.
    pub damaged: Vec<Damaged>,
}

/// One attachment.
///
/// *Shape*: `{"containerID":"..","ifname":"eth0","life":"attached","ageSeconds":12,"earlierBoot":false,"namespace":"..","pod":"..",
/// "networks":[{"name":"oldnet","side":"old","ifname":"eth0","primary":true,"owed":true}],"delFailingSeconds":90,"deletedBy":"runtime"}`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Line {
    /// Container id.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The interface that the runtime asked for.
    pub ifname: String,
    /// How far the attachment's life has come.
    pub life: Life,
    /// Since when; none for an earlier boot, and for an entry that does not say.
    #[serde(rename = "ageSeconds", skip_serializing_if = "Option::is_none")]
    pub age_secs: Option<u64>,
    /// The record is of an earlier boot, so the sandbox no longer exists.
    #[serde(rename = "earlierBoot")]
    pub earlier_boot: bool,
    /// Namespace of the attachment's Pod, if the runtime passed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the attachment's Pod, if the runtime passed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// UID of the attachment's Pod, if the runtime passed it.
    #[serde(skip)]
    pub uid: Option<String>,
    /// The networks of the attachment, in the order of ADD.
    pub networks: Vec<Part>,
    /// For how many seconds a DEL of the attachment has failed; none if none has, or if the first failed in an earlier boot.
    #[serde(rename = "delFailingSeconds", skip_serializing_if = "Option::is_none")]
    pub del_failing_secs: Option<u64>,
    /// Who sends the attachment's DEL, where that is not Crossfade.
    #[serde(rename = "deletedBy", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub deleted_by: Option<Deleter>,
}

/// How far an attachment's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Life {
    /// The attachment's ADD is running, or was killed.
    Attaching,
    /// The attachment's ADD succeeded.
    Attached,
    /// A DEL has begun, and at least one network has not confirmed it.
    Detaching,
    /// The attachment was made before Crossfade was installed, and the inventory lists it.
    Inventory,
}

/// One network of an attachment.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Part {
    /// The network's name from its conf; the side's word where the name is unknown.
    pub name: String,
    /// Whether the network is the policy's `old` or `new`: its delegate answers for the DEL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
    /// The interface that the network's delegate made.
    pub ifname: String,
    /// Whether the addresses of this network are those in the Pod's status.
    pub primary: bool,
    /// Whether the network has not confirmed the DEL yet.
    pub owed: bool,
    /// Whether the network was attached, or still is to be: not if its ADD failed and the policy tolerated that. None if the record does not say.
    #[serde(skip)]
    pub in_pod: Option<bool>,
}

/// A record that cannot be read.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Damaged {
    /// The record's file.
    pub path: PathBuf,
    /// Why the record cannot be read.
    pub reason: String,
}

impl Line {
    /// Whether a DEL has been owed for longer than a grace of so many seconds. The remains of an earlier boot count once one has failed.
    #[must_use]
    pub fn is_overdue(&self, grace_secs: u64) -> bool {
        let is_past = self.earlier_boot || self.del_failing_secs.is_some_and(|secs| secs >= grace_secs);
        self.life == Life::Detaching && is_past
    }

    /// The age of the attachment, if it is known.
    #[must_use]
    pub fn age(&self) -> Option<Age> {
        match (self.earlier_boot, self.age_secs) {
            (true, _) => Some(Age::EarlierBoot),
            (false, secs) => secs.map(|secs| Age::ThisBoot(Duration::from_secs(secs))),
        }
    }
}

impl Life {
    /// The word that `attachments` prints.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attaching => "attaching",
            Self::Attached => "attached",
            Self::Detaching => "detaching",
            Self::Inventory => "inventory",
        }
    }

    /// How far the life of a recorded attachment has come.
    #[must_use]
    pub fn of(record: &Attachment) -> Self {
        let is_ending = record.progress.iter().any(|part| part.deleted || part.resume_at.is_some());
        if record.del_failed.is_some() || is_ending {
            Self::Detaching
        } else if record.attached {
            Self::Attached
        } else {
            Self::Attaching
        }
    }
}

/// Lists records and inventory. Without a policy nothing is known of sides.
///
/// # Errors
/// When state cannot be read.
pub fn list(layout: &Layout, policy: Option<&Policy>) -> Result<Attachments, Failure> {
    let (records, damaged) = Store::new(layout).all().map_err(|e| Failure::new(Exit::Failed, e))?;
    from_records(layout, records, damaged, policy)
}

/// [`list`] of records that have been read already.
///
/// # Errors
/// When the inventory cannot be read.
pub fn from_records(
    layout: &Layout,
    mut records: Vec<Attachment>,
    damaged: Vec<DamagedFile>,
    policy: Option<&Policy>,
) -> Result<Attachments, Failure> {
    let failed = |e: std::io::Error| Failure::new(Exit::Failed, e);
    records.sort_by(|a, b| key(a).cmp(&key(b)));
    let inventory = inventory::load(layout).map_err(failed)?;
    let now = boot::now().map_err(failed)?;
    let sides = policy.map(Sides::read);
    let mut attachments: Vec<Line> =
        records.iter().map(|record| of_record(record, sides.as_ref(), &now)).collect();
    let recorded: BTreeSet<Key> =
        attachments.iter().map(|line| Key::new(&line.container_id, &line.ifname)).collect();
    let entries = inventory.attachments.iter().filter(|entry| !recorded.contains(&entry.key()));
    attachments.extend(entries.map(|entry| of_entry(entry, policy, &now)));
    let damaged = damaged.into_iter().map(|(path, reason)| Damaged { path, reason }).collect();
    Ok(Attachments { attachments, damaged })
}

/// Sorts records from the oldest to the newest, and within one second by container id.
fn key(record: &Attachment) -> (u64, &str, &str) {
    (record.intent.begun.wall_secs, &record.intent.container_id, &record.intent.ifname)
}

fn of_record(record: &Attachment, sides: Option<&Sides<'_>>, now: &Moment) -> Line {
    let intent = &record.intent;
    let parts = intent.legs.iter().zip(&record.progress).map(|(leg, progress)| Part {
        name: leg.network.clone(),
        side: sides.and_then(|sides| sides.of(leg)).map(Side::as_str),
        ifname: leg.ifname.clone(),
        primary: leg.primary,
        owed: progress.started && !progress.deleted,
        in_pod: in_pod(record, leg, progress),
    });
    let line = line(
        Key::new(&intent.container_id, &intent.ifname),
        Life::of(record),
        Some(intent.begun.age(now)),
        intent.cni_args.as_deref(),
        parts.collect(),
    );
    let failing = record.del_failed.as_ref().map(|first| first.age(now));
    Line { del_failing_secs: failing.and_then(secs_of), ..line }
}

/// The seconds of an age of this boot.
fn secs_of(age: Age) -> Option<u64> {
    match age {
        Age::ThisBoot(age) => Some(age.as_secs()),
        Age::EarlierBoot => None,
    }
}

/// See [`Part::in_pod`].
fn in_pod(record: &Attachment, leg: &Leg, progress: &Progress) -> Option<bool> {
    let may_be_left_out = leg.tolerated && progress.result.is_none();
    match (may_be_left_out, record.torn) {
        (false, _) => Some(true),
        // The line that was torn may be the one with the result.
        (true, true) => None,
        (true, false) => Some(!record.attached),
    }
}

fn of_entry(entry: &Entry, policy: Option<&Policy>, now: &Moment) -> Line {
    let side = Side::parse(&entry.network);
    let network = policy.zip(side).and_then(|(policy, side)| policy.network(side));
    let conf = entry.conf.as_ref().and_then(|raw| Conflist::from_resolved(raw).ok());
    let conf = conf.or_else(|| Conflist::load(&network?.conf).ok().map(|(conf, _)| conf));
    let part = Part {
        name: conf.map_or_else(|| entry.network.clone(), |conf| conf.name),
        side: side.map(Side::as_str),
        ifname: entry.ifname.clone(),
        primary: true,
        owed: true,
        in_pod: Some(true),
    };
    let age = entry.taken.as_ref().map(|taken| taken.age(now));
    let line = line(entry.key(), Life::Inventory, age, entry.cni_args.as_deref(), vec![part]);
    Line { deleted_by: Some(entry.deleted_by).filter(|by| *by != Deleter::Crossfade), ..line }
}

fn line(key: Key, life: Life, age: Option<Age>, args: Option<&str>, networks: Vec<Part>) -> Line {
    let pod = Pod::from_args(args.unwrap_or_default());
    Line {
        container_id: key.container_id,
        ifname: key.ifname,
        life,
        age_secs: age.and_then(secs_of),
        earlier_boot: age == Some(Age::EarlierBoot),
        namespace: pod.namespace,
        pod: pod.name,
        uid: Pod::uid(args.unwrap_or_default()),
        networks,
        del_failing_secs: None,
        deleted_by: None,
    }
}

/// An age as people read it, such as `15m`.
#[must_use]
pub fn age_text(age: Option<Age>) -> String {
    match age {
        Some(Age::EarlierBoot) => "an earlier boot".into(),
        Some(Age::ThisBoot(age)) => secs_text(age),
        None => "unknown".into(),
    }
}

fn secs_text(age: Duration) -> String {
    match age.as_secs() {
        secs @ 0..120 => format!("{secs}s"),
        secs @ 120..7200 => format!("{}m", secs / 60),
        secs @ 7200..172_800 => format!("{}h", secs / 3600),
        secs => format!("{}d", secs / 86_400),
    }
}

/// Keys of everything that has a record.
///
/// # Errors
/// When the records cannot be listed.
pub fn recorded(store: &Store) -> Result<BTreeSet<Key>, String> {
    let (sound, _) = store.all().map_err(|e| format!("list the records: {e}"))?;
    Ok(sound.into_iter().map(|record| Key::new(record.intent.container_id, record.intent.ifname)).collect())
}

/// Keys of everything that has an inventory entry.
///
/// # Errors
/// When the inventory cannot be read.
pub fn listed(settings: &Directories) -> Result<BTreeSet<Key>, String> {
    let inventory = inventory::load(&settings.layout).map_err(|e| e.to_string())?;
    Ok(inventory.attachments.iter().map(shim::inventory::Entry::key).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_for_people() {
        for (secs, text) in [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d")] {
            assert_eq!(age_text(Some(Age::ThisBoot(Duration::from_secs(secs)))), text);
        }
        assert_eq!(age_text(Some(Age::EarlierBoot)), "an earlier boot");
    }
}
