//! JOIN: a second network comes to a pod that runs.

use anyhow::{Result, ensure};
use lab::standin::stub::{Act, Reply};
use serde_json::{Value, json};

use crate::{
    case::{Case, stub_new, stub_old},
    detach::gc::{case_with_old_at, forwarded_list, gc, grace, pairs},
    trials,
    trouble::mounts::another_boot,
};

trials![
    a_pod_on_old_is_joined_by_new_and_one_del_ends_both,
    a_pod_that_has_both_is_left_alone,
    a_join_that_the_policy_does_not_name_is_refused,
    a_join_that_would_change_the_primary_or_the_default_route_needs_a_restart,
    a_pod_whose_del_has_begun_needs_a_restart,
    a_pod_whose_add_did_not_end_needs_a_restart,
    a_network_that_must_not_join_needs_a_restart,
    a_failed_join_leaves_the_record_as_it_was,
    a_failed_join_whose_undoing_fails_owes_the_del,
    a_join_after_a_killed_one_begins_with_its_del,
    a_check_after_a_join_that_was_killed_before_its_end_looks_at_the_primary_alone,
    a_network_that_is_not_ready_is_not_called,
    an_attachment_of_the_inventory_becomes_a_record,
    an_attachment_of_the_inventory_without_its_result_needs_a_restart,
    an_attachment_that_the_runtime_deletes_itself_needs_a_restart,
    an_unknown_attachment_is_named,
    another_netns_and_other_arguments_are_refused,
    a_pod_with_an_interface_of_another_program_needs_a_restart,
    a_second_join_at_the_same_time_is_refused_at_once,
    a_del_asks_a_join_to_stop,
    the_hosts_netns_is_refused,
    a_gc_keeps_a_joined_network_and_names_it_to_its_delegate,
    a_joined_network_goes_with_its_boot,
];

/// Has the policy say both, with `old` as primary and owner of the default route.
pub(crate) fn to_both(case: &Case) -> Result<()> {
    case.change_policy(|policy| {
        policy["attach"] = json!("both");
        policy["both"]["defaultRoute"] = json!("old");
    })
}

/// A pod on `old` whose policy says both by now, with `old` as primary and owner of the default route.
fn flipped() -> Result<Case> {
    let case = Case::attach("old")?;
    give_interface(&case, "eth0", "10.1.0.5")?;
    case.added()?;
    to_both(&case)?;
    Ok(case)
}

/// The interface that a stub's result names.
fn give_interface(case: &Case, ifname: &str, address: &str) -> Result<()> {
    let inside = |line: &str| case.netns.ip(line);
    inside(&format!("link add {ifname} type veth peer name peer-{ifname}"))?;
    inside(&format!("address add {address}/32 dev {ifname}"))?;
    inside(&format!("link set {ifname} up"))?;
    inside(&format!("route add 10.255.255.1 dev {ifname}"))?;
    inside(&format!("route add default via 10.255.255.1 dev {ifname}"))?;
    Ok(())
}

fn record(case: &Case) -> Result<String> {
    case.expect_records(1)?;
    Ok(std::fs::read_to_string(&case.records()?[0])?)
}

fn routing(case: &Case) -> Result<String> {
    Ok(case.netns.ip("rule show")? + &case.netns.ip("route show table main")?)
}

fn a_pod_on_old_is_joined_by_new_and_one_del_ends_both() -> Result<()> {
    let case = flipped()?;
    let before = routing(&case)?;
    case.call("JOIN").run()?.silent()?;
    case.expect_calls(&["stub-new ADD net1"])?;
    let call = case.the_call("stub-new ADD net1")?;
    assert_eq!(call.var("CNI_NETNS"), case.netns_path());
    assert_eq!(call.var("CNI_CONTAINERID"), "c1");
    assert_eq!(call.var("CNI_ARGS"), case.environment("JOIN")["CNI_ARGS"]);
    let after = routing(&case)?;
    let (ours, others): (Vec<&str>, Vec<&str>) = after.lines().partition(|line| line.contains("lookup 1002"));
    ensure!(ours.len() == 1 && ours[0].contains("from 10.1.0.5 fwmark 0"), "{after}");
    assert_eq!(others, before.lines().collect::<Vec<_>>());
    case.call("CHECK").run()?.silent()?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-old DEL eth0", "stub-new DEL net1"])?;
    case.expect_records(0)
}

fn a_pod_that_has_both_is_left_alone() -> Result<()> {
    let case = flipped()?;
    case.call("JOIN").run()?.silent()?;
    let joined = record(&case)?;
    case.stubs.log().clear()?;
    case.call("JOIN").run()?.silent()?;
    case.expect_calls(&[])?;
    assert_eq!(record(&case)?, joined);
    Ok(())
}

