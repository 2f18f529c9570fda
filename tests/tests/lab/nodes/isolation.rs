//! Leftovers of a lab, seen from another lab around it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lab::host::command::run_line;
use lab::host::deadline::until;
use lab::scene::Setup;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Tells a copy of this test program to be the subject of a test, and which.
const SUBJECT: &str = "LAB_TEST_SUBJECT";

const LIMIT: Duration = Duration::from_secs(120);

/// The part of the subject: what a copy of this program does instead of running tests.
pub(crate) fn subject() -> Result<Option<ExitCode>> {
    let Ok(subject) = std::env::var(SUBJECT) else {
        return Ok(None);
    };
    match subject.as_str() {
        "status" => Ok(Some(ExitCode::from(7))),
        "trust" => {
            let planted = Path::new("/usr/bin/planted");
            for path in planted.ancestors() {
                let metadata = fs::symlink_metadata(path).with_context(|| path.display().to_string())?;
                let mode = metadata.permissions().mode();
                ensure!(
                    metadata.uid() == 0 && mode & 0o022 == 0,
                    "{}: {} {mode:o}",
                    path.display(),
                    metadata.uid()
                );
            }
            ensure!(fs::read_to_string(planted)? == "part", "the part lost its content");
            ensure!(Path::new("/usr/bin/env").exists(), "the machine's programs are hidden");
            fs::write("/usr/bin/written", "1").context("writing to /usr")?;
            Ok(Some(ExitCode::SUCCESS))
        }
        "stubborn" => {
            let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT])?;
            println!("ready");
            for _ in signals.forever() {
                println!("seen");
            }
            bail!("no more signals")
        }
        "hold" => {
            let scene = Setup::bare().nodes(2).start()?;
            let netns = scene.cri().status(&scene.run("pod")?)?.netns;
            scene.node().ping_from(&netns, "10.244.1.1")?;
            println!("ready {}", lab::host::isolate::cgroup_parent()?);
            std::io::stdin().read_line(&mut String::new())?;
            Ok(Some(ExitCode::SUCCESS))
        }
        other => bail!("no subject {other}"),
    }
}

/// A lab inside this one.
struct Inner {
    launcher: Child,
    /// The lab ends by itself when this is closed.
    gate: Option<ChildStdin>,
    cgroup: String,
}

impl Inner {
    /// Starts a lab that holds two nodes, a containerd and a sandbox, and waits until it has them.
    fn hold() -> Result<Inner> {
        let mut launcher = copy("hold")?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        // Out of the child's hands, whose wait would close it.
        let gate = launcher.stdin.take();
        let mut line = String::new();
        BufReader::new(launcher.stdout.take().context("stdout")?).read_line(&mut line)?;
        let cgroup =
            line.trim().strip_prefix("ready ").with_context(|| format!("the inner lab said {line:?}"))?;
        Ok(Inner { launcher, gate, cgroup: cgroup.to_owned() })
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.launcher.id())?))
    }
}

/// What a lab has that could outlive it.
struct Traces {
    processes: Vec<PathBuf>,
    /// Our ends of links whose other end is in a namespace of the lab's: they go when the namespace goes.
    links: Vec<String>,
    cgroups: Vec<PathBuf>,
    mounts: String,
}

