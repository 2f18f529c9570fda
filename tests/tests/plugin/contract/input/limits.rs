//! Deadlines and size limits: delegates that hang, fork, flood or do not listen.

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::standin::stub::{Act, Reply};
use serde_json::json;

use crate::{
    case::{Case, hang_with_child, is_alive, stub_new, stub_old},
    trials,
};

trials![
    add_deadline_ends_the_delegate_and_its_children_and_undoes,
    add_deadline_ends_a_delegate_that_ignores_sigterm,
    del_of_two_hanging_networks_takes_one_budget,
    check_deadline_is_103,
    hanging_tolerated_secondary_leaves_the_primary_its_share,
    background_child_with_our_stdout_delays_no_call,
    flood_on_stdout_is_capped,
    flood_on_stderr_is_truncated,
    delegate_that_never_reads_its_stdin_is_fine,
    stderr_of_a_good_delegate_reaches_our_stderr,
];

fn add_deadline_ends_the_delegate_and_its_children_and_undoes() -> Result<()> {
    let case = Case::attach("old")?;
    case.change_policy(|policy| policy["deadlines"] = json!({"addSeconds": 3}))?;
    case.stubs.write("stub-old", &stub_old().on("ADD", hang_with_child()))?;
    let refusal = case.add()?.refused(11)?;
    ensure!(refusal.msg.contains("deadline") && refusal.msg.contains("oldnet"), "{refusal:?}");
    assert_eq!(case.stubs.log().spawned()?.len(), 1);
    case.expect_no_delegates()?;
    case.expect_calls(&["stub-old ADD eth0", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn add_deadline_ends_a_delegate_that_ignores_sigterm() -> Result<()> {
    let case = Case::attach("old")?;
    case.change_policy(|policy| policy["deadlines"] = json!({"addSeconds": 3}))?;
    case.stubs.write("stub-old", &stub_old().on("ADD", hang_with_child().first(Act::IgnoreTerm)))?;
    case.add()?.refused(11)?;
    case.expect_no_delegates()?;
    case.expect_calls(&["stub-old ADD eth0", "stub-old DEL eth0"])
}

/// Both run until the verb's one deadline, so the second is called while the first still hangs.
fn del_of_two_hanging_networks_takes_one_budget() -> Result<()> {
    let case = Case::attach("both")?;
    case.change_policy(|policy| policy["deadlines"] = json!({"delSeconds": 4}))?;
    case.added()?;
    case.stubs.write("stub-old", &stub_old().on("DEL", hang_with_child()))?;
    case.stubs.write("stub-new", &stub_new().on("DEL", hang_with_child()))?;
    let running = case.call("DEL").patience(Duration::from_secs(40)).spawn()?;
    let new = case.stubs.log().wait_for("stub-new DEL net1", 1)?;
    case.stubs.log().wait_for("stub-old DEL eth0", 1)?;
    ensure!(is_alive(new.pid), "old must not wait for the end of new's budget");
    let refusal = running.wait()?.refused(103)?;
    ensure!(refusal.text().contains("newnet") && refusal.text().contains("oldnet"), "{refusal:?}");
    case.expect_no_delegates()?;
    case.expect_records(1)?;

    case.stubs.write("stub-old", &stub_old())?;
    case.stubs.write("stub-new", &stub_new())?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])
}

/// A deadline is 103 on CHECK.
fn check_deadline_is_103() -> Result<()> {
    let case = Case::attach("new")?;
    case.change_policy(|policy| policy["deadlines"] = json!({"checkSeconds": 1}))?;
    case.added()?;
    case.stubs.write("stub-new", &stub_new().on("CHECK", hang_with_child()))?;
    let refusal = case.call("CHECK").run()?.refused(103)?;
    ensure!(refusal.text().contains("deadline"), "{refusal:?}");
    case.expect_no_delegates()?;
    case.expect_records(1)
}

fn hanging_tolerated_secondary_leaves_the_primary_its_share() -> Result<()> {
    let case = Case::attach("both")?;
    case.change_policy(|policy| {
        policy["deadlines"] = json!({"addSeconds": 9});
        policy["both"]["secondaryFailure"] = json!("tolerate");
        policy["both"]["defaultRoute"] = json!("old");
    })?;
    case.stubs.write("stub-new", &stub_new().on("ADD", hang_with_child()))?;
    assert_eq!(case.add()?.result()?, case.ro_converted());
    case.expect_no_delegates()?;
    let mut briefs = case.stubs.log().briefs()?;
    briefs.sort();
    assert_eq!(briefs, ["stub-new ADD net1", "stub-new DEL net1", "stub-old ADD eth0"]);
    Ok(())
}

/// An orderly end leaves no lock either.
fn background_child_with_our_stdout_delays_no_call() -> Result<()> {
    let case = Case::attach("new")?;
    let child = Act::Spawn(vec!["/bin/sleep".to_owned(), "100000".to_owned()]);
    let answer = Reply::json(&crate::case::rn("{netns}", "{ifname}")).first(child);
    case.stubs.write("stub-new", &stub_new().on("ADD", answer))?;
    assert_eq!(case.add()?.result()?, case.rn("eth0"));
    let spawned = case.stubs.log().spawned()?;
    ensure!(
        spawned.len() == 1 && is_alive(spawned[0]),
        "a daemon that a good delegate leaves is not ours to end"
    );
    case.del()?.silent()?;
    ensure!(is_alive(spawned[0]), "not even on DEL");
    case.expect_records(0)
}

/// Runs a call with at most that much memory for data, shim and delegates each.
const AT_MOST_32_MIB: [&str; 3] = ["prlimit", "--data=33554432", "--"];

fn flood_on_stdout_is_capped() -> Result<()> {
    let case = Case::attach("new")?;
    let flood = Reply(vec![Act::FloodStdout(64 << 20)]);
    case.stubs.write("stub-new", &stub_new().on("ADD", flood))?;
    let outcome = case.call("ADD").wrapped(&AT_MOST_32_MIB).run()?;
    outcome.refused(6)?;
    ensure!(outcome.stdout.len() < 16_384, "the error itself stays small: {} bytes", outcome.stdout.len());
    case.expect_calls(&["stub-new ADD eth0", "stub-new DEL eth0"])?;
    case.expect_no_delegates()
}

fn flood_on_stderr_is_truncated() -> Result<()> {
    let case = Case::attach("new")?;
    let answer = Reply::json(&crate::case::rn("{netns}", "{ifname}")).first(Act::FloodStderr(64 << 20));
    case.stubs.write("stub-new", &stub_new().on("ADD", answer))?;
    let outcome = case.call("ADD").wrapped(&AT_MOST_32_MIB).run()?;
    assert_eq!(outcome.result()?, case.rn("eth0"));
    ensure!(outcome.stderr.len() < 8 << 20, "stderr is truncated: {} bytes", outcome.stderr.len());
    Ok(())
}

fn delegate_that_never_reads_its_stdin_is_fine() -> Result<()> {
    let case = Case::attach("new")?;
    let filler = "x".repeat(1 << 20);
    let plugins = json!([{"type": "stub-new", "filler": filler}]);
    case.write_conf("new", &json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": plugins}))?;
    let answer = Reply::json(&crate::case::rn("{netns}", "{ifname}")).first(Act::CloseStdin);
    case.stubs.write("stub-new", &stub_new().on("ADD", answer))?;
    assert_eq!(case.add()?.result()?, case.rn("eth0"));
    case.del()?.silent()
}

fn stderr_of_a_good_delegate_reaches_our_stderr() -> Result<()> {
    let case = Case::attach("new")?;
    let answer = Reply::json(&crate::case::rn("{netns}", "{ifname}"))
        .first(Act::Stderr("a word of advice\n".to_owned()));
    case.stubs.write("stub-new", &stub_new().on("ADD", answer))?;
    let outcome = case.add()?;
    outcome.result()?;
    ensure!(outcome.stderr.contains("a word of advice"), "{outcome:?}");
    Ok(())
}
