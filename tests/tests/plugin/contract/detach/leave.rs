//! LEAVE: the second network goes from a pod that runs.

use anyhow::{Result, ensure};
use lab::standin::stub::Reply;
use serde_json::json;

use crate::{
    attach::join::to_both,
    case::{Case, stub_new, stub_old},
    trials,
};

trials![
    the_second_network_leaves_by_its_own_del,
    a_pod_that_was_joined_is_as_before_once_the_network_has_left,
    a_failed_leave_is_resumed,
    a_killed_leave_is_resumed_by_the_runtimes_del,
    the_owner_of_the_default_route_does_not_leave,
    a_pod_whose_del_has_begun_is_left_to_its_del,
    a_pod_without_a_second_network_is_left_alone,
];

/// A pod on both with `new` as primary, whose policy says new alone by now.
fn flipped() -> Result<Case> {
    let case = Case::attach("both")?;
    case.change_policy(|policy| policy["both"]["primary"] = json!("new"))?;
    case.added()?;
    case.flip("new")?;
    Ok(case)
}

fn the_second_network_leaves_by_its_own_del() -> Result<()> {
    let case = flipped()?;
    case.call("LEAVE").run()?.silent()?;
    case.expect_calls(&["stub-old DEL net1"])?;
    let call = case.the_call("stub-old DEL net1")?;
    assert_eq!(call.var("CNI_NETNS"), case.netns_path());
    case.call("CHECK").run()?.silent()?;
    case.stubs.log().clear()?;
    case.call("LEAVE").run()?.silent()?;
    case.expect_calls(&[])?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL eth0"])?;
    case.expect_records(0)
}

fn a_pod_that_was_joined_is_as_before_once_the_network_has_left() -> Result<()> {
    let case = Case::attach("old")?;
    case.added()?;
    let record = || -> Result<String> { Ok(std::fs::read_to_string(&case.records()?[0])?) };
    let before = record()?;
    to_both(&case)?;
    case.call("JOIN").run()?.silent()?;
    ensure!(record()? != before);
    case.flip("old")?;
    case.call("LEAVE").run()?.silent()?;
    assert_eq!(record()?, before);
    case.expect_calls(&["stub-new ADD net1", "stub-new DEL net1"])
}

fn a_failed_leave_is_resumed() -> Result<()> {
    let case = flipped()?;
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(11, "try", "later")))?;
    let refusal = case.call("LEAVE").run()?.refused(11)?;
    ensure!(refusal.details.contains("the DEL of network \"oldnet\" is owed"), "{refusal:?}");
    // The pod goes on with its primary, and the network that is half gone does not count.
    case.call("CHECK").run()?.silent()?;
    case.stubs.write("stub-old", &stub_old())?;
    // A flip back in the middle: the network joins again, after the DEL that it owes.
    case.change_policy(|policy| {
        policy["attach"] = json!("both");
        policy["both"]["defaultRoute"] = json!("new");
    })?;
    case.stubs.log().clear()?;
    case.call("JOIN").run()?.silent()?;
    case.expect_calls(&["stub-old DEL net1", "stub-old ADD net1"])
}

fn a_killed_leave_is_resumed_by_the_runtimes_del() -> Result<()> {
    let case = flipped()?;
    let kill = Reply(vec![lab::standin::stub::Act::KillParent]);
    case.stubs.write("stub-old", &stub_old().on("DEL", kill))?;
    let killed = case.call("LEAVE").run()?;
    ensure!(!killed.status.success(), "{killed:?}");
    case.stubs.log().wait_for("stub-old DEL net1", 1)?;
    case.expect_no_delegates()?;
    case.stubs.write("stub-old", &stub_old())?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL eth0", "stub-old DEL net1"])?;
    case.expect_records(0)
}

fn the_owner_of_the_default_route_does_not_leave() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    case.flip("old")?;
    let refusal = case.call("LEAVE").run()?.refused(107)?;
    ensure!(refusal.msg.contains("its default route would change"), "{refusal:?}");
    case.expect_calls(&[])
}

fn a_pod_whose_del_has_begun_is_left_to_its_del() -> Result<()> {
    let case = flipped()?;
    for (name, stub) in [("stub-old", stub_old()), ("stub-new", stub_new())] {
        case.stubs.write(name, &stub.on("DEL", Reply::fail(11, "try", "later")))?;
    }
    case.del()?.refused(11)?;
    case.stubs.log().clear()?;
    let refusal = case.call("LEAVE").run()?.refused(107)?;
    ensure!(refusal.msg.contains("a DEL of it has begun"), "{refusal:?}");
    case.expect_calls(&[])
}

fn a_pod_without_a_second_network_is_left_alone() -> Result<()> {
    let case = Case::attach("old")?;
    case.added()?;
    case.call("LEAVE").run()?.silent()?;
    case.expect_calls(&[])
}
