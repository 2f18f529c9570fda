//! Plays one point: the state, the call with its fault, what the runtime does then, and every invariant at the end.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::{
    case::invariants::CallExit,
    runtime::caller::Outcome,
    standin::stub::{Act, Gate, Reply},
};
use nix::libc::{SIGABRT, SIGKILL};

use crate::{
    exceptions::may_abort,
    miniature::{Miniature, POD},
    mode::Mode,
    point::{Fault, Point, Runtime, Situation, State, Verb},
    trace::{Trace, readers_of_signals, writers},
};

/// DELs that a runtime sends at most before it gives a sandbox up.
const DELS: u32 = 3;

/// What came of a point.
#[derive(Debug)]
pub(crate) struct PlayReport {
    /// Whether the call was reached in this run: how often a shim looks at a pipe depends on its delegates' timing.
    pub(crate) hit: bool,
    /// What does not hold.
    pub(crate) problems: Vec<String>,
}

/// Brings a miniature into a situation's state.
pub(crate) fn set(situation: Situation) -> Result<Miniature> {
    let mut miniature = Miniature::new(situation.mode)?;
    match situation.state {
        State::Fresh => {}
        State::Attached | State::Lost => miniature.attach(POD)?,
        State::Half if situation.mode == Mode::Live => {
            miniature.attach(POD)?;
            miniature.flip(Mode::Both.as_str())?;
            kill_second(&mut miniature, Verb::Join)?;
        }
        State::Half => kill_second(&mut miniature, Verb::Add)?,
    }
    match (situation.verb, situation.state) {
        (Verb::Join, _) => miniature.flip(Mode::Both.as_str())?,
        (Verb::Leave, State::Attached) => {
            miniature.flip(Mode::Both.as_str())?;
            let outcome = miniature.call("JOIN", POD)?;
            ensure!(outcome.status.success(), "the JOIN before the point failed: {outcome:?}");
            miniature.flip(Mode::Old.as_str())?;
        }
        (Verb::Leave, _) => miniature.flip(Mode::Old.as_str())?,
        _ => {}
    }
    if situation.verb == Verb::Gc {
        miniature.attach_stale()?;
    }
    if situation.state == State::Lost {
        miniature.host.lose_routes()?;
    }
    if situation.verb == Verb::Status {
        // Nothing was ready yet, so that every network is really asked.
        fs::remove_dir_all(miniature.path("run/ready")).context("forget that networks were ready")?;
    }
    Ok(miniature)
}

/// Has a call killed while the plugin of its second network is at work.
fn kill_second(miniature: &mut Miniature, verb: Verb) -> Result<()> {
    miniature.write_stubs("stub-new", &Reply(vec![Act::KillParent]))?;
    let outcome = miniature.run(verb.as_str(), POD, &[], true)?;
    ensure!(CallExit::from(outcome.status) == CallExit::Signalled(SIGKILL), "not killed: {outcome:?}");
    miniature.wait_for_orphans()?;
    miniature.write_stubs("", &Reply::default())
}

/// The system calls of a situation that nothing happens to, and the routes it leaves in the pod.
pub(crate) fn rehearse(situation: Situation) -> Result<(Trace, String)> {
    let mut miniature = set(situation)?;
    let log = miniature.trace_path().display().to_string();
    let outcome = miniature.run(situation.verb.as_str(), POD, &["strace", "-o", &log], false)?;
    ensure!(outcome.status.success(), "{situation} fails by itself: {outcome:?}");
    let routes = miniature.routes()?;
    go_on(&mut miniature, situation, Runtime::Dels, &outcome, None)?;
    miniature.sweep()?;
    ensure!(
        miniature.problems.is_empty(),
        "{situation} without any fault: {}",
        miniature.problems.join("; ")
    );
    Ok((Trace::parse(&fs::read_to_string(&log)?), routes))
}

/// Plays a point. `routes` is what [`rehearse`] found in the pod.
pub(crate) fn play(point: &Point, routes: &str) -> Result<PlayReport> {
    let situation = point.situation;
    let mut miniature = set(situation)?;
    miniature.refused = matches!(point.fault, Fault::Error(_));
    let gate = Gate::closed(&miniature.gate_path())?;
    if let Runtime::Overtakes(plugin) = point.runtime {
        let held = Reply::default().behind(&gate);
        miniature.write_stubs(situation.mode.plugins().get(plugin).context("no such plugin")?, &held)?;
    }
    let before = (miniature.calls_bytes(), miniature.holder());
    let log = miniature.trace_path().display().to_string();
    let trace = format!("trace={},{},{}", point.call, writers(), readers_of_signals());
    let injection = point.injection();
    let wrapper = ["strace", "-o", &log, "-e", &trace, "-e", &injection];
    let outcome = miniature.run(situation.verb.as_str(), POD, &wrapper, true)?;
    let text = fs::read_to_string(&log).context("what strace wrote")?;

    let begun = (miniature.calls_bytes(), miniature.holder()) != before;
    judge_end(&mut miniature, point, &outcome, begun);
    for path in Trace::parse(&text).written() {
        if !miniature.may_write(&path) {
            miniature.problems.push(format!("N6: wrote {}", path.display()));
        }
    }
    if let Runtime::Overtakes(_) = point.runtime {
        delete(&mut miniature)?;
        gate.open()?;
    }
    go_on(&mut miniature, situation, point.runtime, &outcome, Some(routes))?;
    Ok(PlayReport { hit: was_hit(point, &text), problems: std::mem::take(&mut miniature.problems) })
}

