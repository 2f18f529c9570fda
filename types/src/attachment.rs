//! The record of one attachment: which networks were called, with what, and what they answered.
//!
//! *Shape*: a file of lines, each `SUM JSON\n` (sixteen hex digits, SipHash-1-3 over the JSON's bytes; [`line()`]). The first line is the
//! [`Intent`], durable before any delegate runs; every further line is one [`Event`], appended as it happens. So a record
//! costs one fsync pair, a kill between two delegates loses nothing, and a full disk cannot make it shorter.
//!
//! *Reading*: a bad first line makes a record damaged. An event is unknown if its line is torn or fails its sum. With an unknown event, every
//! network counts as begun: a DEL too many is harmless, a DEL too few is a leak. Every other line counts, wherever it is, because no event
//! revokes an earlier one. After a power loss the events may be gone (they are not fsynced). The intent remains, and is enough for every DEL.
//!
//! *No I/O*: this module reads and writes bytes alone. The shim's `store` has the files.
//!
//! *Other versions*: each program reads the records of earlier programs and, after a downgrade, of later ones. An unknown event counts as a
//! torn line. An intent of a later format is read for the keys that both formats have, and puts the record in doubt too. So a later format may
//! add keys and events, but not change the meaning of existing ones. A format that must change them makes its first line unreadable to earlier
//! programs, and then the record counts as damaged.

mod event;
mod intent;
mod kernel;
pub mod key;
pub mod ledger;
mod line;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::read;
use crate::moment::Moment;
pub use event::Event;
pub use intent::{Intent, Leg, RouteStep};
pub use kernel::{HostRoute, NetnsId, PodInterface};
use line::check;
pub use line::line;

/// The format of records that this program writes.
pub const FORMAT: u32 = 1;

/// The outcome of a call of the plugin, as the message of its line in the journal, by which `doctor` finds calls that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The plugin answered the runtime with a success.
    Served,
    /// The plugin answered the runtime with an error.
    Failed,
}

impl CallOutcome {
    /// The outcome as the journal's message.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Failed => "failed",
        }
    }
}

/// The progress of one network's ADD and DEL.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The network's ADD has begun.
    pub started: bool,
    /// The result of the network's ADD, if that succeeded.
    pub result: Option<Box<RawValue>>,
    /// The interfaces of the result that were in the pod after the ADD; none if the plugin could not read the pod's netns.
    pub present: Option<Vec<PodInterface>>,
    /// The host routes to the network's addresses; empty if the plugin set none.
    pub host_routes: Vec<HostRoute>,
    /// The plugin has begun to remove these host routes.
    pub host_unrouted: bool,
    /// The network's DEL succeeded.
    pub deleted: bool,
    /// The plugin of the network's chain at which DEL resumes, counted from 0 in the order of ADD.
    pub resume_at: Option<usize>,
}

impl Progress {
    /// Whether the network's ADD succeeded and no DEL of it has begun.
    fn is_whole(&self) -> bool {
        self.result.is_some() && self.resume_at.is_none() && !self.deleted
    }
}

