//! A node: mount, net and pid namespaces of its own.
//!
//! Inside a node `/run`, and every directory in [`OWN`], is an empty tmpfs of the node's, so the paths a real node would
//! use can be used as they are. [`crate::host::scratch::ROOT`] is the same directory in every node and outside. The network is
//! `lo` and `eth0` on the [`crate::host::fabric::Fabric`], with forwarding on and reverse-path filters off.

mod daemon;
mod inside;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

pub use daemon::Daemon;
pub use inside::OWN;
pub(crate) use inside::{READY, set_up_inside};

use crate::host::command::run;
use crate::host::deadline;
use crate::host::isolate::{Role, role_command};
use crate::host::scratch::Scratch;

/// Search path of every command in a node.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A namespace made by [`Node::netns_add`].
#[derive(Debug, Clone)]
pub struct Netns {
    /// Its name for `ip netns`.
    pub name: String,
    /// Its path as a program in the node sees it.
    pub inside: PathBuf,
    /// The same namespace as the lab sees it, while the node lives.
    pub outside: PathBuf,
}

/// A handle to one node; everything in it ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Node {
    namespaces: Arc<Namespaces>,
}

#[derive(Debug)]
struct Namespaces {
    name: String,
    index: u8,
    scratch: Scratch,
    launcher: Child,
    pid: Pid,
}

impl Node {
    /// Starts the namespaces of node `index`, without a link to any other node.
    pub(crate) fn start(name: &str, index: u8) -> Result<Node> {
        let scratch = Scratch::new(name)?;
        scratch.dir("tmp")?;
        let log = scratch.join("init.log");
        let mut launcher = role_command(Role::Node)
            .env(inside::VARIABLE, scratch.path())
            // Ctrl-C on a terminal is for the program, which may still need its nodes to end in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).context("log of the node's init")?)
            .spawn()
            .context("starting a node's launcher")?;
        let stdout = launcher.stdout.take().context("stdout of a node's launcher")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("waiting for the node's namespaces")?;
        if line.trim() != READY {
            let _status = launcher.wait();
            bail!("node {name} did not start: {}", fs::read_to_string(&log).unwrap_or_default().trim());
        }
        let pid = only_child(launcher.id()).with_context(|| format!("init of node {name}"))?;
        let namespaces = Namespaces { name: name.to_owned(), index, scratch, launcher, pid };
        Ok(Node { namespaces: Arc::new(namespaces) })
    }

    /// The node's name, `n1` for the first.
    pub fn name(&self) -> &str {
        &self.namespaces.name
    }

    /// The node's number on its fabric, from 1.
    pub fn index(&self) -> u8 {
        self.namespaces.index
    }

    /// Pid of the node's init as the lab sees it.
    pub fn pid(&self) -> Pid {
        self.namespaces.pid
    }

