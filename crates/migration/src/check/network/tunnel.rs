//! Tunnels of both networks that cannot be on one node, and the ports that both need.

use snapshot::model::Kind;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::network::{Protocol, Tunnel};
use crate::cni::support::Cni;

pub(in crate::check) const CHECK: Check = Check {
    name: "tunnel",
    rules: &[&TUNNEL_CLASH, &TUNNEL_PORTS],
    needs: &[
        Need::Always(Kind::CONFIG_MAP),
        Need::Always(Kind::DAEMON_SET),
        Need::With(Cni::Calico, Kind::IP_POOL),
        Need::With(Cni::Calico, Kind::FELIX_CONFIGURATION),
    ],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let (old, new) = (scene.from.driver().tunnels(scene.snapshot), scene.to.driver().tunnels(scene.snapshot));
    let pairs = old.iter().flat_map(|old| new.iter().map(move |new| (old, new)));
    let mut findings: Vec<Finding> =
        pairs.filter_map(|(old, new)| Some(clash(scene, old, new, reason(scene, old, new)?))).collect();
    findings.extend(ports(scene, old.iter().chain(&new)));
    findings
}

/// Why both cannot be on one node; none if they can.
///
/// *Source*: Linux, drivers/net/vxlan and geneve: a device without a network identifier shares its port with no other, and two with the same
/// identifier are one; Calico: felix/rules/static.go: Felix drops VXLAN to its port, and IPIP, from senders that are no nodes of Calico.
fn reason(scene: &Scene<'_>, old: &Tunnel, new: &Tunnel) -> Option<&'static str> {
    if old.protocol == Protocol::Ipip || new.protocol == Protocol::Ipip {
        let both = old.protocol == new.protocol;
        return both.then_some("Linux has one fallback device for IPIP (tunl0), and both CNIs set it up.");
    }
    if old.port != new.port {
        return None;
    }
    let is_shared =
        old.protocol != Protocol::Vxlan || new.protocol != Protocol::Vxlan || old.vni.zip(new.vni).is_none();
    let is_same = old.vni == new.vni;
    if is_shared {
        return Some(
            "The kernel gives a UDP port to one of these devices only. The agent that comes second fails with \"address already in use\" and restarts for ever.",
        );
    }
    if is_same {
        return Some(
            "Two VXLAN devices with one port and one VNI cannot exist on a node. The agent that comes second fails.",
        );
    }
    let has_felix = matches!(Cni::Calico, cni if cni == scene.from || cni == scene.to);
    has_felix.then_some(
        "Felix drops VXLAN packets to its own port that come from another CNI, whatever their VNI.",
    )
}

const TUNNEL_CLASH: Rule = Severity::Blocks.rule(
    "tunnel-clash",
    "Tunnels of both networks cannot be on one node.\n\n\
     They have one UDP port, one VNI, or both are IPIP. It is a risk only while the new CNI is not installed.",
    "The agent that comes second fails and restarts for ever.",
    "Give the new CNI another port.",
);

fn clash(scene: &Scene<'_>, old: &Tunnel, new: &Tunnel, why: &'static str) -> Finding {
    let severity = if old.is_default || new.is_default { Severity::Risk } else { Severity::Blocks };
    let state = if new.is_default { ", which is not installed," } else { "" };
    let what = format!("{} uses {old}, and {}{state} uses {new}.", scene.from, scene.to);
    let fix = scene.to.driver().move_tunnel(new, free_port(new, old));
    let about = |tunnel: &Tunnel| Subject { detail: tunnel.to_string(), ..tunnel.source.clone() };
    Finding::new(&TUNNEL_CLASH)
        .severity(severity)
        .what(what)
        .why(why)
        .fix(fix)
        .with_objects([about(old), about(new)])
}

/// A port near the usual one that the old CNI does not use.
fn free_port(new: &Tunnel, old: &Tunnel) -> u16 {
    let usual = new.port.max(1);
    if usual == old.port { usual.saturating_add(1) } else { usual }
}

const TUNNEL_PORTS: Rule = Severity::Note.rule(
    "tunnel-ports",
    "The protocols and ports by which nodes talk to each other until the end.",
    "Security groups and firewalls are often open for the old network only. Then pods of the new network on different nodes do not reach each other.",
    "Open them between all nodes.",
);

/// What a firewall between the nodes must let through until the end.
fn ports<'t>(scene: &Scene<'_>, all: impl Iterator<Item = &'t Tunnel>) -> Option<Finding> {
    let mut words: Vec<String> = all.map(ToString::to_string).collect();
    words.sort();
    words.dedup();
    if words.is_empty() {
        return None;
    }
    let what =
        format!("Until the end of the migration, nodes talk to each other by {}.", words.join(", and by "));
    let health = if scene.to == Cni::Cilium { " Cilium also probes TCP port 4240." } else { "" };
    let fix = format!(
        "Open these protocols and ports between all nodes, control plane included, in both directions.{health} Close the old one's after the migration."
    );
    Some(Finding::new(&TUNNEL_PORTS).what(what).fix(fix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use serde_json::json;

    fn flannel(port: u64, vni: u64) -> (Kind, serde_json::Value) {
        let conf =
            json!({"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan", "Port": port, "VNI": vni}});
        object(Kind::CONFIG_MAP, "kube-flannel-cfg", json!({"data": {"net-conf.json": conf.to_string()}}))
    }

    fn cilium(data: serde_json::Value) -> (Kind, serde_json::Value) {
        object(Kind::CONFIG_MAP, "cilium-config", json!({"data": data}))
    }

    fn antrea(settings: &str) -> (Kind, serde_json::Value) {
        object(Kind::CONFIG_MAP, "antrea-config", json!({"data": {"antrea-agent.conf": settings}}))
    }

    fn pool(spec: serde_json::Value) -> (Kind, serde_json::Value) {
        object(Kind::IP_POOL, "p", json!({"spec": spec}))
    }

    fn felix(spec: serde_json::Value) -> (Kind, serde_json::Value) {
        object(Kind::FELIX_CONFIGURATION, "default", json!({"spec": spec}))
    }

    /// One row per rule, and beside it the nearest cluster without the clash.
    #[test]
    fn tunnels_clash_as_the_kernel_and_felix_say() {
        use Cni::{Antrea, Calico, Cilium, Flannel};
        use Severity::{Blocks, Risk};
        let vxlan = || pool(json!({"cidr": "10.0.0.0/16", "vxlanMode": "Always"}));
        let ipip = || pool(json!({"cidr": "10.0.0.0/16", "ipipMode": "Always"}));
        for (from, to, objects, expected) in [
            (
                Flannel,
                Cilium,
                vec![flannel(8472, 1), cilium(json!({"tunnel-protocol": "vxlan"}))],
                Some(Blocks),
            ),
            (Flannel, Cilium, vec![flannel(8472, 1), cilium(json!({"tunnel-port": "8473"}))], None),
            (Flannel, Cilium, vec![flannel(8472, 1), cilium(json!({"tunnel-protocol": "geneve"}))], None),
            (Flannel, Cilium, vec![flannel(8472, 1), cilium(json!({"routing-mode": "native"}))], None),
            (Flannel, Cilium, vec![flannel(8472, 1), cilium(json!({"tunnel": "disabled"}))], None),
            (Flannel, Cilium, vec![flannel(8472, 1)], Some(Risk)),
            (Flannel, Cilium, vec![flannel(8475, 1)], None),
            (Calico, Antrea, vec![vxlan(), antrea("tunnelType: vxlan")], Some(Blocks)),
            (Calico, Antrea, vec![vxlan(), antrea("tunnelType: geneve\ntunnelPort: 0")], None),
            (Calico, Antrea, vec![vxlan(), antrea("tunnelType: geneve\ntunnelPort: 4789")], Some(Blocks)),
            (Calico, Antrea, vec![ipip(), antrea("tunnelType: vxlan")], None),
            (Calico, Cilium, vec![vxlan(), cilium(json!({}))], None),
            (
                Calico,
                Cilium,
                vec![vxlan(), felix(json!({"vxlanPort": 8472})), cilium(json!({}))],
                Some(Blocks),
            ),
            // Other identifiers are enough for the kernel, and not for Felix.
            (Flannel, Calico, vec![flannel(4789, 1), vxlan()], Some(Blocks)),
            (Flannel, Calico, vec![flannel(8472, 1), vxlan()], None),
        ] {
            let case = Case::new(from, to, objects);
            let findings: Vec<_> = case
                .findings(&CHECK)
                .into_iter()
                .filter(|candidate| candidate.rule.code == "tunnel-clash")
                .collect();
            let severity = findings.first().map(|finding| finding.severity);
            assert_eq!(
                (severity, findings.len()),
                (expected, usize::from(expected.is_some())),
                "{from} {to} {findings:?}"
            );
        }
    }

    #[test]
    fn wireguard_has_ports_too() {
        let clash = |port: u64| {
            let objects = vec![
                pool(json!({"cidr": "10.0.0.0/16"})),
                felix(json!({"wireguardEnabled": true, "wireguardListeningPort": port})),
                antrea("trafficEncryptionMode: wireGuard"),
            ];
            Case::new(Cni::Calico, Cni::Antrea, objects).codes(&CHECK)
        };
        assert_eq!(clash(51_820), ["tunnel-clash", "tunnel-ports"]);
        assert_eq!(clash(51_821), ["tunnel-ports"]);
    }

    #[test]
    fn the_ports_of_both_are_told() {
        let case = Case::new(
            Cni::Flannel,
            Cni::Cilium,
            vec![flannel(8472, 1), cilium(json!({"tunnel-port": "8473"}))],
        );
        let findings = case.findings(&CHECK);
        assert!(
            findings[0].what.contains("8472, VNI 1") && findings[0].what.contains("8473"),
            "{findings:?}"
        );
    }
}
