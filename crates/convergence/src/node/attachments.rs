//! The attachments of a node, from records and inventory.

pub mod attached;
pub mod last_pass;
pub mod leaks;
pub mod selection;
pub mod sweep_candidates;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use shim::attachment::plan::PodNetwork;
use shim::host::boot::Age;
use shim::node::inventory::Deleter;
use types::attachment::Attachment;

/// Everything that is attached.
///
/// *Shape*: `{"attachments":[..],"damaged":[{"path":"..","reason":".."}]}`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attachments {
    /// One line per attachment: first those with a record, then inventory entries without one.
    pub attachments: Vec<Line>,
    /// Records that Crossfade cannot read.
    pub damaged: Vec<DamagedRecord>,
}

/// One attachment.
///
/// *Shape*: `{"containerID":"..","ifname":"eth0","life":"attached","ageSeconds":12,"earlierBoot":false,"namespace":"..","pod":"..",
/// "networks":[{"name":"oldnet","side":"old","ifname":"eth0","primary":true,"owed":true}],"delFailingSeconds":90,"deletedBy":"runtime"}`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The same networks as what decides whether one joins or leaves the pod while it runs; empty if too little is known.
    #[serde(skip)]
    pub pod_networks: Vec<PodNetwork>,
    /// The addresses that the networks answered, by the results of their ADDs.
    #[serde(skip)]
    pub addresses: Vec<IpAddr>,
    /// Who sends the attachment's DEL, where that is not Crossfade.
    #[serde(rename = "deletedBy", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub deleted_by: Option<Deleter>,
}

/// How far an attachment's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "kebab-case", const_into_str)]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Damaged"))]
pub struct DamagedRecord {
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
    /// How far the life of a recorded attachment has come.
    #[must_use]
    pub fn from_record(record: &Attachment) -> Self {
        let is_ending = record.progress.iter().any(|part| part.deleted || part.resume_at.is_some());
        let goes_on = record.is_on_primary_alone();
        if record.del_failed.is_some() || (is_ending && !goes_on) {
            Self::Detaching
        } else if record.attached || goes_on {
            Self::Attached
        } else {
            Self::Attaching
        }
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
