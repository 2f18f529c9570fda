//! Several attachments of one container at once: each interface name is chosen once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use lab::{runtime::caller::Running, standin::stub::Reply};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::{
    case::{Case, stub_new},
    trials,
};

trials![
    adds_of_one_container_at_once_choose_two_second_names,
    many_adds_of_one_container_choose_as_many_names,
    an_add_that_cannot_lock_its_choice_begins_nothing
];

/// Starts an ADD that stops by itself when it comes to make its record durable: chosen, but not yet on record.
fn stopped_before_its_record(case: &Case) -> Result<Running> {
    let log = case.path("strace.log");
    let shown = log.display().to_string();
    let strace = ["strace", "-D", "-qq", "-o", &shown, "-e", "trace=fdatasync"];
    let add =
        case.call("ADD").wrapped(&[&strace[..], &["-e", "inject=fdatasync:signal=SIGSTOP:when=1"]].concat());
    let add = add.spawn()?;
    case.eventually("the ADD stopped before its record", || {
        Ok(fs::read_to_string(&log).is_ok_and(|text| text.contains("stopped by SIGSTOP")))
    })?;
    Ok(add)
}

/// The second interface names of all ADDs that stub-new served.
fn second_names(case: &Case) -> Result<Vec<String>> {
    let calls = case.calls()?.into_iter();
    let adds = calls.filter(|call| call.brief().starts_with("stub-new ADD"));
    let mut names: Vec<String> = adds.map(|call| call.var("CNI_IFNAME").to_owned()).collect();
    names.sort();
    Ok(names)
}

/// Whether the shim has the file of this name in this directory open.
fn has_open(shim: &Running, dir: &Path, name: &str) -> bool {
    let is_it = |path: &PathBuf| {
        path.parent() == Some(dir) && path.file_name().is_some_and(|file| file.to_string_lossy() == name)
    };
    shim.open_files().iter().any(is_it)
}

/// A multi-network caller attaches one container under two names, and neither is on record when the other chooses.
fn adds_of_one_container_at_once_choose_two_second_names() -> Result<()> {
    let case = Case::attach("both")?;
    let first = stopped_before_its_record(&case)?;
    let mut second = case.call("ADD").env("CNI_IFNAME", "eth1").spawn()?;
    let locks = case.path("run/locks");
    case.eventually("an ADD that waits for the other's choice, or has ended", || {
        Ok(has_open(&second, &locks, "c1@") || !second.is_running()?)
    })?;
    first.signal(Signal::SIGCONT)?;
    second.wait()?.succeeded()?;
    first.wait()?.succeeded()?;
    assert_eq!(second_names(&case)?, ["net1", "net2"]);
    case.expect_records(2)?;
    for ifname in ["eth0", "eth1"] {
        case.call("DEL").env("CNI_IFNAME", ifname).run()?.silent()?;
    }
    case.expect_records(0)?;
    let lock_files: Vec<PathBuf> = fs::read_dir(&locks)?.flatten().map(|file| file.path()).collect();
    ensure!(lock_files.is_empty(), "lock files are left: {lock_files:?}");
    Ok(())
}

/// The same without an ADD that is stopped, and with a delegate that hangs until all have chosen.
fn many_adds_of_one_container_choose_as_many_names() -> Result<()> {
    let case = Case::attach("both")?;
    case.change_policy(|policy| policy["both"]["defaultRoute"] = json!("old"))?;
    let gate = case.gate("gate")?;
    let answer = Reply::json(&case.rn("{ifname}")).behind(&gate);
    case.stubs.write("stub-new", &stub_new().on("ADD", answer))?;
    let ifnames: Vec<String> = (0..8).map(|number| format!("eth{number}")).collect();
    let call = |ifname: &String| case.call("ADD").env("CNI_IFNAME", ifname).spawn();
    let running: Vec<Running> = ifnames.iter().map(call).collect::<Result<_>>()?;
    // The choice is over before a delegate runs, so no ADD waits for another's.
    case.eventually("every ADD at its second network", || Ok(second_names(&case)?.len() == ifnames.len()))?;
    gate.open()?;
    for shim in running {
        shim.wait()?.succeeded()?;
    }
    let names = second_names(&case)?;
    let expected: Vec<String> = (1..=8).map(|number| format!("net{number}")).collect();
    ensure!(names == expected, "{names:?}");
    for ifname in &ifnames {
        case.call("DEL").env("CNI_IFNAME", ifname).run()?.silent().with_context(|| ifname.clone())?;
    }
    case.expect_records(0)
}

/// Without the lock, two ADDs could choose the same name. An ADD of one network chooses none.
fn an_add_that_cannot_lock_its_choice_begins_nothing() -> Result<()> {
    let case = Case::attach("both")?;
    case.make_dir("run/locks/c1@")?;
    let message = case.call("ADD").run()?.refused(5)?.text();
    ensure!(message.contains("c1@"), "{message}");
    // Like the lock of the attachment, it is reported in its turn, which comes after the binaries.
    let without = case.make_dir("no-plugins")?;
    case.call("ADD").env("CNI_PATH", &without.display().to_string()).run()?.refused(101)?;
    case.expect_calls(&[])?;
    case.expect_records(0)?;
    case.change_policy(|policy| policy["attach"] = json!("old"))?;
    case.call("ADD").run()?.succeeded()?;
    case.expect_calls(&["stub-old ADD eth0"])
}
