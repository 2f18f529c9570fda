//! Logging to journald: one line per ADD and DEL, never in the way, never with a secret.

use std::{collections::BTreeMap, fs, os::unix::net::UnixDatagram};

use anyhow::{Context, Result, ensure};
use lab::standin::stub::{Act, Reply};
use serde_json::json;

use crate::{
    case::{Case, Journal, stub_new},
    trials,
};

trials![
    full_journal_socket_delays_no_call,
    journal_without_a_listener_is_fine,
    one_info_line_per_add_and_del,
    failure_is_one_line_with_its_code,
    secrets_never_leave,
];

fn borrowed(wrapper: &[String; 6]) -> [&str; 6] {
    wrapper.each_ref().map(String::as_str)
}

/// Issue: the socket may be full, do not wait.
fn full_journal_socket_delays_no_call() -> Result<()> {
    let case = Case::attach("both")?;
    let journal = Journal::new(&case)?;
    let filler = UnixDatagram::unbound()?;
    filler.set_nonblocking(true)?;
    filler.connect(journal.socket_path())?;
    let mut sent = 0;
    while filler.send(b"MESSAGE=filler\n").is_ok() {
        sent += 1;
    }
    ensure!(sent > 0, "the socket takes something before it is full");
    let wrapper = journal.wrapper();
    for round in 0..10 {
        let id = format!("c{round}");
        for verb in ["ADD", "DEL"] {
            case.call(verb).env("CNI_CONTAINERID", &id).wrapped(&borrowed(&wrapper)).run()?.succeeded()?;
        }
    }
    assert_eq!(journal.entries()?.len(), sent, "nothing fitted in");
    assert_eq!(case.calls()?.len(), 40);
    Ok(())
}

/// Style: journald absent is silent, never fatal.
fn journal_without_a_listener_is_fine() -> Result<()> {
    let case = Case::attach("new")?;
    let journal = Journal::new(&case)?;
    let wrapper = journal.wrapper();
    drop(journal);
    let outcome = case.call("ADD").wrapped(&borrowed(&wrapper)).run()?;
    outcome.result()?;
    assert_eq!(outcome.stderr, "");
    Ok(())
}

/// The value of the first of these fields that an entry has.
fn field<'entry>(entry: &'entry BTreeMap<String, String>, names: &[&str]) -> Result<&'entry str> {
    let value = names.iter().find_map(|name| entry.get(*name));
    value.map(String::as_str).with_context(|| format!("one of {names:?} in {entry:?}"))
}

/// Entries at level info of one verb.
fn info_of<'all>(
    entries: &'all [BTreeMap<String, String>],
    verb: &str,
) -> Vec<&'all BTreeMap<String, String>> {
    let of_verb =
        |entry: &&BTreeMap<String, String>| entry.get("CNI_COMMAND").is_some_and(|value| value == verb);
    entries
        .iter()
        .filter(of_verb)
        .filter(|entry| entry.get("PRIORITY").is_some_and(|level| level == "6"))
        .collect()
}

/// Section 3.
fn one_info_line_per_add_and_del() -> Result<()> {
    let case = Case::attach("both")?;
    let journal = Journal::new(&case)?;
    let wrapper = journal.wrapper();
    for verb in ["ADD", "CHECK", "DEL"] {
        case.call(verb).wrapped(&borrowed(&wrapper)).run()?.succeeded()?;
        let entries = journal.entries()?;
        let lines = info_of(&entries, verb);
        let expected = if verb == "CHECK" { 0 } else { 1 };
        ensure!(lines.len() == expected, "{verb}: {entries:#?}");
        for line in lines {
            assert_eq!(field(line, &["CONTAINER_ID", "CNI_CONTAINERID"])?, "c1");
            assert_eq!(field(line, &["IFNAME", "CNI_IFNAME"])?, "eth0");
            let network = field(line, &["NETWORK", "NETWORKS"])?;
            ensure!(network.contains("oldnet") && network.contains("newnet"), "{network}");
            assert_eq!(field(line, &["CODE"])?, "0");
            field(line, &["DURATION_US", "DURATION_MS"])?.parse::<u64>()?;
            ensure!(line.contains_key("MESSAGE") && line.contains_key("SYSLOG_IDENTIFIER"), "{line:?}");
        }
    }
    Ok(())
}