fn a_join_that_the_policy_does_not_name_is_refused() -> Result<()> {
    let case = flipped()?;
    case.call("JOIN").run()?.silent()?;
    case.flip("old")?;
    case.stubs.log().clear()?;
    let refusal = case.call("JOIN").run()?.refused(7)?;
    ensure!(refusal.msg.contains("its second network leaves attachment c1 eth0"), "{refusal:?}");
    case.expect_calls(&[])
}

fn a_join_that_would_change_the_primary_or_the_default_route_needs_a_restart() -> Result<()> {
    for (key, what) in [("primary", "the address in its status"), ("defaultRoute", "its default route")] {
        let case = flipped()?;
        let before = record(&case)?;
        case.change_policy(|policy| policy["both"][key] = json!("new"))?;
        let refusal = case.call("JOIN").run()?.refused(107)?;
        ensure!(refusal.msg.contains(what) && refusal.msg.contains("c1 eth0 needs a restart"), "{refusal:?}");
        case.expect_calls(&[])?;
        assert_eq!(record(&case)?, before);
    }
    Ok(())
}

/// Its record says how far the DEL of its primary has come, which a JOIN would write over.
fn a_pod_whose_del_has_begun_needs_a_restart() -> Result<()> {
    let case = flipped()?;
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(11, "try", "later")))?;
    case.del()?.refused(11)?;
    let before = record(&case)?;
    case.stubs.log().clear()?;
    let refusal = case.call("JOIN").run()?.refused(107)?;
    ensure!(refusal.msg.contains("a DEL of it has begun"), "{refusal:?}");
    case.expect_calls(&[])?;
    assert_eq!(record(&case)?, before);
    Ok(())
}

/// The network whose ADD was killed would have got the default route, and one that joins never does.
fn a_pod_whose_add_did_not_end_needs_a_restart() -> Result<()> {
    let case = Case::attach("both")?;
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply(vec![Act::KillParent])))?;
    ensure!(!case.call("ADD").run()?.status.success());
    // The stub kills its parent before it notes its own call.
    case.stubs.log().wait_for("stub-new ADD net1", 1)?;
    case.expect_no_delegates()?;
    case.stubs.write("stub-new", &stub_new())?;
    let before = record(&case)?;
    case.stubs.log().clear()?;
    case.call("JOIN").run()?.refused(107)?;
    case.expect_calls(&[])?;
    assert_eq!(record(&case)?, before);
    Ok(())
}

fn a_network_that_must_not_join_needs_a_restart() -> Result<()> {
    for (key, value) in [("join", "refused"), ("secondary", "hostRoute")] {
        let case = flipped()?;
        case.change_policy(|policy| policy["networks"]["new"][key] = json!(value))?;
        let refusal = case.call("JOIN").run()?.refused(107)?;
        ensure!(refusal.msg.contains("\"newnet\" must not join"), "{refusal:?}");
        case.expect_calls(&[])?;
    }
    Ok(())
}

fn a_failed_join_leaves_the_record_as_it_was() -> Result<()> {
    let case = flipped()?;
    let (lines, routes) = (record(&case)?, routing(&case)?);
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::fail(11, "try", "later")))?;
    case.call("JOIN").run()?.refused(11)?;
    case.expect_calls(&["stub-new ADD net1", "stub-new DEL net1"])?;
    assert_eq!(record(&case)?, lines);
    assert_eq!(routing(&case)?, routes);
    Ok(())
}

fn a_failed_join_whose_undoing_fails_owes_the_del() -> Result<()> {
    let case = flipped()?;
    let routes = routing(&case)?;
    let broken = stub_new().on("ADD", Reply::fail(11, "try", "later")).on("DEL", Reply::fail(5, "no", ""));
    case.stubs.write("stub-new", &broken)?;
    let refusal = case.call("JOIN").run()?.refused(11)?;
    ensure!(refusal.details.contains("its DEL is owed"), "{refusal:?}");
    assert_eq!(routing(&case)?, routes);
    // The pod goes on with its primary.
    case.call("CHECK").run()?.silent()?;
    case.stubs.write("stub-new", &stub_new())?;
    case.stubs.log().clear()?;
    case.call("JOIN").run()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-new ADD net1"])
}

