//! Damaged records: set aside, and only then is every network of the policy asked.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use lab::standin::stub::Reply;
use serde_json::json;

use crate::{
    case::{Case, stub_new},
    detach::gc::case_with_old_at,
    trials,
};

trials![
    damaged_record_is_set_aside_and_every_network_is_asked,
    damaged_record_under_both_is_undone_in_the_present_roles,
    damaged_record_leaves_the_runtime_s_own_arguments,
    any_flipped_byte_is_survived,
    failed_del_of_a_damaged_record_is_retried,
    damaged_record_without_a_policy_is_kept,
    damaged_record_fails_check_and_refuses_add,
    damaged_record_does_not_stop_gc_of_others,
    no_delegate_collects_while_a_record_is_damaged,
    torn_tail_is_still_in_doubt_after_a_failed_del,
];

fn the_record(case: &Case) -> Result<PathBuf> {
    let records = case.records()?;
    ensure!(records.len() == 1, "one record: {records:?}");
    records.into_iter().next().context("the record just counted")
}

fn damage(case: &Case, bytes: &[u8]) -> Result<()> {
    Ok(fs::write(the_record(case)?, bytes)?)
}

fn set_aside(case: &Case) -> usize {
    fs::read_dir(case.path("state/damaged")).map(Iterator::count).unwrap_or_default()
}

fn sorted_briefs(case: &Case) -> Result<Vec<String>> {
    let mut briefs = case.stubs.log().briefs()?;
    briefs.sort();
    Ok(briefs)
}

fn damaged_record_is_set_aside_and_every_network_is_asked() -> Result<()> {
    let whole = {
        let case = Case::attach("old")?;
        case.added()?;
        fs::read(the_record(&case)?)?
    };
    let damages: [&[u8]; 4] = [b"", b"\0\0\0\0\0\0\0\0", b"{}", &whole[..whole.len() / 2]];
    for bytes in damages {
        let case = Case::attach("old")?;
        case.added()?;
        damage(&case, bytes)?;
        let outcome = case.del()?;
        outcome.silent()?;
        ensure!(!outcome.stderr.is_empty(), "a warning is due");
        assert_eq!(sorted_briefs(&case)?, ["stub-new DEL eth0", "stub-old DEL eth0"]);
        assert_eq!(set_aside(&case), 1);
        case.expect_records(0)?;
    }
    Ok(())
}

fn damaged_record_under_both_is_undone_in_the_present_roles() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    damage(&case, b"garbage")?;
    case.del()?.silent()?;
    assert_eq!(sorted_briefs(&case)?, ["stub-new DEL net1", "stub-old DEL eth0"]);
    for call in case.calls()? {
        ensure!(call.conf()?.get("prevResult").is_none(), "nothing of a damaged record is believed");
    }
    assert_eq!(set_aside(&case), 1);
    case.expect_records(0)
}

