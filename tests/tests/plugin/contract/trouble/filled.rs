//! A pod with NET_ADMIN fills its own netns: that costs its own route step, and no delegate its DEL.

use std::{fmt::Write as _, fs};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{case::Case, trials};

trials![
    a_pod_that_fills_our_tables_keeps_no_delegate_from_its_del,
    a_pod_that_fills_our_tables_holds_up_no_other_in_gc,
    an_add_into_a_netns_that_is_full_says_so_and_is_undone,
];

/// Routes of table 1001 that look like withheld next hops, each of which is looked for in main.
const HOPS: u32 = 60_000;
/// Routes of any other kind.
const ROUTES: u32 = 140_000;

/// Runs `ip -batch` with these lines in the pod.
fn batch(case: &Case, lines: &str) -> Result<()> {
    let file = case.path("batch");
    fs::write(&file, lines)?;
    case.netns.ip(&format!("-batch {}", file.display())).map(drop)
}

/// A pod of both networks with an interface `eth0`.
fn pod_on_both() -> Result<Case> {
    let mut case = Case::attach("both")?;
    case.shim["cniVersion"] = json!("1.1.0");
    plug(&case)?;
    case.added()?;
    Ok(case)
}

fn plug(case: &Case) -> Result<()> {
    batch(
        case,
        "link add eth0 type veth peer name wire0\nlink set wire0 up\nlink set eth0 up\naddress add 10.1.0.5/32 dev eth0\n",
    )
}

fn fill_tables(case: &Case, table: &str) -> Result<()> {
    let mut lines = String::new();
    for number in 0..HOPS {
        writeln!(
            lines,
            "route add 169.254.{}.{} dev eth0 scope link table {table}",
            number >> 8,
            number & 0xff
        )?;
    }
    for number in 0..ROUTES {
        let [_, a, b, c] = number.to_be_bytes();
        writeln!(lines, "route add 11.{a}.{b}.{c} dev eth0 table {table}")?;
    }
    batch(case, &lines)
}

/// 200,000 routes, made in two seconds.
fn a_pod_that_fills_our_tables_keeps_no_delegate_from_its_del() -> Result<()> {
    let case = pod_on_both()?;
    fill_tables(&case, "1001")?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn a_pod_that_fills_our_tables_holds_up_no_other_in_gc() -> Result<()> {
    let case = pod_on_both()?;
    fill_tables(&case, "1001")?;
    let other = crate::netns::Netns::new()?;
    for id in ["a1", "z1"] {
        let call = case.call("ADD").env("CNI_CONTAINERID", id);
        call.env("CNI_NETNS", &other.path().display().to_string()).env("CNI_IFNAME", id).run()?.result()?;
    }
    case.stubs.log().clear()?;
    case.change_policy(|policy| policy["gc"] = json!({"graceSeconds": 0, "forward": false}))?;
    case.call_with("GC", &json!({"cni.dev/valid-attachments": []})).run()?.silent()?;
    let calls = case.calls()?;
    ensure!(calls.len() == 6, "every delegate of every pod: {:?}", case.stubs.log().briefs()?);
    case.expect_records(0)
}

/// A part of what is there would be decided on wrongly, and the whole has no bound.
fn an_add_into_a_netns_that_is_full_says_so_and_is_undone() -> Result<()> {
    let case = Case::attach("both")?;
    plug(&case)?;
    fill_tables(&case, "main")?;
    let refusal = case.add()?.refused(105)?;
    ensure!(format!("{refusal:?}").contains("more than 8192"), "{refusal:?}");
    case.expect_calls(&["stub-old ADD eth0", "stub-old DEL eth0"])?;
    case.expect_records(0)
}
