//! Rows about the CNI to move to: its version and its modes, once it is installed.

use snapshot::model::Kind;

use super::old_cni::agent;
use super::{Requirement, Scope, State};
use crate::check::{AGENT_NEW_ABSENT, Scene, VALUES_NOT_INSTALLED};
use crate::cni::antrea::settings::{ANTREA_ENCAP_MODE, ANTREA_NO_ENCAP};
use crate::cni::cilium::settings::{CHAINING_MODE, CILIUM_CHAINING, CILIUM_IPAM};
use crate::cni::support::{Cni, Strategy};
use crate::workload::Version;

/// The first version with settings for single nodes. *Source*: Cilium's documentation, "Per-node configuration".
const CILIUM: Version = (1, 13);

const IS_CILIUM: Scope = Scope::To(&[Cni::Cilium]);
const IS_ANTREA: Scope = Scope::To(&[Cni::Antrea]);

pub(super) const ROWS: &[Requirement] = &[
    Requirement {
        name: "cilium-version",
        what: "Cilium is installed, 1.13 or later.",
        why: "Older versions have no settings for single nodes, so that all nodes would move at once.",
        found_by: &[&AGENT_NEW_ABSENT, &VALUES_NOT_INSTALLED],
        scope: IS_CILIUM,
        needs: &[Kind::DAEMON_SET],
        state: |scene| agent(scene, &scene.config.agents.new, &["cilium"], &["cilium-agent"], CILIUM),
    },
    Requirement {
        name: "cilium-ipam",
        what: "Cilium gives addresses that the old CNI does not give.",
        why: "If both CNIs give addresses of the Nodes' pod CIDRs, two pods get the same address.",
        found_by: &[&CILIUM_IPAM, &VALUES_NOT_INSTALLED],
        scope: IS_CILIUM,
        needs: &[Kind::CONFIG_MAP],
        state: |scene| {
            let fix = "install Cilium with ipam.mode=cluster-pool and its own ipam.operator.clusterPoolIPv4PodCIDRList";
            cilium(scene, "ipam", fix, |value| {
                let is_apart = !scene.from.driver().has_node_cidrs(scene.snapshot)
                    || scene.network_strategy() == Strategy::Rotation;
                matches!(value, Some("cluster-pool" | "multi-pool"))
                    || scene.from == Cni::AwsVpcCni && value == Some("eni")
                    || is_apart && value == Some("kubernetes")
            })
        },
    },
    Requirement {
        name: "cilium-unchained",
        what: "Cilium is not chained to another CNI; the plugin portmap beside it is none.",
        why: "A chained Cilium makes no network of its own to which pods could move.",
        found_by: &[&CILIUM_CHAINING, &VALUES_NOT_INSTALLED],
        scope: IS_CILIUM,
        needs: &[Kind::CONFIG_MAP],
        state: |scene| {
            let fix = "install Cilium with cni.chainingMode=none, or with portmap where pods use ports of their node";
            // What is a chain is said once, in the setting.
            let is_unchained = |value: Option<&str>| {
                let stage = scene.config.transition.phase;
                CHAINING_MODE.for_stage(stage).accepts(value.unwrap_or(CHAINING_MODE.absent))
            };
            cilium(scene, "cni-chaining-mode", fix, is_unchained)
        },
    },
    Requirement {
        name: "antrea-version",
        what: "Antrea is installed.",
        why: "Without its agent, no pod can move to the new network.",
        found_by: &[&AGENT_NEW_ABSENT, &VALUES_NOT_INSTALLED],
        scope: IS_ANTREA,
        needs: &[Kind::DAEMON_SET],
        state: |scene| agent(scene, &scene.config.agents.new, &["antrea-agent"], &["antrea-agent"], (0, 0)),
    },
    Requirement {
        name: "antrea-encapsulation",
        what: "Antrea encapsulates packets between nodes.",
        why: "Without encapsulation, the nodes' network must know the new pod range, or Antrea makes no network of its own.",
        found_by: &[&ANTREA_ENCAP_MODE, &ANTREA_NO_ENCAP, &VALUES_NOT_INSTALLED],
        scope: IS_ANTREA,
        needs: &[Kind::CONFIG_MAP],
        state: |scene| {
            let config = scene.snapshot.config_map("antrea-config");
            let Some(text) = config.and_then(|config| config.data("antrea-agent.conf")) else {
                return State::unknown(
                    "there is no ConfigMap antrea-config",
                    "install Antrea first, or check its mode by hand and accept this with a waiver",
                );
            };
            let mode = text.lines().find_map(|line| line.trim().strip_prefix("trafficEncapMode:"));
            match mode.map(str::trim).map(|mode| mode.trim_matches('"')) {
                None | Some("encap" | "") => State::met("trafficEncapMode is encap"),
                Some(other) => State::not_met(
                    format!("trafficEncapMode is {other}"),
                    "install Antrea with trafficEncapMode=encap; policies of another CNI's pods are no migration",
                ),
            }
        },
    },
    Requirement {
        name: "calico-installed",
        what: "Calico is installed.",
        why: "Without its agent, no pod can move to the new network.",
        found_by: &[&AGENT_NEW_ABSENT, &VALUES_NOT_INSTALLED],
        scope: Scope::To(&[Cni::Calico]),
        needs: &[Kind::DAEMON_SET],
        state: |scene| agent(scene, &scene.config.agents.new, &["calico-node"], &["calico-node"], (3, 26)),
    },
];

/// A value of Cilium's settings.
fn cilium(scene: &Scene<'_>, key: &str, fix: &str, holds: impl Fn(Option<&str>) -> bool) -> State {
    let Some(config) = scene.snapshot.object(Kind::CONFIG_MAP, "cilium-config") else {
        return State::unknown(
            "there is no ConfigMap cilium-config",
            "install Cilium first, as the migration's walk-through says",
        );
    };
    let value = config.data(key);
    let evidence = format!("{key} is {}", value.unwrap_or("not set"));
    if holds(value) { State::met(evidence) } else { State::not_met(evidence, fix) }
}
