//! Plain modes: who is called in which order, with what, and what comes back.

use anyhow::{Result, ensure};
use lab::standin::stub::{Reply, Stub};
use serde_json::json;

use crate::{case::Case, trials};

trials![
    add_under_old_calls_old_with_its_own_conf,
    add_under_new_calls_new_with_its_own_conf,
    add_under_both_attaches_the_route_owner_last_and_answers_the_primary,
    add_under_both_with_new_as_primary_answers_new,
    del_after_old_calls_old_without_prev_result_before_0_4_0,
    del_after_new_hands_over_the_recorded_result,
    del_after_both_runs_in_reverse_with_the_results_as_answered,
    del_hands_a_0_4_0_delegate_its_result_at_0_4_0,
    chain_gets_prev_result_and_capabilities_per_plugin_and_is_undone_in_reverse,
    shim_named_like_old_still_gives_old_its_own_name,
];

fn add_under_old_calls_old_with_its_own_conf() -> Result<()> {
    let case = Case::attach("old")?;
    assert_eq!(case.add()?.result()?, case.ro_converted());
    case.expect_calls(&["stub-old ADD eth0"])?;
    let call = case.the_call("stub-old ADD eth0")?;
    let conf = call.conf()?;
    assert_eq!(conf["cniVersion"], "0.3.1");
    assert_eq!(conf["name"], "oldnet");
    assert_eq!(conf["type"], "stub-old");
    assert_eq!(conf["k"], "keep-me");
    for foreign in ["prevResult", "policy", "stateDir", "runDir", "delegates", "plugins"] {
        ensure!(conf.get(foreign).is_none(), "{foreign} must not reach the delegate: {conf}");
    }
    assert_eq!(call.var("CNI_ARGS"), case.environment("ADD")["CNI_ARGS"]);
    assert_eq!(call.var("CNI_CONTAINERID"), "c1");
    assert_eq!(call.var("CNI_NETNS"), case.netns_path());
    case.expect_records(1)
}

fn add_under_new_calls_new_with_its_own_conf() -> Result<()> {
    let case = Case::attach("new")?;
    assert_eq!(case.add()?.result()?, case.rn("eth0"));
    case.expect_calls(&["stub-new ADD eth0"])?;
    let conf = case.the_call("stub-new ADD eth0")?.conf()?;
    assert_eq!((conf["name"].as_str(), conf["cniVersion"].as_str()), (Some("newnet"), Some("1.0.0")));
    case.expect_records(1)
}

fn add_under_both_attaches_the_route_owner_last_and_answers_the_primary() -> Result<()> {
    let case = Case::attach("both")?;
    assert_eq!(case.add()?.result()?, case.ro_converted());
    case.expect_calls(&["stub-old ADD eth0", "stub-new ADD net1"])?;
    for call in case.calls()? {
        assert_eq!(call.var("CNI_NETNS"), case.netns_path());
        assert_eq!(call.var("CNI_CONTAINERID"), "c1");
    }
    case.expect_records(1)
}

fn add_under_both_with_new_as_primary_answers_new() -> Result<()> {
    let case = Case::attach("both")?;
    case.change_policy(|policy| {
        policy["both"]["primary"] = json!("new");
        policy["both"]["defaultRoute"] = json!("old");
    })?;
    assert_eq!(case.add()?.result()?, case.rn("eth0"));
    case.expect_calls(&["stub-new ADD eth0", "stub-old ADD net1"])
}

fn del_after_old_calls_old_without_prev_result_before_0_4_0() -> Result<()> {
    let case = Case::attach("old")?;
    case.added()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    let conf = case.the_call("stub-old DEL eth0")?.conf()?;
    ensure!(conf.get("prevResult").is_none(), "0.3.1 knows no prevResult on DEL: {conf}");
    assert_eq!((conf["name"].as_str(), conf["k"].as_str()), (Some("oldnet"), Some("keep-me")));
    case.expect_records(0)
}

