//! The launcher and the init of a pid namespace, for a lab and for each of its nodes.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::cgroup;
use crate::host::command::run_line;

/// Which process of a lab this is; travels in the environment across re-execution.
const VARIABLE: &str = "CROSSFADE_LAB_ROLE";

/// The launcher's pid as init's old `/proc` shows it, to notice a launcher that died before init could ask for its death signal.
const LAUNCHER: &str = "CROSSFADE_LAB_LAUNCHER";

/// How long the program inside may take to end by itself after the first signal.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// The processes that [`super::enter`] tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Pid 1 of the lab.
    LabInit,
    /// The program itself.
    Lab,
    /// The launcher of a node.
    Node,
    /// Pid 1 of a node.
    NodeInit,
}

impl Role {
    const ALL: [Role; 4] = [Role::LabInit, Role::Lab, Role::Node, Role::NodeInit];

    fn word(self) -> &'static str {
        match self {
            Role::LabInit => "lab-init",
            Role::Lab => "lab",
            Role::Node => "node",
            Role::NodeInit => "node-init",
        }
    }
}

/// The role this process was started for, or none for a program that is still outside.
///
/// The environment is inherited further than it is meant: a child of the lab finds `lab` there, and differs from it by not
/// being a child of init.
pub(super) fn role() -> Option<Role> {
    let word = std::env::var(VARIABLE).ok()?;
    let role = Role::ALL.into_iter().find(|role| role.word() == word)?;
    let meant = match role {
        Role::LabInit | Role::NodeInit => Pid::this().as_raw() == 1,
        Role::Lab => Pid::parent().as_raw() == 1,
        Role::Node => true,
    };
    meant.then_some(role)
}

/// This executable again, with the same arguments, in another role.
pub(crate) fn role_command(role: Role) -> Command {
    // The link and not the path it resolves to: a rebuild while we run must not mix two programs.
    let mut command = Command::new("/proc/self/exe");
    let mut arguments = std::env::args_os();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(VARIABLE, role.word());
    command
}

/// Starts `role` as pid 1 of a new pid namespace, waits for it and exits as it did.
pub(super) fn launch(role: Role, cgroup: Option<cgroup::Parent>) -> Result<()> {
    // Before the child exists, so that no signal falls between its start and our handlers.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGCHLD]).context("signal handlers")?;
    nix::sched::unshare(CloneFlags::CLONE_NEWPID).context("new pid namespace")?;
    let mut command = role_command(role);
    command.env(LAUNCHER, Pid::this().to_string());
    if let Some(cgroup) = &cgroup {
        command.env(cgroup::VARIABLE, cgroup.path());
    }
    let _parts_stay = crate::build::packages::hold()?;
    let mut init = command.spawn().context("starting the lab's init")?;
    let init_pid = pid(&init)?;
    let mut ended_by: Option<(i32, Instant)> = None;
    let status = loop {
        if let Some(status) = init.try_wait().context("waiting for the lab's init")? {
            break status;
        }
        match wait_for_signals(&mut signals, ended_by) {
            Some(SIGCHLD) => {}
            Some(signal) if ended_by.is_none() => {
                ended_by = Some((signal, Instant::now() + GRACE));
                deliver(init_pid, Signal::try_from(signal)?)?;
            }
            Some(_) | None => deliver(init_pid, Signal::SIGKILL)?,
        }
    };
    if let Some(cgroup) = cgroup {
        cgroup.remove();
    }
    match ended_by {
        Some((signal, _)) => std::process::exit(128 + signal),
        None => std::process::exit(code(status)),
    }
}

/// Pid 1 of a lab: sets the namespaces up, starts the program, reaps orphans, exits as the program did.
pub(super) fn init(role: Role, set_up: impl FnOnce() -> Result<()>) -> Result<()> {
    die_with_launcher()?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGCHLD]).context("signal handlers")?;
    set_up()?;
    let program = pid(&role_command(role).spawn().context("starting the program inside the lab")?)?;
    loop {
        for signal in signals.wait() {
            if signal != SIGCHLD {
                deliver(program, Signal::try_from(signal)?)?;
            }
        }
        if let Some(status) = reap(program)? {
            std::process::exit(status);
        }
    }
}

/// Pid 1 of a node: sets the namespaces up, says so on stdout, reaps orphans until it is told to end.
pub(super) fn init_without_child(set_up: impl FnOnce() -> Result<()>) -> Result<()> {
    die_with_launcher()?;
    let mut signals = Signals::new([SIGTERM, SIGCHLD]).context("signal handlers")?;
    set_up()?;
    println!("{}", crate::host::node::READY);
    loop {
        for signal in signals.wait() {
            if signal == SIGTERM {
                std::process::exit(0);
            }
        }
        reap(Pid::this())?;
    }
}

/// Brings the loopback of this net namespace up.
pub(crate) fn loopback_up() -> Result<()> {
    run_line("ip link set lo up").map(drop)
}

/// SIGKILL for us when the launcher's thread ends, as `unshare --kill-child` does.
fn die_with_launcher() -> Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("parent death signal")?;
    let expected = std::env::var(LAUNCHER).context("the launcher's pid")?;
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim);
    if parent != Some(expected.as_str()) {
        bail!("the launcher {expected} ended while the lab was starting");
    }
    Ok(())
}

/// Collects every child that ended; the exit code of `program` when it was among them.
fn reap(program: Pid) -> Result<Option<i32>> {
    let mut ended = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == program => ended = Some(status),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => ended = Some(128 + signal as i32),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(ended),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("reaping"),
        }
    }
}

/// The next signal; none when the time a first signal allowed is over.
fn wait_for_signals(signals: &mut Signals, ended_by: Option<(i32, Instant)>) -> Option<i32> {
    let Some((_, deadline)) = ended_by else {
        // The first of a batch is enough: a batch of two different end signals is one wish.
        return signals.wait().max_by_key(|signal| *signal != SIGCHLD);
    };
    loop {
        if let Some(signal) = signals.pending().next() {
            return Some(signal);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn deliver(pid: Pid, signal: Signal) -> Result<()> {
    match nix::sys::signal::kill(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{signal} to {pid}")),
    }
}

fn pid(child: &std::process::Child) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(child.id()).context("pid")?))
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
