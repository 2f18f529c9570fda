//! Both-mode through the real standard plugins in a real netns: bridge as `old`, ptp as `new`, host-local under both.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, ensure};
use lab::host::command::run_line;
use lab::host::leases::{Lease, leases};
use lab::runtime::caller::Plugin;
use serde_json::{Value, json};

use crate::case::Case;

/// Where distributions and the upstream archives put the standard plugins.
const BIN_DIRS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// The tests of this file; without the standard plugins they are listed as not run.
pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
    type Test = fn() -> Result<()>;
    let tests: [(&str, Test); 3] = [
        ("old_is_primary_and_new_owns_the_default_route", old_is_primary_and_new_owns_the_default_route),
        ("new_is_primary_and_old_owns_the_default_route", new_is_primary_and_old_owns_the_default_route),
        (
            "failed_second_network_leaves_nothing_of_the_first",
            failed_second_network_leaves_nothing_of_the_first,
        ),
    ];
    // In CI a skipped test would go unnoticed: there they run, and say what is missing.
    let absent = bin_dir().is_none() && std::env::var_os("CI").is_none();
    tests
        .into_iter()
        .map(|(name, test)| lab::case::trial("standard", name, test).with_ignored_flag(absent))
        .collect()
}

fn bin_dir() -> Option<&'static str> {
    BIN_DIRS
        .into_iter()
        .find(|dir| ["bridge", "ptp", "host-local"].iter().all(|name| Path::new(dir).join(name).is_file()))
}

static NODES: AtomicU32 = AtomicU32::new(0);

/// A case whose networks are real: subnets of their own per test, leases in the case's directory.
struct Real {
    case: Case,
    path: String,
    number: u32,
}

impl Real {
    fn new(primary: &str, owner: &str) -> Result<Self> {
        let case = Case::attach("both")?;
        let number = NODES.fetch_add(1, Ordering::Relaxed);
        case.change_policy(|policy| {
            policy["both"]["primary"] = json!(primary);
            policy["both"]["defaultRoute"] = json!(owner);
        })?;
        let ipam = |side: u32| {
            json!({
                "type": "host-local",
                "dataDir": case.path("leases"),
                "ranges": [
                    [{"subnet": format!("10.{}.{number}.0/24", 100 + side)}],
                    [{"subnet": format!("fd00:{side}:{number}::/64")}]
                ],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
            })
        };
        let bridge =
            json!({"type": "bridge", "bridge": format!("br{number}"), "isGateway": true, "ipam": ipam(1)});
        let ptp = json!({"type": "ptp", "ipam": ipam(2)});
        case.write_conf("old", &json!({"cniVersion": "0.4.0", "name": "oldnet", "plugins": [bridge]}))?;
        case.write_conf("new", &json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": [ptp]}))?;
        let path = format!("{}:{}", bin_dir().context("the standard plugins")?, case.stubs.path().display());
        Ok(Self { case, path, number })
    }

    fn call(&self, verb: &str) -> Plugin {
        self.case.call(verb).env("CNI_PATH", &self.path)
    }

    fn leases(&self) -> Result<Vec<Lease>> {
        let entries = |network: &str| leases(&self.case.path("leases").join(network));
        Ok([entries("oldnet")?, entries("newnet")?].concat())
    }

    /// Names of the host ends of veth pairs that lead into the pod's subnets.
    fn veths(&self) -> Result<Vec<String>> {
        let master = format!("master br{}", self.number);
        let links = run_line("ip -o link show type veth")?;
        let routes = run_line("ip route")?;
        let leads_here = |line: &&str| {
            let name = line.split(": ").nth(1).unwrap_or_default().split('@').next().unwrap_or_default();
            line.contains(&master)
                || routes.contains(&format!("10.102.{}.", self.number)) && routes.contains(name)
        };
        Ok(links.lines().filter(leads_here).map(str::to_owned).collect())
    }

    fn nothing_left(&self) -> Result<()> {
        ensure!(self.leases()?.is_empty(), "leases left: {:?}", self.leases()?);
        ensure!(self.veths()?.is_empty(), "veths left: {:?}", self.veths()?);
        let links = self.case.netns.ip("-o link")?;
        ensure!(!links.contains("eth0") && !links.contains("net1"), "links left in the netns: {links}");
        self.case.expect_records(0)
    }
}

fn addresses(result: &Value) -> Vec<&str> {
    result["ips"].as_array().into_iter().flatten().filter_map(|ip| ip["address"].as_str()).collect()
}

fn dual_attachment(primary: &str, owner: &str) -> Result<()> {
    let real = Real::new(primary, owner)?;
    let netns = &real.case.netns;
    let result = real.call("ADD").run()?.result()?;
    let side = if primary == "old" { 101 } else { 102 };
    let ours = addresses(&result);
    ensure!(
        ours.len() == 2 && ours[0].starts_with(&format!("10.{side}.")),
        "the primary's addresses: {ours:?}"
    );
    assert_eq!(real.leases()?.len(), 4);
    ensure!(!real.veths()?.is_empty(), "the pod's host ends are found");

    let dev = if primary == owner { "eth0" } else { "net1" };
    for family in ["-4", "-6"] {
        let defaults = netns.ip(&format!("{family} route show default"))?;
        ensure!(
            defaults.lines().count() == 1 && defaults.contains(&format!("dev {dev}")),
            "{family}: {defaults}"
        );
    }
    for (ifname, own) in [("eth0", primary), ("net1", if primary == "old" { "new" } else { "old" })] {
        let side = if own == "old" { 101 } else { 102 };
        let gateway = format!("10.{side}.{}.1", real.number);
        netns.ip(&format!("route get {gateway}")).with_context(|| ifname.to_owned())?;
        let address = netns.ip(&format!("-o -4 addr show dev {ifname}"))?;
        ensure!(address.contains(&format!("10.{side}.{}.", real.number)), "{ifname}: {address}");
    }

    real.call("CHECK").run()?.silent()?;
    real.call("DEL").run()?.silent()?;
    real.nothing_left()?;
    real.call("DEL").env("CNI_NETNS", "").run()?.silent()
}

/// The lab's route tests have the rest.
fn old_is_primary_and_new_owns_the_default_route() -> Result<()> {
    dual_attachment("old", "new")
}

fn new_is_primary_and_old_owns_the_default_route() -> Result<()> {
    dual_attachment("new", "old")
}

/// An undone ADD, with real addresses and links.
fn failed_second_network_leaves_nothing_of_the_first() -> Result<()> {
    let real = Real::new("old", "new")?;
    let bad = json!({"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "nonsense"}]]}});
    real.case.write_conf("new", &json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": [bad]}))?;
    real.call("ADD").run()?.error()?;
    // ptp cannot undo a configuration it cannot read: the record stays for the sweeper, old is undone nevertheless.
    ensure!(real.leases()?.is_empty(), "leases left: {:?}", real.leases()?);
    ensure!(real.veths()?.is_empty(), "veths left: {:?}", real.veths()?);
    ensure!(!real.case.netns.has_link("eth0")?, "eth0 is still there");
    Ok(())
}
