//! STATUS is cheap, bounded and sticky: 50 until the attached networks were ready once in this boot.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result, ensure};
use lab::standin::stub::Reply;
use serde_json::json;

use crate::{
    case::{Case, hang_with_child, new_conf, old_conf, stub_new, stub_old},
    state::agent::{HttpStatus, Listener},
    trials,
};

trials![
    status_asks_the_attached_network_once,
    status_asks_every_attached_network_under_both,
    status_under_tolerate_asks_the_primary_only,
    status_does_not_ask_networks_of_rules,
    status_skips_delegates_before_1_1_0_but_not_their_binaries,
    status_names_the_probe_that_does_not_hold,
    status_asks_http_probes,
    status_asks_localhost_in_both_families,
    status_passes_51_on,
    status_of_a_hanging_delegate_is_50,
    status_with_a_broken_policy_is_50_and_del_still_works,
    status_stays_good_when_the_agent_goes,
    status_stays_good_while_a_delegates_conf_cannot_be_used,
    status_marker_is_of_the_networks_own_name,
    status_marker_goes_with_the_run_directory,
    successful_add_counts_as_ready,
];

fn case_at_1_1_0(attach: &str) -> Result<Case> {
    let mut case = Case::attach(attach)?;
    case.shim["cniVersion"] = json!("1.1.0");
    for (network, mut conf) in [("old", old_conf()), ("new", new_conf())] {
        conf["cniVersion"] = json!("1.1.0");
        case.write_conf(network, &conf)?;
    }
    Ok(case)
}

fn not_ready(code: u32) -> Reply {
    Reply::fail(code, "not-ready-yet", "agent-away")
}

fn status_asks_the_attached_network_once() -> Result<()> {
    let case = case_at_1_1_0("new")?;
    case.call("STATUS").run()?.silent()?;
    case.expect_calls(&["stub-new STATUS"])?;
    let call = case.the_call("stub-new STATUS")?;
    for variable in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"] {
        assert_eq!(call.var(variable), "", "{variable}");
    }
    let conf = call.conf()?;
    assert_eq!((&conf["name"], &conf["cniVersion"]), (&json!("newnet"), &json!("1.1.0")));
    ensure!(conf.get("runtimeConfig").is_none() && conf.get("prevResult").is_none(), "{conf}");
    ensure!(case.path("run/ready/newnet").exists(), "the marker of the first readiness");
    case.call("STATUS").run()?.silent()?;
    case.expect_calls(&["stub-new STATUS"])
}

fn status_asks_every_attached_network_under_both() -> Result<()> {
    let case = case_at_1_1_0("both")?;
    case.stubs.write("stub-new", &stub_new().on_calls("STATUS", vec![not_ready(50), Reply::silent()]))?;
    let refusal = case.call("STATUS").run()?.refused(50)?;
    ensure!(refusal.text().contains("newnet") && refusal.text().contains("not-ready-yet"), "{refusal:?}");
    case.call("STATUS").run()?.silent()?;
    let briefs = case.stubs.log().briefs()?;
    ensure!(briefs.contains(&"stub-old STATUS".to_owned()), "{briefs:?}");
    Ok(())
}

fn status_under_tolerate_asks_the_primary_only() -> Result<()> {
    let case = case_at_1_1_0("both")?;
    case.change_policy(|policy| {
        policy["both"]["secondaryFailure"] = json!("tolerate");
        policy["both"]["defaultRoute"] = json!("old");
    })?;
    case.stubs.write("stub-new", &stub_new().on("STATUS", not_ready(50)))?;
    case.call("STATUS").run()?.silent()?;
    case.stubs.remove("stub-new")?;
    case.call("STATUS").run()?.silent()?;
    case.the_call("stub-old STATUS")?;
    Ok(())
}

fn status_does_not_ask_networks_of_rules() -> Result<()> {
    let case = case_at_1_1_0("old")?;
    case.change_policy(|policy| policy["rules"] = json!([{"namespace": "kube-system", "attach": "new"}]))?;
    case.stubs.write("stub-new", &stub_new().on("STATUS", not_ready(50)))?;
    case.call("STATUS").run()?.silent()?;
    case.expect_calls(&["stub-old STATUS"])
}

fn status_skips_delegates_before_1_1_0_but_not_their_binaries() -> Result<()> {
    let case = case_at_1_1_0("new")?;
    case.write_conf("new", &new_conf())?;
    case.stubs.remove("stub-new")?;
    let refusal = case.call("STATUS").run()?.refused(50)?;
    ensure!(refusal.text().contains("stub-new"), "{refusal:?}");
    case.stubs.write("stub-new", &stub_new().on("STATUS", not_ready(50)))?;
    case.call("STATUS").run()?.silent()?;
    case.expect_calls(&[])
}

