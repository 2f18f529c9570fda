//! GC of the delegates: each gets what is valid, under its own interface names.

use anyhow::{Result, ensure};
use lab::standin::stub::{Act, Reply, Stub};
use serde_json::json;

use crate::detach::gc::{add_as, case_with_old_at, forwarded_list, gc, grace, pairs};
use crate::{
    case::{new_conf, stub_new, stub_old},
    trials,
};

trials![
    gc_translates_ifnames_per_network,
    gc_keeps_unrecorded_entries_in_the_lists,
    gc_entries_of_the_inventory_go_to_their_network,
    gc_is_not_forwarded_when_the_policy_says_so,
    gc_honours_disable_gc,
    gc_goes_on_after_an_error_and_reports_it,
    gc_request_holds_neither_runtime_config_nor_prev_result,
    gc_of_one_delegate_that_hangs_leaves_the_others_their_time,
];

fn gc_translates_ifnames_per_network() -> Result<()> {
    let case = case_with_old_at("both", "1.1.0")?;
    grace(&case, 0)?;
    add_as(&case, "c1", "both")?;
    gc(&case, &[("c1", "eth0")])?.silent()?;
    let mut briefs = case.stubs.log().briefs()?;
    briefs.sort();
    assert_eq!(briefs, ["stub-new GC", "stub-old GC"]);
    assert_eq!(forwarded_list(&case, "stub-new GC")?, pairs(&[("c1", "net1")]));
    assert_eq!(forwarded_list(&case, "stub-old GC")?, pairs(&[("c1", "eth0")]));
    case.expect_records(1)
}

fn gc_keeps_unrecorded_entries_in_the_lists() -> Result<()> {
    let case = case_with_old_at("new", "1.1.0")?;
    grace(&case, 0)?;
    gc(&case, &[("stranger", "eth0")])?.silent()?;
    assert_eq!(forwarded_list(&case, "stub-new GC")?, pairs(&[("stranger", "eth0")]));
    assert_eq!(forwarded_list(&case, "stub-old GC")?, pairs(&[("stranger", "eth0")]));
    Ok(())
}

fn gc_entries_of_the_inventory_go_to_their_network() -> Result<()> {
    let case = case_with_old_at("new", "1.1.0")?;
    grace(&case, 0)?;
    case.write_inventory(&json!([
        {"containerID": "before", "ifname": "eth0", "network": "old"},
        {"containerID": "unlisted", "ifname": "eth0", "network": "old"}
    ]))?;
    gc(&case, &[("before", "eth0")])?.silent()?;
    let old = forwarded_list(&case, "stub-old GC")?;
    ensure!(old.contains(&("before".to_owned(), "eth0".to_owned())), "{old:?}");
    let new = forwarded_list(&case, "stub-new GC")?;
    ensure!(new.is_empty(), "old's sandboxes are no business of new's: {new:?}");
    Ok(())
}

fn gc_is_not_forwarded_when_the_policy_says_so() -> Result<()> {
    let case = case_with_old_at("new", "1.1.0")?;
    case.change_policy(|policy| policy["gc"] = json!({"graceSeconds": 0, "forward": false}))?;
    add_as(&case, "c1", "new")?;
    gc(&case, &[])?.silent()?;
    case.expect_calls(&["stub-new DEL eth0"])?;
    case.expect_records(0)
}

fn gc_honours_disable_gc() -> Result<()> {
    let case = case_with_old_at("new", "1.1.0")?;
    let mut conf = new_conf();
    conf["cniVersion"] = json!("1.1.0");
    conf["disableGC"] = json!(true);
    case.write_conf("new", &conf)?;
    gc(&case, &[("c2", "eth0")])?.silent()?;
    case.expect_calls(&["stub-old GC"])
}

fn gc_goes_on_after_an_error_and_reports_it() -> Result<()> {
    let case = case_with_old_at("both", "1.1.0")?;
    grace(&case, 0)?;
    add_as(&case, "c1", "both")?;
    case.stubs.write("stub-new", &stub_new().on("DEL", Reply::fail(11, "del-busy", "")))?;
    case.stubs.write("stub-old", &stub_old().on("GC", Reply::fail(121, "gc-off", "")))?;
    let text = gc(&case, &[])?.error()?.text();
    ensure!(text.contains("del-busy") && text.contains("gc-off"), "all errors are reported: {text}");
    let mut briefs = case.stubs.log().briefs()?;
    briefs.sort();
    assert_eq!(briefs, ["stub-new DEL net1", "stub-new GC", "stub-old DEL eth0", "stub-old GC"]);
    assert_eq!(
        forwarded_list(&case, "stub-new GC")?,
        pairs(&[("c1", "net1")]),
        "what is not released is still valid"
    );
    case.expect_records(1)
}

fn gc_request_holds_neither_runtime_config_nor_prev_result() -> Result<()> {
    let case = case_with_old_at("new", "1.1.0")?;
    add_as(&case, "c1", "new")?;
    gc(&case, &[("c1", "eth0")])?.silent()?;
    let call = case.the_call("stub-new GC")?;
    let conf = call.conf()?;
    ensure!(conf.get("runtimeConfig").is_none() && conf.get("prevResult").is_none(), "{conf}");
    assert_eq!((&conf["name"], &conf["cniVersion"]), (&json!("newnet"), &json!("1.1.0")));
    for variable in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"] {
        assert_eq!(call.var(variable), "", "{variable}");
    }
    Ok(())
}

/// For the delegates' own GC: a chain's plugins and both networks have a share each.
fn gc_of_one_delegate_that_hangs_leaves_the_others_their_time() -> Result<()> {
    let case = case_with_old_at("new", "1.1.0")?;
    let chain = json!([{"type": "stub-old"}, {"type": "stub-map"}]);
    case.write_conf("old", &json!({"cniVersion": "1.1.0", "name": "oldnet", "plugins": chain}))?;
    case.change_policy(|policy| policy["deadlines"] = json!({"gcSeconds": 4}))?;
    case.stubs.write("stub-old", &stub_old().on("GC", Reply(vec![Act::Hang])))?;
    for (stub, words) in [("stub-map", "map-was-served"), ("stub-new", "new-was-served")] {
        case.stubs.write(stub, &Stub::answering(Reply::silent()).on("GC", Reply::fail(121, words, "")))?;
    }
    let text = gc(&case, &[])?.error()?.text();
    ensure!(text.contains("deadline"), "the one that hangs is told: {text}");
    ensure!(text.contains("map-was-served") && text.contains("new-was-served"), "{text}");
    case.expect_no_delegates()
}
