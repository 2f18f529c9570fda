//! The shim as a process: what others may see of it, and what it takes from its caller.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::ExitStatusExt,
    },
    path::Path,
};

use anyhow::{Context, Result, ensure};
use lab::{
    runtime::caller::Running,
    standin::stub::{Call, Gate, Reply},
};
use nix::sys::signal::Signal;

use crate::{
    case::{Case, is_alive, stub_new},
    files::{STRANGER, chmod},
    trials,
};

trials![
    no_core_dump_of_the_shim,
    memory_is_closed_to_the_same_uid,
    delegates_keep_the_limits_and_dumpability_of_the_caller,
    loader_variables_do_nothing_to_the_shim,
    any_umask_gives_the_same_modes,
    signals_that_the_caller_blocked_or_ignored_are_ours_again,
    working_directory_that_is_gone_is_fine,
    environment_of_a_debugger_changes_nothing,
];

/// A case whose `stub-new` waits in its ADD.
fn held(case: &Case) -> Result<Gate> {
    let gate = case.gate("gate")?;
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::json(&case.rn("eth0")).behind(&gate)))?;
    Ok(gate)
}

/// An ADD that waits in its delegate.
fn held_add(case: &Case, wrapper: &[&str]) -> Result<(Gate, Running, Call)> {
    let gate = held(case)?;
    let add = case.call("ADD").wrapped(wrapper).spawn()?;
    let call = case.stubs.log().wait_for("stub-new ADD eth0", 1)?;
    Ok((gate, add, call))
}

/// S30: a conf with its token would be in it.
fn no_core_dump_of_the_shim() -> Result<()> {
    let case = Case::attach("new")?;
    let dir = case.make_dir("cores")?;
    let script = format!("cd {} && ulimit -c unlimited && exec \"$@\"", dir.display());
    let (gate, add, _) = held_add(&case, &["sh", "-c", &script, "dumping"])?;
    add.signal(Signal::SIGABRT)?;
    let status = add.wait()?.status;
    ensure!(status.signal() == Some(Signal::SIGABRT as i32), "{status}");
    ensure!(!status.core_dumped(), "the shim left a core dump");
    ensure!(fs::read_dir(&dir)?.count() == 0, "the shim left a file");
    gate.open()?;
    case.del()?.silent()
}

/// As whom the shim runs where it is not root: a lab, a rootless runtime.
const AS_STRANGER: [&str; 4] = ["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups"];

/// A case that a stranger may run as theirs.
fn strangers_case() -> Result<Case> {
    let case = Case::attach("new")?;
    let (state, run) = (case.make_state_dir("state")?, case.make_dir("run")?);
    for path in [&state, &run] {
        chown(path, Some(STRANGER), None)?;
    }
    fs::write(case.path("calls.jsonl"), "")?;
    chmod(&case.path("calls.jsonl"), 0o666)?;
    Ok(case)
}

/// Whether a process of that uid can read a file.
fn readable_by_stranger(path: &str) -> Result<bool> {
    let cat = std::process::Command::new(AS_STRANGER[0])
        .args(&AS_STRANGER[1..])
        .args(["cat", path])
        .output()
        .context("start setpriv")?;
    Ok(cat.status.success())
}

/// S30: /proc/PID/environ, mem and fd need the right to trace (man 5 `proc`), which a process that cannot be dumped gives only
/// to root. The delegate is as open as if the runtime had started it.
fn memory_is_closed_to_the_same_uid() -> Result<()> {
    let case = strangers_case()?;
    let (gate, add, call) = held_add(&case, &AS_STRANGER)?;
    for file in ["environ", "maps", "auxv"] {
        ensure!(!readable_by_stranger(&format!("/proc/{}/{file}", add.pid()))?, "the shim's {file} is open");
        ensure!(
            readable_by_stranger(&format!("/proc/{}/{file}", call.pid))?,
            "the delegate's {file} is closed"
        );
    }
    gate.open()?;
    add.wait()?.result()?;
    case.call("DEL").wrapped(&AS_STRANGER).run()?.silent()
}

/// S30: what keeps the shim closed must not end at a delegate's foot.
fn delegates_keep_the_limits_and_dumpability_of_the_caller() -> Result<()> {
    let case = Case::attach("new")?;
    let limits = ["prlimit", "--core=12345:23456", "--nofile=700:800"];
    let (gate, add, call) = held_add(&case, &limits)?;
    let seen = fs::read_to_string(format!("/proc/{}/limits", call.pid))?;
    let line = |name: &str| -> Vec<&str> {
        seen.lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default()
            .split_whitespace()
            .take(2)
            .collect()
    };
    assert_eq!(line("Max core file size"), ["12345", "23456"]);
    assert_eq!(line("Max open files"), ["700", "800"]);
    let status = fs::read_to_string(format!("/proc/{}/status", call.pid))?;
    for field in ["NoNewPrivs:\t0", "Seccomp:\t0"] {
        ensure!(status.contains(field), "{field}: {status}");
    }
    let filter = fs::read_to_string(format!("/proc/{}/coredump_filter", call.pid))?;
    assert_eq!(filter, fs::read_to_string("/proc/self/coredump_filter")?);
    gate.open()?;
    add.wait()?.result()?;
    case.del()?.silent()
}

