//! The record of one attachment: who was asked to attach, with what, and what they answered.
//!
//! *Shape*: a file of lines, each `SUM JSON\n` (sixteen hex digits, SipHash-1-3 over the JSON's bytes; [`mod@line`]). The first line is the
//! [`Intent`], durable before any delegate runs; every further line is one [`Event`], appended as it happens. So a record
//! costs one fsync pair, a kill between two delegates loses nothing, and a full disk cannot make it shorter.
//!
//! *Reading*: a bad first line makes a record damaged. An event whose line is torn or fails its sum is unknown, and unknown is read as "it
//! was begun": a DEL too many is harmless, a DEL too few is a leak. Every other line counts, wherever it is: no event takes an
//! earlier one back. After a power loss the events may be gone (they are not fsynced) and the intent alone remains, which is enough for every DEL.
//!
//! *Other versions*: a program deletes what an earlier one wrote, and after a downgrade what a later one wrote. An event that is not known
//! counts as a torn line; an intent of a later version is read for what it has in common with ours, and puts the record in doubt too. So a later version may add keys and events, never change what these say; one that
//! must, has to make the first line unreadable to us, and then the record counts as damaged.

mod line;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::boot::Moment;
use crate::netns::NetnsId;

use line::checked;
pub use line::line;

/// The format this program writes.
pub const FORMAT: u32 = 1;

/// What is about to be done: everything DEL and CHECK will need, without policy, conf files or agents.
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
    /// The resolved conflist.
    pub conf: Box<RawValue>,
    /// `runtimeConfig`, already restricted to what this network may see.
    #[serde(rename = "runtimeConfig", default, skip_serializing_if = "Option::is_none")]
    pub runtime_config: Option<Box<RawValue>>,
}