fn a_join_after_a_killed_one_begins_with_its_del() -> Result<()> {
    let case = flipped()?;
    let routes = routing(&case)?;
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply(vec![Act::KillParent])))?;
    let killed = case.call("JOIN").run()?;
    ensure!(!killed.status.success() && killed.stdout.is_empty(), "{killed:?}");
    case.stubs.log().wait_for("stub-new ADD net1", 1)?;
    case.expect_no_delegates()?;
    // The pod goes on with its primary.
    case.call("CHECK").run()?.silent()?;
    case.stubs.write("stub-new", &stub_new())?;
    case.flip("old")?;
    case.stubs.log().clear()?;
    case.call("LEAVE").run()?.silent()?;
    case.expect_calls(&["stub-new DEL net1"])?;
    assert_eq!(routing(&case)?, routes);
    case.flip("both")?;
    case.call("JOIN").run()?.silent()?;
    case.call("CHECK").run()?.silent()
}

/// The network's ADD has succeeded, and nothing says that its route step has.
fn a_check_after_a_join_that_was_killed_before_its_end_looks_at_the_primary_alone() -> Result<()> {
    let case = case_with_old_at("old", "1.1.0")?;
    give_interface(&case, "eth0", "10.1.0.5")?;
    case.added()?;
    to_both(&case)?;
    case.call("JOIN").run()?.silent()?;
    let whole = record(&case)?;
    let mut lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let end = lines.pop().unwrap_or_default();
    ensure!(end.contains("attached"), "{end}");
    std::fs::write(&case.records()?[0], lines.concat())?;
    case.stubs.log().clear()?;
    case.call("CHECK").run()?.silent()?;
    case.expect_calls(&["stub-old CHECK eth0"])
}

fn a_network_that_is_not_ready_is_not_called() -> Result<()> {
    let case = flipped()?;
    let before = record(&case)?;
    case.change_policy(|policy| policy["networks"]["new"]["ready"] = json!([{"file": "/nowhere/at/all"}]))?;
    case.call("JOIN").run()?.refused(11)?;
    case.expect_calls(&[])?;
    assert_eq!(record(&case)?, before);
    Ok(())
}

/// A pod of the inventory, on `old`.
fn listed(result: &Value) -> Result<Case> {
    let case = Case::attach("both")?;
    give_interface(&case, "eth0", "10.1.0.5")?;
    case.change_policy(|policy| policy["both"]["defaultRoute"] = json!("old"))?;
    let mut entry = json!({"containerID": "c1", "ifname": "eth0", "network": "old"});
    if !result.is_null() {
        entry["prevResult"] = result.clone();
    }
    case.write_inventory(&json!([entry]))?;
    Ok(case)
}

fn an_attachment_of_the_inventory_becomes_a_record() -> Result<()> {
    let case = listed(&crate::case::ro(&Case::attach("old")?.netns_path()))?;
    case.call("JOIN").run()?.silent()?;
    case.expect_calls(&["stub-new ADD net1"])?;
    case.expect_records(1)?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-old DEL eth0", "stub-new DEL net1"])?;
    case.expect_records(0)?;
    assert_eq!(case.inventory()?, [""; 0]);
    Ok(())
}

fn an_attachment_of_the_inventory_without_its_result_needs_a_restart() -> Result<()> {
    let case = listed(&Value::Null)?;
    let refusal = case.call("JOIN").run()?.refused(107)?;
    ensure!(refusal.msg.contains("has the result of its ADD"), "{refusal:?}");
    case.expect_calls(&[])?;
    case.expect_records(0)?;
    assert_eq!(case.inventory()?, ["c1"]);
    Ok(())
}

fn an_attachment_that_the_runtime_deletes_itself_needs_a_restart() -> Result<()> {
    let case = listed(&Value::Null)?;
    let result = crate::case::ro(&case.netns_path());
    case.write_inventory(&json!([{
        "containerID": "c1", "ifname": "eth0", "network": "old", "prevResult": result, "deletedBy": "runtime"
    }]))?;
    let refusal = case.call("JOIN").run()?.refused(107)?;
    ensure!(refusal.msg.contains("past Crossfade"), "{refusal:?}");
    case.expect_calls(&[])?;
    case.expect_records(0)
}

fn an_unknown_attachment_is_named() -> Result<()> {
    let case = Case::attach("both")?;
    for verb in ["JOIN", "LEAVE"] {
        let refusal = case.call(verb).run()?.refused(3)?;
        ensure!(refusal.msg.contains("attachment c1 eth0 is unknown"), "{refusal:?}");
    }
    case.expect_calls(&[])
}

