//! Daemons that a delegate starts: they outlive it on purpose, and keep what they inherited, the attachment's lock too.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use lab::{runtime::caller::Running, standin::stub::Act};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::{
    case::{Case, is_alive, stub_new, stub_old},
    trials,
};

trials![
    daemon_that_keeps_the_lock_of_a_killed_add_holds_up_no_verb,
    daemon_that_keeps_the_lock_of_a_killed_add_is_not_killed,
    daemon_that_ends_while_its_lock_changes_hands_lets_one_in_at_a_time,
    daemon_of_an_orderly_add_holds_up_no_call,
];

/// A program in a session of its own, as daemons make one, with or without the environment of its delegate.
fn daemon(environment: bool) -> Act {
    let clean: &[&str] = if environment { &[] } else { &["/usr/bin/env", "-i"] };
    let words = [&["/usr/bin/setsid"], clean, &["/bin/sleep", "100000"]].concat();
    Act::Spawn(words.into_iter().map(str::to_owned).collect())
}

/// The pid of the daemon once it is one.
fn started(case: &Case) -> Result<i32> {
    let mut pid = 0;
    case.eventually("the delegate's daemon", || {
        let Some(spawned) = case.stubs.log().spawned()?.first().copied() else { return Ok(false) };
        pid = spawned;
        // It has its session by the time it is this program.
        Ok(fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sleep"))
    })?;
    Ok(pid)
}

/// An ADD that was killed while its delegate worked, and the daemon that the delegate had started before.
fn killed_beside_a_daemon(attach: &str, environment: bool) -> Result<(Case, i32)> {
    let mut case = Case::attach(attach)?;
    case.shim["cniVersion"] = json!("1.1.0");
    case.change_policy(|policy| {
        // Only tells a verb that answers from one that waits for the daemon.
        policy["deadlines"] =
            json!({"addSeconds": 20, "delSeconds": 20, "checkSeconds": 20, "gcSeconds": 20});
        policy["gc"] = json!({"graceSeconds": 0});
    })?;
    let (name, stub) = if attach == "new" { ("stub-new", stub_new()) } else { ("stub-old", stub_old()) };
    let hang = lab::standin::stub::Reply(vec![daemon(environment), Act::Hang]);
    case.stubs.write(name, &stub.clone().on("ADD", hang))?;
    let add = case.call("ADD").spawn()?;
    let delegate = case.stubs.log().wait_for(&format!("{name} ADD eth0"), 1)?.pid;
    let pid = started(&case)?;
    add.signal(Signal::SIGKILL)?;
    drop(add);
    ensure!(is_alive(delegate) && is_alive(pid), "both outlive the shim");
    case.stubs.write(name, &stub)?;
    Ok((case, pid))
}

/// How many lock files of attachments and containers there are.
fn locks(case: &Case) -> usize {
    let files = fs::read_dir(case.path("run/locks")).into_iter().flatten().flatten();
    files.filter(|file| file.path().extension().is_none_or(|end| end != "lock")).count()
}

/// Whichever verb comes first.
fn daemon_that_keeps_the_lock_of_a_killed_add_holds_up_no_verb() -> Result<()> {
    for (attach, brief) in [("new", "stub-new DEL eth0"), ("both", "stub-old DEL eth0")] {
        for verb in ["DEL", "GC", "ADD", "CHECK"] {
            let (case, pid) = killed_beside_a_daemon(attach, false)?;
            match verb {
                "DEL" => case.del()?.silent()?,
                "GC" => case.call_with("GC", &json!({"cni.dev/valid-attachments": []})).run()?.silent()?,
                // Both find out at once that the killed ADD never finished.
                "ADD" => drop(case.add()?.refused(102)?),
                _ => drop(case.call("CHECK").run()?.refused(100)?),
            }
            if matches!(verb, "ADD" | "CHECK") {
                case.del()?.silent()?;
            }
            case.the_call(brief)?;
            case.expect_records(0)?;
            ensure!(is_alive(pid), "{verb}: the daemon is no work of the killed ADD's");
            ensure!(locks(&case) == 0, "{verb}: a lock file is left");
            case.add()?.succeeded()?;
            case.del()?.silent()?;
        }
    }
    Ok(())
}

/// Its environment says whose it is; its session, that it is to stay.
fn daemon_that_keeps_the_lock_of_a_killed_add_is_not_killed() -> Result<()> {
    let (case, pid) = killed_beside_a_daemon("new", true)?;
    let delegate = case.the_call("stub-new ADD eth0")?.pid;
    case.del()?.silent()?;
    ensure!(!is_alive(delegate), "the delegate is ended before its DEL");
    ensure!(is_alive(pid), "its daemon is not");
    case.the_call("stub-new DEL eth0")?;
    case.expect_records(0)
}

/// The lock may become free by itself at the moment in which it is taken over, and then only one may have it.
fn daemon_that_ends_while_its_lock_changes_hands_lets_one_in_at_a_time() -> Result<()> {
    for round in 0..8 {
        let (case, pid) = killed_beside_a_daemon("new", false)?;
        let call = |_: u32| case.call("DEL").patience(Duration::from_secs(100)).spawn();
        let mut running: Vec<Running> = (0..4).map(call).collect::<Result<_>>()?;
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        running.extend((0..4).map(call).collect::<Result<Vec<_>>>()?);
        for shim in running {
            shim.wait()?.silent()?;
        }
        // A DEL that ran beside another would have found the record and called the delegate, too.
        let dels = case.stubs.log().briefs()?.iter().filter(|brief| *brief == "stub-new DEL eth0").count();
        ensure!(dels == 1, "round {round}: {dels} DELs");
        case.expect_records(0)?;
        ensure!(locks(&case) == 0, "round {round}: a lock file is left");
    }
    Ok(())
}

/// An orderly end unlocks, also if another process inherited the lock.
fn daemon_of_an_orderly_add_holds_up_no_call() -> Result<()> {
    let case = Case::attach("new")?;
    case.stubs.write(
        "stub-new",
        &stub_new().on("ADD", lab::standin::stub::Reply::json(&case.rn("eth0")).then(daemon(true))),
    )?;
    case.add()?.succeeded()?;
    let pid = started(&case)?;
    case.change_policy(|policy| policy["deadlines"] = json!({"delSeconds": 20}))?;
    case.del()?.silent()?;
    ensure!(is_alive(pid), "the daemon stays");
    ensure!(locks(&case) == 0, "a lock file is left");
    case.expect_records(0)
}