/// What the route step was told, so that it can be undone.
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
        Self { intent, progress, attached: false, del_failed: None, sound_bytes: 0 }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Why it is damaged, in words: the first line is torn, fails its sum, or is none that we can read.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next().ok_or("the file is empty")?;
        let json = checked(first).ok_or("its first line is torn or fails its checksum")?;
        let intent: Intent = serde_json::from_slice(json).map_err(|e| unreadable(json, &e))?;
        if intent.version < FORMAT {
            return Err(format!("format {}, which nobody ever wrote", intent.version));
        }
        let earlier_boot = crate::boot::boot_id().is_ok_and(|now| now != intent.begun.boot_id);
        let mut doubtful = earlier_boot || intent.version > FORMAT;
        let mut record = Self::begin(intent);
        record.sound_bytes = first.len() as u64;
        for line in lines {
            match checked(line).and_then(|json| serde_json::from_slice(json).ok()) {
                Some(event) => record.apply(event),
                None => doubtful = true,
            }
            if line.ends_with(b"\n") {
                record.sound_bytes += line.len() as u64;
            }
        }
        if doubtful {
            for progress in &mut record.progress {
                progress.started = true;
            }
        }
        Ok(record)
    }

    /// Takes an event in. One for a leg that is not there says nothing.
    pub fn apply(&mut self, event: Event) {
        let at = |legs: &mut Vec<Progress>, leg: usize, change: &mut dyn FnMut(&mut Progress)| {
            if let Some(progress) = legs.get_mut(leg) {
                change(progress);
            }
        };
        match event {
            Event::Started { leg } => at(&mut self.progress, leg, &mut |p| p.started = true),
            Event::Added { leg, result } => at(&mut self.progress, leg, &mut |p| {
                p.started = true;
                p.result = Some(result.clone());
            }),
            Event::Attached {} => self.attached = true,
            Event::Deleted { leg } => at(&mut self.progress, leg, &mut |p| p.deleted = true),
            Event::Stopped { leg, plugin } => at(&mut self.progress, leg, &mut |p| {
                // Its DEL was owed, for whatever reason, and still is.
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

/// Why a first line whose sum is right cannot be read.
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
mod tests {
    use super::*;
    use crate::raw::raw_string;

    fn intent() -> Intent {
        let leg = |network: &str, ifname: &str, primary| Leg {
            network: network.into(),
            profile: "generic".into(),
            conf_path: None,
            ifname: ifname.into(),
            primary,
            tolerated: false,
            conf: raw_string("conf"),
            runtime_config: None,
        };
        Intent {
            version: FORMAT,
            container_id: "c1".into(),
            ifname: "eth0".into(),
            begun: Moment::now().expect("now"),
            netns: "/n".into(),
            netns_id: None,
            cni_args: None,
            cni_path: None,
            route: None,
            legs: vec![leg("oldnet", "eth0", true), leg("newnet", "net1", false)],
        }
    }

    fn bytes(events: &[Event]) -> Vec<u8> {
        let mut bytes = line(&intent());
        for event in events {
            bytes.extend(line(event));
        }
        bytes
    }

    #[test]
    fn the_intent_alone_owes_the_first_network_its_del() {
        let record = Attachment::parse(&bytes(&[])).expect("sound");
        assert_eq!(record.pending(), [0]);
        assert!(!record.attached);
    }

    #[test]
    fn json_spread_over_lines_stays_on_one() {
        let spread =
            || RawValue::from_string("{\n  \"a\": \"b\\n\",\r\n\t\"c\": 1.50\n}".into()).expect("JSON");
        let mut intent = intent();
        intent.legs[0].conf = spread();
        intent.legs[1].runtime_config = Some(spread());
        let mut whole = line(&intent);
        whole.extend(line(&Event::Added { leg: 0, result: spread() }));
        whole.extend(line(&Event::Started { leg: 1 }));
        let record = Attachment::parse(&whole).expect("sound");
        assert_eq!(record.sound_bytes as usize, whole.len());
        assert_eq!(record.pending(), [1, 0]);
        let conf: serde_json::Value = serde_json::from_str(record.intent.legs[0].conf.get()).expect("JSON");
        assert_eq!(conf, serde_json::json!({ "a": "b\n", "c": 1.50 }));
        assert!(record.intent.legs[0].conf.get().contains("1.50"));
    }

    #[test]
    fn pending_is_what_was_begun_and_not_deleted_last_first() {
        let started = Event::Started { leg: 1 };
        let record = Attachment::parse(&bytes(std::slice::from_ref(&started))).expect("sound");
        assert_eq!(record.pending(), [1, 0]);
        let record = Attachment::parse(&bytes(&[started, Event::Deleted { leg: 1 }])).expect("sound");
        assert_eq!(record.pending(), [0]);
    }

    #[test]
    fn a_record_of_an_earlier_boot_owes_every_network_its_del() {
        let mut intent = intent();
        intent.begun.boot_id = "another".into();
        let record = Attachment::parse(&line(&intent)).expect("sound");
        assert_eq!(record.pending(), [1, 0]);
    }

    #[test]
    fn truncation_at_every_byte_is_damage_in_the_intent_and_doubt_behind_it() {
        let whole = bytes(&[Event::Added { leg: 0, result: raw_string("r") }, Event::Deleted { leg: 0 }]);
        let first = line(&intent()).len();
        for cut in 0..whole.len() {
            let read = Attachment::parse(&whole[..cut]);
            if cut < first {
                assert!(read.is_err(), "cut at {cut}");
            } else {
                let record = read.unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
                assert!(record.pending().contains(&0), "cut at {cut}: a DEL too few");
                assert!(record.sound_bytes as usize <= cut);
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let whole = bytes(&[Event::Deleted { leg: 0 }]);
        for byte in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[byte] ^= 1 << bit;
                if let Ok(record) = Attachment::parse(&flipped) {
                    assert_eq!(record.pending(), [1, 0], "byte {byte} bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_later_format_is_read_for_what_it_has_in_common_and_everything_in_it_is_owed() {
        let mut intent = intent();
        intent.version = FORMAT + 1;
        let later = String::from_utf8(line(&intent)).expect("text");
        let json = later.split_once(' ').expect("a sum").1.trim_end();
        let with_more = RawValue::from_string(json.replacen('{', r#"{"more":{"legs":3},"#, 1)).expect("JSON");
        let record = Attachment::parse(&line(&with_more)).expect("readable");
        assert_eq!((record.pending(), record.intent.container_id.as_str()), (vec![1, 0], "c1"));
        let without = RawValue::from_string(json.replace("\"legs\"", "\"arms\"")).expect("JSON");
        assert!(Attachment::parse(&line(&without)).expect_err("no legs").contains("format 2"));
    }

    #[test]
    fn an_event_of_a_later_program_is_passed_over_and_puts_all_in_doubt() {
        let unknown = RawValue::from_string(r#"{"mended":{"leg":0}}"#.into()).expect("JSON");
        let mut whole = bytes(&[]);
        whole.extend(line(&unknown));
        assert_eq!(Attachment::parse(&whole).expect("sound").pending(), [1, 0]);
        whole.extend(line(&Event::Deleted { leg: 1 }));
        let record = Attachment::parse(&whole).expect("sound");
        assert_eq!(record.pending(), [0], "what comes after it counts");
        assert_eq!(record.sound_bytes as usize, whole.len(), "and it is not cut off");
    }

    #[test]
    fn a_format_that_nobody_wrote_is_damage() {
        let mut intent = intent();
        intent.version = 0;
        assert!(Attachment::parse(&line(&intent)).expect_err("unknown").contains("format 0"));
    }
}
