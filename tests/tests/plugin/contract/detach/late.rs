//! Calls that come too late, or are told to stop, before they have begun: nothing is begun then.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::{runtime::caller::Running, standin::stub::Reply};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::{
    case::{Case, stub_new},
    trials,
};

trials![
    add_that_gets_its_lock_at_its_deadline_begins_nothing,
    add_that_gets_its_lock_when_too_little_time_is_left_begins_nothing,
    check_that_gets_its_lock_at_its_deadline_calls_no_delegate,
    add_that_is_told_to_stop_at_its_lock_begins_nothing,
];

/// Runs `verb` until it waits for a lock that a DEL of the same attachment holds, stops it there, and lets it go on when
/// `meanwhile` has been done and the lock is free.
fn held_up(verb: &str, meanwhile: impl FnOnce(&Case, &Running) -> Result<()>) -> Result<(Case, Running)> {
    let case = Case::attach("new")?;
    case.added()?;
    let gate = case.gate("gate")?;
    case.stubs.write("stub-new", &stub_new().on("DEL", Reply::silent().behind(&gate)))?;
    let del = case.call("DEL").spawn()?;
    case.stubs.log().wait_for("stub-new DEL eth0", 1)?;
    case.change_policy(|policy| policy["deadlines"] = json!({"addSeconds": 3, "checkSeconds": 3}))?;
    let waiting = case.call(verb).spawn()?;
    let locks = case.path("run/locks");
    case.eventually("the call at the attachment's lock", || {
        Ok(waiting.open_files().iter().any(|path| path.starts_with(&locks)))
    })?;
    waiting.signal(Signal::SIGSTOP)?;
    meanwhile(&case, &waiting)?;
    gate.open()?;
    del.wait()?.silent()?;
    case.stubs.log().clear()?;
    waiting.signal(Signal::SIGCONT)?;
    Ok((case, waiting))
}

/// Lets so much time pass since the call was stopped, which is some time after it began.
fn after(time: Duration) -> impl FnOnce(&Case, &Running) -> Result<()> {
    move |case, _| {
        let end = Instant::now() + time;
        case.eventually("the end of its time", || Ok(Instant::now() >= end))
    }
}

/// What would begin here would be ended at once, half done.
fn add_that_gets_its_lock_at_its_deadline_begins_nothing() -> Result<()> {
    let (case, add) = held_up("ADD", after(Duration::from_secs(3)))?;
    let message = add.wait()?.refused(11)?.text();
    ensure!(message.contains("free only at the deadline"), "{message}");
    case.expect_calls(&[])?;
    case.expect_records(0)
}

/// A third is kept for undoing, so of three seconds two are for attaching.
fn add_that_gets_its_lock_when_too_little_time_is_left_begins_nothing() -> Result<()> {
    let (case, add) = held_up("ADD", after(Duration::from_secs(2)))?;
    add.wait()?.refused(11)?;
    case.expect_calls(&[])?;
    case.expect_records(0)
}

fn check_that_gets_its_lock_at_its_deadline_calls_no_delegate() -> Result<()> {
    let (case, check) = held_up("CHECK", after(Duration::from_secs(3)))?;
    let message = check.wait()?.refused(103)?.text();
    ensure!(message.contains("free only at the deadline"), "{message}");
    case.expect_calls(&[])
}

/// The runtime has given the sandbox up while its ADD waited.
fn add_that_is_told_to_stop_at_its_lock_begins_nothing() -> Result<()> {
    let (case, add) = held_up("ADD", |_, add| add.signal(Signal::SIGTERM))?;
    add.wait()?.refused(11)?;
    case.expect_calls(&[])?;
    case.expect_records(0)
}
