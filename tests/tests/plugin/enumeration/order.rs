//! The order of durable writes and delegates: the record is durable before the first delegate runs, and goes after the last one ended.

use anyhow::{Context, Result, ensure};

use crate::{
    mode::Mode,
    play::rehearse,
    point::{Situation, State, Verb},
    trace::SystemCall,
};

/// write < fdatasync < link to its name < fsync of the directory < the first delegate, in every mode; and the trace in any
/// other order is refused.
pub(crate) fn record_is_durable_before_the_first_delegate() -> Result<()> {
    for mode in Mode::OF_ADD {
        let (trace, _) = rehearse(Situation { verb: Verb::Add, mode, state: State::Fresh })?;
        let steps = durable_before_spawn(&trace.calls).with_context(|| format!("ADD in mode {mode}"))?;
        for pair in steps.windows(2) {
            let mut swapped = trace.calls.clone();
            swapped.swap(pair[0], pair[1]);
            ensure!(
                durable_before_spawn(&swapped).is_err(),
                "`{}` after `{}` was not noticed",
                trace.calls[pair[0]].line,
                trace.calls[pair[1]].line
            );
        }
    }
    Ok(())
}

/// The record is removed after every delegate was waited for, in every mode.
pub(crate) fn record_goes_after_the_last_delegate() -> Result<()> {
    for mode in Mode::OF_ADD {
        let (trace, _) = rehearse(Situation { verb: Verb::Del, mode, state: State::Attached })?;
        let removed =
            find(&trace.calls, 0, |call| call.name == "unlink" && call.line.contains("/attachments/"))
                .context("the record is not removed")?;
        let spawned = trace.calls.iter().filter(|call| call.is_spawn()).count();
        let ended = |calls: &[SystemCall]| calls.iter().filter(|call| is_end_of_child(call)).count();
        ensure!(
            spawned > 0 && ended(&trace.calls[..removed]) == spawned,
            "mode {mode}: {} of {spawned} delegates had ended when the record went",
            ended(&trace.calls[..removed])
        );
        ensure!(ended(&trace.calls[removed..]) == 0, "mode {mode}: a delegate ended after the record went");
    }
    Ok(())
}

/// Positions of the steps in a trace that has them in order.
fn durable_before_spawn(calls: &[SystemCall]) -> Result<Vec<usize>> {
    let opened = find(calls, 0, |call| {
        call.is_open() && call.line.contains("/attachments/") && call.line.contains("O_TMPFILE")
    })
    .context("no new file among the records")?;
    let file = descriptor(&calls[opened])?;
    let shard = path(&calls[opened])?;
    let written = find(calls, opened, |call| call.line.starts_with(&format!("write({file}, ")))
        .context("it is not written")?;
    let synced = find(calls, written, |call| call.line.starts_with(&format!("fdatasync({file})")))
        .context("it is not synced")?;
    let linked = find(calls, synced, |call| {
        call.line.starts_with(&format!("linkat({file}, \"\", ")) && call.line.contains(&format!("\"{shard}/"))
    })
    .context("it is not given its name after that")?;
    let dir_opened =
        find(calls, linked, |call| call.is_open() && call.line.contains(&format!("\"{shard}\"")))
            .context("its directory is not opened after that")?;
    let dir = descriptor(&calls[dir_opened])?;
    let dir_synced = find(calls, dir_opened, |call| call.line.starts_with(&format!("fsync({dir})")))
        .context("its directory is not synced after that")?;
    let spawned = find(calls, 0, |call| call.is_spawn()).context("no delegate")?;
    ensure!(spawned > dir_synced, "`{}` comes too early", calls[spawned].line);
    // A directory that was made for it must be there after a power loss as well.
    if let Some(made) = find(calls, 0, |call| call.line.starts_with(&format!("mkdir(\"{shard}\""))) {
        let above = find(calls, made, |call| call.name == "fsync").context("a new shard is not synced")?;
        ensure!(above < opened, "a new shard is synced too late");
    }
    Ok(vec![opened, written, synced, linked, dir_synced, spawned])
}

fn find(calls: &[SystemCall], from: usize, is: impl Fn(&SystemCall) -> bool) -> Option<usize> {
    calls[from..].iter().position(is).map(|at| from + at)
}

/// What a call returned.
fn descriptor(call: &SystemCall) -> Result<&str> {
    call.line.rsplit_once(" = ").map(|(_, result)| result).context("no result")
}

/// The first string of a call.
fn path(call: &SystemCall) -> Result<&str> {
    call.line.split('"').nth(1).context("no path")
}

fn is_end_of_child(call: &SystemCall) -> bool {
    call.name == "wait4" && descriptor(call).is_ok_and(|result| result.parse().is_ok_and(|pid: i64| pid > 0))
}
