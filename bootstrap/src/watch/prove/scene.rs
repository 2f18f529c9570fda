//! The directories, files and namespaces that one proof uses alone, and the calls of the plugin in them.

use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use convergence::failure::Failure;
use convergence::node::agent::own_command::ATTACH_WITHIN_SECS;
use convergence::node::conf::name::DEFAULT_NAME;
use convergence::node::conf::plugin_input;
use convergence::watch::proof::delegate_error;
use ipnetwork::IpNetwork;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use shim::attachment::conflist::Conflist;
use shim::host::{file, trust};
use shim::node::layout::{BIN_DIRS, Layout};
use shim::node::store::{Key, Store};
use types::command::exit::Exit;
use types::policy::{Network, Side};

use crate::cli::Prove;
use crate::host::command::{RunLimits, StderrTo, run_with};
use crate::node::networks::scratch;
use crate::node::plugins::{join_dirs, plugin_in_use};

/// Where network namespaces are pinned; agents in containers see them there.
const NETNS_DIR: &str = "/run/netns";
const IFNAME: &str = "eth0";
/// One call may take as long as a whole proof: the shim has deadlines of its own. A result is some kilobytes; the shim bounds it as well.
const LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(ATTACH_WITHIN_SECS), max_bytes: 16 << 20 };
/// Ends the container id of a second attachment, and the name of its namespace.
const SECOND: &str = "-2";

#[derive(Debug)]
pub(super) struct Attachment {
    /// Where its network namespace is pinned.
    pub(super) netns: PathBuf,
    /// The addresses in the plugin's result.
    pub(super) addresses: Vec<IpAddr>,
    key: Key,
}

/// The namespaces, directories and files that one proof uses alone.
#[derive(Debug)]
pub(super) struct Scene {
    layout: Layout,
    shim: PathBuf,
    search: String,
    side: Side,
    /// The answers of the plugins, and their stderr. Both may hold secrets, so only root may read the file.
    answers: File,
    answers_path: PathBuf,
    _alone: Flock<File>,
}

