//! A failed ADD is undone in reverse before it is reported, with the first error's code kept.

use anyhow::{Result, ensure};
use lab::standin::stub::{Act, Reply, Stub};
use serde_json::{Value, json};

use crate::{
    case::{Case, stub_new, stub_old},
    trials,
    trouble::mounts::Mount,
};

trials![
    failure_of_the_second_undoes_both_and_keeps_its_error,
    failure_of_the_first_never_calls_the_second,
    failure_in_a_chain_undoes_the_whole_chain,
    failed_undo_is_told_in_details_and_retried_by_del,
    missing_binary_is_found_before_any_delegate_runs,
    missing_binary_of_a_chained_plugin_is_found_before_any_delegate_runs,
    garbage_is_a_decoding_error_quoted_in_part,
    empty_answer_is_a_decoding_error,
    empty_result_of_the_primary_is_an_error,
    empty_result_of_the_secondary_is_accepted,
    error_object_with_exit_0_is_a_failure,
    failure_without_an_error_object_is_told_by_status_and_stderr,
    files_that_are_no_programs_are_told_apart,
    delegate_types_are_checked,
    busy_binary_is_tried_again,
    symbolic_link_to_a_plugin_is_followed_and_directories_are_not_plugins,
    second_add_of_a_live_attachment_is_refused,
    secondary_takes_the_next_free_ifname,
    secondary_never_takes_the_primarys_ifname,
    existing_ifname_is_the_delegates_to_refuse,
    store_that_cannot_be_written_refuses_before_any_delegate,
    full_store_refuses_before_any_delegate,
    store_that_fills_up_in_mid_add_undoes_it,
    del_with_a_read_only_store_still_calls_delegates,
    run_directory_that_cannot_be_written_refuses_add_but_not_del,
];

