//! Several shims at once, and shims that are killed: flips in mid-ADD, locks, orphans.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use lab::{runtime::caller::Running, standin::stub::Reply};
use serde_json::json;

use crate::{
    case::{Case, hang_with_child, stub_new, stub_old},
    trials,
};

trials![
    del_waits_for_a_running_add,
    del_stops_a_running_add_at_half_its_budget,
    del_waits_for_a_running_del_and_finds_nothing_left,
    running_add_finishes_under_the_policy_it_read,
    flip_in_mid_add_sends_del_to_the_delegates_that_did_add,
    add_waits_for_a_running_del,
    add_waits_for_the_lock_until_its_own_deadline,
    check_waits_for_the_lock_until_its_own_deadline,
    many_containers_at_once,
];

/// Waits until a shim has come to the attachment's lock.
fn at_the_lock(case: &Case, shim: &Running) -> Result<()> {
    let locks = case.path("run/locks");
    case.eventually("a shim at the attachment's lock", || {
        Ok(shim.open_files().iter().any(|path| path.starts_with(&locks)))
    })
}

fn del_waits_for_a_running_add() -> Result<()> {
    let case = Case::attach("old")?;
    let gate = case.gate("gate")?;
    case.stubs.write("stub-old", &stub_old().on("ADD", Reply::json(&case.ro()).behind(&gate)))?;
    let add = case.call("ADD").spawn()?;
    case.stubs.log().wait_for("stub-old ADD eth0", 1)?;
    let del = case.call("DEL").spawn()?;
    at_the_lock(&case, &del)?;
    case.expect_calls(&["stub-old ADD eth0"])?;
    gate.open()?;
    add.wait()?.result()?;
    del.wait()?.silent()?;
    case.expect_calls(&["stub-old ADD eth0", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn del_stops_a_running_add_at_half_its_budget() -> Result<()> {
    let case = Case::attach("old")?;
    case.change_policy(|policy| policy["deadlines"] = json!({"delSeconds": 6}))?;
    case.stubs.write("stub-old", &stub_old().on("ADD", hang_with_child()))?;
    let add = case.call("ADD").spawn()?;
    case.stubs.log().wait_for("stub-old ADD eth0", 1)?;
    case.del()?.silent()?;
    add.wait()?.refused(11)?;
    case.expect_calls(&["stub-old ADD eth0", "stub-old DEL eth0"])?;
    case.expect_no_delegates()?;
    case.expect_records(0)
}

/// Two DELs at once, which containerd sends close to each other.
fn del_waits_for_a_running_del_and_finds_nothing_left() -> Result<()> {
    let case = Case::attach("old")?;
    case.added()?;
    let gate = case.gate("gate")?;
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply::silent().behind(&gate)))?;
    let first = case.call("DEL").spawn()?;
    case.stubs.log().wait_for("stub-old DEL eth0", 1)?;
    let second = case.call("DEL").spawn()?;
    at_the_lock(&case, &second)?;
    gate.open()?;
    first.wait()?.silent()?;
    second.wait()?.silent()?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn running_add_finishes_under_the_policy_it_read() -> Result<()> {
    let case = Case::attach("both")?;
    let gate = case.gate("gate")?;
    case.stubs.write("stub-old", &stub_old().on("ADD", Reply::json(&case.ro()).behind(&gate)))?;
    let add = case.call("ADD").spawn()?;
    case.stubs.log().wait_for("stub-old ADD eth0", 1)?;
    case.flip("new")?;
    gate.open()?;
    assert_eq!(add.wait()?.result()?, case.ro_converted());
    case.expect_calls(&["stub-old ADD eth0", "stub-new ADD net1"])?;
    case.stubs.log().clear()?;
    case.call("ADD").env("CNI_CONTAINERID", "c2").run()?.result()?;
    case.expect_calls(&["stub-new ADD eth0"])
}

/// From every phase to every other, before the DEL and in the middle of each network's ADD.
fn flip_in_mid_add_sends_del_to_the_delegates_that_did_add() -> Result<()> {
    let phases = [("old", "old"), ("both", "old"), ("both", "new"), ("new", "new")];
    let set = |case: &Case, (attach, primary): (&str, &str)| {
        case.change_policy(|policy| {
            policy["attach"] = json!(attach);
            policy["both"]["primary"] = json!(primary);
        })
    };
    for from in phases {
        let networks: &[&str] = if from.0 == "both" { &["old", "new"] } else { &[from.0] };
        for (to, held) in phases
            .iter()
            .filter(|to| **to != from)
            .flat_map(|to| networks.iter().map(move |held| (*to, *held)))
        {
            let case = Case::attach("old")?;
            set(&case, from)?;
            let gate = case.gate("gate")?;
            let ifname = if held == from.1 { "eth0" } else { "net1" };
            let (stub, answer) =
                if held == "old" { (stub_old(), case.ro()) } else { (stub_new(), case.rn(ifname)) };
            let name = format!("stub-{held}");
            case.stubs.write(&name, &stub.on("ADD", Reply::json(&answer).behind(&gate)))?;
            let add = case.call("ADD").spawn()?;
            case.stubs.log().wait_for(&format!("{name} ADD {ifname}"), 1)?;
            set(&case, to)?;
            gate.open()?;
            add.wait()?.result()?;
            let mut expected: Vec<String> =
                case.stubs.log().briefs()?.iter().map(|brief| brief.replace("ADD", "DEL")).collect();
            expected.reverse();
            ensure!(expected.len() == networks.len(), "{from:?} attached {expected:?}");
            case.stubs.log().clear()?;
            case.del()?.silent()?;
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            case.expect_calls(&expected).with_context(|| format!("{from:?} to {to:?}, flipped in {held}"))?;
            case.expect_records(0)?;
        }
    }
    Ok(())
}

/// What is being closed is not yet free, but will be.
fn add_waits_for_a_running_del() -> Result<()> {
    let case = Case::attach("new")?;
    case.added()?;
    let gate = case.gate("gate")?;
    case.stubs.write("stub-new", &stub_new().on("DEL", Reply::silent().behind(&gate)))?;
    let del = case.call("DEL").spawn()?;
    case.stubs.log().wait_for("stub-new DEL eth0", 1)?;
    let mut add = case.call("ADD").spawn()?;
    case.eventually("an ADD that waits at the lock, or has ended", || {
        let locks = case.path("run/locks");
        Ok(add.open_files().iter().any(|path| path.starts_with(&locks)) || !add.is_running()?)
    })?;
    gate.open()?;
    del.wait()?.silent()?;
    assert_eq!(add.wait()?.result()?, case.rn("eth0"));
    case.expect_calls(&["stub-new DEL eth0", "stub-new ADD eth0"])
}

/// The living shim is left alone.
fn add_waits_for_the_lock_until_its_own_deadline() -> Result<()> {
    lock_is_waited_for("ADD", "addSeconds", 11)
}

fn check_waits_for_the_lock_until_its_own_deadline() -> Result<()> {
    lock_is_waited_for("CHECK", "checkSeconds", 103)
}

fn lock_is_waited_for(verb: &str, deadline: &str, code: u64) -> Result<()> {
    let case = Case::attach("new")?;
    let gate = case.gate("gate")?;
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::json(&case.rn("eth0")).behind(&gate)))?;
    let holder = case.call("ADD").spawn()?;
    case.stubs.log().wait_for("stub-new ADD eth0", 1)?;
    case.change_policy(|policy| policy["deadlines"] = json!({ deadline: 1 }))?;
    case.call(verb).run()?.refused(code)?;
    gate.open()?;
    assert_eq!(holder.wait()?.result()?, case.rn("eth0"));
    case.expect_calls(&["stub-new ADD eth0"])?;
    case.expect_records(1)
}

/// Different containers run in parallel.
fn many_containers_at_once() -> Result<()> {
    let case = Case::attach("both")?;
    let ids: Vec<String> = (0..24).map(|number| format!("pod{number}")).collect();
    for (verb, records) in [("ADD", ids.len()), ("DEL", 0)] {
        let running: Vec<Running> = ids
            .iter()
            .map(|id| case.call(verb).env("CNI_CONTAINERID", id).patience(Duration::from_secs(120)).spawn())
            .collect::<Result<_>>()?;
        for shim in running {
            shim.wait()?.succeeded()?;
        }
        case.expect_records(records)?;
    }
    let calls = case.calls()?;
    for id in &ids {
        let of_id: Vec<String> =
            calls.iter().filter(|call| call.var("CNI_CONTAINERID") == id).map(|call| call.brief()).collect();
        assert_eq!(
            of_id,
            ["stub-old ADD eth0", "stub-new ADD net1", "stub-new DEL net1", "stub-old DEL eth0"],
            "{id}"
        );
    }
    let locks = fs::read_dir(case.path("run/locks")).map(Iterator::count).unwrap_or_default();
    ensure!(locks < ids.len(), "lock files do not pile up: {locks}");
    Ok(())
}
