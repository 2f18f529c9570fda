//! `prove`: one real ADD, CHECK and DEL of one network through the installed shim, in a scratch namespace.
//!
//! It runs in a unit of its own, for delegates do as they please. The shim gets a policy, records and locks of its own below
//! RUN/proof, so that nothing of it is taken for a pod; what a killed proof left is ended by the next one first, from those records.
//! The verdict goes to a file ([`super::proof::ProofResult`]); the exit status says whether there is one.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde::Serialize;
use serde_json::{Value, json};
use shim::conflist::Conflist;
use shim::layout::{BIN_DIRS, Layout, PACKAGED_PLUGIN, PLUGIN};
use shim::store::{Key, Store};
use shim::{boot, file, trust};
use types::policy::{Network, Side};
use types::profile::{self, Proof};

use super::proof::{ProofResult, WITHIN_SECS, answers, directory, result, said};
use crate::change::{self, Write};
use crate::cli::exit::{Exit, Failure};
use crate::cli::print::{self, Page, Report};
use crate::cli::{Global, Prove};
use crate::node::command::{RunLimits, StderrTo, run_with};
use crate::node::conf::conf;
use crate::node::facts::NodeFacts;
use crate::node::name::DEFAULT_NAME;
use crate::node::plugins::joined;

/// Where network namespaces are pinned; agents in containers see them there.
const NETNS_DIR: &str = "/run/netns";
const IFNAME: &str = "eth0";
/// One call may take as long as a whole proof: the shim has deadlines of its own. A result is some kilobytes; the shim bounds it as well.
const LIMITS: RunLimits = RunLimits { within: Duration::from_secs(WITHIN_SECS), max_bytes: 16 << 20 };
/// Longest reason that is kept, in bytes.
const MAX_WHY_BYTES: usize = 2048;

/// Proves one network, and leaves the verdict.
///
/// # Errors
/// When there is no verdict: bad settings, another proof that runs, no namespace to be had.
pub fn prove(global: &Global, wanted: &Prove) -> Result<Exit, Failure> {
    let node = NodeFacts::certain(global)?;
    let (policy, layout) = (&node.require_policy()?.policy, &node.dirs.layout);
    let side = wanted.network;
    let network = policy.network(side).ok_or_else(|| {
        let file = layout.policy_file();
        Failure::settings(format!("the policy has no network {side}")).at(file.display())
    })?;
    refuse_unprovable(side, network)?;
    let (list, _) = Conflist::load(&network.conf).map_err(|why| Failure::new(Exit::No, why))?;
    let now = boot::now().map_err(|e| Failure::new(Exit::Failed, e))?;
    let dir = directory(layout, side);
    let answers = answers(layout, side);
    let mut scene = Scene::set_up(dir, network, wanted, &answers)?;
    let failed = scene.attach(&format!("crossfade-proof-{side}-{}", now.boottime_ms), &list).err();
    let kept = ProofResult {
        version: 1,
        network: side.to_string(),
        name: list.name,
        turn: wanted.turn,
        boot_id: now.boot_id,
        failed: failed.map(|why| why[..why.floor_char_boundary(MAX_WHY_BYTES)].to_owned()),
    };
    let bytes = serde_json::to_vec(&kept).unwrap_or_default();
    let write = Write { path: result(layout, side), bytes, mode: file::PRIVATE, nudge: false };
    change::write(&write).map_err(|e| {
        let path = write.path.display();
        Failure::new(Exit::Failed, format!("write {path}: {e}")).at(path)
    })?;
    match kept.failed {
        None => Ok(print::report(global.output, &Proved { network: kept.network })),
        Some(why) => {
            Err(Failure::new(Exit::No, format!("network {side}: {why}")).at(format!("network {side}")))
        }
    }
}

/// A proof that passed.
///
/// *Shape*: `{"network":"new"}`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Proved {
    network: String,
}

impl Report for Proved {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let _ =
            writeln!(text, "network {}: attached, checked and detached a scratch namespace", self.network);
        text
    }
}

/// Refuses a network whose CNI attaches only sandboxes of real Pods: the proof's ADD would fail, or leave something that no later DEL
/// finds.
fn refuse_unprovable(side: Side, network: &Network) -> Result<(), Failure> {
    let Some(profile) = profile::find(&network.profile).filter(|profile| profile.proof == Proof::Probe)
    else {
        return Ok(());
    };
    let source = profile.sources.get("proof").map_or("", String::as_str);
    let why = format!(
        "network {side}: a scratch namespace proves nothing of {}, whose readiness is told by its probes alone ({source})",
        profile.name
    );
    let fix = "look at crossfade-bootstrap status, which says what they say";
    Err(Failure::new(Exit::No, why).at(format!("network {side}")).fix(fix))
}

/// The namespace, directories and files that one proof uses alone.
struct Scene {
    layout: Layout,
    shim: PathBuf,
    search: String,
    netns: PathBuf,
    /// The answers of the plugins, and their stderr. Both may hold secrets, so only root may read the file.
    answers: File,
    /// The path of `answers`.
    answers_path: PathBuf,
    _alone: Flock<File>,
}

