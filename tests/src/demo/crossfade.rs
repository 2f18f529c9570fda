//! Crossfade on a node, as a person would run it there.

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

use super::scene::{Host, conf_path};
use super::strategy::{Network, Phase};
use crate::fabric::Overlay;

/// Namespace of the pods that a rule of the policy puts on the new network in every phase.
pub const SCOUTS: &str = "scouts";

/// The policy's file.
const POLICY: &str = "/etc/crossfade/policy.json";

/// Installs under running pods.
pub fn install(host: &Host, overlays: [&Overlay; 2]) -> Result<()> {
    let node = &host.node;
    let [old, new] = overlays;
    let policy = json!({
        "version": 1,
        "networks": {
            "old": { "conf": [conf_path(Network::Old)], "cidrs": [old.cidr()] },
            "new": { "conf": [conf_path(Network::New)], "cidrs": [new.cidr()] },
        },
        "attach": "old",
        "rules": [{ "namespace": SCOUTS, "attach": "new" }],
        "unrecorded": "old",
    });
    node.write(POLICY, policy.to_string())?;
    let inventory: Vec<_> = host
        .containerd
        .cri()
        .list()?
        .iter()
        .map(|pod| json!({"containerID": pod.id, "ifname": "eth0", "network": "old"}))
        .collect();
    node.write(
        "/var/lib/crossfade/inventory.json",
        json!({"version":1,"attachments":inventory}).to_string(),
    )?;
    node.run(&["chmod", "600", "/var/lib/crossfade/inventory.json"])?;
    node.run(&["chmod", "700", "/var/lib/crossfade"])?;
    let bin = node.outside("/opt/cni/bin/crossfade");
    fs::copy(crate::dist::crossfade()?, &bin).context("copy")?;
    let conf = json!({"cniVersion":"1.0.0","name":"old","loadOnlyInlinedPlugins":true,"plugins":[{"type":"crossfade","policy":POLICY,"capabilities":{"portMappings":true,"io.kubernetes.cri.pod-annotations":true}}]});
    node.write("/etc/cni/net.d/01-crossfade.conflist", conf.to_string())?;
    until_loaded(host)
}

/// Sets the phase.
pub fn set_phase(host: &Host, phase: Phase) -> Result<()> {
    let node = &host.node;
    let text = fs::read_to_string(node.outside(POLICY))?;
    let mut policy: serde_json::Value = serde_json::from_str(&text)?;
    policy["attach"] = json!(match phase {
        Phase::Old => "old",
        Phase::New => "new",
        _ => "both",
    });
    if phase.networks().len() == 2 {
        policy["both"]["primary"] = json!(phase.primary().name());
    }
    node.write(POLICY, policy.to_string())
}

/// Sweep.
pub fn sweep(_host: &Host) -> Result<()> {
    Ok(())
}

/// Entries of the inventory.
pub fn inventory_entries(host: &Host) -> Result<u64> {
    let path = host.node.outside("/var/lib/crossfade/inventory.json");
    if !path.exists() {
        return Ok(0);
    }
    let inventory: serde_json::Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    Ok(u64::try_from(inventory["attachments"].as_array().map_or(0, Vec::len))?)
}

/// Loaded.
pub fn until_loaded(host: &Host) -> Result<()> {
    crate::deadline::until("the runtime to read the new conf", std::time::Duration::from_secs(60), || {
        Ok(host.containerd.cri().conf_plugins()?.iter().any(|plugin| plugin == "crossfade").then_some(()))
    })
}

/// Retire.
pub fn forget_old(host: &Host, _new: &Overlay) -> Result<()> {
    let text = fs::read_to_string(host.node.outside(POLICY))?;
    let mut policy: serde_json::Value = serde_json::from_str(&text)?;
    if let Some(networks) = policy["networks"].as_object_mut() {
        networks.remove("old");
    }
    if let Some(policy) = policy.as_object_mut() {
        policy.remove("both");
        policy.remove("unrecorded");
    }
    host.node.write(POLICY, policy.to_string())
}
