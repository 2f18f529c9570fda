//! GC: closes our own stale records and tells each delegate, under its own ifnames, what is still valid.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use lab::{
    runtime::caller::Outcome,
    standin::stub::{Act, Reply},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, new_conf, old_conf, stub_new, stub_old},
    trials,
    trouble::mounts::another_boot,
};

trials![
    gc_closes_stale_records_and_forwards_what_is_left,
    gc_leaves_young_records_alone,
    gc_closes_young_records_of_an_earlier_boot,
    gc_without_a_list_does_nothing,
    gc_with_a_null_list_does_nothing,
    gc_reads_the_misspelt_twin_key,
    gc_with_an_empty_list_closes_only_records_past_the_grace,
    gc_with_a_broken_policy_does_nothing,
    gc_leaves_a_running_attachment_alone,
    gc_hands_over_the_netns_only_if_it_is_still_the_same,
    gc_comes_to_every_record_and_forwards_in_each_pass_although_dels_hang,
    gc_judges_a_record_that_was_made_again_meanwhile_by_itself,
    sweep_leaves_a_record_that_was_made_again_meanwhile_to_the_next_pass,
];

/// A case whose shim speaks 1.1.0; `new` does as well, `old` is at this version.
pub(crate) fn case_with_old_at(attach: &str, version: &str) -> Result<Case> {
    let mut case = Case::attach(attach)?;
    case.shim["cniVersion"] = json!("1.1.0");
    let mut new = new_conf();
    new["cniVersion"] = json!("1.1.0");
    case.write_conf("new", &new)?;
    let mut old = old_conf();
    old["cniVersion"] = json!(version);
    case.write_conf("old", &old)?;
    Ok(case)
}

pub(crate) fn grace(case: &Case, seconds: u32) -> Result<()> {
    case.change_policy(|policy| policy["gc"] = json!({"graceSeconds": seconds}))
}

pub(crate) fn add_as(case: &Case, id: &str, attach: &str) -> Result<()> {
    case.flip(attach)?;
    case.call("ADD").env("CNI_CONTAINERID", id).run()?.result()?;
    case.stubs.log().clear()
}

pub(crate) fn gc(case: &Case, valid: &[(&str, &str)]) -> Result<Outcome> {
    let list: Vec<Value> =
        valid.iter().map(|(id, ifname)| json!({"containerID": id, "ifname": ifname})).collect();
    case.call_with("GC", &json!({"cni.dev/valid-attachments": list, "cni.dev/attachments": list})).run()
}

/// The entries that a delegate got, sorted; both keys must agree.
pub(crate) fn forwarded_list(case: &Case, brief: &str) -> Result<Vec<(String, String)>> {
    let conf = case.the_call(brief)?.conf()?;
    assert_eq!(conf["cni.dev/valid-attachments"], conf["cni.dev/attachments"]);
    let entries = conf["cni.dev/valid-attachments"].as_array().context("a list")?;
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let mut output: Vec<_> =
        entries.iter().map(|entry| (text(entry, "containerID"), text(entry, "ifname"))).collect();
    output.sort();
    Ok(output)
}

pub(crate) fn pairs(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    entries.iter().map(|(id, ifname)| ((*id).to_owned(), (*ifname).to_owned())).collect()
}

fn gc_closes_stale_records_and_forwards_what_is_left() -> Result<()> {
    let case = case_with_old_at("both", "0.3.1")?;
    grace(&case, 0)?;
    add_as(&case, "c1", "both")?;
    add_as(&case, "c2", "new")?;
    gc(&case, &[("c2", "eth0")])?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0", "stub-new GC"])?;
    for call in case.calls()?.iter().take(2) {
        assert_eq!(call.var("CNI_CONTAINERID"), "c1");
    }
    assert_eq!(forwarded_list(&case, "stub-new GC")?, pairs(&[("c2", "eth0")]));
    case.expect_records(1)
}

fn gc_leaves_young_records_alone() -> Result<()> {
    let case = case_with_old_at("both", "0.3.1")?;
    grace(&case, 600)?;
    add_as(&case, "c1", "both")?;
    add_as(&case, "c2", "new")?;
    gc(&case, &[("c2", "eth0")])?.silent()?;
    case.expect_calls(&["stub-new GC"])?;
    assert_eq!(forwarded_list(&case, "stub-new GC")?, pairs(&[("c1", "net1"), ("c2", "eth0")]));
    case.expect_records(2)
}