fn status_names_the_probe_that_does_not_hold() -> Result<()> {
    let case = case_at_1_1_0("new")?;
    case.write_conf("new", &new_conf())?;
    let socket = case.path("agent.sock");
    case.change_policy(|policy| policy["networks"]["new"]["ready"] = json!([{"unix": socket}]))?;
    let refusal = case.call("STATUS").run()?.refused(50)?;
    ensure!(refusal.text().contains("agent.sock"), "{refusal:?}");
    let _agent = Listener::unix(&socket)?;
    case.call("STATUS").run()?.silent()
}

fn status_asks_http_probes() -> Result<()> {
    let case = case_at_1_1_0("new")?;
    case.write_conf("new", &new_conf())?;
    let agent = HttpStatus::answering(503)?;
    let probe = json!({"http": format!("{}/healthz", agent.address()), "headers": {"brief": "true"}});
    case.change_policy(|policy| policy["networks"]["new"]["ready"] = json!([probe]))?;
    let refusal = case.call("STATUS").run()?.refused(50)?;
    ensure!(refusal.text().contains("healthz"), "{refusal:?}");
    agent.answer(204);
    case.call("STATUS").run()?.silent()?;
    let request = agent.last_request();
    ensure!(request.starts_with("GET /healthz HTTP/1."), "{request}");
    ensure!(request.to_lowercase().contains("brief: true"), "{request}");
    Ok(())
}

/// An agent listens on ::1 alone where its node has IPv6 alone, as Cilium does.
fn status_asks_localhost_in_both_families() -> Result<()> {
    for place in ["[::1]:0", "127.0.0.1:0"] {
        let case = case_at_1_1_0("new")?;
        case.write_conf("new", &new_conf())?;
        let agent = HttpStatus::answering_at(place, 503)?;
        let probe = json!({"http": format!("localhost:{}/healthz", agent.address().port())});
        case.change_policy(|policy| policy["networks"]["new"]["ready"] = json!([probe]))?;
        let refusal = case.call("STATUS").run()?.refused(50)?;
        ensure!(refusal.text().contains("503"), "{place}: {refusal:?}");
        agent.answer(200);
        case.call("STATUS").run()?.silent()?;
        let request = agent.last_request();
        ensure!(request.contains(&format!("Host: {}\r\n", agent.address())), "{place}: {request}");
    }
    Ok(())
}

fn status_passes_51_on() -> Result<()> {
    let case = case_at_1_1_0("both")?;
    case.stubs.write("stub-old", &stub_old().on("STATUS", not_ready(50)))?;
    case.stubs.write("stub-new", &stub_new().on("STATUS", not_ready(51)))?;
    case.call("STATUS").run()?.refused(51)?;
    case.stubs.write("stub-new", &stub_new().on("STATUS", not_ready(7)))?;
    case.call("STATUS").run()?.refused(50)?;
    Ok(())
}

fn status_of_a_hanging_delegate_is_50() -> Result<()> {
    let case = case_at_1_1_0("new")?;
    case.stubs.write("stub-new", &stub_new().on("STATUS", hang_with_child()))?;
    let refusal = case.call("STATUS").run()?.refused(50)?;
    ensure!(refusal.text().contains("deadline"), "{refusal:?}");
    case.expect_calls(&["stub-new STATUS"])?;
    case.expect_no_delegates()
}