    /// Address of `eth0`, 192.0.2.INDEX.
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, self.namespaces.index)
    }

    /// A directory of the node's, at the same path inside and outside; removed with the node.
    pub fn dir(&self) -> &Path {
        self.namespaces.scratch.path()
    }

    /// The node's directory as a [`Scratch`], to put more into it.
    pub fn scratch(&self) -> &Scratch {
        &self.namespaces.scratch
    }

    /// Where the lab finds a path of the node's, while the node lives.
    pub fn outside(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        let root = Path::new("/proc").join(self.pid().to_string()).join("root");
        // Through /proc an absolute link leads back to the lab's root, and /var/run is one.
        match inside.strip_prefix("/var/run") {
            Ok(rest) => root.join("run").join(rest),
            Err(_) => root.join(inside.strip_prefix("/").unwrap_or(inside)),
        }
    }

    /// A command that will run in the node, with a clean environment.
    ///
    /// Its exit status is the program's. What it must not outlive goes through [`Node::background`]: killing the child of
    /// this command does not kill the program in the node.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--mount", "--net", "--pid", "--wd=/", "--target"])
            .arg(self.namespaces.pid.to_string());
        command.arg("--").arg(program);
        command.env_clear().env("PATH", PATH).env("HOME", "/root").env("LANG", "C.UTF-8");
        command.env("TMPDIR", self.namespaces.scratch.join("tmp")).stdin(Stdio::null());
        command
    }

    /// The same inside a network namespace of the node's, given by its path in the node.
    pub fn command_in(&self, netns: &Path, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.command("nsenter");
        command.arg(format!("--net={}", netns.display())).arg("--").arg(program);
        command
    }

    /// Runs a program to its end and returns its stdout.
    ///
    /// # Errors
    /// It does not exist or exits non-zero; the message has its output.
    pub fn run<S: AsRef<OsStr>>(&self, line: &[S]) -> Result<String> {
        let (program, arguments) = line.split_first().context("an empty command line")?;
        run(self.command(program).args(arguments))
            .with_context(|| format!("on node {}", self.namespaces.name))
    }

    /// The same inside a network namespace of the node's, given by its path in the node.
    ///
    /// # Errors
    /// As [`Node::run`].
    pub fn run_in<S: AsRef<OsStr>>(&self, netns: &Path, line: &[S]) -> Result<String> {
        let (program, arguments) = line.split_first().context("an empty command line")?;
        run(self.command_in(netns, program).args(arguments))
            .with_context(|| format!("on node {}", self.name()))
    }

    /// Sends one echo request from a network namespace of the node's and waits two seconds for the answer.
    ///
    /// # Errors
    /// There was none.
    pub fn ping_from(&self, netns: &Path, address: &str) -> Result<()> {
        self.run_in(netns, &["busybox", "ping", "-c1", "-W2", address]).map(drop)
    }

    /// Asks a web server for a path, and returns the last line of its answer.
    ///
    /// By the shell, for a static busybox cannot load the modules of the C library that every name and address goes through.
    ///
    /// # Errors
    /// No connection within two seconds, or no answer.
    pub fn http_get(&self, address: IpAddr, port: u16, path: &str) -> Result<String> {
        let request = format!(r"GET {path} HTTP/1.0\r\n\r\n");
        let script = format!("exec 3<>/dev/tcp/{address}/{port}; printf '{request}' >&3; exec tail -n 1 <&3");
        let output = self.run(&["timeout", "2", "bash", "-c", &script])?;
        ensure!(!output.trim().is_empty(), "{address}:{port} answers nothing");
        Ok(output.trim().to_owned())
    }

    /// Runs one `ip` command per line of `batch`.
    ///
    /// # Errors
    /// The first line that fails, as `ip` tells it.
    pub fn ip_batch(&self, batch: &str) -> Result<()> {
        ip_batch(self.command("ip"), batch).with_context(|| format!("on node {}", self.namespaces.name))
    }

    /// Starts a [`Node::command`] as a daemon, stdout and stderr appended to `dir()/LABEL.log`.
    ///
    /// Its arguments and environment count, its standard streams do not.
    ///
    /// # Errors
    /// The node is gone. A program that does not exist ends with 127.
    pub fn background(&self, label: &str, command: &Command) -> Result<Daemon> {
        Daemon::start(label, command, self.namespaces.scratch.join(format!("{label}.log")))
    }

    /// Makes an empty network namespace in the node, loopback up, as a runtime would for a pod.
    ///
    /// # Errors
    /// The name is taken.
    pub fn netns_add(&self, name: &str) -> Result<Netns> {
        self.run(&["ip", "netns", "add", name])?;
        self.run(&["ip", "-n", name, "link", "set", "lo", "up"])?;
        let inside = Path::new("/run/netns").join(name);
        Ok(Netns { name: name.to_owned(), outside: self.outside(&inside), inside })
    }

    /// Removes a namespace made by [`Node::netns_add`].
    ///
    /// # Errors
    /// It does not exist.
    pub fn netns_remove(&self, netns: &Netns) -> Result<()> {
        self.run(&["ip", "netns", "delete", &netns.name]).map(drop)
    }

    /// Writes a file of the node's as an installer must: a temporary file in the same directory, then a rename.
    ///
    /// A runtime that watches the directory sees one event; parents are created with mode 0755.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, inside: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.outside(inside.as_ref());
        let parent = path.parent().context("a file name")?;
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        let mut file =
            tempfile::Builder::new().prefix(".lab-").tempfile_in(parent).context("temporary file")?;
        file.write_all(content.as_ref()).context("writing")?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(mode).context("mode")?;
        file.persist(&path).with_context(|| format!("renaming to {}", path.display()))?;
        Ok(())
    }

    /// Makes the node show another boot id from now on, as if it had rebooted.
    ///
    /// # Errors
    /// The file cannot be mounted over the kernel's.
    pub fn reboot_id(&self, id: &str) -> Result<()> {
        const KERNEL: &str = "/proc/sys/kernel/random/boot_id";
        let file = self.namespaces.scratch.join("boot_id");
        let mounted = file.exists();
        fs::write(&file, format!("{id}\n")).context("writing the boot id")?;
        if !mounted {
            self.run(&[OsStr::new("mount"), OsStr::new("--bind"), file.as_os_str(), OsStr::new(KERNEL)])?;
        }
        Ok(())
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // Init's end takes every process of the node with it, the last of them its namespaces.
        let _already_gone = nix::sys::signal::kill(self.pid, Signal::SIGKILL);
        let _status = self.launcher.wait();
    }
}

/// Feeds `batch` to an `ip` command.
pub(crate) fn ip_batch(mut ip: Command, batch: &str) -> Result<()> {
    ip.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = ip.spawn().context("starting ip")?;
    child.stdin.take().context("stdin of ip")?.write_all(batch.as_bytes()).context("writing to ip")?;
    let output = child.wait_with_output().context("waiting for ip")?;
    ensure!(output.status.success(), "ip -batch: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// The pid of the one child of a process, as soon as there is one.
pub(crate) fn only_child(parent: u32) -> Result<Pid> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    deadline::until("a child process", Duration::from_secs(30), || {
        let children = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let first = children.split_whitespace().next();
        first.map(|pid| pid.parse().map(Pid::from_raw).context("a pid")).transpose()
    })
}