fn another_netns_and_other_arguments_are_refused() -> Result<()> {
    let case = flipped()?;
    let other = lab::host::netns::Netns::new()?;
    let before = record(&case)?;
    for verb in ["JOIN", "LEAVE"] {
        let path = other.path().display().to_string();
        let refusal = case.call(verb).env("CNI_NETNS", &path).run()?.refused(4)?;
        ensure!(refusal.msg.contains(&path), "{refusal:?}");
        let refusal = case.call(verb).env("CNI_ARGS", "K8S_POD_NAME=another").run()?.refused(4)?;
        ensure!(refusal.msg.contains("CNI_ARGS"), "{refusal:?}");
    }
    case.expect_calls(&[])?;
    assert_eq!(record(&case)?, before);
    Ok(())
}

fn a_pod_with_an_interface_of_another_program_needs_a_restart() -> Result<()> {
    let case = flipped()?;
    let before = record(&case)?;
    case.netns.ip("link add wg0 type veth peer name wg1")?;
    case.netns.ip("link set wg0 up")?;
    let refusal = case.call("JOIN").run()?.refused(107)?;
    ensure!(refusal.msg.contains("interface wg0"), "{refusal:?}");
    case.expect_calls(&[])?;
    assert_eq!(record(&case)?, before);
    Ok(())
}

fn a_second_join_at_the_same_time_is_refused_at_once() -> Result<()> {
    let case = flipped()?;
    let gate = case.gate("gate")?;
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::json(&case.rn("net1")).behind(&gate)))?;
    let first = case.call("JOIN").spawn()?;
    case.eventually("the delegate's ADD", || Ok(case.stubs.log().briefs()? == ["stub-new ADD net1"]))?;
    let refusal = case.call("JOIN").run()?.refused(11)?;
    ensure!(refusal.msg.contains("attachment c1 eth0 is busy"), "{refusal:?}");
    gate.open()?;
    first.wait()?.silent()
}

fn a_del_asks_a_join_to_stop() -> Result<()> {
    let case = flipped()?;
    case.change_policy(|policy| policy["deadlines"] = json!({"delSeconds": 4}))?;
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply(vec![Act::Hang])))?;
    let join = case.call("JOIN").spawn()?;
    case.eventually("the delegate's ADD", || Ok(case.stubs.log().briefs()? == ["stub-new ADD net1"]))?;
    case.del()?.silent()?;
    join.wait()?.refused(11)?;
    case.expect_calls(&["stub-new ADD net1", "stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)?;
    case.expect_no_delegates()
}

fn the_hosts_netns_is_refused() -> Result<()> {
    let case = flipped()?;
    for verb in ["JOIN", "LEAVE"] {
        case.call(verb).env("CNI_NETNS", "/proc/1/ns/net").run()?.refused(4)?;
    }
    case.expect_calls(&[])
}

/// The runtime's list names the sandbox by its own interface alone.
fn a_gc_keeps_a_joined_network_and_names_it_to_its_delegate() -> Result<()> {
    let case = case_with_old_at("old", "1.1.0")?;
    grace(&case, 0)?;
    case.added()?;
    to_both(&case)?;
    case.call("JOIN").run()?.silent()?;
    case.stubs.log().clear()?;
    gc(&case, &[("c1", "eth0")])?.silent()?;
    case.expect_calls(&["stub-old GC", "stub-new GC"])?;
    assert_eq!(forwarded_list(&case, "stub-old GC")?, pairs(&[("c1", "eth0")]));
    assert_eq!(forwarded_list(&case, "stub-new GC")?, pairs(&[("c1", "net1")]));
    case.expect_records(1)?;
    case.stubs.log().clear()?;
    gc(&case, &[])?.silent()?;
    let calls = case.stubs.log().briefs()?;
    ensure!(calls[..2] == ["stub-old DEL eth0", "stub-new DEL net1"], "{calls:?}");
    case.expect_records(0)
}

/// After a crash of the node the record is there, and the netns is not.
fn a_joined_network_goes_with_its_boot() -> Result<()> {
    let case = case_with_old_at("old", "1.1.0")?;
    case.added()?;
    to_both(&case)?;
    case.call("JOIN").run()?.silent()?;
    case.stubs.log().clear()?;
    let wrapper = another_boot(&case)?;
    let wrapper = wrapper.each_ref().map(String::as_str);
    for verb in ["JOIN", "LEAVE"] {
        case.call(verb).wrapped(&wrapper).run()?.refused(4)?;
    }
    let list = json!({"cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "eth0"}]});
    case.call_with("GC", &list).wrapped(&wrapper).run()?.silent()?;
    let calls = case.stubs.log().briefs()?;
    ensure!(calls[..2] == ["stub-old DEL eth0", "stub-new DEL net1"], "{calls:?}");
    case.expect_records(0)
}
