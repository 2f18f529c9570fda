//! Shims that are killed or asked to stop: orphans, and what the next call undoes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::{
    runtime::caller::{Outcome, Running},
    standin::stub::{Act, Reply},
};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::{
    case::{Case, hang_with_child, is_alive, stub_new, stub_old},
    trials,
};

trials![
    killed_between_the_networks_is_undone_by_del,
    killed_in_the_first_network_is_undone_by_del,
    orphan_of_a_killed_add_ignoring_sigterm_is_ended_by_del,
    orphan_of_a_killed_add_is_ended_by_gc,
    killed_in_mid_del_is_finished_by_the_next,
    killed_as_a_delegate_starts_is_undone_by_del,
    unfinished_attachment_fails_check_and_refuses_add,
    sigterm_in_mid_add_undoes_it,
    sigterm_in_mid_del_keeps_what_is_not_done,
    sigterm_in_mid_del_names_what_was_not_started,
];

/// Kills a shim whose ADD waits in `stub` with a child that works for ever; both live on as orphans.
fn killed_in_add(case: &Case, stub: &str, brief: &str) -> Result<()> {
    let held = if stub == "stub-old" { stub_old() } else { stub_new() };
    case.stubs.write(stub, &held.on("ADD", hang_with_child()))?;
    let add = case.call("ADD").spawn()?;
    let call = case.stubs.log().wait_for(brief, 1)?;
    case.eventually("the delegate's child", || Ok(!case.stubs.log().spawned()?.is_empty()))?;
    add.signal(Signal::SIGKILL)?;
    ensure!(!add.wait()?.status.success(), "the shim was killed");
    ensure!(is_alive(call.pid), "the delegate outlives the shim");
    case.expect_records(1)
}