/// A record as it was read: the intent, with its events applied.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// The first line.
    pub intent: Intent,
    /// The progress of each network, in the order of [`Intent::legs`].
    pub progress: Vec<Progress>,
    /// The ADD succeeded as a whole.
    pub attached: bool,
    /// When a DEL first failed.
    pub del_failed: Option<Moment>,
    /// At least one event could not be read.
    pub torn: bool,
    /// The number of bytes up to the last end of a line. Bytes behind them are a torn line, which needs an end before anything is appended.
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

    /// Reads a record from the bytes of its file. `boot_id` is the present boot; none if the caller does not know it.
    ///
    /// # Errors
    /// Why the record is damaged, in words: its first line is torn, fails its sum, or is no intent that this program can read.
    pub fn parse(bytes: &[u8], boot_id: Option<&str>) -> Result<Self, String> {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next().ok_or("the file is empty")?;
        let json = check(first).ok_or("its first line is torn or fails its checksum")?;
        let intent: Intent =
            read::read_written(json, "the intent").map_err(|why| unreadable_text(json, &why))?;
        if intent.version < FORMAT {
            return Err(format!("format {}, which no release wrote", intent.version));
        }
        let earlier_boot = boot_id.is_some_and(|now| now != intent.began_at.boot_id);
        let is_later = intent.version > FORMAT;
        let mut record = Self::begin(intent);
        record.torn = is_later;
        record.sound_bytes = first.len() as u64;
        for line in lines {
            match check(line).and_then(|json| read::read_written(json, "the event").ok()) {
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
        let change_leg = |legs: &mut Vec<Progress>, leg: usize, change: &mut dyn FnMut(&mut Progress)| {
            if let Some(progress) = legs.get_mut(leg) {
                change(progress);
            }
        };
        match event {
            Event::Started { leg } => change_leg(&mut self.progress, leg, &mut |p| p.started = true),
            Event::Added { leg, result, present } => change_leg(&mut self.progress, leg, &mut |p| {
                p.started = true;
                p.result = Some(result.clone());
                p.present.clone_from(&present);
            }),
            Event::HostRouted { leg, routes } => change_leg(&mut self.progress, leg, &mut |p| {
                p.host_routes.clone_from(&routes);
            }),
            Event::HostUnrouted { leg } => {
                change_leg(&mut self.progress, leg, &mut |p| p.host_unrouted = true)
            }
            Event::Attached {} => self.attached = true,
            Event::Deleted { leg } => change_leg(&mut self.progress, leg, &mut |p| p.deleted = true),
            Event::Stopped { leg, plugin } => change_leg(&mut self.progress, leg, &mut |p| {
                // Only a network that has begun gets a DEL.
                p.started = true;
                p.resume_at = Some(plugin);
            }),
            Event::DelFailed { failed_at: moment } => {
                self.del_failed.get_or_insert(moment);
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

    /// The network beside the primary that the pod has, or whose DEL is owed.
    #[must_use]
    pub fn second_leg(&self) -> Option<usize> {
        self.pending().into_iter().find(|leg| !self.intent.legs[*leg].primary)
    }

    /// Whether the pod has this network as its ADD left it: no DEL of it has begun.
    ///
    /// A second network also needs its route step. The primary does not: a JOIN that was killed leaves it as it was.
    #[must_use]
    pub fn has(&self, leg: usize) -> bool {
        (self.attached || self.intent.legs[leg].primary) && self.progress[leg].is_whole()
    }

    /// Whether the pod goes on with its primary although the record has a second network: that one did not join it, or has begun to leave it.
    ///
    /// A DEL of the whole attachment takes the last network first, so a primary that is as its ADD left it has not begun to go.
    #[must_use]
    pub fn is_on_primary_alone(&self) -> bool {
        let primary = self.intent.legs.iter().position(|leg| leg.primary);
        primary.is_some_and(|leg| {
            !self.torn && self.has(leg) && leg > 0 && !(0..leg).any(|earlier| self.has(earlier))
        })
    }

    /// The record of the same running pod with another network before those that it has, whose ADD is about to run. The pod's default route stays
    /// with its primary.
    #[must_use]
    pub fn with_first(&self, leg: Leg) -> (Intent, Vec<Event>) {
        let (mut intent, events) = self.rewritten(1);
        let owner = self.intent.ifname.clone();
        intent.route = Some(RouteStep { first: leg.ifname.clone(), owner });
        intent.legs.insert(0, leg);
        (intent, events)
    }

    /// The record of the same running pod with its primary alone, once the DELs of all other networks have succeeded.
    #[must_use]
    pub fn without_deleted(&self) -> (Intent, Vec<Event>) {
        let (mut intent, mut events) = self.rewritten(0);
        intent.route = None;
        events.push(Event::Attached {});
        (intent, events)
    }

    /// The first line with the networks that are not deleted, and the further lines of these networks, which count from `from`.
    fn rewritten(&self, from: usize) -> (Intent, Vec<Event>) {
        let (mut legs, mut events) = (Vec::new(), Vec::new());
        for (leg, progress) in
            self.intent.legs.iter().zip(&self.progress).filter(|(_, progress)| !progress.deleted)
        {
            let index = from + legs.len();
            legs.push(leg.clone());
            let present = progress.present.clone();
            events.push(match progress.result.clone() {
                Some(result) => Event::Added { leg: index, result, present },
                None => Event::Started { leg: index },
            });
            if !progress.host_routes.is_empty() {
                events.push(Event::HostRouted { leg: index, routes: progress.host_routes.clone() });
            }
            if progress.host_unrouted {
                events.push(Event::HostUnrouted { leg: index });
            }
        }
        (Intent { legs, ..self.intent.clone() }, events)
    }

    /// The names of all interfaces that this attachment has in the pod.
    pub fn ifnames(&self) -> impl Iterator<Item = &str> {
        self.intent.legs.iter().map(|leg| leg.ifname.as_str())
    }
}

/// The reason why a first line with the right sum is no intent.
fn unreadable_text(json: &[u8], why: &str) -> String {
    #[derive(Deserialize)]
    struct FormatVersion {
        version: u32,
    }
    match read::read_written(json, "the intent") {
        Ok(FormatVersion { version }) if version > FORMAT => {
            format!(
                "format {version}, of which this program, which writes {FORMAT}, cannot read the first line"
            )
        }
        _ => format!("its first line: {why}"),
    }
}

#[cfg(test)]
mod tests;
