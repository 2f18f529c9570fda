//! Memory, size, system calls and programs started; and the time and peak memory of a program that runs to its end.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::call::{Attachment, Call};
use super::report::Limit;
use super::single;
use crate::build::packages;

/// How long strace holds a process at its end, for its peak to be read.
const HELD: Duration = Duration::from_millis(400);

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let netns = bench.workshop.netns("footprint", 1)?.remove(0);
    let attachment = Attachment { id: "footprint".to_owned(), netns, ifname: "eth0".to_owned() };
    let (old, _, shim) = single::behind_shim(&bench.workshop, "footprint", "1.0.0")?;
    let mut add = shim.call_for("ADD", &attachment)?;
    let mut del = shim.call_for("DEL", &attachment)?;
    let bare = single::bare(&bench.workshop, &old, "ADD", &attachment)?;
    // Directories are made by the first.
    add.run()?;
    del.run()?;

    let size = fs::metadata(&bench.workshop.shim).context("size of the shim")?.len() as f64;
    let memory = peak_memory_kib(&add)?;
    del.run()?;
    let report = &mut bench.report;
    report.figure("shim: size of the program", size, "bytes");
    report.figure("shim: peak memory of ADD", memory, "KiB");
    report.goal(
        "shim peak memory and size",
        vec![
            Limit::new("resident", memory, 4096.0, "KiB"),
            Limit::new("size, static", size, 1_600_000.0, "bytes"),
        ],
    );
    for (what, followed) in [("alone", false), ("with its delegate", true)] {
        let (calls, execs) = system_calls(&add, followed)?;
        del.run()?;
        bench.report.figure(format!("shim ADD {what}: system calls"), calls, "calls");
        bench.report.figure(format!("shim ADD {what}: programs executed"), execs, "execs");
    }
    let (calls, execs) = system_calls(&bare, true)?;
    bench.report.figure("stub ADD bare: system calls", calls, "calls");
    bench.report.figure("stub ADD bare: programs executed", execs, "execs");
    Ok(())
}

/// Peak resident memory of one run of a call in KiB, its delegates not counted.
///
/// `ru_maxrss` would not do: to the kernel, the peak of a process that was started by vfork begins with its parent's. So
/// strace holds the process before its last system call, and its own peak is read from /proc (man 5 proc, `VmHWM`).
///
/// # Errors
/// strace cannot trace here.
pub(super) fn peak_memory_kib(call: &Call) -> Result<f64> {
    let delay = format!("inject=exit_group:delay_enter={}", HELD.as_micros());
    let arguments = ["-q", "-o", "/dev/null", "-e", "trace=exit_group", "-e", &delay];
    let mut traced = strace(call, &arguments)?.spawn().context("starting strace")?;
    let mut peak = None;
    while traced.try_wait().context("waiting for strace")?.is_none() {
        // Only the program counts, not strace's own child before it has become the program.
        peak = child_of(&traced).and_then(|pid| high_water_of(pid, call.program())).or(peak);
        thread::sleep(HELD / 100);
    }
    let status = traced.wait()?;
    ensure!(status.success(), "a call under strace: {status}");
    peak.context("a call under strace ended before its peak was read")
}

/// System calls and executions of one run.
fn system_calls(call: &Call, followed: bool) -> Result<(f64, f64)> {
    let summary = tempfile::NamedTempFile::new_in(crate::host::scratch::ROOT).context("strace's summary")?;
    let path = summary.path().to_str().context("a path")?;
    let mut arguments = vec!["-c", "-U", "calls,name", "-o", path];
    if followed {
        arguments.push("-f");
    }
    let status = strace(call, &arguments)?.status().context("running strace")?;
    ensure!(status.success(), "a call under strace: {status}");
    let text = fs::read_to_string(summary.path()).context("strace's summary")?;
    let count = |name: &str| -> Option<f64> {
        let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let first = count("execve").with_context(|| format!("no execve in {text}"))?;
    // The plugin executes its delegates by their descriptors.
    let executed = first + count("execveat").unwrap_or_default();
    Ok((count("total").with_context(|| format!("no total in {text}"))?, executed))
}

fn strace(call: &Call, arguments: &[&str]) -> Result<Command> {
    let program = packages::part("strace")?;
    let mut wrapper: Vec<&OsStr> = vec![program.as_os_str()];
    wrapper.extend(arguments.iter().map(OsStr::new));
    let mut command = call.wrapped(&wrapper)?;
    command.stderr(Stdio::inherit());
    Ok(command)
}

fn child_of(process: &Child) -> Option<u32> {
    let pid = process.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Peak resident memory of a process that runs `program`; none when it runs another or has ended.
fn high_water_of(pid: u32, program: &Path) -> Option<f64> {
    if fs::read_link(format!("/proc/{pid}/exe")).ok()? != program {
        return None;
    }
    high_water_kib(pid)
}

/// Peak resident memory of a process in KiB; none when it has ended. *Source*: man 5 `proc`, /proc/PID/status.
pub(super) fn high_water_kib(pid: impl Display) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How often the peak of memory is read. The last reading is of a moment in which the program still runs.
const EVERY: Duration = Duration::from_millis(10);

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunCost {
    pub(super) status: ExitStatus,
    pub(super) seconds: f64,
    pub(super) mebibytes: f64,
}

/// Runs a program to its end. On a node it is the child of the program that enters the node, and the larger one counts.
///
/// # Errors
/// It cannot be started, or ended before its memory was read.
pub(super) fn timed(command: &mut Command) -> Result<RunCost> {
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    let pid = child.id().to_string();
    let mut kibibytes = 0.0_f64;
    let status = loop {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for pid in children.split_whitespace().chain([pid.as_str()]) {
            kibibytes = high_water_kib(pid).unwrap_or(0.0).max(kibibytes);
        }
        if let Some(status) = child.try_wait().with_context(|| format!("waiting for {command:?}"))? {
            break status;
        }
        thread::sleep(EVERY);
    };
    let seconds = began.elapsed().as_secs_f64();
    ensure!(kibibytes > 0.0, "{command:?} ended before its memory was read");
    Ok(RunCost { status, seconds, mebibytes: kibibytes / 1024.0 })
}