fn gc_closes_young_records_of_an_earlier_boot() -> Result<()> {
    let case = case_with_old_at("old", "1.1.0")?;
    grace(&case, 600)?;
    add_as(&case, "c1", "old")?;
    let list = json!({"cni.dev/valid-attachments": []});
    case.call_with("GC", &list)
        .wrapped(&another_boot(&case)?.each_ref().map(String::as_str))
        .run()?
        .silent()?;
    ensure!(
        case.stubs.log().briefs()?.contains(&"stub-old DEL eth0".to_owned()),
        "{:?}",
        case.stubs.log().briefs()?
    );
    case.expect_records(0)
}

fn does_nothing(list: &Value) -> Result<Outcome> {
    let case = case_with_old_at("both", "1.1.0")?;
    grace(&case, 0)?;
    add_as(&case, "c1", "both")?;
    let outcome = case.call_with("GC", list).run()?;
    outcome.silent()?;
    case.expect_calls(&[])?;
    case.expect_records(1)?;
    Ok(outcome)
}

fn gc_without_a_list_does_nothing() -> Result<()> {
    let outcome = does_nothing(&json!({}))?;
    ensure!(!outcome.stderr.is_empty(), "a missing list deserves a warning");
    Ok(())
}

fn gc_with_a_null_list_does_nothing() -> Result<()> {
    does_nothing(&json!({"cni.dev/valid-attachments": null})).map(drop)
}

fn gc_reads_the_misspelt_twin_key() -> Result<()> {
    let case = case_with_old_at("new", "1.1.0")?;
    grace(&case, 0)?;
    add_as(&case, "c1", "new")?;
    add_as(&case, "c2", "new")?;
    let list = json!({"cni.dev/attachments": [{"containerID": "c2", "ifname": "eth0"}]});
    case.call_with("GC", &list).run()?.silent()?;
    assert_eq!(case.the_call("stub-new DEL eth0")?.var("CNI_CONTAINERID"), "c1");
    assert_eq!(forwarded_list(&case, "stub-new GC")?, pairs(&[("c2", "eth0")]));
    case.expect_records(1)
}

fn gc_with_an_empty_list_closes_only_records_past_the_grace() -> Result<()> {
    let case = case_with_old_at("new", "1.1.0")?;
    grace(&case, 600)?;
    add_as(&case, "c1", "new")?;
    gc(&case, &[])?.silent()?;
    case.expect_records(1)?;
    case.stubs.log().clear()?;
    grace(&case, 0)?;
    gc(&case, &[])?.silent()?;
    case.the_call("stub-new DEL eth0")?;
    assert_eq!(forwarded_list(&case, "stub-new GC")?, pairs(&[]));
    case.expect_records(0)
}

fn gc_with_a_broken_policy_does_nothing() -> Result<()> {
    let case = case_with_old_at("new", "1.1.0")?;
    grace(&case, 0)?;
    add_as(&case, "c1", "new")?;
    case.write(&case.policy_path(), "{ torn")?;
    gc(&case, &[])?.refused(7)?;
    case.expect_calls(&[])?;
    case.expect_records(1)
}

/// Only when their lock is free.
fn gc_leaves_a_running_attachment_alone() -> Result<()> {
    let case = case_with_old_at("new", "1.1.0")?;
    grace(&case, 0)?;
    let gate = case.gate("gate")?;
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::json(&case.rn("eth0")).behind(&gate)))?;
    let add = case.call("ADD").spawn()?;
    case.stubs.log().wait_for("stub-new ADD eth0", 1)?;
    gc(&case, &[])?.silent()?;
    let briefs = case.stubs.log().briefs()?;
    ensure!(!briefs.iter().any(|brief| brief.contains("DEL")), "{briefs:?}");
    assert_eq!(forwarded_list(&case, "stub-new GC")?, pairs(&[("c1", "eth0")]));
    gate.open()?;
    add.wait()?.result()?;
    case.expect_records(1)
}

fn gc_hands_over_the_netns_only_if_it_is_still_the_same() -> Result<()> {
    for gone in [false, true] {
        let case = case_with_old_at("new", "1.1.0")?;
        grace(&case, 0)?;
        add_as(&case, "c1", "new")?;
        let expected = if gone { String::new() } else { case.netns_path() };
        if gone {
            case.netns.remove()?;
            // The same path, another file.
            std::fs::write(case.netns.path(), "")?;
        }
        gc(&case, &[])?.silent()?;
        assert_eq!(case.the_call("stub-new DEL eth0")?.var("CNI_NETNS"), expected);
    }
    Ok(())
}

