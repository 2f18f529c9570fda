//! The stand-in kubelet: as much of one as a node's boot can tell right from wrong by.
//!
//! It takes its command line as kubelet does, registers the Node (or finds it registered) in a directory that stands for the API
//! server, and runs a list of pods that tolerate everything as soon as the runtime says that its network is ready. Everything
//! it does it writes down ([`Event`]); a test reads that.

mod flags;
mod pods;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use flags::{Node, Registration};

/// Where everything is written down, one JSON line an event; on disk, so that reboots add to it.
pub const EVENTS: &str = "/var/lib/lab-kubelet/events";
/// The Node objects, `NAME.json` each: the API server outlives a machine's boots.
pub const NODES: &str = "/var/lib/lab-api";
/// The policy that the pods are held against: the first of these that is there.
const POLICIES: [&str; 3] =
    ["/etc/crossfade/policy.json", "/run/crossfade/policy.json", "/usr/lib/crossfade/policy.json"];

/// Something that kubelet did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Event {
    Started {
        /// Its command line as it came, program included.
        arguments: Vec<String>,
        boot: String,
    },
    /// It has a Node.
    Registered {
        /// The Node as the API server has it.
        node: Node,
        /// Whether it was made just now; only then labels and taints of the command line count.
        created: bool,
    },
    /// The runtime changed its mind about its network.
    Network {
        ready: bool,
        /// What it says about it.
        message: String,
    },
    /// It tried to run a pod.
    Pod(Pod),
    /// It was told to end.
    Ended,
}

/// A pod, or an attempt at one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    pub name: String,
    /// Its addresses, first the one that is published; empty when it did not come to be.
    pub addresses: Vec<String>,
    /// Why it did not.
    pub error: Option<String>,
    /// `attach` and `both.primary` of the policy before and after: what could have counted.
    pub policies: Vec<String>,
    /// How long after kubelet's start it was there, in milliseconds; for people only.
    pub after_millis: u64,
}

/// Runs kubelet with a command line.
///
/// # Errors
/// What makes kubelet end: a label that it refuses, a taint that it cannot parse, a config that is none.
pub fn run(arguments: &[String]) -> Result<()> {
    let record = Record::open(Path::new(EVENTS))?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("the boot's id")?;
    record.add(&Event::Started { arguments: arguments.to_vec(), boot: boot.trim().to_owned() })?;
    let registration = Registration::parse(arguments.get(1..).unwrap_or_default())?;
    let (node, created) = register(Path::new(NODES), &registration)?;
    record.add(&Event::Registered { node, created })?;
    pods::run(&registration.runtime, &record)?;
    record.add(&Event::Ended)
}

/// Makes the Node, or finds it: an existing one keeps its labels and taints.
///
/// *Source*: kubelet's `tryRegisterWithAPIServer`, of which flag labels and taints play a part in the creation only.
fn register(nodes: &Path, registration: &Registration) -> Result<(Node, bool)> {
    let path = nodes.join(format!("{}.json", registration.name));
    if let Ok(text) = fs::read_to_string(&path) {
        return Ok((serde_json::from_str(&text).context("a Node")?, false));
    }
    fs::create_dir_all(nodes).context("the API server's directory")?;
    fs::write(&path, serde_json::to_vec(&registration.node)?).context("making the Node")?;
    Ok((registration.node.clone(), true))
}

/// Reads what a kubelet wrote down; nothing when it was never started.
///
/// # Errors
/// A line that is none of ours.
pub fn events(path: &Path) -> Result<Vec<Event>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).with_context(|| format!("event {line}"))).collect()
}

/// What it writes down.
#[derive(Debug)]
struct Record(PathBuf);

impl Record {
    fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path.parent().context("a directory")?).context("the record's directory")?;
        Ok(Self(path.to_owned()))
    }

    fn add(&self, event: &Event) -> Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let mut file = File::options().create(true).append(true).open(&self.0).context("the record")?;
        file.write_all(&line).context("the record")
    }
}
