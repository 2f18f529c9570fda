//! Too much of everything: bytes, depth, files over their limit. The shim's memory is bounded, and so is what it says.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result, ensure};
use lab::standin::stub::Reply;
use serde_json::json;

use crate::{
    case::{Case, rn, stub_new},
    trials,
};

trials![
    stdin_beyond_its_limit_is_refused,
    policy_and_conf_beyond_their_limit_are_refused,
    record_beyond_its_limit_is_a_damaged_one,
    inventory_beyond_its_limit_is_refused,
    depth_overflows_no_stack_and_loses_no_attachment,
    depth_of_what_we_read_ourselves_is_bounded,
];

/// Memory for data, of the shim and what it starts, in bytes: far below what is thrown at it.
const AT_MOST_32_MIB: [&str; 3] = ["prlimit", "--data=33554432", "--"];

/// So deep that a parser which calls itself runs out of stack.
const DEPTH: usize = 100_000;

fn deep(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// S11: a hundred megabytes.
fn stdin_beyond_its_limit_is_refused() -> Result<()> {
    let case = Case::attach("new")?;
    let conf = case.shim.to_string();
    let stdin = format!(r#"{{"filler":"{}",{}"#, "x".repeat(100 << 20), &conf[1..]);
    for verb in ["ADD", "DEL"] {
        let outcome = case.call(verb).stdin(&stdin).wrapped(&AT_MOST_32_MIB).run()?;
        let refusal = outcome.refused(6)?;
        ensure!(
            refusal.text().contains("limit") && outcome.stdout.len() < 1024,
            "{verb}: {}",
            outcome.stdout.len()
        );
    }
    case.expect_calls(&[])
}

/// Makes a file that long without filling it.
fn grow(path: &Path, bytes: u64) -> Result<()> {
    Ok(fs::File::options().write(true).open(path)?.set_len(bytes)?)
}

/// S11.
fn policy_and_conf_beyond_their_limit_are_refused() -> Result<()> {
    let case = Case::attach("new")?;
    for path in [case.conf_path("new"), case.policy_path()] {
        grow(&path, 64 << 20)?;
        let outcome = case.call("ADD").wrapped(&AT_MOST_32_MIB).run()?;
        let refusal = outcome.refused(7)?;
        ensure!(refusal.text().contains("limit"), "{}: {refusal:?}", path.display());
    }
    case.expect_calls(&[])
}

/// S11: and its DEL asks every network, as for any damaged one.
fn record_beyond_its_limit_is_a_damaged_one() -> Result<()> {
    let case = Case::attach("new")?;
    case.added()?;
    grow(case.records()?.first().context("a record")?, (64 << 20) + 1)?;
    let check = case.call("CHECK").run()?.error()?;
    ensure!(check.text().contains("limit"), "{check:?}");
    case.del()?.silent()?;
    let mut briefs = case.stubs.log().briefs()?;
    briefs.sort();
    assert_eq!(briefs, ["stub-new DEL eth0", "stub-old DEL eth0"]);
    case.expect_records(0)
}

/// S11: what has a record does not need it.
fn inventory_beyond_its_limit_is_refused() -> Result<()> {
    let case = Case::attach("new")?;
    case.added()?;
    case.write_inventory(&json!([]))?;
    let path = case.path("state/inventory.json");
    grow(&path, (256 << 20) + 1)?;
    let refusal = case.call("ADD").env("CNI_CONTAINERID", "c2").run()?.refused(5)?;
    ensure!(refusal.text().contains("limit"), "{refusal:?}");
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL eth0"])
}

/// S11: in everything that is passed through: conf, runtimeConfig, result, and from there the record.
fn depth_overflows_no_stack_and_loses_no_attachment() -> Result<()> {
    let case = Case::attach("new")?;
    let deep = deep(DEPTH);
    let conf = format!(
        r#"{{"cniVersion":"1.0.0","name":"newnet","plugins":[{{"type":"stub-new","capabilities":{{"x":true}},"deep":{deep}}}]}}"#
    );
    case.write(&case.conf_path("new"), &conf)?;
    let answer = rn("{netns}", "{ifname}").to_string();
    case.stubs.write(
        "stub-new",
        &stub_new().on("ADD", Reply::text(&format!("{{\"deep\":{deep},{}", &answer[1..]))),
    )?;
    let shim = case.shim.to_string();
    let stdin = format!(r#"{{"deep":{deep},"runtimeConfig":{{"x":{deep}}},{}"#, &shim[1..]);
    let outcome = case.call("ADD").stdin(&stdin).run()?;
    outcome.succeeded()?;
    ensure!(outcome.stdout.contains(&deep), "the result as it came");
    let record = case.records()?.pop().context("a record")?;
    assert_eq!(fs::metadata(&record)?.permissions().mode() & 0o777, 0o600);
    // The policy has changed; a record that could not be read back would now ask the other network too.
    case.stubs.log().clear()?;
    case.flip("old")?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL eth0"])?;
    let call = case.the_call("stub-new DEL eth0")?;
    ensure!(
        call.stdin.is_some_and(|stdin| stdin.matches(&deep).count() == 3),
        "conf, runtimeConfig and result"
    );
    case.expect_records(0)
}

/// S11: in the places that we take apart, and in a file of our own, depth is an error like any other.
fn depth_of_what_we_read_ourselves_is_bounded() -> Result<()> {
    let case = Case::attach("new")?;
    let deep = deep(DEPTH);
    for key in ["name", "cniVersion", "policy", "runtimeConfig"] {
        let mut conf = case.shim.clone();
        conf.as_object_mut().map(|conf| conf.remove(key));
        let stdin = format!(r#"{{"{key}":{deep},{}"#, &conf.to_string()[1..]);
        case.call("ADD").stdin(&stdin).run()?.refused(6).context(key)?;
    }
    let text = case.policy()?.to_string();
    for key in ["networks", "rules", "x"] {
        case.write(&case.policy_path(), &format!(r#"{{"{key}":{deep},{}"#, &text[1..]))?;
        case.add()?.refused(7).context(key)?;
    }
    case.write(&case.policy_path(), &text)?;
    for key in ["plugins", "name", "type"] {
        let conf = format!(r#"{{"cniVersion":"1.0.0","name":"newnet","type":"stub-new","{key}":{deep}}}"#);
        case.write(&case.conf_path("new"), &conf)?;
        case.add()?.refused(7).context(key)?;
    }
    case.write_conf("new", &crate::case::new_conf())?;
    for key in ["ips", "cniVersion"] {
        case.stubs
            .write("stub-new", &stub_new().on("ADD", Reply::text(&format!(r#"{{"{key}":{deep}}}"#))))?;
        case.add()?.refused(6).context(key)?;
    }
    case.expect_records(0)
}