fn del_after_new_hands_over_the_recorded_result() -> Result<()> {
    let case = Case::attach("new")?;
    case.added()?;
    case.del()?.silent()?;
    let conf = case.the_call("stub-new DEL eth0")?.conf()?;
    assert_eq!(conf["prevResult"], case.rn("eth0"));
    assert_eq!(conf["name"], "newnet");
    case.expect_records(0)
}

fn del_after_both_runs_in_reverse_with_the_results_as_answered() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    assert_eq!(case.the_call("stub-new DEL net1")?.conf()?["prevResult"], case.rn("net1"));
    case.expect_records(0)
}

fn del_hands_a_0_4_0_delegate_its_result_at_0_4_0() -> Result<()> {
    let case = Case::attach("old")?;
    let mut conf = crate::case::old_conf();
    conf["cniVersion"] = json!("0.4.0");
    case.write_conf("old", &conf)?;
    let mut answer = case.ro();
    answer["cniVersion"] = json!("0.4.0");
    case.stubs.write("stub-old", &Stub::answering(Reply::json(&answer)))?;
    case.added()?;
    case.del()?.silent()?;
    assert_eq!(case.the_call("stub-old DEL eth0")?.conf()?["prevResult"], answer);
    Ok(())
}

fn chain_gets_prev_result_and_capabilities_per_plugin_and_is_undone_in_reverse() -> Result<()> {
    let case = Case::attach("old")?;
    let plugins = json!([{"type": "stub-old"}, {"type": "stub-map", "capabilities": {"portMappings": true}}]);
    case.write_conf("old", &json!({"cniVersion": "0.4.0", "name": "oldnet", "plugins": plugins}))?;
    let mut old_answer = case.ro();
    old_answer["cniVersion"] = json!("0.4.0");
    case.stubs.write("stub-old", &Stub::answering(Reply::json(&old_answer)))?;
    let mut map_answer = old_answer.clone();
    map_answer["ips"][0]["address"] = json!("10.1.0.6/32");
    case.stubs.write("stub-map", &Stub::answering(Reply::json(&map_answer)))?;
    let mappings = r#"[{"HostPort":80,"ContainerPort":80,"Protocol":"tcp","HostIP":""}]"#;
    let mut stdin = case.shim.to_string();
    stdin.truncate(stdin.len() - 1);
    stdin.push_str(&format!(r#","runtimeConfig":{{"portMappings":{mappings}}}}}"#));

    let result = case.call("ADD").stdin(&stdin).run()?.result()?;
    assert_eq!(result["ips"][0]["address"], "10.1.0.6/32");
    assert_eq!(result["cniVersion"], "1.0.0");
    case.expect_calls(&["stub-old ADD eth0", "stub-map ADD eth0"])?;
    let first = case.the_call("stub-old ADD eth0")?.conf()?;
    ensure!(first.get("runtimeConfig").is_none() && first.get("prevResult").is_none(), "{first}");
    let map_call = case.the_call("stub-map ADD eth0")?;
    let map_stdin = map_call.stdin.clone().unwrap_or_default();
    ensure!(map_stdin.contains(mappings), "port mappings must arrive byte for byte: {map_stdin}");
    assert_eq!(map_call.conf()?["prevResult"], old_answer);

    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-map DEL eth0", "stub-old DEL eth0"])?;
    for call in case.calls()? {
        assert_eq!(call.conf()?["prevResult"], map_answer, "every plugin of the chain gets the final result");
    }
    ensure!(case.the_call("stub-map DEL eth0")?.stdin.unwrap_or_default().contains(mappings));
    Ok(())
}

fn shim_named_like_old_still_gives_old_its_own_name() -> Result<()> {
    let mut case = Case::attach("both")?;
    case.shim["name"] = json!("oldnet");
    assert_eq!(case.add()?.result()?, case.ro_converted());
    case.del()?.silent()?;
    let names: Vec<_> =
        case.calls()?.iter().map(|call| Ok(call.conf()?["name"].clone())).collect::<Result<_>>()?;
    assert_eq!(names, ["oldnet", "newnet", "newnet", "oldnet"]);
    case.expect_records(0)
}