fn failure_of_the_second_undoes_both_and_keeps_its_error() -> Result<()> {
    let case = Case::attach("both")?;
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::fail(11, "try", "later")))?;
    let refusal = case.add()?.refused(11)?;
    assert_eq!(refusal.cni_version, "1.0.0");
    let place = refusal.msg.find("newnet").zip(refusal.msg.find("try"));
    ensure!(place.is_some_and(|(network, cause)| network < cause), "{refusal:?}");
    ensure!(refusal.details.contains("later"), "{refusal:?}");
    case.expect_calls(&["stub-old ADD eth0", "stub-new ADD net1", "stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&[])
}

fn failure_of_the_first_never_calls_the_second() -> Result<()> {
    let case = Case::attach("both")?;
    case.stubs.write("stub-old", &stub_old().on("ADD", Reply::fail(123, "no", "addresses")))?;
    case.add()?.refused(123)?;
    case.expect_calls(&["stub-old ADD eth0", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn failure_in_a_chain_undoes_the_whole_chain() -> Result<()> {
    let case = Case::attach("old")?;
    let plugins = json!([{"type": "stub-old"}, {"type": "stub-b"}, {"type": "stub-c"}]);
    case.write_conf("old", &json!({"cniVersion": "0.4.0", "name": "oldnet", "plugins": plugins}))?;
    case.stubs.write("stub-b", &Stub::answering(Reply::fail(7, "b", "")))?;
    case.stubs.write("stub-c", &Stub::answering(Reply(vec![Act::PrintPrevResult])))?;
    case.add()?.refused(7)?;
    case.expect_calls(&[
        "stub-old ADD eth0",
        "stub-b ADD eth0",
        "stub-c DEL eth0",
        "stub-b DEL eth0",
        "stub-old DEL eth0",
    ])
}

fn failed_undo_is_told_in_details_and_retried_by_del() -> Result<()> {
    let case = Case::attach("both")?;
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::fail(11, "try", "later")))?;
    let undo = vec![Reply::fail(5, "stuck-undo", ""), Reply::silent()];
    case.stubs.write("stub-old", &stub_old().on_calls("DEL", undo))?;
    let refusal = case.add()?.refused(11)?;
    ensure!(refusal.msg.contains("try") && !refusal.msg.contains("stuck-undo"), "{refusal:?}");
    ensure!(refusal.details.contains("stuck-undo") && refusal.details.contains("later"), "{refusal:?}");
    case.expect_records(1)?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn missing_binary_is_found_before_any_delegate_runs() -> Result<()> {
    let case = Case::attach("both")?;
    case.stubs.remove("stub-new")?;
    let refusal = case.add()?.refused(101)?;
    let text = refusal.text();
    ensure!(text.contains("stub-new") && text.contains(&*case.stubs.path().to_string_lossy()), "{refusal:?}");
    case.expect_calls(&[])?;
    case.expect_records(0)
}

/// Before any delegate runs, whichever plugin of a chain it is.
fn missing_binary_of_a_chained_plugin_is_found_before_any_delegate_runs() -> Result<()> {
    let case = Case::attach("new")?;
    let plugins = json!([{"type": "stub-new"}, {"type": "stub-absent"}]);
    case.write_conf("new", &json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": plugins}))?;
    let refusal = case.add()?.refused(101)?;
    ensure!(refusal.text().contains("stub-absent"), "{refusal:?}");
    case.expect_calls(&[])
}

fn fails_to_decode(case: &Case, answer: Reply) -> Result<lab::runtime::caller::Refusal> {
    case.stubs.log().clear()?;
    case.stubs.write("stub-new", &stub_new().on("ADD", answer))?;
    let refusal = case.add()?.refused(6)?;
    case.expect_calls(&["stub-new ADD eth0", "stub-new DEL eth0"])?;
    case.expect_records(0)?;
    Ok(refusal)
}

fn garbage_is_a_decoding_error_quoted_in_part() -> Result<()> {
    let case = Case::attach("new")?;
    let refusal = fails_to_decode(&case, Reply::text("garbage"))?;
    ensure!(refusal.text().contains("garbage"), "{refusal:?}");
    let refusal = fails_to_decode(&case, Reply::text(&"§".repeat(5000)))?;
    let quoted = refusal.text().matches('§').count() * '§'.len_utf8();
    ensure!((1..=512).contains(&quoted), "quotes {quoted} bytes");
    fails_to_decode(&case, Reply::text(&format!("{}{}", case.rn("eth0"), case.rn("eth0"))))?;
    Ok(())
}

fn empty_answer_is_a_decoding_error() -> Result<()> {
    let case = Case::attach("new")?;
    fails_to_decode(&case, Reply::silent())?;
    fails_to_decode(&case, Reply::text(" \n"))?;
    Ok(())
}

fn empty_result_of_the_primary_is_an_error() -> Result<()> {
    let case = Case::attach("new")?;
    let without_ips = json!({"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "{netns}"}]});
    let empty_ips = json!({"cniVersion": "1.0.0", "ips": []});
    for answer in [Value::Null, json!({}), without_ips, empty_ips] {
        fails_to_decode(&case, Reply::json(&answer))?;
    }
    Ok(())
}

fn empty_result_of_the_secondary_is_accepted() -> Result<()> {
    for answer in [Value::Null, json!({}), json!({"cniVersion": "1.0.0"})] {
        let case = Case::attach("both")?;
        case.stubs.write("stub-new", &stub_new().on("ADD", Reply::json(&answer)))?;
        assert_eq!(case.add()?.result()?, case.ro_converted());
        case.del()?.silent()?;
        case.expect_records(0)?;
    }
    Ok(())
}

fn error_object_with_exit_0_is_a_failure() -> Result<()> {
    let case = Case::attach("new")?;
    case.stubs
        .write("stub-new", &stub_new().on("ADD", Reply::json(&json!({"code": 7, "msg": "quiet-x"}))))?;
    let refusal = case.add()?.refused(7)?;
    ensure!(refusal.msg.contains("quiet-x"), "{refusal:?}");
    case.expect_calls(&["stub-new ADD eth0", "stub-new DEL eth0"])?;
    case.expect_records(0)
}

fn failure_without_an_error_object_is_told_by_status_and_stderr() -> Result<()> {
    let case = Case::attach("new")?;
    let stderr = format!("{}the-tail", "x".repeat(100_000));
    let exits = Reply(vec![Act::Stderr(stderr), Act::Exit(37)]);
    case.stubs.write("stub-new", &stub_new().on("ADD", exits))?;
    let text = case.add()?.refused(100)?.text();
    ensure!(
        text.contains("37") && text.contains("the-tail") && text.len() < 20_000,
        "{} bytes: {text:.300}",
        text.len()
    );

    case.stubs.write("stub-new", &stub_new().on("ADD", Reply(vec![Act::Signal(9)])))?;
    let text = case.add()?.refused(100)?.text();
    ensure!(text.contains("signal") || text.contains("SIGKILL"), "{text}");

    let quoted = Reply::text("not json").then(Act::Exit(3));
    case.stubs.write("stub-new", &stub_new().on("ADD", quoted))?;
    let text = case.add()?.refused(100)?.text();
    ensure!(text.contains("not json") && text.contains("status 3") && !text.contains("stderr"), "{text}");

    let silent = Reply(vec![Act::Exit(3)]);
    case.stubs.write("stub-new", &stub_new().on("ADD", silent))?;
    let text = case.add()?.refused(100)?.text();
    ensure!(text.contains("status 3") && !text.contains("stdout"), "{text}");
    case.expect_records(0)
}

fn files_that_are_no_programs_are_told_apart() -> Result<()> {
    use std::{fs, os::unix::fs::PermissionsExt};
    let faults: [fn(&std::path::Path) -> std::io::Result<()>; 3] = [
        |path| fs::create_dir(path),
        |path| {
            fs::write(path, "#!/bin/sh\n")?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o644))
        },
        |path| {
            fs::write(path, "no program\n")?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        },
    ];
    let mut texts = std::collections::BTreeSet::new();
    for make in faults {
        let case = Case::attach("new")?;
        case.stubs.remove("stub-new")?;
        make(&case.stubs.program("stub-new"))?;
        let text = case.add()?.error()?.text().replace(&*case.stubs.path().to_string_lossy(), "");
        ensure!(text.contains("stub-new"), "{text}");
        texts.insert(text);
    }
    ensure!(texts.len() == 3, "{texts:#?}");
    Ok(())
}

fn delegate_types_are_checked() -> Result<()> {
    for kind in ["../stub-old", "a/b", "", ".hidden", "-x", "a b", "ä", "a\u{0}b"] {
        let case = Case::attach("old")?;
        case.write_conf(
            "old",
            &json!({"cniVersion": "0.4.0", "name": "oldnet", "plugins": [{"type": kind}]}),
        )?;
        let outcome = case.add()?;
        ensure!(outcome.refused(7).is_ok(), "type {kind:?}: {outcome:?}");
    }
    Ok(())
}

fn busy_binary_is_tried_again() -> Result<()> {
    let case = Case::attach("new")?;
    let path = case.stubs.program("stub-new");
    case.stubs.remove("stub-new")?;
    std::fs::copy(case.stubs.template(), &path)?;
    let writing = std::fs::OpenOptions::new().write(true).open(&path)?;
    let running = case.call("ADD").spawn()?;
    case.eventually("the record that precedes the first delegate", || Ok(!case.records()?.is_empty()))?;
    drop(writing);
    assert_eq!(running.wait()?.result()?, case.rn("eth0"));
    case.expect_calls(&["stub-new ADD eth0"])
}

fn symbolic_link_to_a_plugin_is_followed_and_directories_are_not_plugins() -> Result<()> {
    let case = Case::attach("new")?;
    let first = case.make_dir("first")?;
    std::fs::create_dir(first.join("stub-new"))?;
    let second = case.make_dir("second")?;
    std::os::unix::fs::symlink(case.stubs.program("stub-new"), second.join("stub-new"))?;
    let path = format!("{}:{}:/nonexistent", first.display(), second.display());
    assert_eq!(case.call("ADD").env("CNI_PATH", &path).run()?.result()?, case.rn("eth0"));
    assert_eq!(case.the_call("stub-new ADD eth0")?.var("CNI_PATH"), path);
    Ok(())
}

fn second_add_of_a_live_attachment_is_refused() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    case.add()?.refused(102)?;
    case.expect_calls(&[])?;
    case.expect_records(1)?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])
}

fn secondary_takes_the_next_free_ifname() -> Result<()> {
    let case = Case::attach("both")?;
    case.netns.ip("link add net1 type veth peer name net2")?;
    case.add()?.result()?;
    case.expect_calls(&["stub-old ADD eth0", "stub-new ADD net3"])?;
    case.del()?.silent()?;
    case.the_call("stub-new DEL net3")?;
    Ok(())
}

fn secondary_never_takes_the_primarys_ifname() -> Result<()> {
    let case = Case::attach("both")?;
    case.call("ADD").env("CNI_IFNAME", "net1").run()?.result()?;
    case.expect_calls(&["stub-old ADD net1", "stub-new ADD net2"])
}

fn existing_ifname_is_the_delegates_to_refuse() -> Result<()> {
    let case = Case::attach("new")?;
    case.netns.ip("link add eth0 type veth peer name other")?;
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::fail(999, "eth0 exists", "")))?;
    case.add()?.refused(999)?;
    case.expect_calls(&["stub-new ADD eth0", "stub-new DEL eth0"])
}