/// Section 3, with outcome.
fn failure_is_one_line_with_its_code() -> Result<()> {
    let case = Case::attach("new")?;
    let journal = Journal::new(&case)?;
    let wrapper = journal.wrapper();
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::fail(123, "no-addresses", "")))?;
    case.call("ADD").wrapped(&borrowed(&wrapper)).run()?.refused(123)?;
    let entries = journal.entries()?;
    ensure!(entries.len() == 1, "{entries:#?}");
    assert_eq!((field(&entries[0], &["CNI_COMMAND"])?, field(&entries[0], &["CODE"])?), ("ADD", "123"));
    ensure!(field(&entries[0], &["NETWORK"])?.contains("newnet"), "{entries:#?}");
    Ok(())
}

const CANARY: &str = "canary-7f3a";

/// Issue: journald logging never holds a secret; nor does anything else that the shim says.
fn secrets_never_leave() -> Result<()> {
    let case = Case::attach("new")?;
    let journal = Journal::new(&case)?;
    let wrapper = journal.wrapper();
    let secret_conf = json!({
        "cniVersion": "1.0.0",
        "name": "newnet",
        "plugins": [{"type": "stub-new", "token": CANARY, "ipam": {"password": CANARY}}]
    });
    case.write_conf("new", &secret_conf)?;
    case.change_policy(|policy| {
        policy["networks"]["new"]["ready"] = json!([{"http": "127.0.0.1:1/x", "headers": {"auth": CANARY}}]);
    })?;
    let more = json!({
        "secret": CANARY,
        "runtimeConfig": {"io.kubernetes.cri.pod-annotations": {"vault": CANARY}}
    });
    let mut text = String::new();
    let mut run = |verb: &str, more: &serde_json::Value| -> Result<()> {
        let args = format!("IgnoreUnknown=1;TOKEN={CANARY}");
        let call = case.call_with(verb, more).env("CNI_ARGS", &args).env("SECRET", CANARY);
        let outcome = call.wrapped(&borrowed(&wrapper)).run()?;
        text += &format!("{verb}: {outcome:?}\n");
        Ok(())
    };
    let at_1_1_0 = json!({"cniVersion": "1.1.0", "secret": CANARY});
    let fails = |act| stub_new().on("ADD", Reply(vec![act])).on("DEL", Reply(vec![Act::Exit(9)]));
    run("STATUS", &at_1_1_0)?;
    run("ADD", &more)?;
    run("CHECK", &more)?;
    case.stubs.write("stub-new", &fails(Act::Exit(9)))?;
    run("DEL", &more)?;
    run("GC", &at_1_1_0)?;
    case.stubs.write("stub-new", &fails(Act::Print("garbage".to_owned())))?;
    run("ADD", &json!({"prevResult": {"secret": CANARY}}))?;
    case.write(&case.conf_path("new"), &format!(r#"{{"name":"newnet","plugins":[{{"token":"{CANARY}","#))?;
    run("ADD", &more)?;
    case.write(&case.policy_path(), &format!(r#"{{"version":1,"x":"{CANARY}"#))?;
    run("ADD", &more)?;
    let headers = format!(r#"[{{"http":"127.0.0.1:1/x","headers":"{CANARY}"}}]"#);
    let odd_headers =
        format!(r#"{{"version":1,"networks":{{"new":{{"conf":["/x"],"ready":{headers}}}}},"attach":"new"}}"#);
    case.write(&case.policy_path(), &odd_headers)?;
    run("ADD", &more)?;
    let torn = format!(r#"{{"cniVersion":"1.0.0","name":"x","token":"{CANARY}"#);
    let outcome = case.call("ADD").stdin(&torn).wrapped(&borrowed(&wrapper)).run()?;
    outcome.refused(6)?;
    text += &format!("{outcome:?}");
    ensure!(text.matches("code").count() >= 5, "most of these calls fail: {text}");
    ensure!(!text.contains(CANARY), "{text}");
    let entries = journal.entries()?;
    ensure!(!entries.is_empty() && !format!("{entries:?}").contains(CANARY), "{entries:#?}");
    let held = fs::read(case.records()?.first().context("the record of the failed DEL")?)?;
    ensure!(!held.is_empty(), "only the record, which is root's alone, holds the conf");
    Ok(())
}
