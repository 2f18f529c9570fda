//! The record of one attachment: which networks were called, with what, and what they answered.
//!
//! *Shape*: a file of lines, each `SUM JSON\n` (sixteen hex digits, SipHash-1-3 over the JSON's bytes; [`mod@line`]). The first line is the
//! [`Intent`], durable before any delegate runs; every further line is one [`Event`], appended as it happens. So a record
//! costs one fsync pair, a kill between two delegates loses nothing, and a full disk cannot make it shorter.
//!
//! *Reading*: a bad first line makes a record damaged. An event is unknown if its line is torn or fails its sum. With an unknown event, every
//! network counts as begun: a DEL too many is harmless, a DEL too few is a leak. Every other line counts, wherever it is, because no event
//! revokes an earlier one. After a power loss the events may be gone (they are not fsynced). The intent remains, and is enough for every DEL.
//!
//! *No I/O*: this module reads and writes bytes alone. [`crate::store`] has the files.
//!
//! *Other versions*: each program reads the records of earlier programs and, after a downgrade, of later ones. An unknown event counts as a
//! torn line. An intent of a later format is read for the keys that both formats have, and puts the record in doubt too. So a later format may
//! add keys and events, but not change the meaning of existing ones. A format that must change them makes its first line unreadable to earlier
//! programs, and then the record counts as damaged.

mod line;

use line::checked;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::boot::Moment;
use crate::hostroute::HostRoute;
use crate::netns::NetnsId;
use crate::pod_interfaces::PodInterface;
pub use line::line;

/// The format this program writes.
pub const FORMAT: u32 = 1;

/// What an ADD is about to do. It holds everything that DEL and CHECK need, so that they need no policy, conf file or agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Intent {
    /// [`FORMAT`].
    pub version: u32,
    /// `CNI_CONTAINERID`.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// `CNI_IFNAME`, the interface that the runtime asked for.
    pub ifname: String,
    /// When it was begun.
    pub begun: Moment,
    /// `CNI_NETNS`.
    pub netns: String,
    /// Identity of that netns, so that another one at the same path is not taken for it.
    #[serde(rename = "netnsID", default, skip_serializing_if = "Option::is_none")]
    pub netns_id: Option<NetnsId>,
    /// What tells that netns from a later one that was given the same inode number; records of earlier programs, of older kernels
    /// and of callers that may not enter a netns have none.
    #[serde(rename = "netnsCookie", default, skip_serializing_if = "Option::is_none")]
    pub netns_cookie: Option<u64>,
    /// `CNI_ARGS`, verbatim.
    #[serde(rename = "cniArgs", default, skip_serializing_if = "Option::is_none")]
    pub cni_args: Option<String>,
    /// `CNI_PATH`, verbatim.
    #[serde(rename = "cniPath", default, skip_serializing_if = "Option::is_none")]
    pub cni_path: Option<String>,
    /// The route step of both-mode, if it is part of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteStep>,
    /// The networks, in the order of ADD.
    pub legs: Vec<Leg>,
}

impl Intent {
    /// Whether the netns `found` at some path, with that cookie, is the attachment's own; none if that cannot be decided. `boot_id` is the present
    /// boot. A netns does not outlive its boot, and its inode number may be reused. If both cookies are known, they decide.
    #[must_use]
    pub fn is_its_netns(&self, found: NetnsId, cookie: Option<u64>, boot_id: Option<&str>) -> Option<bool> {
        let then = self.netns_id?;
        let another = self.netns_cookie.zip(cookie).is_some_and(|(then, now)| then != now);
        match boot_id {
            _ if then != found || another => Some(false),
            Some(boot_id) => Some(boot_id == self.begun.boot_id),
            None => None,
        }
    }
}

/// One network of an attachment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Leg {
    /// The network's own name.
    pub network: String,
    /// Its profile, as the policy named it.
    pub profile: String,
    /// Where its conf was read.
    #[serde(rename = "confPath", default, skip_serializing_if = "Option::is_none")]
    pub conf_path: Option<String>,
    /// Its interface in the pod.
    pub ifname: String,
    /// Whether its result was the reply.
    pub primary: bool,
    /// Whether the pod may live without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tolerated: bool,
    /// Whether the node gets host routes to its addresses.
    #[serde(rename = "hostRoute", default, skip_serializing_if = "std::ops::Not::not")]
    pub host_route: bool,
    /// The resolved conflist.
    pub conf: Box<RawValue>,
    /// `runtimeConfig`, restricted to the capabilities that this network's plugins declare and that it may see.
    #[serde(rename = "runtimeConfig", default, skip_serializing_if = "Option::is_none")]
    pub runtime_config: Option<Box<RawValue>>,
}

/// The arguments of the route step, with which it can be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStep {
    /// Interface that was attached first.
    pub first: String,
    /// Interface that owns the default route.
    pub owner: String,
}

/// Something that happened to an attachment. `leg` counts from 0 in [`Intent::legs`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// A network's ADD is about to run. The first one needs no such line.
    Started {
        /// Which.
        leg: usize,
    },
    /// A network's ADD succeeded.
    Added {
        /// Which.
        leg: usize,
        /// Its result, at its conf's version.
        result: Box<RawValue>,
        /// Which interfaces of the result were in the pod; none if the pod could not be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        present: Option<Vec<PodInterface>>,
    },
    /// Host routes to a network's addresses are about to be set.
    HostRouted {
        /// Which.
        leg: usize,
        /// The ways to them, one per address.
        routes: Vec<HostRoute>,
    },
    /// The host routes to a network's addresses are about to be taken back, for good.
    HostUnrouted {
        /// Which.
        leg: usize,
    },
    /// The whole ADD succeeded.
    Attached {},
    /// A network's DEL succeeded.
    Deleted {
        /// Which.
        leg: usize,
    },
    /// A network's DEL has come to a plugin before its chain's end, and may have stopped there.
    Stopped {
        /// Which.
        leg: usize,
        /// The plugin, counted from 0 in the order of ADD; it is where the next DEL resumes.
        plugin: usize,
    },
    /// The first failure of a DEL.
    DelFailed {
        /// When.
        at: Moment,
    },
}

