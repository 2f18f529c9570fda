//! Plays one point: the state, the call with its fault, what the runtime does then, and every invariant at the end.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::{
    caller::Outcome,
    invariants::Ended,
    stub::{Act, Gate, Reply},
};
use nix::libc::{SIGABRT, SIGKILL};

use crate::{
    exceptions::may_abort,
    mode::Mode,
    point::{Fault, Point, Runtime, Scene, State, Verb},
    trace::{Trace, writers},
    world::{POD, World},
};

/// DELs that a runtime sends at most before it gives a sandbox up.
const DELS: u32 = 3;

/// What came of a point.
#[derive(Debug)]
pub(crate) struct Played {
    /// Whether the call was reached in this run: how often a shim looks at a pipe depends on its delegates' timing.
    pub(crate) hit: bool,
    /// What does not hold.
    pub(crate) problems: Vec<String>,
}

/// Brings a world into a scene's state.
pub(crate) fn set(scene: Scene) -> Result<World> {
    let mut world = World::new(scene.mode)?;
    match scene.state {
        State::Fresh => {}
        State::Attached | State::Lost => world.attach(POD)?,
        State::Half => {
            world.write_stubs("stub-new", &Reply(vec![Act::KillParent]))?;
            let outcome = world.run("ADD", POD, &[], true)?;
            ensure!(Ended::from(outcome.status) == Ended::Signalled(SIGKILL), "not killed: {outcome:?}");
            world.wait_for_orphans()?;
            world.write_stubs("", &Reply::default())?;
        }
    }
    if scene.verb == Verb::Gc {
        world.attach_stale()?;
    }
    if scene.state == State::Lost {
        world.host.lose_routes()?;
    }
    if scene.verb == Verb::Status {
        // Nothing was ready yet, so that every network is really asked.
        fs::remove_dir_all(world.path("run/ready")).context("forget that networks were ready")?;
    }
    Ok(world)
}

/// The system calls of a scene that nothing happens to, and the routes it leaves in the pod.
pub(crate) fn rehearse(scene: Scene) -> Result<(Trace, String)> {
    let mut world = set(scene)?;
    let log = world.trace_path().display().to_string();
    let outcome = world.run(scene.verb.as_str(), POD, &["strace", "-o", &log], false)?;
    ensure!(outcome.status.success(), "{scene} fails by itself: {outcome:?}");
    let routes = world.routes()?;
    go_on(&mut world, scene, Runtime::Dels, &outcome, None)?;
    world.sweep()?;
    ensure!(world.problems.is_empty(), "{scene} without any fault: {}", world.problems.join("; "));
    Ok((Trace::parse(&fs::read_to_string(&log)?), routes))
}

/// Plays a point. `routes` is what [`rehearse`] found in the pod.
pub(crate) fn play(point: &Point, routes: &str) -> Result<Played> {
    let scene = point.scene;
    let mut world = set(scene)?;
    world.refused = matches!(point.fault, Fault::Error(_));
    let gate = Gate::closed(&world.gate_path())?;
    if let Runtime::Overtakes(plugin) = point.runtime {
        let held = Reply::default().behind(&gate);
        world.write_stubs(scene.mode.plugins().get(plugin).context("no such plugin")?, &held)?;
    }
    let before = (world.calls_bytes(), world.holder());
    let log = world.trace_path().display().to_string();
    let trace = format!("trace={},{}", point.call, writers());
    let injection = point.injection();
    let wrapper = ["strace", "-o", &log, "-e", &trace, "-e", &injection];
    let outcome = world.run(scene.verb.as_str(), POD, &wrapper, true)?;
    let text = fs::read_to_string(&log).context("what strace wrote")?;

    let begun = (world.calls_bytes(), world.holder()) != before;
    judge_end(&mut world, point, &outcome, begun);
    for path in Trace::parse(&text).written() {
        if !world.may_write(&path) {
            world.problems.push(format!("I6: wrote {}", path.display()));
        }
    }
    if let Runtime::Overtakes(_) = point.runtime {
        delete(&mut world)?;
        gate.open()?;
    }
    go_on(&mut world, scene, point.runtime, &outcome, Some(routes))?;
    Ok(Played { hit: was_hit(point, &text), problems: std::mem::take(&mut world.problems) })
}

