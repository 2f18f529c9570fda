//! Agents that die, fall silent or are not run.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::host::deadline;
use lab::probe::Mesh;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lan::Lan;
use crate::watch::{SILENCE_MS, ensure_books_balance, mesh, pair, until, until_answered};

const LIMIT: Duration = Duration::from_secs(60);

/// A killed agent is an error of the mesh that names the pod, now and at the end.
pub(crate) fn dead_agent_is_an_error() -> Result<()> {
    let lan = Lan::new("dead", 2)?;
    let mut mesh = mesh(&lan, 2)?;
    until_answered(&mesh.gauge(), "start", 2, 3)?;
    mesh.check()?;
    signal(&mesh, &lan.name(2), Signal::SIGKILL)?;
    let error = deadline::until("the death is noticed", LIMIT, || Ok(mesh.check().err()))?;
    let text = error.to_string();
    ensure!(text.contains(&lan.name(2)) && text.contains("has ended"), "{text}");
    ensure!(mesh.phase("next").is_err(), "a mesh with a dead agent goes on");
    let gauge = mesh.gauge();
    ensure!(mesh.finish().is_err(), "a mesh with a dead agent reports");
    ensure!(gauge.progress().answered > 0, "what was counted is still there");
    Ok(())
}

/// An agent that is stopped for longer than it may be silent is an error too.
pub(crate) fn silent_agent_is_an_error() -> Result<()> {
    let lan = Lan::new("silent", 2)?;
    let mut mesh = Mesh::new("start", 3000);
    for pod in 1..=2 {
        mesh.enter(&lan.name(pod), &lan.netns(pod), &[lan.v4(pod)])?;
    }
    until_answered(&mesh.gauge(), "start", 2, 3)?;
    mesh.check()?;
    signal(&mesh, &lan.name(1), Signal::SIGSTOP)?;
    let error = deadline::until("the silence is noticed", LIMIT, || Ok(mesh.check().err()))?;
    let text = error.to_string();
    ensure!(text.contains(&lan.name(1)) && text.contains("said nothing"), "{text}");
    Ok(())
}

/// A prober that this machine does not run for three seconds loses nothing: what it did not send is late, and what was
/// answered meanwhile is answered, for the answers waited in its sockets.
pub(crate) fn stalled_agent_is_late_not_lossy() -> Result<()> {
    let lan = Lan::new("stalled", 3)?;
    let mut mesh = Mesh::new("start", SILENCE_MS);
    let (stalled, other) = (lan.name(1), lan.name(2));
    let asking = stalled.clone();
    // The stalled agent is not asked: what it answers too late is rightly lost.
    mesh.restrict(move |_, dst, _| dst != asking);
    for pod in 1..=3 {
        mesh.enter(&lan.name(pod), &lan.netns(pod), &[lan.v4(pod)])?;
    }
    let gauge = mesh.gauge();
    until_answered(&gauge, "start", 4, 3)?;
    // Something is always under way, for the answers take their time.
    for pod in [&other, &lan.name(3)] {
        mesh.hold_answers(pod, 300)?;
    }
    signal(&mesh, &stalled, Signal::SIGSTOP)?;
    let seen = pair(&gauge.report(), &other, &lan.name(3)).udp.answered;
    until("three seconds pass", &gauge, |report| {
        pair(report, &other, &lan.name(3)).udp.answered >= seen + 30
    })?;
    signal(&mesh, &stalled, Signal::SIGCONT)?;
    mesh.phase("after")?;
    until_answered(&gauge, "after", 4, 5)?;
    let report = mesh.finish()?;
    report.verify(5)?;
    ensure_books_balance(&report)?;
    let pair = pair(&report, &stalled, &other);
    ensure!(pair.udp.late >= 25 && pair.tcp.late >= 25, "{pair:?}");
    let stall_ms = report.longest_stall_ms.get(&stalled).copied();
    ensure!(stall_ms >= Some(2500), "{:?}", report.longest_stall_ms);
    Ok(())
}

fn signal(mesh: &Mesh, pod: &str, signal: Signal) -> Result<()> {
    let pid = mesh.pid(pod).with_context(|| format!("pid of the agent of {pod}"))?;
    kill(Pid::from_raw(i32::try_from(pid)?), signal).with_context(|| format!("{signal} to {pod}"))
}