fn status_with_a_broken_policy_is_50_and_del_still_works() -> Result<()> {
    let broken: [fn(&Case) -> Result<()>; 4] = [
        |_| Ok(()),
        |case| case.write(&case.policy_path(), r#"{"version":1,"networks":{"#),
        |case| case.write(&case.policy_path(), r#"{"version":1,"networks":{},"attach":"new"}"#),
        |case| Ok(fs::create_dir(case.policy_path())?),
    ];
    for make in broken {
        let case = case_at_1_1_0("both")?;
        case.added()?;
        fs::remove_file(case.policy_path())?;
        make(&case)?;
        let refusal = case.call("STATUS").run()?.refused(50)?;
        ensure!(refusal.text().contains("policy.json"), "{refusal:?}");
        let refusal = case.call("ADD").env("CNI_CONTAINERID", "c2").run()?.refused(7)?;
        ensure!(refusal.text().contains("policy.json"), "{refusal:?}");
        case.expect_calls(&[])?;
        case.del()?.silent()?;
        case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
        case.expect_records(0)?;
    }
    Ok(())
}

fn status_stays_good_when_the_agent_goes() -> Result<()> {
    let case = case_at_1_1_0("new")?;
    let socket = case.path("agent.sock");
    case.change_policy(|policy| policy["networks"]["new"]["ready"] = json!([{"unix": socket}]))?;
    case.call("STATUS").run()?.refused(50)?;
    let agent = Listener::unix(&socket)?;
    case.call("STATUS").run()?.silent()?;
    drop(agent);
    case.stubs.write("stub-new", &stub_new().on("STATUS", not_ready(50)))?;
    case.call("STATUS").run()?.silent()?;
    case.stubs.remove("stub-new")?;
    case.call("STATUS").run()?.refused(50)?;
    case.stubs.write("stub-new", &stub_new())?;
    case.call("STATUS").run()?.silent()?;
    case.write(&case.policy_path(), "{ torn")?;
    case.call("STATUS").run()?.refused(50)?;
    Ok(())
}

/// What becomes of a conf, in words, and how it is done.
type Breakage = (&'static str, fn(&Path) -> Result<()>);

/// An agent that restarts writes its conf anew, and for a moment it is torn, or not yet as it will be.
fn status_stays_good_while_a_delegates_conf_cannot_be_used() -> Result<()> {
    let breakages: [Breakage; 5] = [
        ("torn", |conf| Ok(fs::write(conf, r#"{"cniVersion":"1.1.0","name":"newn"#)?)),
        ("empty", |conf| Ok(fs::write(conf, "")?)),
        ("writable by others", |conf| Ok(fs::set_permissions(conf, fs::Permissions::from_mode(0o666))?)),
        ("of a version that no plugin speaks", |conf| {
            Ok(fs::write(conf, r#"{"cniVersion":"9.0.0","name":"newnet","plugins":[{"type":"stub-new"}]}"#)?)
        }),
        ("a directory", |conf| {
            fs::remove_file(conf)?;
            Ok(fs::create_dir(conf)?)
        }),
    ];
    for (what, make) in breakages {
        let case = case_at_1_1_0("new")?;
        let conf = case.conf_path("new");
        make(&conf)?;
        case.call("STATUS").run()?.refused(50).with_context(|| format!("{what}, never ready"))?;
        let case = case_at_1_1_0("new")?;
        let conf = case.conf_path("new");
        case.call("STATUS").run()?.silent()?;
        make(&conf)?;
        case.call("STATUS").run()?.silent().with_context(|| format!("{what}, ready once"))?;
        case.call("ADD").run()?.error().with_context(|| format!("an ADD under a conf that is {what}"))?;
        case.expect_calls(&["stub-new STATUS"])?;
    }
    // A conf that leads back to us is no agent's restart.
    let case = case_at_1_1_0("new")?;
    case.call("STATUS").run()?.silent()?;
    case.write_conf(
        "new",
        &json!({"cniVersion": "1.1.0", "name": "newnet", "plugins": [{"type": "crossfade"}]}),
    )?;
    case.call("STATUS").run()?.refused(50)?;
    Ok(())
}

/// A replaced `new` does not inherit it.
fn status_marker_is_of_the_networks_own_name() -> Result<()> {
    let case = case_at_1_1_0("new")?;
    case.call("STATUS").run()?.silent()?;
    case.stubs.write("stub-new", &stub_new().on("STATUS", not_ready(50)))?;
    let mut conf = new_conf();
    conf["cniVersion"] = json!("1.1.0");
    conf["name"] = json!("newernet");
    case.write_conf("new", &conf)?;
    case.call("STATUS").run()?.refused(50)?;
    Ok(())
}

/// Once in this boot, and `/run` does not outlive one.
fn status_marker_goes_with_the_run_directory() -> Result<()> {
    let case = case_at_1_1_0("new")?;
    case.call("STATUS").run()?.silent()?;
    case.stubs.write("stub-new", &stub_new().on("STATUS", not_ready(50)))?;
    case.call("STATUS").run()?.silent()?;
    fs::remove_dir_all(case.path("run"))?;
    case.call("STATUS").run()?.refused(50)?;
    Ok(())
}

fn successful_add_counts_as_ready() -> Result<()> {
    let case = case_at_1_1_0("both")?;
    let failing = |stub: lab::standin::stub::Stub| stub.on("STATUS", not_ready(50));
    case.stubs.write("stub-old", &failing(stub_old()))?;
    case.stubs.write("stub-new", &failing(stub_new()))?;
    case.call("STATUS").run()?.refused(50)?;
    case.added()?;
    case.call("STATUS").run()?.silent()?;
    case.expect_calls(&[])
}