fn killed_between_the_networks_is_undone_by_del() -> Result<()> {
    let case = Case::attach("both")?;
    killed_in_add(&case, "stub-new", "stub-new ADD net1")?;
    case.del()?.silent()?;
    case.expect_no_delegates()?;
    case.expect_calls(&["stub-old ADD eth0", "stub-new ADD net1", "stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

/// Old may have got anywhere, so it is undone; whether new, which was never called, hears of it is the shim's choice.
fn killed_in_the_first_network_is_undone_by_del() -> Result<()> {
    let case = Case::attach("both")?;
    killed_in_add(&case, "stub-old", "stub-old ADD eth0")?;
    case.flip("new")?;
    case.del()?.silent()?;
    case.expect_no_delegates()?;
    case.the_call("stub-old DEL eth0")?;
    case.expect_records(0)
}

/// No DEL comes, and the orphan never ends by itself.
fn orphan_of_a_killed_add_is_ended_by_gc() -> Result<()> {
    for (attach, stub, brief) in
        [("new", "stub-new", "stub-new ADD eth0"), ("both", "stub-old", "stub-old ADD eth0")]
    {
        let mut case = Case::attach(attach)?;
        case.shim["cniVersion"] = json!("1.1.0");
        killed_in_add(&case, stub, brief)?;
        let gc = |grace: u32| {
            case.change_policy(|policy| policy["gc"] = json!({"graceSeconds": grace}))?;
            case.call_with("GC", &json!({"cni.dev/valid-attachments": []})).run()?.silent()
        };
        gc(600)?;
        ensure!(is_alive(case.the_call(brief)?.pid), "a young one may still be wanted");
        gc(0)?;
        case.expect_no_delegates()?;
        case.the_call(&brief.replace("ADD", "DEL"))?;
        case.expect_records(0)?;
    }
    Ok(())
}

fn orphan_of_a_killed_add_ignoring_sigterm_is_ended_by_del() -> Result<()> {
    let case = Case::attach("new")?;
    case.stubs.write("stub-new", &stub_new().on("ADD", hang_with_child().first(Act::IgnoreTerm)))?;
    let add = case.call("ADD").spawn()?;
    case.stubs.log().wait_for("stub-new ADD eth0", 1)?;
    case.eventually("the delegate's child", || Ok(!case.stubs.log().spawned()?.is_empty()))?;
    add.signal(Signal::SIGKILL)?;
    drop(add);
    case.del()?.silent()?;
    case.expect_no_delegates()?;
    case.expect_calls(&["stub-new ADD eth0", "stub-new DEL eth0"])
}

fn killed_in_mid_del_is_finished_by_the_next() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    case.stubs.write("stub-old", &stub_old().on_calls("DEL", vec![hang_with_child(), Reply::silent()]))?;
    let del = case.call("DEL").spawn()?;
    case.stubs.log().wait_for("stub-old DEL eth0", 1)?;
    case.eventually("the delegate's child", || Ok(!case.stubs.log().spawned()?.is_empty()))?;
    del.signal(Signal::SIGKILL)?;
    drop(del);
    case.del()?.silent()?;
    case.expect_no_delegates()?;
    let briefs = case.stubs.log().briefs()?;
    ensure!(briefs.iter().filter(|brief| *brief == "stub-old DEL eth0").count() == 2, "{briefs:?}");
    case.expect_records(0)
}

/// At any instant, so also between the delegate's start and whatever the shim notes down about it. Many at
/// once, since that is a window of microseconds unless the machine is busy.
fn killed_as_a_delegate_starts_is_undone_by_del() -> Result<()> {
    for (verb, stub) in [("ADD", "stub-old"), ("ADD", "stub-new"), ("DEL", "stub-new"), ("DEL", "stub-old")] {
        let case = Case::attach("both")?;
        case.change_policy(|policy| policy["deadlines"] = json!({"delSeconds": 20}))?;
        let ids: Vec<String> = (0..32).map(|number| format!("pod{number}")).collect();
        let all = |verb: &str| -> Result<Vec<Outcome>> {
            let call = |id: &String| {
                case.call(verb).env("CNI_CONTAINERID", id).patience(Duration::from_secs(100)).spawn()
            };
            let running: Vec<Running> = ids.iter().map(call).collect::<Result<_>>()?;
            running.into_iter().map(Running::wait).collect()
        };
        if verb == "DEL" {
            all("ADD")?.iter().try_for_each(Outcome::succeeded)?;
        }
        let sound = || if stub == "stub-old" { stub_old() } else { stub_new() };
        case.stubs.write(stub, &sound().on(verb, hang_with_child().first(Act::KillParent)))?;
        for killed in all(verb)? {
            ensure!(killed.status.code().is_none(), "the shim is killed: {killed:?}");
        }
        case.stubs.write(stub, &sound())?;
        for outcome in all("DEL")? {
            outcome.silent().with_context(|| format!("DEL after the kill in {verb} of {stub}"))?;
        }
        case.expect_no_delegates()?;
        case.expect_records(0)?;
    }
    Ok(())
}

fn unfinished_attachment_fails_check_and_refuses_add() -> Result<()> {
    let case = Case::attach("both")?;
    killed_in_add(&case, "stub-new", "stub-new ADD net1")?;
    case.call("CHECK").run()?.refused(100)?;
    case.add()?.refused(102)?;
    case.expect_calls(&["stub-old ADD eth0", "stub-new ADD net1"])?;
    case.del()?.silent()?;
    case.expect_no_delegates()?;
    case.expect_records(0)
}

fn sigterm_in_mid_add_undoes_it() -> Result<()> {
    let case = Case::attach("both")?;
    case.stubs.write("stub-new", &stub_new().on("ADD", hang_with_child()))?;
    let add = case.call("ADD").spawn()?;
    case.stubs.log().wait_for("stub-new ADD net1", 1)?;
    add.signal(Signal::SIGTERM)?;
    add.wait()?.refused(11)?;
    case.expect_no_delegates()?;
    case.expect_calls(&["stub-old ADD eth0", "stub-new ADD net1", "stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn sigterm_in_mid_del_keeps_what_is_not_done() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    case.stubs.write("stub-old", &stub_old().on_calls("DEL", vec![hang_with_child(), Reply::silent()]))?;
    let del = case.call("DEL").spawn()?;
    case.stubs.log().wait_for("stub-old DEL eth0", 1)?;
    del.signal(Signal::SIGTERM)?;
    del.wait()?.refused(103)?;
    case.expect_no_delegates()?;
    case.expect_records(1)?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    case.expect_records(0)
}

/// What a stopped DEL never came to is in its error, too.
fn sigterm_in_mid_del_names_what_was_not_started() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    case.stubs.write("stub-new", &stub_new().on_calls("DEL", vec![hang_with_child(), Reply::silent()]))?;
    let del = case.call("DEL").spawn()?;
    case.stubs.log().wait_for("stub-new DEL net1", 1)?;
    del.signal(Signal::SIGTERM)?;
    let text = del.wait()?.refused(103)?.text();
    ensure!(text.contains("newnet") && text.contains("oldnet"), "{text}");
    case.expect_calls(&["stub-new DEL net1"])?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)
}
