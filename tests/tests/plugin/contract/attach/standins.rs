//! Delegates that are no stubs of ours: a plugin on the `cni-plugin` crate, and a Calico-like one in both-mode.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::runtime::caller::Plugin;
use serde_json::{Value, json};

use crate::{case::Case, trials};

trials![a_plugin_on_the_cni_plugin_crate_is_served, a_calico_like_network_shares_a_pod_in_every_role];

/// The standard plugins inside a lab.
const STANDARD: &str = "/usr/lib/cni";

/// Puts a lab program into the case's bin dir under a plugin's name.
fn install(case: &Case, program: &str, name: &str) -> Result<()> {
    lab::host::scratch::install(&lab::build::dist::lab_bin(program)?, &case.stubs.path().join(name))
}

fn call(case: &Case, verb: &str) -> Plugin {
    case.call(verb).env("CNI_PATH", &format!("{}:{STANDARD}", case.stubs.path().display()))
}

fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().into_iter().flatten();
    ips.filter_map(|ip| ip["address"].as_str()).map(str::to_owned).collect()
}

/// Delegates that speak the protocol by another project's code.
fn a_plugin_on_the_cni_plugin_crate_is_served() -> Result<()> {
    let case = Case::attach("new")?;
    install(&case, "lab-crate-cni", "crate-cni")?;
    let leases = case.path("leases.json");
    let plugin = json!({"type": "crate-cni", "range": "10.71.0.0/29", "leases": leases, "veth": true});
    case.write_conf("new", &json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": [plugin]}))?;
    let result = call(&case, "ADD").run()?.result()?;
    ensure!(addresses(&result) == ["10.71.0.2/29"], "{result}");
    ensure!(case.netns.ip("address show eth0")?.contains("10.71.0.2/29"), "no address in the pod");
    call(&case, "CHECK").run()?.silent()?;
    call(&case, "DEL").run()?.silent()?;
    ensure!(!case.netns.has_link("eth0")?, "the interface is left");
    ensure!(!std::fs::read_to_string(&leases)?.contains("10.71.0.2"), "the lease is left");
    case.expect_records(0)
}

/// /32, link-scope gateway, no gateway in the result; as owner and as the other, as primary and as secondary.
fn a_calico_like_network_shares_a_pod_in_every_role() -> Result<()> {
    for (number, (primary, owner)) in
        [("old", "old"), ("old", "new"), ("new", "old"), ("new", "new")].into_iter().enumerate()
    {
        shared(number, primary, owner).with_context(|| format!("primary {primary}, owner {owner}"))?;
    }
    Ok(())
}

/// Old is the Calico-like network, new a bridge.
fn shared(number: usize, primary: &str, owner: &str) -> Result<()> {
    let case = Case::attach("both")?;
    install(&case, "lab-calico", "calico")?;
    let ipam = |side: usize| {
        json!({"type": "host-local", "dataDir": case.path("leases"),
               "ranges": [[{"subnet": format!("10.{side}.{number}.0/24")}], [{"subnet": format!("fd00:{side}:{number}::/64")}]]})
    };
    let calico = json!({"type": "calico", "mtu": 1450, "ipam": ipam(72)});
    let mut bridge =
        json!({"type": "bridge", "bridge": format!("cal{number}"), "isGateway": true, "ipam": ipam(73)});
    bridge["ipam"]["routes"] = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
    case.write_conf("old", &json!({"cniVersion": "1.0.0", "name": "oldnet", "plugins": [calico]}))?;
    case.write_conf("new", &json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": [bridge]}))?;
    case.change_policy(|policy| {
        policy["both"]["primary"] = json!(primary);
        policy["both"]["defaultRoute"] = json!(owner);
        policy["networks"]["old"]["cidrs"] = json!(["10.72.0.0/16", "fd00:72::/32"]);
        policy["networks"]["new"]["cidrs"] = json!(["10.73.0.0/16", "fd00:73::/32"]);
    })?;
    let result = call(&case, "ADD").run()?.result()?;
    let ifname = |network: &str| if network == primary { "eth0" } else { "net1" };
    ensure!(addresses(&result).len() == 2, "the primary's addresses alone: {result}");
    for family in ["-4", "-6"] {
        let defaults = case.netns.ip(&format!("{family} route show default"))?;
        let has_one = defaults.lines().count() == 1 && defaults.contains(&format!("dev {}", ifname(owner)));
        ensure!(has_one, "{family}: {defaults}");
    }
    // Each network's own range leaves through its own interface, with its own source.
    for (network, elsewhere, prefix) in [("old", "10.72.200.9", "10.72."), ("new", "10.73.200.9", "10.73.")] {
        let route = case.netns.ip(&format!("route get {elsewhere}"))?;
        let own =
            route.contains(&format!("dev {}", ifname(network))) && route.contains(&format!("src {prefix}"));
        ensure!(own, "{network}: {route}");
    }
    call(&case, "CHECK").run()?.silent()?;
    call(&case, "DEL").run()?.silent()?;
    for network in ["oldnet", "newnet"] {
        let left = std::fs::read_dir(case.path("leases").join(network))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("10.") || name.starts_with("fd00"))
            .collect::<Vec<_>>();
        ensure!(left.is_empty(), "leases of {network} left: {left:?}");
    }
    ensure!(Path::new(STANDARD).is_dir() && !case.netns.has_link("eth0")?, "eth0 is left");
    ensure!(!case.netns.has_link("net1")?, "net1 is left");
    case.expect_records(0)
}