fn store_that_cannot_be_written_refuses_before_any_delegate() -> Result<()> {
    let case = Case::attach("both")?;
    let state = case.make_state_dir("state")?;
    let _read_only = Mount::read_only(&state)?;
    case.add()?.refused(5)?;
    case.expect_calls(&[])
}

fn full_store_refuses_before_any_delegate() -> Result<()> {
    let case = Case::attach("both")?;
    let state = case.make_state_dir("state")?;
    let _full = Mount::full_tmpfs(&state)?;
    case.add()?.refused(5)?;
    case.expect_calls(&[])
}

/// A result that cannot be recorded is an attachment that no DEL would find.
fn store_that_fills_up_in_mid_add_undoes_it() -> Result<()> {
    let case = Case::attach("both")?;
    let state = case.make_state_dir("state")?;
    let _small = Mount::small_tmpfs(&state)?;
    let mut answer = case.rn("{ifname}");
    answer["vendorX"] = json!("x".repeat(200_000));
    case.stubs.write("stub-new", &Stub::answering(Reply::json(&answer)))?;
    case.add()?.refused(5)?;
    case.expect_calls(&["stub-old ADD eth0", "stub-new ADD net1", "stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn del_with_a_read_only_store_still_calls_delegates() -> Result<()> {
    let case = Case::attach("both")?;
    let state = case.make_state_dir("state")?;
    case.added()?;
    let read_only = Mount::read_only(&state)?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(11, "busy", "")))?;
    case.del()?.refused(11)?;
    drop(read_only);
    case.stubs.write("stub-old", &stub_old())?;
    case.del()?.silent()?;
    case.expect_records(0)
}

fn run_directory_that_cannot_be_written_refuses_add_but_not_del() -> Result<()> {
    let case = Case::attach("new")?;
    let run = case.make_dir("run")?;
    case.added()?;
    let _read_only = Mount::read_only(&run)?;
    case.call("ADD").env("CNI_CONTAINERID", "c2").run()?.refused(5)?;
    case.expect_calls(&[])?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL eth0"])?;
    case.expect_records(0)
}
