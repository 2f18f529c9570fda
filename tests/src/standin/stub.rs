//! Scripts for the stub delegates, and their call log.
//!
//! One binary, `lab-stub`, stands in for any CNI plugin: linked under a plugin's name into a directory of the test, it
//! looks for its [`Script`] beside itself (`NAME.script`), appends one JSON line per call to the call log and then does
//! what the script says for this verb, this pod and this call number. Everything that waits waits on a gate, never on a
//! clock.
//!
//! A test that wants a witness beside the call log has stubs leave something real: [`Act::Lease`] and [`Act::Plug`] on ADD,
//! [`Act::Release`] and [`Act::Unplug`] on DEL.
//!
//! [`StubDir`] is a directory of stubs with one call log; [`Reply`] is the little language; [`Gate`] holds a stub in
//! mid-call until the test lets it go.

pub mod interface;
mod log;

pub use log::{Call, CallLog, Event, append, events};

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::host::node::Node;

/// The environment variable by which the shim tells a delegate how deep it is nested.
pub const DEPTH_VARIABLE: &str = "CROSSFADE_DEPTH";

/// What one stub does, read by `lab-stub` from the file `NAME.script` beside its own binary.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Script {
    /// The call log, a file of JSON lines.
    pub log: PathBuf,
    /// Per verb (`ADD`, ...) the replies by call number; the last one repeats. The key `*` stands for every other verb,
    /// `ADD@NAME` for the ADDs of the pod of that name (`K8S_POD_NAME` of CNI_ARGS), counted by themselves.
    pub verbs: BTreeMap<String, Vec<Reply>>,
    /// How much of a call is recorded.
    #[serde(default)]
    pub record: Detail,
}

/// How much of a call the stub records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// Environment, stdin, process ids, open files and signal masks.
    #[default]
    Full,
    /// Nothing: for benchmarks.
    Nothing,
}

/// One answer of a stub: acts done in order. A reply without [`Act::Exit`] or [`Act::Signal`] ends with exit code 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply(
    /// The acts, first to last.
    pub Vec<Act>,
);

/// One thing a stub can do. In texts `{ifname}`, `{netns}` and `{id}` are replaced by the call's own values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Close stdin without reading it; the call is logged without stdin. Only as the first act.
    CloseStdin,
    /// Write this text to stdout.
    Print(String),
    /// Write the prevResult found on stdin to stdout, as a chained plugin does; an empty object if there is none.
    PrintPrevResult,
    /// Write this text to stderr.
    Stderr(String),
    /// Write that many bytes to stdout.
    FloodStdout(u64),
    /// Write that many bytes to stderr.
    FloodStderr(u64),
    /// Make the file `ID@IFNAME` in this directory, as an IPAM plugin keeps a lease.
    Lease(PathBuf),
    /// Remove that file; an absent one is fine.
    Release(PathBuf),
    /// Make a veth pair, `{ifname}` inside the pod with this address and a default route; see [`interface::plug`].
    Plug {
        /// Name of the peer, which stays outside; 15 bytes at most after replacement.
        host: String,
        /// The pod's address.
        address: Ipv4Addr,
    },
    /// Remove the pair with this peer; an absent one is fine.
    Unplug(String),
    /// Wait until the gate at this path is open; see [`Gate`].
    Gate(PathBuf),
    /// Start this program, which inherits stdout, stderr and the process group; its pid is logged.
    Spawn(Vec<String>),
    /// Run this program to its end, with this stub's environment and nothing to read; it may fail and may say nothing.
    Run(Vec<String>),
    /// Kill the caller with SIGKILL, as an out-of-memory killer would. Only as the first act, done before all else.
    KillParent,
    /// From here on SIGTERM does nothing.
    IgnoreTerm,
    /// Never return.
    Hang,
    /// End with this exit code.
    Exit(i32),
    /// End by this signal number.
    Signal(i32),
}

impl Reply {
    /// Exit 0 without a word, as plugins answer a DEL.
    pub fn silent() -> Self {
        Self::default()
    }

    /// Print this result (with its `{ifname}`, `{netns}`, `{id}` replaced) and exit 0.
    pub fn json(result: &Value) -> Self {
        Self::text(&result.to_string())
    }

    /// Print the prevResult and exit 0, as a plugin of a chain lets an ADD pass.
    pub fn pass() -> Self {
        Self(vec![Act::PrintPrevResult])
    }

    /// Print this text and exit 0.
    pub fn text(text: &str) -> Self {
        Self(vec![Act::Print(text.to_owned())])
    }

    /// Print a CNI error and exit 1.
    pub fn fail(code: u32, msg: &str, details: &str) -> Self {
        let error = serde_json::json!({"cniVersion": "1.0.0", "code": code, "msg": msg, "details": details});
        Self(vec![Act::Print(error.to_string()), Act::Exit(1)])
    }

    /// Do this before anything else.
    pub fn first(mut self, act: Act) -> Self {
        self.0.insert(0, act);
        self
    }

    /// Do this after everything else.
    pub fn then(mut self, act: Act) -> Self {
        self.0.push(act);
        self
    }

    /// Wait at this gate before anything else.
    pub fn behind(self, gate: &Gate) -> Self {
        self.first(Act::Gate(gate.path.clone()))
    }
}

