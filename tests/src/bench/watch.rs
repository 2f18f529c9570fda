//! `watch` on a node where all is well: memory, and how often it wakes by itself.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use super::Bench;
use super::footprint::high_water_kib;
use super::report::Limit;
use crate::host::deadline::until;
use crate::host::node::Daemon;
use crate::scene::Setup;
use crate::standin::agent::{Agent, Answer, HttpHealth, Spec, UnixHealth};

/// How long it is watched, and in a quick run; less than the minute until its first sweep.
const WINDOW: Duration = Duration::from_secs(50);
const QUICK_WINDOW: Duration = Duration::from_secs(22);
/// What its start still does is not idling.
const SETTLED: Duration = Duration::from_secs(3);
const READY_WITHIN: Duration = Duration::from_secs(60);
const SOCKET: &str = "/run/agent.sock";
const PAGE: &str = "127.0.0.1:9099";

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    // All is well only where the runtime says so.
    let scene = Setup::shim().settings(json!({})).start()?;
    let node = scene.node();
    // Both networks with everything that a tick asks: a socket and a page each.
    let pid = Some(node.pid().as_raw().cast_unsigned());
    let spec = Spec {
        name: "agent".to_owned(),
        unix: Some(UnixHealth { path: SOCKET.into(), answer: Answer::Ready }),
        http: Some(HttpHealth::plain(PAGE.parse()?, Answer::Ready)),
        ..Spec::default()
    };
    let _agent = Agent::start(spec, pid)?;
    let network = |name: &str| {
        let conf = format!("/etc/cni/net.d/10-{name}.conflist");
        json!({ "conf": [conf], "ready": [{ "unix": SOCKET }, { "http": format!("{PAGE}/readiness") }], "secondary": "works" })
    };
    scene
        .crossfade
        .policy(json!({ "attach": "both", "networks": { "old": network("old"), "new": network("new") } }))?;
    scene.booted()?;
    let watch = scene.watch()?;
    until("a ready node", READY_WITHIN, || Ok((scene.status()["ready"] == true).then_some(())))?;
    thread::sleep(SETTLED);
    let window = if bench.options.pairs >= 100 { WINDOW } else { QUICK_WINDOW };
    let (before, began) = (wake_ups(&watch)?, Instant::now());
    thread::sleep(window);
    let woken = wake_ups(&watch)? - before;
    let a_minute = woken * 60.0 / began.elapsed().as_secs_f64();
    let memory = high_water_kib(watch.pid()).context("the peak memory of watch")?;
    bench.report.figure("watch: peak memory", memory, "KiB");
    bench.report.figure("watch: context switches of all threads, idle", a_minute, "a minute");
    bench.report.goal(
        "watch",
        vec![
            Limit::new("resident", memory, 16.0 * 1024.0, "KiB"),
            Limit::new("idle wake-ups", a_minute, 10.0, "a minute"),
        ],
    );
    Ok(())
}

/// How often its threads have slept and been woken since it began (man 5 proc, `voluntary_ctxt_switches`); waiting for the answer
/// to a probe counts, too.
fn wake_ups(watch: &Daemon) -> Result<f64> {
    let mut all = 0.0;
    for task in fs::read_dir(format!("/proc/{}/task", watch.pid())).context("threads of watch")? {
        let status = fs::read_to_string(task?.path().join("status")).context("a thread of watch")?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        all += line.and_then(|line| line.trim().parse::<f64>().ok()).context("its context switches")?;
    }
    Ok(all)
}
