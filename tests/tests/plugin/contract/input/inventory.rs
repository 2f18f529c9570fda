//! Sandboxes that were there before the shim: the inventory says whose they are.

use std::fs;

use anyhow::{Result, ensure};
use lab::{
    runtime::caller::runtime::{Sandbox, cache_entry},
    standin::stub::Reply,
};
use serde_json::{Value, json};

use crate::{
    case::{Case, old_conf, stub_old},
    trials,
};

trials![
    del_of_an_inventory_entry_calls_its_network_and_strikes_it_out,
    prev_result_comes_from_stdin_first,
    prev_result_comes_from_the_entry_next,
    prev_result_comes_from_the_runtimes_cache_last,
    entry_without_any_result_gets_none,
    entrys_own_conf_is_used,
    entrys_network_counts_and_not_the_present_policy,
    failed_del_turns_the_entry_into_a_record,
    entry_of_a_retired_network_is_forced,
    entry_without_any_conf_is_kept,
    entry_is_matched_by_id_and_ifname,
    entries_deleted_at_once_are_all_struck_out,
    check_of_an_inventory_entry_asks_its_network,
    del_that_the_runtime_sends_itself_is_served_where_it_comes_through_us_after_all,
];

/// A case whose runtime already runs `before` on `old`, which is at 0.4.0.
fn with_entry(more: &Value) -> Result<Case> {
    let mut case = Case::attach("new")?;
    case.id = "before".to_owned();
    let mut conf = old_conf();
    conf["cniVersion"] = json!("0.4.0");
    case.write_conf("old", &conf)?;
    let mut entry = json!({"containerID": "before", "ifname": "eth0", "network": "old"});
    for (key, value) in more.as_object().into_iter().flatten() {
        entry[key] = value.clone();
    }
    case.write_inventory(&json!([
        {"containerID": "other", "ifname": "eth0", "network": "old"},
        entry,
        {"containerID": "other2", "ifname": "eth0", "network": "old"}
    ]))?;
    Ok(case)
}

fn struck_out(case: &Case) -> Result<()> {
    assert_eq!(case.inventory()?, ["other", "other2"]);
    case.expect_records(0)
}