/// A stub's script under construction.
#[derive(Debug, Clone, Default)]
pub struct Stub {
    verbs: BTreeMap<String, Vec<Reply>>,
    record: Detail,
}

impl Stub {
    /// A stub that answers VERSION with every released version, ADD with `add` and anything else silently.
    pub fn answering(add: Reply) -> Self {
        let versions =
            r#"{"cniVersion":"1.1.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}"#;
        Self::default().on("VERSION", Reply::text(versions)).on("ADD", add).on("*", Reply::silent())
    }

    /// Answer this verb so, at every call.
    pub fn on(self, verb: &str, reply: Reply) -> Self {
        self.on_calls(verb, vec![reply])
    }

    /// Answer this verb's first call by the first reply and so on; the last one repeats.
    pub fn on_calls(mut self, verb: &str, replies: Vec<Reply>) -> Self {
        self.verbs.insert(verb.to_owned(), replies);
        self
    }

    /// Answer the calls for one pod by these replies, whatever the others get; as [`Stub::on_calls`].
    pub fn on_pod(self, pod: &str, verb: &str, replies: Vec<Reply>) -> Self {
        self.on_calls(&format!("{verb}@{pod}"), replies)
    }

    /// Record no calls at all.
    pub fn unrecorded(mut self) -> Self {
        self.record = Detail::Nothing;
        self
    }
}

/// A directory of stub plugins that share one call log.
#[derive(Debug, Clone)]
pub struct StubDir {
    dir: PathBuf,
    log: PathBuf,
    program: PathBuf,
}

impl StubDir {
    /// Stubs in `dir` (which must exist), hard links to `program`: a copy of `lab-stub` on the same file system.
    ///
    /// Links, since a copy made while another thread forks is open for writing in that thread's child for a moment, and
    /// executing it fails then ("text file busy").
    pub fn new(dir: &Path, log: &Path, program: &Path) -> Self {
        Self { dir: dir.to_owned(), log: log.to_owned(), program: program.to_owned() }
    }

    /// Stubs among the plugins of a node, in `bin_dir` as the node sees it; one call log per node.
    ///
    /// # Errors
    /// `lab-stub` is not built.
    pub fn on(node: &Node, bin_dir: &str) -> Result<Self> {
        let bin = node.outside(bin_dir);
        let program = bin.join("lab-stub");
        crate::host::scratch::install(&crate::build::dist::lab_bin("lab-stub")?, &program)?;
        Ok(Self::new(&bin, &node.dir().join("calls.jsonl"), &program))
    }

    /// The directory, for CNI_PATH.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The copy of `lab-stub` that the stubs are links to.
    pub fn template(&self) -> &Path {
        &self.program
    }

    /// The path of one stub.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Puts a stub called `name` there, or gives the one that is there a new script, whose calls are counted anew.
    ///
    /// # Errors
    /// When the link or the script cannot be written.
    pub fn write(&self, name: &str, stub: &Stub) -> Result<()> {
        let program = self.program(name);
        if !program.exists() {
            fs::hard_link(&self.program, &program)
                .with_context(|| format!("link {} to {}", self.program.display(), program.display()))?;
        }
        self.write_script(name, stub)
    }

    /// Writes only the script of `name`: for a program that the test put there itself.
    ///
    /// # Errors
    /// When the script cannot be written.
    pub fn write_script(&self, name: &str, stub: &Stub) -> Result<()> {
        let script = Script { log: self.log.clone(), verbs: stub.verbs.clone(), record: stub.record };
        let path = self.dir.join(format!("{name}.script"));
        for verb in stub.verbs.keys() {
            match fs::remove_file(counter(&path, verb)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.with_context(|| format!("count {verb} of {name} anew"))?,
            }
        }
        let unfinished = self.dir.join(format!("{name}.script.new"));
        fs::write(&unfinished, serde_json::to_vec(&script)?)
            .and_then(|()| fs::rename(&unfinished, &path))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Takes a stub's binary away; its script stays for [`StubDir::write`].
    ///
    /// # Errors
    /// When there is none.
    pub fn remove(&self, name: &str) -> Result<()> {
        let program = self.program(name);
        fs::remove_file(&program).with_context(|| format!("remove {}", program.display()))
    }

    pub fn log(&self) -> CallLog {
        CallLog { path: self.log.clone() }
    }
}

/// Where the calls that a key of a script has had are counted.
pub fn counter(script: &Path, key: &str) -> PathBuf {
    PathBuf::from(format!("{}.{key}.count", script.display()))
}

/// Holds every stub that comes to it until [`Gate::open`]: a file whose lock the test keeps.
///
/// The lock goes with the test, so no stub is left waiting when a test fails.
#[derive(Debug)]
pub struct Gate {
    path: PathBuf,
    lock: File,
}

impl Gate {
    /// A closed gate at `path`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn closed(path: &Path) -> Result<Self> {
        let lock = File::create(path).with_context(|| format!("make gate {}", path.display()))?;
        lock.lock().with_context(|| format!("close gate {}", path.display()))?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// Lets everybody through, from now on.
    ///
    /// # Errors
    /// When the lock cannot be given up.
    pub fn open(&self) -> Result<()> {
        self.lock.unlock().with_context(|| format!("open gate {}", self.path.display()))
    }
}

/// How long a lab waits for something that must happen before it calls it hung.
pub const PATIENCE: Duration = Duration::from_secs(30);
