//! One event is one record of the journal, whatever was put into its fields; and one line of stderr.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use lab::standin::stub::Reply;

use crate::{
    case::{Case, Journal, rn, stub_new},
    trials,
};

trials![what_a_caller_says_forges_no_event, what_a_delegate_says_forges_no_event, fields_are_bounded,];

/// Would be a second record, a field, a screenful of another colour, the end of a string.
const FORGED: &str = "x\nPRIORITY=0\nMESSAGE=forged\n\n\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\r\u{0}";

fn forged() -> String {
    // An environment variable ends at its first NUL.
    FORGED.trim_end_matches('\u{0}').to_owned()
}

/// The keys that the shim's one line per call has.
const KEYS: [&str; 11] = [
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "MESSAGE",
    "CNI_COMMAND",
    "CONTAINER_ID",
    "IFNAME",
    "NETNS",
    "NETWORK",
    "CODE",
    "DURATION_US",
    "ERROR",
];

/// Holds when the journal has this many records of one line each, as the shim writes them.
fn genuine(journal: &Journal, count: usize) -> Result<()> {
    let entries = journal.entries()?;
    ensure!(entries.len() == count, "{count} events expected: {entries:#?}");
    for entry in &entries {
        let keys: BTreeSet<&str> = entry.keys().map(String::as_str).collect();
        ensure!(keys == BTreeSet::from(KEYS), "keys {keys:?}");
        ensure!(entry["PRIORITY"] == "6" && entry["SYSLOG_IDENTIFIER"] == "crossfade", "{entry:?}");
        ensure!(["served", "failed"].contains(&entry["MESSAGE"].as_str()), "{entry:?}");
    }
    Ok(())
}

/// S10: the netns path is the one variable of ADD and DEL that may hold anything.
fn what_a_caller_says_forges_no_event() -> Result<()> {
    let case = Case::attach("new")?;
    let journal = Journal::new(&case)?;
    let wrapper = journal.wrapper();
    let wrapper = wrapper.each_ref().map(String::as_str);
    // It must not put the path into its own answer, which would be no JSON then.
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::json(&rn("/netns", "{ifname}"))))?;
    for verb in ["ADD", "DEL"] {
        let netns = format!("/run/netns/{}", forged());
        let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={0};K8S_POD_NAME={0}", forged());
        let call = case.call(verb).env("CNI_NETNS", &netns).env("CNI_ARGS", &args);
        let outcome = call.wrapped(&wrapper).run()?;
        outcome.succeeded()?;
        genuine(&journal, 1).context(verb)?;
    }
    // And the ones that are refused for what they hold.
    for name in ["CNI_CONTAINERID", "CNI_IFNAME"] {
        let outcome = case.call("ADD").env(name, &forged()).wrapped(&wrapper).run()?;
        outcome.refused(4)?;
        ensure!(!outcome.stderr.contains(|c: char| c.is_control() && c != '\n'), "{:?}", outcome.stderr);
        ensure!(outcome.stderr.lines().all(|line| line.starts_with("crossfade: ")), "{:?}", outcome.stderr);
        // Refused before there is anything to tell: nothing of it is logged.
        ensure!(journal.entries()?.is_empty(), "{name}");
    }
    Ok(())
}

/// S10, S12: a delegate's words go to the runtime and not into the log.
fn what_a_delegate_says_forges_no_event() -> Result<()> {
    let case = Case::attach("new")?;
    let journal = Journal::new(&case)?;
    let wrapper = journal.wrapper();
    let wrapper = wrapper.each_ref().map(String::as_str);
    let replies = [
        Reply::fail(123, FORGED, FORGED),
        Reply::text(FORGED),
        Reply::text(&serde_json::json!({"cniVersion": FORGED}).to_string()),
        Reply::text(&serde_json::json!({"ips": [{"address": FORGED}]}).to_string()),
    ];
    for reply in replies {
        case.stubs.write("stub-new", &stub_new().on("ADD", reply))?;
        let outcome = case.call("ADD").wrapped(&wrapper).run()?;
        outcome.error()?;
        ensure!(
            !outcome.stdout.contains(['\u{1b}', '\u{7}', '\r']),
            "escaped in the answer: {:?}",
            outcome.stdout
        );
        genuine(&journal, 1)?;
    }
    Ok(())
}

/// S10: a datagram that is too large is not sent at all, so a long field would hide its event.
fn fields_are_bounded() -> Result<()> {
    let case = Case::attach("new")?;
    let journal = Journal::new(&case)?;
    let wrapper = journal.wrapper();
    let wrapper = wrapper.each_ref().map(String::as_str);
    let long = format!("/run/netns/{}", "ä".repeat(50_000));
    case.call("ADD").env("CNI_NETNS", &long).wrapped(&wrapper).run()?.succeeded()?;
    let entries = journal.entries()?;
    ensure!(entries.len() == 1 && entries[0]["NETNS"].len() <= 1024, "{}", entries.len());
    case.call("DEL").wrapped(&wrapper).run()?.silent()
}