fn result_with(address: &str) -> Value {
    json!({"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}], "ips": [{"address": address}]})
}

fn address_on_del(case: &Case) -> Result<Value> {
    let conf = case.the_call("stub-old DEL eth0")?.conf()?;
    ensure!(conf["prevResult"]["cniVersion"] == "0.4.0", "in its conf's version: {conf}");
    Ok(conf["prevResult"]["ips"][0]["address"].clone())
}

fn del_of_an_inventory_entry_calls_its_network_and_strikes_it_out() -> Result<()> {
    let case = with_entry(&json!({}))?;
    let outcome = case.call_with("DEL", &json!({"prevResult": result_with("10.1.0.9/32")})).run()?;
    outcome.silent()?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    let call = case.the_call("stub-old DEL eth0")?;
    assert_eq!(call.conf()?["name"], "oldnet");
    assert_eq!(call.var("CNI_CONTAINERID"), "before");
    assert_eq!(call.var("CNI_ARGS"), case.environment("DEL")["CNI_ARGS"]);
    struck_out(&case)?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&[])
}

fn prev_result_comes_from_stdin_first() -> Result<()> {
    let case = with_entry(&json!({"prevResult": result_with("10.1.0.10/32")}))?;
    case.call_with("DEL", &json!({"prevResult": result_with("10.1.0.9/32")})).run()?.silent()?;
    assert_eq!(address_on_del(&case)?, "10.1.0.9/32");
    struck_out(&case)
}

fn prev_result_comes_from_the_entry_next() -> Result<()> {
    let case = with_entry(&json!({"prevResult": result_with("10.1.0.10/32")}))?;
    case.del()?.silent()?;
    assert_eq!(address_on_del(&case)?, "10.1.0.10/32");
    struck_out(&case)
}

/// The cache is keyed by the shim's name, which is the network's own on a node that had one.
fn prev_result_comes_from_the_runtimes_cache_last() -> Result<()> {
    let mut case = with_entry(&json!({}))?;
    // The cache is the machine's: a name of this test's own keeps others out.
    case.shim["name"] = json!("cached-network");
    let sandbox = Sandbox::new("before", &case.netns_path());
    let entry = cache_entry(&case.shim, &sandbox, &result_with("10.1.0.11/32"));
    fs::create_dir_all("/var/lib/cni/results")?;
    fs::write("/var/lib/cni/results/cached-network-before-eth0", entry.to_string())?;
    case.del()?.silent()?;
    assert_eq!(address_on_del(&case)?, "10.1.0.11/32");
    struck_out(&case)
}

fn entry_without_any_result_gets_none() -> Result<()> {
    let case = with_entry(&json!({}))?;
    case.del()?.silent()?;
    ensure!(case.the_call("stub-old DEL eth0")?.conf()?.get("prevResult").is_none());
    struck_out(&case)
}

/// Section 3: optionally with the network's conflist as it was.
fn entrys_own_conf_is_used() -> Result<()> {
    let mut conf = old_conf();
    conf["cniVersion"] = json!("0.4.0");
    conf["plugins"][0]["k"] = json!("as-it-was");
    let case = with_entry(&json!({"conf": conf}))?;
    case.remove_conf("old")?;
    case.del()?.silent()?;
    assert_eq!(case.the_call("stub-old DEL eth0")?.conf()?["k"], "as-it-was");
    struck_out(&case)
}

/// The entry's own `network` counts.
fn entrys_network_counts_and_not_the_present_policy() -> Result<()> {
    let case = with_entry(&json!({"network": "new"}))?;
    case.change_policy(|policy| {
        policy["attach"] = json!("old");
        policy["unrecorded"] = json!("old");
    })?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL eth0"])?;
    struck_out(&case)
}

fn failed_del_turns_the_entry_into_a_record() -> Result<()> {
    let case = with_entry(&json!({"prevResult": result_with("10.1.0.10/32")}))?;
    case.stubs
        .write("stub-old", &stub_old().on_calls("DEL", vec![Reply::fail(11, "busy", ""), Reply::silent()]))?;
    case.del()?.refused(11)?;
    case.expect_records(1)?;
    case.stubs.log().clear()?;
    fs::remove_dir_all(case.path("net.d"))?;
    case.del()?.silent()?;
    assert_eq!(address_on_del(&case)?, "10.1.0.10/32");
    struck_out(&case)
}

fn entry_of_a_retired_network_is_forced() -> Result<()> {
    let case = with_entry(&json!({"prevResult": result_with("10.1.0.10/32")}))?;
    case.change_policy(|policy| policy["retired"] = json!([{"network": "old", "forceAfterSeconds": 0}]))?;
    case.stubs.remove("stub-old")?;
    case.del()?.silent()?;
    let ledger = fs::read_to_string(case.path("state/ledger.jsonl"))?;
    ensure!(ledger.lines().count() == 1 && ledger.contains("10.1.0.10"), "{ledger}");
    struck_out(&case)
}

fn entry_without_any_conf_is_kept() -> Result<()> {
    let case = with_entry(&json!({}))?;
    case.remove_conf("old")?;
    let refusal = case.del()?.error()?;
    ensure!(refusal.code == 7 || refusal.code == 11, "{refusal:?}");
    ensure!(!refusal.text().contains("not found"), "{refusal:?}");
    assert_eq!(case.inventory()?, ["other", "before", "other2"]);
    let mut conf = old_conf();
    conf["cniVersion"] = json!("0.4.0");
    case.write_conf("old", &conf)?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    struck_out(&case)
}

/// Section 3: one entry per container id and ifname.
fn entry_is_matched_by_id_and_ifname() -> Result<()> {
    let case = with_entry(&json!({}))?;
    case.call("DEL").env("CNI_IFNAME", "eth1").run()?.silent()?;
    case.call("DEL").env("CNI_CONTAINERID", "befor").run()?.silent()?;
    case.expect_calls(&[])?;
    assert_eq!(case.inventory()?, ["other", "before", "other2"]);
    case.del()?.silent()?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    struck_out(&case)
}

/// Section 3: changed under one lock.
fn entries_deleted_at_once_are_all_struck_out() -> Result<()> {
    let case = Case::attach("new")?;
    let ids: Vec<String> = (0..16).map(|number| format!("before{number}")).collect();
    let entries: Vec<Value> = std::iter::once("stays")
        .chain(ids.iter().map(String::as_str))
        .map(|id| json!({"containerID": id, "ifname": "eth0", "network": "old"}))
        .collect();
    case.write_inventory(&json!(entries))?;
    let call = |id: &String| case.call("DEL").env("CNI_CONTAINERID", id).spawn();
    let running: Vec<_> = ids.iter().map(call).collect::<Result<_>>()?;
    for shim in running {
        shim.wait()?.silent()?;
    }
    assert_eq!(case.calls()?.len(), ids.len());
    assert_eq!(case.inventory()?, ["stays"]);
    case.expect_records(0)
}

fn check_of_an_inventory_entry_asks_its_network() -> Result<()> {
    let case = with_entry(&json!({}))?;
    case.call_with("CHECK", &json!({"prevResult": result_with("10.1.0.9/32")})).run()?.silent()?;
    case.expect_calls(&["stub-old CHECK eth0"])?;
    let conf = case.the_call("stub-old CHECK eth0")?.conf()?;
    assert_eq!(conf["prevResult"]["ips"][0]["address"], "10.1.0.9/32");
    assert_eq!(case.inventory()?, ["other", "before", "other2"]);
    Ok(())
}

/// CRI-O deletes by itself what it has a conf of. Where it has lost that conf it takes ours.
fn del_that_the_runtime_sends_itself_is_served_where_it_comes_through_us_after_all() -> Result<()> {
    let case = with_entry(&json!({"deletedBy": "runtime"}))?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    struck_out(&case)
}
