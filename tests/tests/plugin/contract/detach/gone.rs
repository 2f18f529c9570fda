//! A netns that is gone for good must not keep an attachment for ever; an agent that is down must.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use lab::{runtime::caller::Plugin, standin::stub::Reply};
use serde_json::{Value, json};

use crate::{
    case::{Case, stub_new, stub_old},
    trials,
    trouble::mounts::another_boot,
};

trials![
    a_delegate_that_fails_on_nothing_but_the_missing_netns_is_done,
    a_missing_netns_after_a_reboot_keeps_no_pod,
    gc_closes_what_only_its_missing_netns_kept,
    an_agent_that_is_down_keeps_its_attachments,
    a_netns_that_is_there_makes_the_same_words_a_failure,
    the_rest_of_a_chain_is_deleted_after_a_plugin_that_missed_the_netns,
    a_failed_add_is_not_undone_by_a_missing_netns,
];

/// Longer than the five characters that the real plugin needs.
const ID: &str = "c1c1c1c1c1";

/// A pod of `old`, which is a Cilium-like network of this profile.
struct OnCilium {
    case: Case,
    state: PathBuf,
}

impl OnCilium {
    fn with_profile(profile: &str) -> Result<Self> {
        let mut case = Case::attach("old")?;
        ID.clone_into(&mut case.id);
        lab::host::scratch::install(
            &lab::build::dist::lab_bin("lab-cilium")?,
            &case.stubs.path().join("cilium-cni"),
        )?;
        let state = case.make_dir("cilium")?;
        fs::write(state.join("agent"), "")?;
        let plugin = json!({"type": "cilium-cni", "state": state});
        case.write_conf("old", &json!({"cniVersion": "0.3.1", "name": "cilium", "plugins": [plugin]}))?;
        case.change_policy(|policy| policy["networks"]["old"]["profile"] = json!(profile))?;
        case.added()?;
        let on = Self { case, state };
        ensure!(on.endpoints()? == 1, "the ADD made an endpoint");
        Ok(on)
    }

    fn endpoints(&self) -> Result<usize> {
        Ok(fs::read_dir(self.state.join("endpoints"))?.count())
    }

    fn ledger(&self) -> Result<Vec<Value>> {
        ledger(&self.case)
    }
}

fn ledger(case: &Case) -> Result<Vec<Value>> {
    let text = fs::read_to_string(case.path("state/ledger.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).context(line.to_owned())).collect()
}

/// Real ones: with the path of a netns that is gone, and with none. The profile says what had been released by then.
fn a_delegate_that_fails_on_nothing_but_the_missing_netns_is_done() -> Result<()> {
    for (profile, released) in [("cilium", true), ("generic", false)] {
        for without_path in [true, false] {
            let on = OnCilium::with_profile(profile)?;
            on.case.netns.remove()?;
            let call = on.case.call("DEL");
            let call = if without_path { call.env("CNI_NETNS", "") } else { call };
            let outcome = call.run()?;
            outcome.silent()?;
            ensure!(outcome.stderr.contains("DEL counts as done"), "it is told of: {}", outcome.stderr);
            ensure!(on.endpoints()? == 0, "the endpoint is deleted");
            on.case.expect_records(0)?;
            let lines = on.ledger()?;
            ensure!(lines.len() == 1, "one line: {lines:?}");
            let count = |key: &str| lines[0][key].as_array().map(Vec::len);
            ensure!(count("left") == Some(0), "nothing is certainly left: {lines:?}");
            let (output, silent) = if released { ("removed", "unknown") } else { ("unknown", "removed") };
            ensure!(count(output) == Some(1) && count(silent) == Some(0), "{profile}: {lines:?}");
        }
    }
    Ok(())
}

fn wrapped(call: Plugin, wrapper: &[String; 6]) -> Plugin {
    call.wrapped(&wrapper.each_ref().map(String::as_str))
}

/// Every pod with a Cilium attachment is in this state after a reboot.
fn a_missing_netns_after_a_reboot_keeps_no_pod() -> Result<()> {
    let on = OnCilium::with_profile("cilium")?;
    on.case.netns.remove()?;
    fs::remove_dir_all(on.case.path("run"))?;
    let wrapper = another_boot(&on.case)?;
    wrapped(on.case.call("DEL").env("CNI_NETNS", ""), &wrapper).run()?.silent()?;
    on.case.expect_records(0)
}

fn gc_closes_what_only_its_missing_netns_kept() -> Result<()> {
    let on = OnCilium::with_profile("cilium")?;
    on.case.change_policy(|policy| policy["gc"] = json!({"graceSeconds": 0}))?;
    on.case.netns.remove()?;
    on.case
        .call_with("GC", &json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}))
        .run()?
        .silent()?;
    on.case.expect_records(0)?;
    ensure!(on.endpoints()? == 0, "the endpoint is deleted");
    Ok(())
}