/// Whether strace did what it was told.
fn was_hit(point: &Point, text: &str) -> bool {
    match point.fault {
        Fault::Kill => text.contains("+++ killed by SIGKILL"),
        Fault::Error(_) => text.contains("(INJECTED)"),
        Fault::Signal(name) => text.contains(&format!("--- {name} ")),
    }
}

/// I4 of the broken call, which may end in a way that no other may.
fn judge_end(world: &mut World, point: &Point, outcome: &Outcome, begun: bool) {
    let ended = Ended::from(outcome.status);
    let fine = match (ended, point.fault) {
        (Ended::Signalled(SIGKILL), Fault::Kill) => true,
        (Ended::Signalled(SIGABRT), Fault::Error(_)) => may_abort(&point.call, point.nth).is_some(),
        // Until the handlers are there a signal ends the process, which has not even taken the attachment's lock by then.
        (Ended::Signalled(_), Fault::Signal(_)) => !begun,
        _ => false,
    };
    if !fine {
        let verb = point.scene.verb.as_str();
        world.take(lab::invariants::answer(verb, ended, &outcome.stdout));
    }
}

/// What a runtime does after a call, and the end of the world.
/// `routes` is what an ADD that succeeds must have left in the pod.
pub(crate) fn go_on(
    world: &mut World,
    scene: Scene,
    runtime: Runtime,
    outcome: &Outcome,
    routes: Option<&str>,
) -> Result<()> {
    let succeeded = outcome.status.success();
    match scene.verb {
        Verb::Add => {
            // What failed must have been undone or be on record by now, and so must what was killed.
            world.wait_for_orphans()?;
            world.hold_ledger()?;
            if succeeded {
                world.hold_whole("after an ADD that answered success")?;
                if let Some(routes) = routes.filter(|_| scene.mode == Mode::Both) {
                    let now = world.routes()?;
                    if now != routes {
                        world.problems.push(format!("routes are {now:?}, not {routes:?}"));
                    }
                }
            }
            match runtime {
                Runtime::Dels | Runtime::Overtakes(_) => {
                    delete(world)?;
                    delete_again(world)?;
                }
                Runtime::Forgets => world.remove_netns()?,
            }
        }
        Verb::Del => {
            world.hold_ledger()?;
            if succeeded {
                world.hold_unrouted()?;
            } else {
                delete(world)?;
            }
        }
        Verb::Check | Verb::Status | Verb::Gc => {
            if scene.state == State::Lost {
                // Whatever the broken one has mended, the next one mends the rest.
                let again = world.call("GC", POD)?;
                ensure!(again.status.success(), "the next GC fails: {again:?}");
            }
            world.hold_whole("after the point")?;
            if scene.verb == Verb::Gc {
                hold_gc_lists(world, scene.mode)?;
            }
            delete(world)?;
        }
        Verb::Version => {}
    }
    world.end()
}

/// Deletes the pod as runtimes do: until it succeeds.
fn delete(world: &mut World) -> Result<()> {
    for attempt in 1..=DELS {
        let outcome = world.call("DEL", POD)?;
        if outcome.status.success() {
            return world.hold_unrouted();
        }
        world.problems.push(format!("DEL {attempt} fails: {}", outcome.stdout));
    }
    Ok(())
}

/// Deletes a pod that is deleted already, as containerd does after an ADD that failed.
fn delete_again(world: &mut World) -> Result<()> {
    let before = world.calls_bytes();
    let again = world.call("DEL", POD)?;
    if !again.status.success() || world.calls_bytes() != before {
        world.problems.push(format!(
            "one DEL more: {:?}, after {:?}",
            again.stdout,
            world.stubs.log().briefs()?
        ));
    }
    Ok(())
}

/// A delegate that is told to collect garbage must be told of every pod of its own that lives.
fn hold_gc_lists(world: &mut World, mode: Mode) -> Result<()> {
    for call in world.stubs.log().calls()?.iter().filter(|call| call.verb() == "GC") {
        let conf = call.conf()?;
        if !mode.parts().iter().any(|(network, _)| conf["name"] == *network) {
            continue;
        }
        let listed = conf["cni.dev/valid-attachments"].to_string();
        if !listed.contains(&world.id(POD)) {
            world.problems.push(format!(
                "{}: the list of {} lacks the pod: {listed}",
                call.brief(),
                conf["name"]
            ));
        }
    }
    Ok(())
}