impl Scene {
    fn set_up(dir: PathBuf, network: &Network, wanted: &Prove, answers: &Path) -> Result<Self, Failure> {
        let failed =
            |what: &str, e: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("{what}: {e}"));
        file::create_private_dir(&dir).map_err(|e| failed("make a directory", &e))?;
        let lock = dir.join("alone");
        let mut options = File::options();
        let (lock, _) =
            trust::open_regular(options.write(true).create(true).truncate(false).mode(file::PRIVATE), &lock)
                .map_err(|e| failed("lock", &e))?;
        let alone = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| {
            Failure::later(format!("another proof of {} runs: {e}", wanted.network))
                .at(dir.join("alone").display())
        })?;
        let mut options = File::options();
        let options = options.append(true).create(true).mode(file::PRIVATE);
        let (answers_file, _) = trust::open_regular(options, answers).map_err(|e| failed("answers", &e))?;
        answers_file.set_len(0).map_err(|e| failed("answers", &e))?;
        let bin_dirs: Vec<PathBuf> = match wanted.bin_dirs.as_slice() {
            [] => BIN_DIRS.iter().map(PathBuf::from).filter(|dir| dir.is_dir()).collect(),
            named => named.to_vec(),
        };
        let installed = bin_dirs.iter().map(|dir| dir.join(PLUGIN)).find(|path| path.is_file());
        let shim = installed.unwrap_or_else(|| PACKAGED_PLUGIN.into());
        trust::open(&shim).map_err(|e| failed("the plugin", &e))?;
        let policy = dir.join("policy.json");
        let text = json!({
            "version": 1,
            "networks": { "new": { "profile": network.profile, "conf": network.conf } },
            "attach": "new",
        });
        file::write_if_changed(&policy, text.to_string().as_bytes(), file::PRIVATE)
            .map_err(|e| failed("write the proof's policy", &e))?;
        Ok(Self {
            layout: Layout { state_dir: dir.join("state"), run_dir: dir.join("run"), policy: Some(policy) },
            shim,
            search: joined(&bin_dirs),
            netns: Path::new(NETNS_DIR).join(format!("crossfade-proof-{}", wanted.network)),
            answers: answers_file,
            answers_path: answers.into(),
            _alone: alone,
        })
    }

    /// Ends what an earlier proof left, then attaches, checks and detaches.
    fn attach(&mut self, id: &str, list: &Conflist) -> Result<(), String> {
        self.end_leftovers(list)?;
        unpin(&self.netns);
        pin(&self.netns).map_err(|e| format!("make a namespace at {}: {e}", self.netns.display()))?;
        let key = Key::new(id, IFNAME);
        let attached = self.call("ADD", &key, None, list).and_then(|reply| {
            let ips = reply["ips"].as_array().map_or(0, Vec::len);
            if ips == 0 {
                return Err("ADD: its result has no address".into());
            }
            self.call("CHECK", &key, Some(&reply), list).map(drop)
        });
        let detached = self.call("DEL", &key, None, list).map(drop);
        unpin(&self.netns);
        attached.and(detached)
    }

    fn end_leftovers(&mut self, list: &Conflist) -> Result<(), String> {
        let (left, _) =
            Store::new(&self.layout).all().map_err(|e| format!("records of earlier proofs: {e}"))?;
        for record in left {
            let key = Key::new(record.intent.container_id, record.intent.ifname);
            self.call("DEL", &key, None, list).map_err(|why| format!("what an earlier proof left: {why}"))?;
        }
        Ok(())
    }

    /// Calls the shim as a runtime does; its reply, or its error in words that everybody may read.
    fn call(
        &mut self,
        verb: &str,
        key: &Key,
        previous: Option<&Value>,
        list: &Conflist,
    ) -> Result<Value, String> {
        let named = |why: &dyn std::fmt::Display| format!("{verb}: {why}");
        let whole = conf(&self.layout, DEFAULT_NAME, "1.0.0", &std::collections::BTreeSet::new());
        let whole: Value = serde_json::from_slice(&whole).map_err(|e| named(&e))?;
        // As the reference library hands a plugin of a list its conf.
        let mut input = whole["plugins"][0].clone();
        input["name"] = whole["name"].clone();
        input["cniVersion"] = whole["cniVersion"].clone();
        if let Some(previous) = previous {
            input["prevResult"] = previous.clone();
        }
        let mut command = Command::new(&self.shim);
        command
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &key.container_id)
            .env("CNI_IFNAME", &key.ifname);
        // A DEL gets an empty path if the namespace no longer exists.
        let netns = if self.netns.exists() { self.netns.as_path() } else { Path::new("") };
        command.env("CNI_NETNS", netns).env("CNI_PATH", &self.search);
        let stderr = StderrTo::File(self.answers.try_clone().map_err(|e| named(&e))?);
        let output = run_with(&mut command, LIMITS, input.to_string().into_bytes(), stderr);
        let output = output.map_err(|e| format!("{verb}: {}: {e}", self.shim.display()))?;
        let reply: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        if output.status.success() {
            return Ok(reply);
        }
        // A disk that is full takes the answer, not the verdict.
        let kept = self.answers.write_all(&output.stdout).is_ok();
        let why = said::public(verb, &reply, list).unwrap_or_else(|| format!("{verb}: {}", output.status));
        let where_to = format!("; {} has its answer, for root alone", self.answers_path.display());
        Err(if kept { why + &where_to } else { why })
    }
}

/// Makes a network namespace and pins it at `path`, as runtimes do. This process stays in its own namespace.
fn pin(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    File::create_new(path)?;
    let path = path.to_path_buf();
    // A new thread leaves the namespace of this process, and ends once the pin holds.
    let made = std::thread::spawn(move || -> nix::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let own = Path::new("/proc/thread-self/ns/net");
        mount(Some(own), &path, None::<&Path>, MsFlags::MS_BIND, None::<&Path>)
    });
    let made = made.join().map_err(|_| std::io::Error::other("the thread that makes it ended"))?;
    Ok(made?)
}

/// Takes a pin away; one that is not there is fine.
fn unpin(path: &Path) {
    // Whatever is left of it makes the next pin fail, which says so.
    let _ = umount2(path, MntFlags::MNT_DETACH);
    let _ = std::fs::remove_file(path);
}