/// One that hangs starves no other, neither in its own pass nor in those that follow.
fn gc_comes_to_every_record_and_forwards_in_each_pass_although_dels_hang() -> Result<()> {
    let case = case_with_old_at("new", "1.1.0")?;
    grace(&case, 0)?;
    // More that hang than one pass has time for, and they come before the other in every order of names.
    let hanging = ["a1", "a2", "a3", "a4", "a5", "a6"];
    for id in hanging {
        add_as(&case, id, "old")?;
    }
    add_as(&case, "z", "new")?;
    case.change_policy(|policy| policy["deadlines"] = json!({"gcSeconds": 4}))?;
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply(vec![Act::Hang])))?;
    case.stubs.write("stub-new", &stub_new().on("GC", Reply::fail(121, "gc-was-served", "")))?;
    let mut closed = false;
    for pass in 1..=hanging.len() {
        case.stubs.log().clear()?;
        let text = gc(&case, &[])?.error()?.text();
        ensure!(text.contains("gc-was-served"), "pass {pass} left the delegates' GC no time: {text}");
        closed |= case.calls()?.iter().any(|call| call.brief() == "stub-new DEL eth0");
        if closed {
            break;
        }
    }
    ensure!(closed, "{} passes, and none came to the record behind those that hang", hanging.len());
    case.expect_records(hanging.len())?;
    case.expect_no_delegates()
}

/// An attachment may be deleted and added again while a pass is on its way to it: its verdict is that of the new record.
fn gc_judges_a_record_that_was_made_again_meanwhile_by_itself() -> Result<()> {
    let case = case_with_old_at("new", "1.1.0")?;
    let gate = case.gate("gate")?;
    add_as(&case, "b", "new")?;
    add_as(&case, "a", "old")?;
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply::silent().behind(&gate)))?;
    let list = json!({"cni.dev/valid-attachments": []});
    // Another boot: what was begun in the one before is past every grace.
    grace(&case, 600)?;
    let wrapper = another_boot(&case)?;
    let running = case.call_with("GC", &list).wrapped(&wrapper.each_ref().map(String::as_str)).spawn()?;
    case.stubs.log().wait_for("stub-old DEL eth0", 1)?;
    case.call("DEL").env("CNI_CONTAINERID", "b").run()?.silent()?;
    case.call("ADD")
        .env("CNI_CONTAINERID", "b")
        .wrapped(&wrapper.each_ref().map(String::as_str))
        .run()?
        .result()?;
    gate.open()?;
    running.wait()?.silent()?;
    let dels = case.calls()?.iter().filter(|call| call.brief() == "stub-new DEL eth0").count();
    assert_eq!(dels, 1, "the one that the runtime called");
    case.expect_records(1)
}

/// An attachment that a sweep found due may be deleted and added again before its turn: the new one has not been judged.
fn sweep_leaves_a_record_that_was_made_again_meanwhile_to_the_next_pass() -> Result<()> {
    let case = case_with_old_at("new", "1.1.0")?;
    let gate = case.gate("gate")?;
    add_as(&case, "b", "new")?;
    add_as(&case, "a", "old")?;
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply::silent().behind(&gate)))?;
    grace(&case, 0)?;
    let listed = case.path("listed.json");
    case.write(&listed, "[]")?;
    let options = [
        ("--conf-dir", case.path("net.d")),
        ("--state-dir", case.path("state")),
        ("--run-dir", case.path("run")),
        ("--policy", case.policy_path()),
        ("--listed", listed),
        ("--bin-dir", case.stubs.path().to_owned()),
    ];
    let mut sweep = Command::new(lab::build::dist::bootstrap()?);
    sweep
        .args(["unit", "sweep"])
        .args(options.iter().flat_map(|(name, path)| [OsStr::new(name), path.as_os_str()]));
    let running = sweep.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // Passes are in the order of container ids, so this one's turn comes before that of b.
    case.stubs.log().wait_for("stub-old DEL eth0", 1)?;
    case.call("DEL").env("CNI_CONTAINERID", "b").run()?.silent()?;
    case.call("ADD").env("CNI_CONTAINERID", "b").run()?.result()?;
    gate.open()?;
    let ended = running.wait_with_output()?;
    let output = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    ensure!(ended.status.success(), "{output}");
    ensure!(
        output.contains("b eth0") && output.contains("2 attachments") || output.contains("b eth0"),
        "{output}"
    );
    let dels = case.calls()?.iter().filter(|call| call.brief() == "stub-new DEL eth0").count();
    assert_eq!(dels, 1, "the one that the runtime called: {output}");
    case.expect_records(1)
}
