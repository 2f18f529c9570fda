//! A full disk keeps no pod of a retired network: not for want of a ledger's line, nor of a memory of the first failure.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use lab::standin::stub::Reply;
use serde_json::json;

use crate::{
    case::{Case, Journal, stub_old},
    trials,
    trouble::mounts::Mount,
};

trials![
    a_retired_network_keeps_no_pod_on_a_full_disk,
    a_retired_network_keeps_no_pod_on_a_read_only_disk,
    a_retired_network_keeps_no_pod_where_the_run_directory_is_full_as_well,
    an_inventory_entry_of_a_retired_network_ends_on_a_full_disk,
    the_journal_takes_the_line_that_the_ledger_cannot,
    half_a_line_is_taken_back,
    what_is_remembered_of_failures_goes_with_their_records,
];

/// Long enough that no test reaches it by waiting.
const WAIT: Duration = Duration::from_secs(100_000);

/// A pod of a network that is retired, whose DEL fails, on a small disk.
struct Small {
    case: Case,
    state: Mount,
}

impl Small {
    fn new() -> Result<Self> {
        let case = Case::attach("old")?;
        let state = Mount::small_tmpfs(&case.make_state_dir("state")?)?;
        case.added()?;
        leave_no_room_behind_the_record(&case)?;
        case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(999, "Unauthorized", "")))?;
        retire(&case, WAIT.as_secs())?;
        Ok(Self { case, state })
    }
}

/// Pads the record to the end of its page, with a line that the shim does not know: what is appended on a full disk then needs a block of its own.
fn leave_no_room_behind_the_record(case: &Case) -> Result<()> {
    let record = case.records()?.pop().context("a record")?;
    let mut bytes = fs::read(&record)?;
    let end = (bytes.len() + 1).next_multiple_of(4096);
    bytes.resize(end - 1, b'x');
    bytes.push(b'\n');
    // In place: its owner and mode stay.
    fs::write(&record, bytes).context("pad the record")
}

fn retire(case: &Case, seconds: u64) -> Result<()> {
    case.change_policy(|policy| {
        policy["attach"] = json!("new");
        policy["retired"] = json!([{"network": "old", "forceAfterSeconds": seconds}]);
    })
}

/// Where the time of the first failure is kept without the disk.
fn memory(case: &Case) -> PathBuf {
    case.path("run/failing").join(format!("{}@eth0", case.id))
}

/// The DEL fails until it has failed for as long as the policy says, counted from the first failure.
fn ends_after_its_wait(case: &Case) -> Result<()> {
    case.del()?.refused(999)?;
    let memory = memory(case);
    let meta = fs::metadata(&memory).context("the first failure is remembered")?;
    ensure!(meta.permissions().mode() & 0o7777 == 0o600 && meta.len() == 0, "{meta:?}");
    let first = meta.modified()?;
    case.del()?.refused(999)?;
    ensure!(fs::metadata(&memory)?.modified()? == first, "the clock does not start again");
    // A policy whose wait is over is the same as time that has passed.
    let since_boot = first.duration_since(SystemTime::UNIX_EPOCH)?;
    ensure!(since_boot < WAIT * 1000, "it is the boot's clock, and no wall clock");
    retire(case, 1)?;
    case.eventually("the forced DEL", || Ok(case.del()?.status.success()))?;
    ensure!(!memory.exists(), "what is over is not remembered");
    Ok(())
}

fn a_retired_network_keeps_no_pod_on_a_full_disk() -> Result<()> {
    let Small { case, state } = Small::new()?;
    state.fill()?;
    ends_after_its_wait(&case)?;
    case.expect_records(0)
}

/// The record stays, since it cannot be removed; the pod ends, which is what matters.
fn a_retired_network_keeps_no_pod_on_a_read_only_disk() -> Result<()> {
    let case = Case::attach("old")?;
    case.added()?;
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(999, "Unauthorized", "")))?;
    retire(&case, WAIT.as_secs())?;
    let _read_only = Mount::read_only(&case.path("state"))?;
    ends_after_its_wait(&case)
}

