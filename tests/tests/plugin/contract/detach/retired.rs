//! A retired network cannot wedge a node: what its DEL cannot do any more is done locally from the record.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, ensure};
use lab::host::command::run_line;
use lab::standin::stub::{Reply, Stub};
use serde_json::{Value, json};

use crate::{
    case::{Case, stub_old},
    trials,
};

trials![
    retired_network_without_binary_is_cleaned_locally,
    retired_network_that_fails_is_cleaned_locally,
    retired_network_that_works_gets_its_del,
    retired_network_is_not_forced_before_its_time,
    network_that_is_not_retired_fails_for_ever,
    foreign_leases_and_links_are_left_alone,
    retired_secondary_does_not_take_the_primary_along,
    record_matches_a_network_by_profile_when_its_conf_is_gone,
    generic_profiles_match_by_conf_path_only,
    record_matches_by_name_before_anything_else,
    ledger_calls_left_only_what_no_plugin_was_asked_to_remove,
];

static PODS: AtomicU32 = AtomicU32::new(0);

/// A pod of `old` with a real veth and a lease as host-local keeps it; answers the host end's name.
fn pod_on_old(attach: &str) -> Result<(Case, String)> {
    let case = Case::attach(attach)?;
    let host = format!("host{}", PODS.fetch_add(1, Ordering::Relaxed));
    let plugin = json!({
        "type": "stub-old",
        "ipam": {"type": "host-local", "dataDir": case.path("leases"), "subnet": "10.1.0.0/24"}
    });
    case.write_conf("old", &json!({"cniVersion": "0.4.0", "name": "oldnet", "plugins": [plugin]}))?;
    let leases = case.make_dir("leases/oldnet")?;
    for (address, owner) in
        [("10.1.0.5", "c1\r\neth0"), ("10.1.0.6", "c2\r\neth0"), ("last_reserved_ip.0", "10.1.0.6")]
    {
        fs::write(leases.join(address), owner)?;
    }
    let mut answer = case.ro();
    answer["cniVersion"] = json!("0.4.0");
    answer["interfaces"][0]["name"] = json!(host);
    case.stubs.write("stub-old", &Stub::answering(Reply::json(&answer)))?;
    run_line(&format!("ip link add {host} type veth peer name eth0 netns {}", case.netns_path()))?;
    case.added()?;
    Ok((case, host))
}

fn retire(case: &Case, seconds: u32) -> Result<()> {
    case.change_policy(|policy| {
        policy["attach"] = json!("new");
        policy["retired"] = json!([{"network": "old", "forceAfterSeconds": seconds}]);
    })
}

fn has_host_link(name: &str) -> Result<bool> {
    Ok(run_line("ip -o link")?.contains(&format!(": {name}@")))
}

fn ledger(case: &Case) -> Result<Vec<Value>> {
    let text = fs::read_to_string(case.path("state/ledger.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).context(line.to_owned())).collect()
}

/// Holds when nothing of the pod is left on the node, and one ledger line says what may be left in the cluster.
fn cleaned(case: &Case, host: &str) -> Result<()> {
    ensure!(!has_host_link(host)?, "the host veth {host} is still there");
    ensure!(!case.netns.has_link("eth0")?, "eth0 is still in the netns");
    ensure!(!case.path("leases/oldnet/10.1.0.5").exists(), "the lease is still there");
    case.expect_records(0)?;
    let lines = ledger(case)?;
    ensure!(lines.len() == 1, "one ledger line: {lines:?}");
    let text = lines[0].to_string();
    for word in ["10.1.0.5", "oldnet", "c1"] {
        ensure!(text.contains(word), "the ledger should name {word}: {text}");
    }
    Ok(())
}

fn retired_network_without_binary_is_cleaned_locally() -> Result<()> {
    let (case, host) = pod_on_old("old")?;
    retire(&case, 0)?;
    case.stubs.remove("stub-old")?;
    case.del()?.silent()?;
    cleaned(&case, &host)?;
    case.expect_calls(&[])
}

/// After any failure.
fn retired_network_that_fails_is_cleaned_locally() -> Result<()> {
    let (case, host) = pod_on_old("old")?;
    retire(&case, 0)?;
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(999, "Unauthorized", "token expired")))?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    cleaned(&case, &host)
}

/// The real DEL is always tried first.
fn retired_network_that_works_gets_its_del() -> Result<()> {
    let (case, host) = pod_on_old("old")?;
    retire(&case, 0)?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    ensure!(has_host_link(&host)?, "what its own DEL does is not second-guessed");
    ensure!(ledger(&case)?.is_empty(), "nothing was forced");
    case.expect_records(0)
}

fn retired_network_is_not_forced_before_its_time() -> Result<()> {
    let (case, host) = pod_on_old("old")?;
    retire(&case, 120)?;
    case.stubs.remove("stub-old")?;
    for _ in 0..2 {
        case.del()?.refused(101)?;
        ensure!(has_host_link(&host)? && ledger(&case)?.is_empty(), "not yet");
        case.expect_records(1)?;
    }
    retire(&case, 0)?;
    case.del()?.silent()?;
    cleaned(&case, &host)
}

fn network_that_is_not_retired_fails_for_ever() -> Result<()> {
    let (case, host) = pod_on_old("old")?;
    case.flip("new")?;
    case.stubs.remove("stub-old")?;
    for _ in 0..3 {
        case.del()?.refused(101)?;
    }
    ensure!(has_host_link(&host)? && ledger(&case)?.is_empty(), "nothing is forced");
    case.expect_records(1)
}