/// S20: there is no loader in the shim; delegates get the environment whole, as without us.
fn loader_variables_do_nothing_to_the_shim() -> Result<()> {
    let case = Case::attach("new")?;
    let library = case.path("evil.so").display().to_string();
    fs::write(&library, "no library")?;
    let variables =
        ["LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "GCONV_PATH", "GLIBC_TUNABLES", "MALLOC_TRACE"];
    let with_all = |verb: &str| variables.iter().fold(case.call(verb), |call, name| call.env(name, &library));
    let version = with_all("VERSION").run()?;
    version.succeeded()?;
    ensure!(version.stderr.is_empty(), "a loader spoke: {}", version.stderr);
    with_all("ADD").run()?.result()?;
    let call = case.the_call("stub-new ADD eth0")?;
    for name in variables {
        assert_eq!(call.var(name), library, "{name}");
    }
    with_all("DEL").run()?.silent()
}

/// S13.
fn any_umask_gives_the_same_modes() -> Result<()> {
    for umask in ["000", "002", "022", "077"] {
        let case = Case::attach("both")?;
        let script = format!("umask {umask}; exec \"$@\"");
        let wrapper = ["sh", "-c", &script, "masked"];
        case.call("ADD").wrapped(&wrapper).run()?.result()?;
        for dir in ["state", "state/attachments", "run", "run/locks", "run/ready"] {
            assert_eq!(mode(&case.path(dir))?, 0o700, "{dir} under umask {umask}");
        }
        let record = case.records()?.pop().context("a record")?;
        assert_eq!(mode(record.parent().context("a shard")?)?, 0o700, "umask {umask}");
        for file in [record, case.path("run/ready/oldnet")] {
            assert_eq!(mode(&file)?, 0o600, "{} under umask {umask}", file.display());
        }
        case.call("DEL").wrapped(&wrapper).run()?.silent()?;
    }
    Ok(())
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path).with_context(|| path.display().to_string())?.permissions().mode() & 0o7777)
}

/// A caller that ignores SIGCHLD or blocks SIGTERM makes the shim neither deaf nor unable to wait.
fn signals_that_the_caller_blocked_or_ignored_are_ours_again() -> Result<()> {
    for wrapper in [["env", "--block-signal"], ["env", "--ignore-signal"]] {
        let case = Case::attach("new")?;
        case.call("ADD").wrapped(&wrapper).run()?.result().context(wrapper[1])?;
        case.call("DEL").wrapped(&wrapper).run()?.silent().context(wrapper[1])?;
        for call in case.calls()? {
            assert_eq!(u64::from_str_radix(&call.blocked, 16)?, 0, "{}", wrapper[1]);
        }
        case.stubs.log().clear()?;
        let (_gate, add, call) = held_add(&case, &wrapper)?;
        add.signal(Signal::SIGTERM)?;
        add.wait()?.refused(11).context(wrapper[1])?;
        ensure!(!is_alive(call.pid), "{}: its delegate goes on", wrapper[1]);
        case.expect_records(0)?;
    }
    Ok(())
}

/// A runtime may have been started where nothing is left.
fn working_directory_that_is_gone_is_fine() -> Result<()> {
    let case = Case::attach("new")?;
    let dir = case.make_dir("gone")?;
    let script = format!("cd {0} && rmdir {0} && exec \"$@\"", dir.display());
    case.call("ADD").wrapped(&["sh", "-c", &script, "nowhere"]).run()?.result()?;
    case.del()?.silent()
}

/// S32: no variable but the CNI's own, and the guard against ourselves, is read.
fn environment_of_a_debugger_changes_nothing() -> Result<()> {
    let case = Case::attach("new")?;
    let variables = [
        ("FAILPOINTS", "all=panic"),
        ("CROSSFADE_FAULT", "exit"),
        ("CROSSFADE_DEBUG", "1"),
        ("CROSSFADE_STATE_DIR", "/nonexistent"),
        ("RUST_LOG", "trace"),
        ("RUST_BACKTRACE", "full"),
        ("RUST_MIN_STACK", "1"),
        ("TMPDIR", "/nonexistent"),
        ("HOME", "/nonexistent"),
    ];
    let call = variables.iter().fold(case.call("ADD"), |call, (name, value)| call.env(name, value));
    let outcome = call.run()?;
    assert_eq!(outcome.result()?, case.rn("eth0"));
    ensure!(outcome.stderr.is_empty(), "{}", outcome.stderr);
    ensure!(fs::metadata(case.path("state"))?.uid() == 0, "in the place that the conf names");
    case.del()?.silent()
}