/// The words are nearly the same, and what the agent holds would leak.
fn an_agent_that_is_down_keeps_its_attachments() -> Result<()> {
    let down = "unable to connect to Cilium agent: Get \"http://localhost/v1/config\": \
        dial unix /var/run/cilium/cilium.sock: connect: no such file or directory\nIs the agent running?";
    let both = format!("opening netns pinned at : open : no such file or directory\n{down}");
    for msg in [down, &both] {
        let case = Case::attach("old")?;
        case.change_policy(|policy| policy["networks"]["old"]["profile"] = json!("cilium"))?;
        case.added()?;
        case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(999, msg, "")))?;
        for _ in 0..2 {
            let refusal = case.call("DEL").env("CNI_NETNS", "").run()?.refused(999)?;
            ensure!(!format!("{refusal:?}").contains("no such file or directory"), "{refusal:?}");
            case.expect_records(1)?;
        }
        ensure!(ledger(&case)?.is_empty(), "nothing was closed");
    }
    Ok(())
}

/// A netns that the delegate alone does not find may come back into its sight.
fn a_netns_that_is_there_makes_the_same_words_a_failure() -> Result<()> {
    let case = Case::attach("old")?;
    case.change_policy(|policy| policy["networks"]["old"]["profile"] = json!("cilium"))?;
    case.added()?;
    let path = case.netns_path();
    let msg = format!("opening netns pinned at {path}: open {path}: no such file or directory");
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(999, &msg, "")))?;
    case.del()?.refused(999)?;
    case.expect_records(1)?;
    case.netns.remove()?;
    case.del()?.silent()?;
    case.expect_records(0)
}

fn the_rest_of_a_chain_is_deleted_after_a_plugin_that_missed_the_netns() -> Result<()> {
    let case = Case::attach("old")?;
    let plugins = json!([{"type": "stub-old"}, {"type": "stub-map"}]);
    case.write_conf("old", &json!({"cniVersion": "0.4.0", "name": "oldnet", "plugins": plugins}))?;
    let mut answer = case.ro();
    answer["cniVersion"] = json!("0.4.0");
    let stub = lab::standin::stub::Stub::answering(Reply::json(&answer));
    case.stubs.write("stub-old", &stub)?;
    let missing = "failed to open netns \"\": failed to Statfs \"\": no such file or directory";
    case.stubs.write("stub-map", &stub.on("DEL", Reply::fail(999, missing, "")))?;
    case.added()?;
    case.netns.remove()?;
    case.call("DEL").env("CNI_NETNS", "").run()?.silent()?;
    case.expect_calls(&["stub-map DEL eth0", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

/// The undoing of an ADD takes no failure for success: the runtime's own DEL follows, and it is that one which may.
fn a_failed_add_is_not_undone_by_a_missing_netns() -> Result<()> {
    let case = Case::attach("both")?;
    let path = case.netns_path();
    let missing = format!("opening netns pinned at {path}: open {path}: no such file or directory");
    let gone = vec!["umount".to_owned(), "-l".to_owned(), path.clone()];
    let removed = vec!["rm".to_owned(), "-f".to_owned(), path.clone()];
    let failing = Reply::fail(5, "no", "")
        .first(lab::standin::stub::Act::Run(removed))
        .first(lab::standin::stub::Act::Run(gone));
    case.stubs.write("stub-new", &stub_new().on("ADD", failing))?;
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(999, &missing, "")))?;
    case.add()?.refused(5)?;
    ensure!(!case.path(&path).exists(), "the netns is gone by now");
    case.expect_records(1)?;
    ensure!(ledger(&case)?.is_empty(), "nothing was closed");
    case.del()?.silent()?;
    case.expect_records(0)
}
