//! The error of a DEL that fails, and the acts that the next DEL repeats.

use anyhow::{Context, Result, ensure};
use lab::standin::stub::{Reply, Stub};
use serde_json::json;

use crate::{
    case::{Case, stub_new, stub_old},
    trials,
    trouble::mounts::Mount,
};

trials![
    del_reports_a_missing_binary_without_words_that_mean_success,
    del_rewords_a_delegates_error_that_would_mean_success,
    del_keeps_only_what_failed_and_retries_only_that,
    del_of_a_chain_stops_at_the_failure_and_resumes_there,
    a_record_that_cannot_be_removed_owes_no_del,
    no_error_of_ours_means_success,
];

/// Words in a DEL's error that go-cni takes for success; the second only with an empty netns.
const MEANS_SUCCESS: [&str; 2] = ["not found", "no such file or directory"];

fn blocks_the_runtime(refusal: &lab::runtime::caller::Refusal) -> Result<()> {
    for words in MEANS_SUCCESS {
        ensure!(
            !refusal.text().to_lowercase().contains(words),
            "{words:?} means success to containerd: {refusal:?}"
        );
    }
    Ok(())
}

fn del_reports_a_missing_binary_without_words_that_mean_success() -> Result<()> {
    for netns in ["", "/run/netns/gone"] {
        let case = Case::attach("both")?;
        case.added()?;
        case.stubs.remove("stub-old")?;
        let refusal = case.call("DEL").env("CNI_NETNS", netns).run()?.refused(101)?;
        let text = refusal.text();
        ensure!(
            text.contains("stub-old") && text.contains(&*case.stubs.path().to_string_lossy()),
            "{refusal:?}"
        );
        blocks_the_runtime(&refusal)?;
        case.expect_calls(&["stub-new DEL net1"])?;
        case.expect_records(1)?;

        case.stubs.log().clear()?;
        case.stubs.write("stub-old", &stub_old())?;
        case.del()?.silent()?;
        case.expect_calls(&["stub-old DEL eth0"])?;
        case.expect_records(0)?;
    }
    Ok(())
}

fn del_rewords_a_delegates_error_that_would_mean_success() -> Result<()> {
    let case = Case::attach("old")?;
    let texts = [
        ("Link not found", "open /x: no such file or directory"),
        ("Not Found", "No Such File Or Directory"),
    ];
    for (msg, details) in texts {
        case.stubs.write("stub-old", &stub_old().on_calls("DEL", vec![Reply::fail(999, msg, details)]))?;
        if case.records()?.is_empty() {
            case.added()?;
        }
        let refusal = case.call("DEL").env("CNI_NETNS", "").run()?.refused(999)?;
        blocks_the_runtime(&refusal)?;
        case.expect_records(1)?;
    }
    let noisy = Reply::silent()
        .then(lab::standin::stub::Act::Stderr("device not found".to_owned()))
        .then(lab::standin::stub::Act::Exit(1));
    case.stubs.write("stub-old", &stub_old().on("DEL", noisy))?;
    blocks_the_runtime(&case.del()?.error()?)
}

fn del_keeps_only_what_failed_and_retries_only_that() -> Result<()> {
    let case = Case::attach("both")?;
    case.stubs
        .write("stub-new", &stub_new().on_calls("DEL", vec![Reply::fail(11, "busy", ""), Reply::silent()]))?;
    case.added()?;
    let refusal = case.del()?.refused(11)?;
    ensure!(refusal.msg.contains("newnet"), "{refusal:?}");
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(1)?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1"])?;
    assert_eq!(case.the_call("stub-new DEL net1")?.conf()?["prevResult"], case.rn("net1"));
    case.expect_records(0)
}

fn del_of_a_chain_stops_at_the_failure_and_resumes_there() -> Result<()> {
    let case = Case::attach("old")?;
    let plugins = json!([{"type": "stub-old"}, {"type": "stub-b"}, {"type": "stub-c"}]);
    case.write_conf("old", &json!({"cniVersion": "0.4.0", "name": "oldnet", "plugins": plugins}))?;
    let pass = Stub::answering(Reply(vec![lab::standin::stub::Act::PrintPrevResult]));
    case.stubs.write("stub-c", &pass)?;
    case.stubs
        .write("stub-b", &pass.clone().on_calls("DEL", vec![Reply::fail(11, "busy", ""), Reply::silent()]))?;
    case.added()?;
    case.del()?.refused(11)?;
    case.expect_calls(&["stub-c DEL eth0", "stub-b DEL eth0"])?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-b DEL eth0", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

/// The pod ends, and the next DEL only tries to remove the record: the address may be another pod's by then.
fn a_record_that_cannot_be_removed_owes_no_del() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    let record = case.records()?.pop().context("a record")?;
    let in_the_way = Mount::upon_itself(&record)?;
    for _ in 0..2 {
        case.del()?.silent()?;
        case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
        case.expect_records(1)?;
    }
    drop(in_the_way);
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

/// An error quotes the call that is wrong, and a quote may hold the words as well as a delegate's message.
fn no_error_of_ours_means_success() -> Result<()> {
    let case = Case::attach("old")?;
    for words in ["not found", "No such file or directory"] {
        let confs = [
            json!({"cniVersion": words}),
            json!({"name": words}),
            json!({"runDir": words}),
            json!({"stateDir": [words]}),
        ];
        let calls = confs.iter().map(|conf| case.call_with("DEL", conf));
        let id = case.call("DEL").env("CNI_CONTAINERID", words);
        let ifname = case.call("DEL").env("CNI_IFNAME", &format!("not found{words}"));
        let mut quoted = 0;
        for call in calls.chain([id, ifname]) {
            let outcome = call.run()?;
            ensure!(!outcome.status.success(), "{words}: nothing was wrong");
            let reply: serde_json::Value = serde_json::from_str(&outcome.stdout)?;
            let answer = format!("{}; {}", reply["msg"], reply["details"]).to_lowercase();
            ensure!(
                !answer.contains("not found") && !answer.contains("no such file or directory"),
                "{answer}"
            );
            quoted += usize::from(answer.contains("not-found") || answer.contains("no-such file"));
        }
        ensure!(quoted >= 4, "{words}: {quoted} errors quote what is wrong");
    }
    Ok(())
}