/// Whether strace did what it was told.
fn was_hit(point: &Point, text: &str) -> bool {
    match point.fault {
        Fault::Kill => text.contains("+++ killed by SIGKILL"),
        Fault::Error(_) => text.contains("(INJECTED)"),
        // Until the process reads its signals from a descriptor, one of these ends it.
        Fault::Signal(name) => {
            text.contains(&format!("+++ killed by {name}"))
                || Trace::parse(text).is_read_after(&point.call, point.nth, name)
        }
    }
}

/// N4 of the broken call, which may end in a way that no other may.
fn judge_end(miniature: &mut Miniature, point: &Point, outcome: &Outcome, begun: bool) {
    let ended = CallExit::from(outcome.status);
    let fine = match (ended, point.fault) {
        (CallExit::Signalled(SIGKILL), Fault::Kill) => true,
        (CallExit::Signalled(SIGABRT), Fault::Error(_)) => may_abort(&point.call, point.nth).is_some(),
        // Until the handlers are there a signal ends the process, which has not even taken the attachment's lock by then.
        (CallExit::Signalled(_), Fault::Signal(_)) => !begun,
        _ => false,
    };
    if !fine {
        let verb = point.situation.verb.as_str();
        miniature.take(lab::case::invariants::answer(verb, ended, &outcome.stdout));
    }
}

/// What a runtime does after a call, and the end of the miniature.
/// `routes` is what an ADD that succeeds must have left in the pod.
pub(crate) fn go_on(
    miniature: &mut Miniature,
    situation: Situation,
    runtime: Runtime,
    outcome: &Outcome,
    routes: Option<&str>,
) -> Result<()> {
    let succeeded = outcome.status.success();
    match situation.verb {
        Verb::Add => {
            // What failed must have been undone or be on record by now, and so must what was killed.
            miniature.wait_for_orphans()?;
            miniature.hold_ledger()?;
            if succeeded {
                miniature.hold_whole("after an ADD that answered success")?;
                if let Some(routes) = routes.filter(|_| situation.mode == Mode::Both) {
                    let now = miniature.routes()?;
                    if now != routes {
                        miniature.problems.push(format!("routes are {now:?}, not {routes:?}"));
                    }
                }
            }
            match runtime {
                Runtime::Dels | Runtime::Retries | Runtime::Overtakes(_) => {
                    delete(miniature)?;
                    delete_again(miniature)?;
                }
                Runtime::Forgets => miniature.remove_netns()?,
            }
        }
        Verb::Join | Verb::Leave => {
            miniature.wait_for_orphans()?;
            miniature.hold_ledger()?;
            let mut succeeded = succeeded;
            if runtime == Runtime::Retries {
                let again = miniature.call(situation.verb.as_str(), POD)?;
                ensure!(again.status.success(), "the next {} fails: {again:?}", situation.verb.as_str());
                succeeded = true;
            }
            let parts = situation.mode.parts();
            let joined = situation.verb == Verb::Join;
            if succeeded {
                miniature.hold_parts("after the point", if joined { parts } else { &parts[..1] })?;
                let now = miniature.routes()?;
                if let Some(routes) = routes.filter(|routes| *routes != now) {
                    miniature.problems.push(format!("routes are {now:?}, not {routes:?}"));
                }
            }
            match runtime {
                Runtime::Dels | Runtime::Retries | Runtime::Overtakes(_) => {
                    delete(miniature)?;
                    delete_again(miniature)?;
                }
                Runtime::Forgets => miniature.remove_netns()?,
            }
        }
        Verb::Del => {
            miniature.hold_ledger()?;
            if succeeded {
                miniature.hold_unrouted()?;
            } else {
                delete(miniature)?;
            }
        }
        Verb::Check | Verb::Status | Verb::Gc => {
            if situation.state == State::Lost {
                // Whatever the broken one has mended, the next one mends the rest.
                let again = miniature.call("GC", POD)?;
                ensure!(again.status.success(), "the next GC fails: {again:?}");
            }
            miniature.hold_whole("after the point")?;
            if situation.verb == Verb::Gc {
                hold_gc_lists(miniature, situation.mode)?;
            }
            delete(miniature)?;
        }
        Verb::Version => {}
    }
    miniature.end()
}

/// Deletes the pod as runtimes do: until it succeeds.
fn delete(miniature: &mut Miniature) -> Result<()> {
    for attempt in 1..=DELS {
        let outcome = miniature.call("DEL", POD)?;
        if outcome.status.success() {
            return miniature.hold_unrouted();
        }
        miniature.problems.push(format!("DEL {attempt} fails: {}", outcome.stdout));
    }
    Ok(())
}

/// Deletes a pod that is deleted already, as containerd does after an ADD that failed.
fn delete_again(miniature: &mut Miniature) -> Result<()> {
    let before = miniature.calls_bytes();
    let again = miniature.call("DEL", POD)?;
    if !again.status.success() || miniature.calls_bytes() != before {
        miniature.problems.push(format!(
            "one DEL more: {:?}, after {:?}",
            again.stdout,
            miniature.stubs.log().briefs()?
        ));
    }
    Ok(())
}

/// A delegate that is told to collect garbage must be told of every pod of its own that lives.
fn hold_gc_lists(miniature: &mut Miniature, mode: Mode) -> Result<()> {
    for call in miniature.stubs.log().calls()?.iter().filter(|call| call.verb() == "GC") {
        let conf = call.conf()?;
        if !mode.parts().iter().any(|(network, _)| conf["name"] == *network) {
            continue;
        }
        let listed = conf["cni.dev/valid-attachments"].to_string();
        if !listed.contains(&miniature.id(POD)) {
            miniature.problems.push(format!(
                "{}: the list of {} lacks the pod: {listed}",
                call.brief(),
                conf["name"]
            ));
        }
    }
    Ok(())
}