impl Scene {
    /// Makes the directories and takes the lock.
    ///
    /// # Errors
    /// Another proof of this network runs, or a directory or file cannot be made.
    pub(super) fn set_up(
        of_node: &Layout,
        network: &Network,
        args: &Prove,
        answers: &Path,
    ) -> Result<Self, Failure> {
        let (dir, layout) =
            (scratch::directory(of_node, args.network), scratch::layout(of_node, args.network));
        let failed =
            |what: &str, e: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("{what}: {e}"));
        file::create_private_dir(&dir).map_err(|e| failed("make a directory", &e))?;
        let lock = dir.join("alone");
        let mut options = File::options();
        let (lock, _) =
            trust::open_regular(options.write(true).create(true).truncate(false).mode(file::PRIVATE), &lock)
                .map_err(|e| failed("lock", &e))?;
        let alone = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| {
            Failure::try_later(format!("another proof of {} runs: {e}", args.network))
                .with_place(dir.join("alone").display())
        })?;
        let mut options = File::options();
        let options = options.append(true).create(true).mode(file::PRIVATE);
        let (answers_file, _) = trust::open_regular(options, answers).map_err(|e| failed("answers", &e))?;
        answers_file.set_len(0).map_err(|e| failed("answers", &e))?;
        let bin_dirs: Vec<PathBuf> = match args.bin_dirs.as_slice() {
            [] => BIN_DIRS.iter().map(PathBuf::from).filter(|dir| dir.is_dir()).collect(),
            named => named.to_vec(),
        };
        let shim = plugin_in_use(&bin_dirs);
        trust::open(&shim).map_err(|e| failed("the plugin", &e))?;
        let policy = layout.policy_file();
        let text = json!({
            "version": 1,
            "networks": { "new": { "profile": network.profile, "conf": network.conf } },
            "attach": "new",
        });
        file::write_if_changed(&policy, text.to_string().as_bytes(), file::PRIVATE)
            .map_err(|e| failed("write the proof's policy", &e))?;
        Ok(Self {
            layout,
            shim,
            search: join_dirs(&bin_dirs),
            side: args.network,
            answers: answers_file,
            answers_path: answers.into(),
            _alone: alone,
        })
    }

    /// Ends what an earlier proof left, then attaches and checks one namespace, or two, does what is to be done `between`, and detaches.
    ///
    /// A second attachment may be refused, as on a node whose addresses are all but given away. `between` gets why.
    ///
    /// # Errors
    /// The first other call that failed, in words that every user may read.
    pub(super) fn attach<T>(
        &mut self,
        id: &str,
        list: &Conflist,
        is_pair: bool,
        between: impl FnOnce(&[Attachment], Option<String>) -> T,
    ) -> Result<T, String> {
        self.end_leftovers(list)?;
        let ids = [id.to_owned(), format!("{id}{SECOND}")];
        ids.iter().for_each(|id| unpin(&self.netns(id)));
        let mut attachments = Vec::new();
        let attached = self.begin(&ids[0], list, &mut attachments);
        let second =
            if is_pair && attached.is_ok() { self.begin(&ids[1], list, &mut attachments) } else { Ok(()) };
        let proof = attached.map(|()| {
            let good = attachments.len() - usize::from(second.is_err() && attachments.len() > 1);
            between(&attachments[..good], second.err())
        });
        let ended = attachments.iter().rev().map(|attachment| {
            let ended = self.call("DEL", &attachment.key, None, list).map(drop);
            unpin(&attachment.netns);
            ended
        });
        let ended = ended.fold(Ok(()), Result::and);
        proof.and_then(|proof| ended.map(|()| proof))
    }

    /// Attaches and checks one namespace. From the ADD on it is among what is `held`, whatever the ADD says.
    fn begin(&mut self, id: &str, list: &Conflist, attachments: &mut Vec<Attachment>) -> Result<(), String> {
        let (netns, key) = (self.netns(id), Key::new(id, IFNAME));
        pin(&netns).map_err(|e| format!("make a namespace at {}: {e}", netns.display()))?;
        attachments.push(Attachment { netns, addresses: Vec::new(), key: key.clone() });
        let reply = self.call("ADD", &key, None, list)?;
        let ips = reply["ips"].as_array().into_iter().flatten();
        let address = |ip: &Value| ip["address"].as_str()?.parse::<IpNetwork>().ok().map(|ip| ip.ip());
        let addresses: Vec<IpAddr> = ips.filter_map(address).collect();
        if addresses.is_empty() {
            return Err("ADD: its result has no address".into());
        }
        attachments
            .iter_mut()
            .rev()
            .take(1)
            .for_each(|attachment| attachment.addresses.clone_from(&addresses));
        self.call("CHECK", &key, Some(&reply), list).map(drop)
    }

    fn end_leftovers(&mut self, list: &Conflist) -> Result<(), String> {
        let (leftovers, _) =
            Store::new(&self.layout).load_all().map_err(|e| format!("records of earlier proofs: {e}"))?;
        for record in leftovers {
            let key = Key::new(record.intent.container_id, record.intent.ifname);
            self.call("DEL", &key, None, list).map_err(|why| format!("what an earlier proof left: {why}"))?;
        }
        Ok(())
    }

    /// Where the namespace of a proof's container is pinned.
    fn netns(&self, container_id: &str) -> PathBuf {
        let second = if container_id.ends_with(SECOND) { SECOND } else { "" };
        Path::new(NETNS_DIR).join(format!("crossfade-proof-{}{second}", self.side))
    }

    /// Calls the shim as a runtime does; its reply, or its error in words that every user may read.
    fn call(
        &mut self,
        verb: &str,
        key: &Key,
        previous: Option<&Value>,
        list: &Conflist,
    ) -> Result<Value, String> {
        let named = |why: &dyn std::fmt::Display| format!("{verb}: {why}");
        let mut input = plugin_input(&self.layout, DEFAULT_NAME).map_err(|e| named(&e))?;
        if let Some(previous) = previous {
            input["prevResult"] = previous.clone();
        }
        let mut command = Command::new(&self.shim);
        command
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &key.container_id)
            .env("CNI_IFNAME", &key.ifname);
        // A DEL gets an empty path if the namespace no longer exists.
        let netns = self.netns(&key.container_id);
        let netns = if netns.exists() { netns.as_path() } else { Path::new("") };
        command.env("CNI_NETNS", netns).env("CNI_PATH", &self.search);
        let stderr = StderrTo::File(self.answers.try_clone().map_err(|e| named(&e))?);
        let output = run_with(&mut command, LIMITS, input.to_string().into_bytes(), stderr);
        let output = output.map_err(|e| format!("{verb}: {}: {e}", self.shim.display()))?;
        let reply: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        if output.status.success() {
            return Ok(reply);
        }
        // A disk that is full takes the answer, not the verdict.
        let written = self.answers.write_all(&output.stdout).is_ok();
        let why = delegate_error::public(verb, &reply, list)
            .unwrap_or_else(|| format!("{verb}: {}", output.status));
        let where_to = format!("; {} has its answer, for root alone", self.answers_path.display());
        Err(if written { why + &where_to } else { why })
    }
}

/// Makes a network namespace and pins it at `path`, as runtimes do. This process stays in its own namespace.
fn pin(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    File::create_new(path)?;
    let path = path.to_path_buf();
    // A new thread leaves the namespace of this process, and ends once the pin holds.
    let thread = std::thread::spawn(move || -> nix::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let own_namespace = Path::new("/proc/thread-self/ns/net");
        mount(Some(own_namespace), &path, None::<&Path>, MsFlags::MS_BIND, None::<&Path>)
    });
    let thread = thread.join().map_err(|_| std::io::Error::other("the thread that makes it ended"))?;
    Ok(thread?)
}

/// Takes a pin away; one that is not there is fine.
fn unpin(path: &Path) {
    // Whatever is left of it makes the next pin fail, which says so.
    let _ = umount2(path, MntFlags::MNT_DETACH);
    let _ = std::fs::remove_file(path);
}
