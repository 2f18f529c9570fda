//! A scripted stub delegate: records how it was called and answers as `NAME.script` beside it says.
//!
//! The script language is `lab::standin::stub`'s. The path from start to answer does nothing that the script does not ask for,
//! since this is also the benchmark's delegate.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context, Result};
use lab::standin::stub::{Act, Call, Detail, Event, Reply, Script, append, counter, interface};
use nix::sys::signal::{Signal, kill, raise};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab-stub: {error:#}");
            ExitCode::from(99)
        }
    }
}

fn run() -> Result<ExitCode> {
    let own = own_path()?;
    let script_path = PathBuf::from(format!("{}.script", own.display()));
    let text = fs::read(&script_path).with_context(|| format!("read {}", script_path.display()))?;
    let script: Script =
        serde_json::from_slice(&text).with_context(|| format!("parse {}", script_path.display()))?;
    let verb = std::env::var("CNI_COMMAND").unwrap_or_default();
    let reply = choose(&script, &script_path, &verb)?;
    if reply.0.first() == Some(&Act::KillParent) {
        // Before anything else: the sooner, the less the parent can have noted down about this process.
        kill(nix::unistd::getppid(), Signal::SIGKILL)?;
    }
    let stdin = read_stdin(&reply)?;
    if script.record == Detail::Full {
        let call = observe(&own, stdin.clone())?;
        append(&script.log, &Event::Call(Box::new(call)))?;
    }
    for act in &reply.0 {
        if let Some(code) = perform(act, &script, stdin.as_deref())? {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The path under which this binary was executed. The link in /proc is right even when the caller executes through an
/// open file; a binary that was deleted or replaced meanwhile keeps its name before " (deleted)".
fn own_path() -> Result<PathBuf> {
    let path = fs::read_link("/proc/self/exe").context("read /proc/self/exe")?;
    let text = path.to_string_lossy();
    Ok(PathBuf::from(text.strip_suffix(" (deleted)").unwrap_or(&text)))
}

/// The reply for this verb and call number.
fn choose(script: &Script, script_path: &Path, verb: &str) -> Result<Reply> {
    let keys = [format!("{verb}@{}", pod()), verb.to_owned(), "*".to_owned()];
    let Some((key, replies)) = keys.iter().find_map(|key| script.verbs.get_key_value(key)) else {
        return Ok(Reply::default());
    };
    let number = if replies.len() > 1 { count_call(script_path, key)? } else { 1 };
    Ok(replies.get(number - 1).or(replies.last()).cloned().unwrap_or_default())
}

/// The name of the pod that is asked for; empty where the runtime names none.
fn pod() -> String {
    let arguments = std::env::var("CNI_ARGS").unwrap_or_default();
    let name = arguments.split(';').find_map(|pair| pair.strip_prefix("K8S_POD_NAME="));
    name.unwrap_or_default().to_owned()
}

/// Counts calls without a lock: every call appends one byte and takes the place it landed on as its number.
fn count_call(script_path: &Path, key: &str) -> Result<usize> {
    let path = counter(script_path, key);
    let opened = OpenOptions::new().append(true).create(true).open(&path);
    let mut counter = opened.with_context(|| path.display().to_string())?;
    counter.write_all(b".")?;
    Ok(usize::try_from(io::Seek::stream_position(&mut counter)?)?)
}

fn read_stdin(reply: &Reply) -> Result<Option<String>> {
    if reply.0.first() == Some(&Act::CloseStdin) {
        nix::unistd::close(io::stdin().as_raw_fd()).context("close stdin")?;
        return Ok(None);
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).context("read stdin")?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn observe(own: &Path, stdin: Option<String>) -> Result<Call> {
    let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    let env: BTreeMap<String, String> = std::env::vars_os()
        .map(|(key, value)| (key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    Ok(Call {
        name: own.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        argv0: std::env::args().next().unwrap_or_default(),
        env,
        stdin,
        pid: nix::unistd::getpid().as_raw(),
        ppid: nix::unistd::getppid().as_raw(),
        pgid: nix::unistd::getpgrp().as_raw(),
        fds: open_files()?,
        blocked: field("SigBlk:"),
        ignored: field("SigIgn:"),
    })
}

fn open_files() -> Result<Vec<(i32, String)>> {
    let mut fds = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").context("read /proc/self/fd")? {
        let entry = entry?;
        // The directory being read has a number of its own, which is gone by the time it is looked at.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let number = entry.file_name().to_string_lossy().parse()?;
        if !target.starts_with("/proc") {
            fds.push((number, target.display().to_string()));
        }
    }
    fds.sort_unstable();
    Ok(fds)
}

/// Does one act; an exit code ends the reply.
fn perform(act: &Act, script: &Script, stdin: Option<&str>) -> Result<Option<ExitCode>> {
    match act {
        Act::CloseStdin | Act::KillParent => {}
        Act::Print(text) => print(&fill(text))?,
        Act::PrintPrevResult => print(&prev_result(stdin)?)?,
        Act::Stderr(text) => io::stderr().write_all(fill(text).as_bytes())?,
        Act::FloodStdout(bytes) => flood(io::stdout(), *bytes)?,
        Act::FloodStderr(bytes) => flood(io::stderr(), *bytes)?,
        Act::Lease(dir) => {
            fs::write(lease(dir), b"").with_context(|| format!("lease in {}", dir.display()))?
        }
        Act::Release(dir) => match fs::remove_file(lease(dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.with_context(|| format!("release in {}", dir.display()))?,
        },
        Act::Plug { host, address } => {
            interface::plug(Path::new(&fill("{netns}")), &fill("{ifname}"), &fill(host), *address)?;
        }
        Act::Unplug(host) => interface::unplug(&fill(host))?,
        Act::Gate(path) => File::open(path)
            .and_then(|gate| gate.lock_shared())
            .with_context(|| format!("wait at gate {}", path.display()))?,
        Act::Spawn(argv) => spawn(argv, &script.log)?,
        Act::Run(argv) => {
            let (program, arguments) = argv.split_first().context("nothing to run")?;
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
            command.status().with_context(|| format!("run {program}"))?;
        }
        Act::IgnoreTerm => {
            signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::new(AtomicBool::new(false)))?;
        }
        Act::Hang => loop {
            std::thread::park();
        },
        Act::Exit(code) => return Ok(Some(ExitCode::from(u8::try_from(*code)?))),
        Act::Signal(number) => raise(Signal::try_from(*number)?)?,
    }
    Ok(None)
}

/// Where the lease of this call's attachment lies.
fn lease(dir: &Path) -> PathBuf {
    dir.join(fill("{id}@{ifname}"))
}

fn fill(text: &str) -> String {
    [("{ifname}", "CNI_IFNAME"), ("{netns}", "CNI_NETNS"), ("{id}", "CNI_CONTAINERID")].iter().fold(
        text.to_owned(),
        |text, (mark, variable)| {
            if text.contains(mark) {
                text.replace(mark, &std::env::var(variable).unwrap_or_default())
            } else {
                text
            }
        },
    )
}

fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

fn prev_result(stdin: Option<&str>) -> Result<String> {
    let conf: serde_json::Value = serde_json::from_str(stdin.context("stdin was left unread")?)?;
    Ok(conf.get("prevResult").map_or_else(|| "{}".to_owned(), ToString::to_string))
}

/// Floods; a reader that hangs up early is the reader's right.
fn flood(mut to: impl Write, bytes: u64) -> Result<()> {
    let chunk = [b'x'; 4096];
    let mut remaining = bytes;
    while remaining > 0 {
        let part = usize::try_from(remaining.min(4096))?;
        match to.write_all(&chunk[..part]) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
        remaining -= part as u64;
    }
    Ok(to.flush()?)
}

fn spawn(argv: &[String], log: &Path) -> Result<()> {
    let (program, arguments) = argv.split_first().context("nothing to spawn")?;
    let child = Command::new(program).args(arguments).spawn().with_context(|| format!("spawn {program}"))?;
    let pid = i32::try_from(child.id())?;
    append(log, &Event::Spawned { by: nix::unistd::getpid().as_raw(), pid })
}
