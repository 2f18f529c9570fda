//! Not ready means wait: code 11 at once, and no delegate is called. What counts as ready, and what `tolerate` changes.

use std::fs;

use anyhow::{Result, ensure};
use lab::standin::stub::{Reply, Stub};
use serde_json::{Value, json};

use crate::{
    case::{Case, stub_new},
    state::agent::{HttpStatus, Listener},
    trials,
};

trials![
    red_probe_refuses_with_11_and_calls_no_delegate,
    every_probe_of_a_network_must_hold,
    red_probe_of_either_network_holds_up_both,
    unix_probe_needs_a_listener,
    file_probe_needs_a_regular_file,
    http_probe_is_not_asked_on_add,
    absent_conf_is_not_ready,
    first_conf_that_exists_is_used,
    unreadable_conf_is_invalid_and_not_passed_over,
    tolerated_secondary_that_fails_is_undone_and_forgotten,
    tolerated_secondary_whose_undo_fails_is_retried_by_del,
    tolerated_secondary_with_a_red_probe_is_not_called,
    tolerated_secondary_without_conf_or_binary_is_not_called,
    tolerate_still_waits_for_the_primary,
    tolerated_secondary_that_works_is_attached,
    tolerate_needs_the_primary_to_own_the_route,
];

fn set_probes(case: &Case, network: &str, probes: &Value) -> Result<()> {
    case.change_policy(|policy| policy["networks"][network]["ready"] = probes.clone())
}

fn red_probe_refuses_with_11_and_calls_no_delegate() -> Result<()> {
    let case = Case::attach("new")?;
    set_probes(&case, "new", &json!([{"unix": case.path("agent.sock")}]))?;
    let refusal = case.add()?.refused(11)?;
    let text = refusal.text();
    ensure!(text.contains("agent.sock") && text.contains("new"), "{refusal:?}");
    case.expect_calls(&[])?;
    case.expect_records(0)?;
    case.del()?.silent()?;
    case.expect_calls(&[])
}

fn every_probe_of_a_network_must_hold() -> Result<()> {
    let case = Case::attach("new")?;
    let (first, second) = (case.path("first.sock"), case.path("second"));
    set_probes(&case, "new", &json!([{"unix": first}, {"file": second}]))?;
    let _agent = Listener::unix(&first)?;
    let refusal = case.add()?.refused(11)?;
    ensure!(refusal.text().contains("second"), "{refusal:?}");
    fs::write(&second, "")?;
    case.add()?.result()?;
    Ok(())
}

/// An attached network that is not ready holds up the ADD, primary or not.
fn red_probe_of_either_network_holds_up_both() -> Result<()> {
    for network in ["old", "new"] {
        let case = Case::attach("both")?;
        set_probes(&case, network, &json!([{"unix": case.path("agent.sock")}]))?;
        case.add()?.refused(11)?;
        case.expect_calls(&[])?;
    }
    Ok(())
}

fn unix_probe_needs_a_listener() -> Result<()> {
    let case = Case::attach("new")?;
    let socket = case.path("agent.sock");
    set_probes(&case, "new", &json!([{"unix": socket}]))?;
    // A socket whose owner is gone, as after a crash.
    drop(std::os::unix::net::UnixListener::bind(&socket)?);
    case.add()?.refused(11)?;
    fs::remove_file(&socket)?;
    fs::write(&socket, "a file")?;
    case.add()?.refused(11)?;
    fs::remove_file(&socket)?;
    let _agent = Listener::unix(&socket)?;
    case.add()?.result()?;
    Ok(())
}

fn file_probe_needs_a_regular_file() -> Result<()> {
    let case = Case::attach("new")?;
    let path = case.path("green");
    set_probes(&case, "new", &json!([{"file": path}]))?;
    fs::create_dir(&path)?;
    case.add()?.refused(11)?;
    fs::remove_dir(&path)?;
    fs::write(&path, "")?;
    case.add()?.result()?;
    Ok(())
}

/// `http` is for STATUS and watch.
fn http_probe_is_not_asked_on_add() -> Result<()> {
    let case = Case::attach("new")?;
    let agent = HttpStatus::answering(503)?;
    set_probes(&case, "new", &json!([{"http": format!("{}/healthz", agent.address())}]))?;
    case.add()?.result()?;
    assert_eq!(agent.last_request(), "");
    Ok(())
}

fn absent_conf_is_not_ready() -> Result<()> {
    let case = Case::attach("both")?;
    case.remove_conf("new")?;
    let refusal = case.add()?.refused(11)?;
    ensure!(refusal.text().contains("20-new.conflist"), "{refusal:?}");
    case.expect_calls(&[])?;
    case.expect_records(0)
}