/// A port mapping goes with the arguments of the DEL, or not at all. Who was primary is not known any more, so everybody
/// gets all of them.
fn damaged_record_leaves_the_runtime_s_own_arguments() -> Result<()> {
    let case = Case::attach("both")?;
    for (network, name, kind) in [("old", "oldnet", "stub-old"), ("new", "newnet", "stub-new")] {
        let plugins = json!([{"type": kind, "capabilities": {"portMappings": true}}]);
        case.write_conf(network, &json!({"cniVersion": "0.4.0", "name": name, "plugins": plugins}))?;
    }
    let output = json!({"runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}});
    case.call_with("ADD", &output).run()?.result()?;
    case.stubs.log().clear()?;
    damage(&case, b"garbage")?;
    case.call_with("DEL", &output).run()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    for call in case.calls()? {
        assert_eq!(call.conf()?["runtimeConfig"], output["runtimeConfig"], "{}", call.brief());
    }
    Ok(())
}

/// Whatever the byte, the network that did ADD is asked, nothing panics, nothing is left.
fn any_flipped_byte_is_survived() -> Result<()> {
    let case = Case::attach("old")?;
    case.added()?;
    let length = fs::metadata(the_record(&case)?)?.len();
    case.del()?.silent()?;
    for at in (0..length).step_by(usize::try_from(length / 40)?.max(1)) {
        case.stubs.log().clear()?;
        case.add()?.result()?;
        let path = the_record(&case)?;
        let mut bytes = fs::read(&path)?;
        let byte = bytes.get_mut(usize::try_from(at)?).context("the record changed its length")?;
        *byte ^= 0x15;
        fs::write(&path, bytes)?;
        let outcome = case.del()?;
        outcome.silent().with_context(|| format!("byte {at} of {length}"))?;
        let briefs = case.stubs.log().briefs()?;
        ensure!(briefs.contains(&"stub-old DEL eth0".to_owned()), "byte {at} of {length}: {briefs:?}");
        case.expect_records(0)?;
    }
    Ok(())
}

fn failed_del_of_a_damaged_record_is_retried() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    damage(&case, b"garbage")?;
    case.stubs
        .write("stub-new", &stub_new().on_calls("DEL", vec![Reply::fail(11, "busy", ""), Reply::silent()]))?;
    case.del()?.refused(11)?;
    case.expect_records(1)?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1"])?;
    case.expect_records(0)
}

fn damaged_record_without_a_policy_is_kept() -> Result<()> {
    let case = Case::attach("old")?;
    case.added()?;
    damage(&case, b"garbage")?;
    let policy = case.policy()?;
    case.write(&case.policy_path(), "{ torn")?;
    case.del()?.refused(7)?;
    case.expect_calls(&[])?;
    case.expect_records(1)?;
    case.write_policy(&policy)?;
    case.del()?.silent()?;
    assert_eq!(sorted_briefs(&case)?, ["stub-new DEL eth0", "stub-old DEL eth0"]);
    case.expect_records(0)
}

fn damaged_record_fails_check_and_refuses_add() -> Result<()> {
    let case = Case::attach("old")?;
    case.added()?;
    damage(&case, b"garbage")?;
    case.call("CHECK").run()?.refused(3)?;
    case.add()?.refused(102)?;
    case.expect_calls(&[])?;
    case.expect_records(1)
}

/// One torn record is no reason to leave the others.
fn damaged_record_does_not_stop_gc_of_others() -> Result<()> {
    let mut case = Case::attach("new")?;
    case.shim["cniVersion"] = json!("1.1.0");
    case.change_policy(|policy| policy["gc"] = json!({"graceSeconds": 0}))?;
    case.added()?;
    damage(&case, b"garbage")?;
    case.call("ADD").env("CNI_CONTAINERID", "c2").run()?.result()?;
    case.stubs.log().clear()?;
    // Success or not is a matter of taste; the sound record goes.
    let _reported = case.call_with("GC", &json!({"cni.dev/valid-attachments": []})).run()?;
    let ids: Vec<String> = case
        .calls()?
        .iter()
        .filter(|call| call.verb() == "DEL")
        .map(|call| call.var("CNI_CONTAINERID").to_owned())
        .collect();
    ensure!(ids.contains(&"c2".to_owned()), "{ids:?}");
    Ok(())
}

/// What a delegate's list lacks is released; so while a record cannot be read, and with it the name of a living pod's second interface, no
/// delegate gets a list.
fn no_delegate_collects_while_a_record_is_damaged() -> Result<()> {
    let case = case_with_old_at("both", "1.1.0")?;
    case.change_policy(|policy| policy["gc"] = json!({"graceSeconds": 0}))?;
    case.added()?;
    let listed = json!({"cni.dev/valid-attachments": [{"containerID": case.id, "ifname": "eth0"}]});
    case.stubs.log().clear()?;
    case.call_with("GC", &listed).run()?.silent()?;
    case.expect_calls(&["stub-old GC", "stub-new GC"])?;
    damage(&case, b"garbage")?;
    case.stubs.log().clear()?;
    case.call_with("GC", &listed).run()?.silent()?;
    case.expect_calls(&[])?;
    case.del()?.silent()?;
    case.stubs.log().clear()?;
    case.call_with("GC", &json!({"cni.dev/valid-attachments": []})).run()?.silent()?;
    case.expect_calls(&["stub-old GC", "stub-new GC"])
}

/// What a torn line might have said is not forgotten when it is dealt with: the first DEL fails, the second asks the same network again.
fn torn_tail_is_still_in_doubt_after_a_failed_del() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    let path = the_record(&case)?;
    let bytes = fs::read(&path)?;
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    // Its intent, the first network's result, and half of the line that says that the second was begun.
    let torn = [lines[0], lines[1], &lines[2][..lines[2].len() / 2]].concat();
    ensure!(lines[2].ends_with(b"{\"started\":{\"leg\":1}}\n"), "{}", String::from_utf8_lossy(lines[2]));
    fs::write(&path, torn)?;
    let busy = || Reply::fail(11, "busy", "");
    case.stubs.write("stub-new", &stub_new().on_calls("DEL", vec![busy(), busy(), Reply::silent()]))?;
    case.del()?.refused(11)?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    for code in [11, 0] {
        case.stubs.log().clear()?;
        let outcome = case.del()?;
        if code == 0 {
            outcome.silent()?
        } else {
            drop(outcome.refused(code)?)
        }
        case.expect_calls(&["stub-new DEL net1"])?;
    }
    case.expect_records(0)
}