/// The memory is an empty file, which needs no block.
fn a_retired_network_keeps_no_pod_where_the_run_directory_is_full_as_well() -> Result<()> {
    let case = Case::attach("old")?;
    let state = Mount::small_tmpfs(&case.make_state_dir("state")?)?;
    let run = Mount::small_tmpfs(&case.make_state_dir("run")?)?;
    case.added()?;
    leave_no_room_behind_the_record(&case)?;
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(999, "Unauthorized", "")))?;
    retire(&case, WAIT.as_secs())?;
    state.fill()?;
    run.fill()?;
    ends_after_its_wait(&case)?;
    case.expect_records(0)
}

/// It has no record, and can be given none.
fn an_inventory_entry_of_a_retired_network_ends_on_a_full_disk() -> Result<()> {
    let case = Case::attach("old")?;
    let state = Mount::small_tmpfs(&case.make_state_dir("state")?)?;
    case.write_inventory(&json!([{"containerID": "c1", "ifname": "eth0", "network": "old"}]))?;
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(999, "Unauthorized", "")))?;
    retire(&case, WAIT.as_secs())?;
    state.fill()?;
    ends_after_its_wait(&case)
}

fn the_journal_takes_the_line_that_the_ledger_cannot() -> Result<()> {
    let Small { case, state } = Small::new()?;
    state.fill()?;
    retire(&case, 0)?;
    let journal = Journal::new(&case)?;
    let wrapper = journal.wrapper();
    case.call("DEL").wrapped(&wrapper.each_ref().map(String::as_str)).run()?.silent()?;
    let entries = journal.entries()?;
    let line = entries.iter().find(|entry| entry.contains_key("ADDRESSES")).context("the ledger's line")?;
    let field = |name: &str| line.get(name).map(String::as_str);
    ensure!(field("CONTAINER_ID") == Some("c1") && field("NETWORK") == Some("oldnet"), "{line:?}");
    ensure!(field("ADDRESSES") == Some("10.1.0.5/32"), "{line:?}");
    ensure!(field("UNKNOWN").is_some_and(|unknown| unknown.contains("stub-old")), "{line:?}");
    ensure!(!format!("{line:?}").contains("Unauthorized"), "no delegate's words: {line:?}");
    let ledger = fs::read(case.path("state/ledger.jsonl")).unwrap_or_default();
    ensure!(ledger.is_empty(), "nothing half done: {ledger:?}");
    Ok(())
}

/// The line of another pod must not be spoilt by one that did not fit.
fn half_a_line_is_taken_back() -> Result<()> {
    let Small { case, state } = Small::new()?;
    retire(&case, 0)?;
    // A page has some room left behind these.
    let before = format!("{}\n", json!({"filler": "x".repeat(3900)}));
    fs::write(case.path("state/ledger.jsonl"), &before)?;
    fs::set_permissions(case.path("state/ledger.jsonl"), fs::Permissions::from_mode(0o600))?;
    state.fill()?;
    case.del()?.silent()?;
    let after = fs::read_to_string(case.path("state/ledger.jsonl"))?;
    ensure!(after == before, "{} bytes, expected {}", after.len(), before.len());
    state.empty()
}

fn what_is_remembered_of_failures_goes_with_their_records() -> Result<()> {
    let Small { mut case, state } = Small::new()?;
    case.shim["cniVersion"] = json!("1.1.0");
    state.fill()?;
    case.del()?.refused(999)?;
    ensure!(memory(&case).exists(), "the first failure is remembered");
    let stray = case.path("run/failing/gone@eth0");
    fs::write(&stray, "")?;
    let listed = json!([{"containerID": "c1", "ifname": "eth0"}]);
    case.call_with("GC", &json!({"cni.dev/valid-attachments": listed})).run()?.silent()?;
    ensure!(!stray.exists() && memory(&case).exists(), "only what has no record goes");
    case.stubs.write("stub-old", &stub_old())?;
    case.del()?.silent()?;
    ensure!(!memory(&case).exists(), "a DEL that succeeded is not remembered as failed");
    Ok(())
}