fn first_conf_that_exists_is_used() -> Result<()> {
    let case = Case::attach("new")?;
    let (absent, second, third) =
        (case.path("absent.conflist"), case.path("second.conf"), case.conf_path("new"));
    case.write(&second, r#"{"cniVersion":"0.4.0","name":"second","type":"stub-new"}"#)?;
    case.change_policy(|policy| policy["networks"]["new"]["conf"] = json!([absent, second, third]))?;
    case.add()?.result()?;
    assert_eq!(case.the_call("stub-new ADD eth0")?.conf()?["name"], "second");
    Ok(())
}

/// Unreadable or invalid is 7, and the next one is not tried.
fn unreadable_conf_is_invalid_and_not_passed_over() -> Result<()> {
    let bad = [
        "{ torn",
        "[]",
        r#"{"cniVersion":"1.0.0","plugins":[{"type":"stub-new"}]}"#,
        r#"{"cniVersion":"1.0.0","name":"newnet","plugins":[]}"#,
        r#"{"cniVersion":"1.0.0","name":"newnet","plugins":[{"no":"type"}]}"#,
        r#"{"cniVersion":"1.0.0","name":"new/net","plugins":[{"type":"stub-new"}]}"#,
        r#"{"cniVersion":"1.0.0","name":"newnet"}"#,
    ];
    for text in bad {
        let case = Case::attach("new")?;
        let good = case.path("good.conflist");
        case.write(&good, &crate::case::new_conf().to_string())?;
        case.write(&case.conf_path("new"), text)?;
        case.change_policy(|policy| {
            policy["networks"]["new"]["conf"] = json!([case.conf_path("new"), good])
        })?;
        let outcome = case.add()?;
        let refused = outcome.refused(7).is_ok_and(|refusal| refusal.text().contains("20-new.conflist"));
        ensure!(refused, "conf {text}: {outcome:?}");
        case.expect_calls(&[])?;
    }
    Ok(())
}

fn tolerating() -> Result<Case> {
    let case = Case::attach("both")?;
    case.change_policy(|policy| {
        policy["both"]["secondaryFailure"] = json!("tolerate");
        policy["both"]["defaultRoute"] = json!("old");
    })?;
    Ok(case)
}

fn failing_new() -> Stub {
    stub_new().on("ADD", Reply::fail(11, "agent away", ""))
}

/// The owner of the default route is attached last, so the secondary comes first.
fn tolerated_secondary_that_fails_is_undone_and_forgotten() -> Result<()> {
    let case = tolerating()?;
    case.stubs.write("stub-new", &failing_new())?;
    assert_eq!(case.add()?.result()?, case.ro_converted());
    case.expect_calls(&["stub-new ADD net1", "stub-new DEL net1", "stub-old ADD eth0"])?;
    case.stubs.log().clear()?;
    case.call("CHECK").run()?.silent()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn tolerated_secondary_whose_undo_fails_is_retried_by_del() -> Result<()> {
    let case = tolerating()?;
    let undo = vec![Reply::fail(11, "busy", ""), Reply::silent()];
    case.stubs.write("stub-new", &failing_new().on_calls("DEL", undo))?;
    assert_eq!(case.add()?.result()?, case.ro_converted());
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    let mut briefs = case.stubs.log().briefs()?;
    briefs.sort();
    assert_eq!(briefs, ["stub-new DEL net1", "stub-old DEL eth0"]);
    case.expect_records(0)
}

fn tolerated_secondary_with_a_red_probe_is_not_called() -> Result<()> {
    let case = tolerating()?;
    set_probes(&case, "new", &json!([{"unix": case.path("agent.sock")}]))?;
    secondary_is_left_out(&case)
}

/// Only the primary's probes, binary and conf hold an ADD up.
fn tolerated_secondary_without_conf_or_binary_is_not_called() -> Result<()> {
    let case = tolerating()?;
    case.remove_conf("new")?;
    secondary_is_left_out(&case)?;
    let case = tolerating()?;
    case.stubs.remove("stub-new")?;
    secondary_is_left_out(&case)
}

fn secondary_is_left_out(case: &Case) -> Result<()> {
    assert_eq!(case.add()?.result()?, case.ro_converted());
    case.expect_calls(&["stub-old ADD eth0"])?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-old ADD eth0", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn tolerate_still_waits_for_the_primary() -> Result<()> {
    let case = tolerating()?;
    set_probes(&case, "old", &json!([{"unix": case.path("agent.sock")}]))?;
    case.add()?.refused(11)?;
    set_probes(&case, "old", &json!([]))?;
    case.remove_conf("old")?;
    case.add()?.refused(11)?;
    case.write_conf("old", &crate::case::old_conf())?;
    case.stubs.remove("stub-old")?;
    case.add()?.refused(101)?;
    case.expect_calls(&[])
}

fn tolerated_secondary_that_works_is_attached() -> Result<()> {
    let case = tolerating()?;
    assert_eq!(case.add()?.result()?, case.ro_converted());
    case.del()?.silent()?;
    case.expect_calls(&["stub-new ADD net1", "stub-old ADD eth0", "stub-old DEL eth0", "stub-new DEL net1"])
}

fn tolerate_needs_the_primary_to_own_the_route() -> Result<()> {
    let case = tolerating()?;
    case.change_policy(|policy| policy["both"]["defaultRoute"] = json!("new"))?;
    let refusal = case.add()?.refused(7)?;
    ensure!(refusal.text().contains("tolerate") && refusal.text().contains("defaultRoute"), "{refusal:?}");
    case.expect_calls(&[])
}