impl Traces {
    /// Records everything of `inner`; `tag` makes link names unique.
    fn gather(inner: &Inner, tag: &str) -> Result<Traces> {
        let pids = until("containerd, its shim and the sandbox", LIMIT, || {
            let pids = descendants(inner.launcher.id())?;
            let commands = pids.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok());
            let commands: BTreeSet<String> = commands.collect();
            // The sandbox is busybox only once runc has executed it, shortly after the runtime calls it running.
            let all = ["containerd\n", "containerd-shim\n", "busybox\n"]
                .iter()
                .all(|name| commands.contains(*name));
            Ok(all.then_some(pids))
        })?;
        let own = fs::read_link("/proc/self/ns/net")?;
        let mut seen = BTreeSet::from([own]);
        let mut links = Vec::new();
        for pid in &pids {
            if seen.insert(fs::read_link(format!("/proc/{pid}/ns/net"))?) {
                let (ours, theirs) = (format!("{tag}{}", links.len()), format!("lab-probe{}", links.len()));
                run_line(&format!("ip link add {ours} type veth peer name {theirs} netns {pid}"))?;
                links.push(ours);
            }
        }
        ensure!(links.len() == 4, "lab, two nodes and a sandbox have {} net namespaces", links.len());
        let cgroups = cgroups(&inner.cgroup)?;
        ensure!(!cgroups.is_empty(), "no cgroup {} is there", inner.cgroup);
        let processes = pids.iter().map(|pid| Path::new("/proc").join(pid.to_string())).collect();
        Ok(Traces { processes, links, cgroups, mounts: mounts()? })
    }

    /// Waits until nothing but cgroups is left.
    fn gone(&self) -> Result<()> {
        until("the end of every process", LIMIT, || {
            Ok(self.processes.iter().all(|process| !process.exists()).then_some(()))
        })?;
        until("the end of every net namespace", LIMIT, || {
            Ok(self
                .links
                .iter()
                .all(|link| {
                    !Path::new("/sys/class/net").join(link).exists()
                        && run_line(&format!("ip link show {link}")).is_err()
                })
                .then_some(()))
        })?;
        ensure!(mounts()? == self.mounts, "mounts changed:\n{}\nbefore:\n{}", mounts()?, self.mounts);
        Ok(())
    }

    fn cgroups_left(&self) -> Vec<&PathBuf> {
        self.cgroups.iter().filter(|path| path.exists()).collect()
    }
}

pub(crate) fn a_lab_passes_its_status_on() -> Result<()> {
    let output = copy("status")?.output()?;
    ensure!(output.status.code() == Some(7), "{:?}", output.status);
    Ok(())
}

/// What a person fetched is that person's; in the lab it must look installed.
pub(crate) fn parts_look_installed() -> Result<()> {
    let parts = lab::host::scratch::Scratch::new("parts")?;
    let directory = parts.dir("usr/bin")?;
    fs::write(directory.join("planted"), "part")?;
    for path in [directory.join("planted"), directory, parts.join("usr")] {
        chown(&path, Some(65534), Some(65534))?;
    }
    let output = copy("trust")?.env("CROSSFADE_LAB_PARTS", parts.path()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ensure!(!Path::new("/usr/bin/planted").exists(), "the outer lab sees the inner one's parts");
    ensure!(!Path::new("/usr/bin/written").exists(), "the outer lab sees what the inner one wrote");
    Ok(())
}

pub(crate) fn a_lab_needs_root() -> Result<()> {
    let scratch = lab::host::scratch::Scratch::new("unprivileged")?;
    let program = scratch.install(&std::env::current_exe()?, "program")?;
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(&program)
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && text.contains("make test"), "{}: {text}", output.status);
    Ok(())
}

pub(crate) fn a_killed_lab_leaves_nothing() -> Result<()> {
    let mut inner = Inner::hold()?;
    let traces = Traces::gather(&inner, "kill")?;
    inner.launcher.kill()?;
    ensure!(inner.launcher.wait()?.signal() == Some(9), "the launcher ended otherwise");
    traces.gone()?;
    // The next lab sweeps what no namespace takes along.
    ensure!(copy("status")?.output()?.status.code() == Some(7), "the next lab did not run");
    ensure!(traces.cgroups_left().is_empty(), "cgroups left: {:?}", traces.cgroups_left());
    Ok(())
}

pub(crate) fn an_interrupted_lab_leaves_nothing() -> Result<()> {
    let mut inner = Inner::hold()?;
    let traces = Traces::gather(&inner, "int")?;
    kill(inner.pid()?, Signal::SIGINT)?;
    let status = until("the end of the lab", LIMIT, || Ok(inner.launcher.try_wait()?))?;
    ensure!(status.code() == Some(130), "{status}");
    traces.gone()?;
    ensure!(traces.cgroups_left().is_empty(), "cgroups left: {:?}", traces.cgroups_left());
    Ok(())
}