/// The host-local lease of its own name and id, the links of its own record.
fn foreign_leases_and_links_are_left_alone() -> Result<()> {
    let (case, host) = pod_on_old("old")?;
    let other = case.make_dir("leases/othernet")?;
    fs::write(other.join("10.1.0.5"), "c1\r\neth0")?;
    fs::write(case.path("leases/oldnet/10.1.0.7"), "c1\r\neth7")?;
    case.netns.ip("link add eth5 type veth peer name eth6")?;
    retire(&case, 0)?;
    case.stubs.remove("stub-old")?;
    case.del()?.silent()?;
    cleaned(&case, &host)?;
    for left in ["oldnet/10.1.0.6", "oldnet/last_reserved_ip.0", "oldnet/10.1.0.7", "othernet/10.1.0.5"] {
        ensure!(case.path("leases").join(left).exists(), "{left} is not ours");
    }
    ensure!(case.netns.has_link("eth5")?, "eth5 is not ours");
    Ok(())
}

/// Only the retired network is forced, the other is retried as ever.
fn retired_secondary_does_not_take_the_primary_along() -> Result<()> {
    let (case, host) = pod_on_old("both")?;
    retire(&case, 0)?;
    case.stubs.remove("stub-old")?;
    case.stubs.write(
        "stub-new",
        &crate::case::stub_new().on_calls("DEL", vec![Reply::fail(11, "busy", ""), Reply::silent()]),
    )?;
    case.del()?.refused(11)?;
    ensure!(!has_host_link(&host)?, "old is cleaned already");
    case.expect_records(1)?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1"])?;
    cleaned(&case, &host)
}

/// A pod recorded while `old` had this profile; then its conf goes and another path is named for it.
fn conf_gone(profile_then: &str, profile_now: &str, same_path: bool) -> Result<(Case, String)> {
    let (case, host) = pod_on_old("old")?;
    case.del()?.silent()?;
    case.change_policy(|policy| policy["networks"]["old"]["profile"] = json!(profile_then))?;
    run_line(&format!("ip link delete {host}"))?;
    run_line(&format!("ip link add {host} type veth peer name eth0 netns {}", case.netns_path()))?;
    case.added()?;
    case.remove_conf("old")?;
    case.stubs.remove("stub-old")?;
    retire(&case, 0)?;
    let elsewhere = case.path("net.d/elsewhere.conflist");
    case.change_policy(|policy| {
        policy["networks"]["old"]["profile"] = json!(profile_now);
        if !same_path {
            policy["networks"]["old"]["conf"] = json!([elsewhere]);
        }
    })?;
    Ok((case, host))
}

fn record_matches_a_network_by_profile_when_its_conf_is_gone() -> Result<()> {
    let (case, host) = conf_gone("calico", "calico", false)?;
    case.del()?.silent()?;
    cleaned(&case, &host)?;
    let (case, _host) = conf_gone("calico", "flannel", false)?;
    case.del()?.refused(101)?;
    case.expect_records(1)
}

fn generic_profiles_match_by_conf_path_only() -> Result<()> {
    let (case, host) = conf_gone("generic", "generic", true)?;
    case.del()?.silent()?;
    cleaned(&case, &host)?;
    let (case, _host) = conf_gone("generic", "generic", false)?;
    case.del()?.refused(101)?;
    case.expect_records(1)
}

/// A conf that exists under the same path but is another network's is no match.
fn record_matches_by_name_before_anything_else() -> Result<()> {
    let (case, _host) = pod_on_old("old")?;
    // The roles swap: what was `old` is `new` now, and `old` is another network.
    case.change_policy(|policy| {
        let old = policy["networks"]["old"].take();
        policy["networks"]["old"] = policy["networks"]["new"].take();
        policy["networks"]["new"] = old;
    })?;
    retire(&case, 0)?;
    case.stubs.remove("stub-old")?;
    case.del()?.refused(101)?;
    ensure!(ledger(&case)?.is_empty(), "oldnet is `new` now, which is not retired");
    case.expect_records(1)
}

/// The chain's DEL runs backwards: the last plugin succeeds, the one before it fails, the first is never asked.
fn ledger_calls_left_only_what_no_plugin_was_asked_to_remove() -> Result<()> {
    let case = Case::attach("old")?;
    let plugins = json!([{"type": "stub-first"}, {"type": "stub-old"}, {"type": "stub-map"}]);
    case.write_conf("old", &json!({"cniVersion": "0.4.0", "name": "oldnet", "plugins": plugins}))?;
    let mut answer = case.ro();
    answer["cniVersion"] = json!("0.4.0");
    let stub = Stub::answering(Reply::json(&answer));
    for name in ["stub-first", "stub-map"] {
        case.stubs.write(name, &stub)?;
    }
    case.stubs.write("stub-old", &stub.on("DEL", Reply::fail(999, "no", "")))?;
    case.added()?;
    retire(&case, 0)?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-map DEL eth0", "stub-old DEL eth0"])?;
    let line = ledger(&case)?.pop().context("a line of the ledger")?;
    for (plugin, output) in [("stub-first", Some("left")), ("stub-old", Some("unknown")), ("stub-map", None)]
    {
        for key in ["left", "unknown"] {
            let names_it = line[key].to_string().contains(plugin);
            ensure!(names_it == (output == Some(key)), "{plugin} in {key}: {line}");
        }
    }
    Ok(())
}