/// How far one network is.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Its ADD was begun.
    pub started: bool,
    /// What its ADD answered, if it succeeded.
    pub result: Option<Box<RawValue>>,
    /// What of it was in the pod by then.
    pub present: Option<Vec<PodInterface>>,
    /// The host routes to its addresses, as far as any were set.
    pub host_routes: Vec<HostRoute>,
    /// They are being taken back, or have been.
    pub host_unrouted: bool,
    /// Its DEL is done.
    pub deleted: bool,
    /// The plugin at which its DEL resumes.
    pub resume_at: Option<usize>,
}

/// A record as it was read: the intent and what became of it.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// The first line.
    pub intent: Intent,
    /// One per leg.
    pub progress: Vec<Progress>,
    /// The ADD succeeded as a whole.
    pub attached: bool,
    /// When a DEL first failed.
    pub del_failed: Option<Moment>,
    /// Some of what became of it could not be read.
    pub torn: bool,
    /// Bytes up to the last end of a line; what follows is torn, and has to be ended before anything is appended.
    pub sound_bytes: u64,
}

impl Attachment {
    /// A record whose first line is about to be written.
    #[must_use]
    pub fn begin(intent: Intent) -> Self {
        let mut progress = vec![Progress::default(); intent.legs.len()];
        if let Some(first) = progress.first_mut() {
            first.started = true;
        }
        Self { intent, progress, attached: false, del_failed: None, torn: false, sound_bytes: 0 }
    }

    /// Reads a record from the bytes of its file, in the boot `boot_id`; none if the boot is not known.
    ///
    /// # Errors
    /// Why it is damaged, in words: the first line is torn, fails its sum, or is none that we can read.
    pub fn parse(bytes: &[u8], boot_id: Option<&str>) -> Result<Self, String> {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next().ok_or("the file is empty")?;
        let json = checked(first).ok_or("its first line is torn or fails its checksum")?;
        let intent: Intent = serde_json::from_slice(json).map_err(|e| unreadable(json, &e))?;
        if intent.version < FORMAT {
            return Err(format!("format {}, which nobody ever wrote", intent.version));
        }
        let earlier_boot = boot_id.is_some_and(|now| now != intent.begun.boot_id);
        let is_later = intent.version > FORMAT;
        let mut record = Self::begin(intent);
        record.torn = is_later;
        record.sound_bytes = first.len() as u64;
        for line in lines {
            match checked(line).and_then(|json| serde_json::from_slice(json).ok()) {
                Some(event) => record.apply(event),
                None => record.torn = true,
            }
            if line.ends_with(b"\n") {
                record.sound_bytes += line.len() as u64;
            }
        }
        if earlier_boot || record.torn {
            for progress in &mut record.progress {
                progress.started = true;
            }
        }
        Ok(record)
    }

    /// Applies an event. An event for a network that the intent does not have is ignored.
    pub fn apply(&mut self, event: Event) {
        let at = |legs: &mut Vec<Progress>, leg: usize, change: &mut dyn FnMut(&mut Progress)| {
            if let Some(progress) = legs.get_mut(leg) {
                change(progress);
            }
        };
        match event {
            Event::Started { leg } => at(&mut self.progress, leg, &mut |p| p.started = true),
            Event::Added { leg, result, present } => at(&mut self.progress, leg, &mut |p| {
                p.started = true;
                p.result = Some(result.clone());
                p.present.clone_from(&present);
            }),
            Event::HostRouted { leg, routes } => at(&mut self.progress, leg, &mut |p| {
                p.host_routes.clone_from(&routes);
            }),
            Event::HostUnrouted { leg } => at(&mut self.progress, leg, &mut |p| p.host_unrouted = true),
            Event::Attached {} => self.attached = true,
            Event::Deleted { leg } => at(&mut self.progress, leg, &mut |p| p.deleted = true),
            Event::Stopped { leg, plugin } => at(&mut self.progress, leg, &mut |p| {
                // Its DEL was owed, and still is.
                p.started = true;
                p.resume_at = Some(plugin);
            }),
            Event::DelFailed { at } => {
                self.del_failed.get_or_insert(at);
            }
        }
    }

    /// The legs whose DEL is still owed, in the order of DEL: begun, not deleted, last first.
    #[must_use]
    pub fn pending(&self) -> Vec<usize> {
        (0..self.progress.len())
            .rev()
            .filter(|leg| self.progress[*leg].started && !self.progress[*leg].deleted)
            .collect()
    }

    /// Every interface name this attachment uses in the pod.
    pub fn ifnames(&self) -> impl Iterator<Item = &str> {
        self.intent.legs.iter().map(|leg| leg.ifname.as_str())
    }
}

/// The reason why a first line with the right sum cannot be read.
fn unreadable(json: &[u8], error: &serde_json::Error) -> String {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    match serde_json::from_slice(json) {
        Ok(Versioned { version }) if version > FORMAT => {
            format!(
                "format {version}, of which this program, which writes {FORMAT}, cannot read the first line"
            )
        }
        _ => format!("its first line: {error}"),
    }
}

#[cfg(test)]
pub(crate) mod tests;