/// A program that has something to finish may; one that will not end is ended by the second signal.
pub(crate) fn a_second_signal_ends_a_stubborn_lab() -> Result<()> {
    let mut launcher = copy("stubborn")?.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(launcher.stdout.take().context("stdout")?).lines();
    ensure!(lines.next().transpose()?.as_deref() == Some("ready"), "the inner lab did not start");
    let pid = Pid::from_raw(i32::try_from(launcher.id())?);
    kill(pid, Signal::SIGINT)?;
    ensure!(lines.next().transpose()?.as_deref() == Some("seen"), "the signal was not passed on");
    ensure!(launcher.try_wait()?.is_none(), "the first signal ended a program that handles it");
    kill(pid, Signal::SIGINT)?;
    let status = until("the end of the lab", LIMIT, || Ok(launcher.try_wait()?))?;
    ensure!(status.code() == Some(130), "{status}");
    ensure!(lines.next().is_none(), "the program outlived the second signal");
    Ok(())
}

pub(crate) fn labs_run_side_by_side() -> Result<()> {
    let (first, other) = std::thread::scope(|scope| {
        let other = scope.spawn(Inner::hold);
        let first = Inner::hold();
        (first, other.join())
    });
    let (mut first, Ok(other)) = (first?, other) else { bail!("a lab panicked") };
    let mut other = other?;
    ensure!(first.cgroup != other.cgroup, "both labs have the cgroup {}", first.cgroup);
    let traces = [Traces::gather(&first, "one")?, Traces::gather(&other, "two")?];
    // Each ends by itself, the second after the first is gone: one lab's end is not the other's.
    drop(first.gate.take());
    ensure!(first.launcher.wait()?.success(), "the first lab failed");
    traces[0].gone()?;
    ensure!(other.launcher.try_wait()?.is_none(), "the second lab ended with the first");
    ensure!(!traces[1].cgroups_left().is_empty(), "the second lab lost its cgroups");
    drop(other.gate.take());
    ensure!(other.launcher.wait()?.success(), "the second lab failed");
    for traces in traces {
        traces.gone()?;
        ensure!(traces.cgroups_left().is_empty(), "cgroups left: {:?}", traces.cgroups_left());
    }
    Ok(())
}

/// This program as another lab, in a process group of its own.
fn copy(subject: &str) -> Result<Command> {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(std::env::current_exe()?);
    command.env(SUBJECT, subject).process_group(0).stdin(Stdio::null());
    Ok(command)
}

/// A process and everything below it.
fn descendants(root: u32) -> Result<Vec<u32>> {
    let mut descendants = vec![root];
    let mut next = 0;
    while let Some(pid) = descendants.get(next) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("tasks of {pid}"))?;
        let mut children = Vec::new();
        for task in tasks {
            let list = fs::read_to_string(task?.path().join("children"))?;
            children.extend(list.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        descendants.extend(children);
        next += 1;
    }
    Ok(descendants)
}

/// Directories of a cgroup in every hierarchy.
fn cgroups(path: &str) -> Result<Vec<PathBuf>> {
    let root = Path::new("/sys/fs/cgroup");
    let unified = std::iter::once(root.to_path_buf());
    let controllers = fs::read_dir(root)?.flatten().map(|entry| entry.path());
    let all = unified.chain(controllers).map(|base| base.join(path.trim_start_matches('/')));
    Ok(all.filter(|path| path.is_dir()).collect())
}

/// The mounts we see, without what our own nodes of other tests mount: those are in namespaces of their own.
fn mounts() -> Result<String> {
    fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")
}

/// Whether a process has ended and its parent has not asked for its status yet.
pub(crate) fn is_zombie(process: &Path) -> Result<bool> {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    Ok(stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z')))
}
