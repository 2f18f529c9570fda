//! The MTU of both networks' pods.

use snapshot::model::Kind;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity};
use crate::check::{Check, Need};
use crate::cni::network::{Mtu, NODE_MTU, mtu};
use crate::cni::support::Cni;

pub(in crate::check) const CHECK: Check = Check {
    name: "mtu",
    rules: &[&MTU_DIFFERS, &MTU_TOO_LARGE],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::CONFIG_MAP),
        Need::Always(Kind::DAEMON_SET),
        Need::With(Cni::Calico, Kind::IP_POOL),
        Need::With(Cni::Calico, Kind::FELIX_CONFIGURATION),
        Need::With(Cni::Calico, Kind::TIGERA_INSTALLATION),
    ],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let node = scene.config.transition.node_mtu.unwrap_or(NODE_MTU);
    let both = [scene.from, scene.to].map(|cni| (cni, mtu(scene.snapshot, cni, node)));
    let mut findings: Vec<Finding> =
        both.iter().filter_map(|(cni, mtu)| find_too_large(scene, *cni, mtu)).collect();
    let [(_, old), (_, new)] = &both;
    if old.bytes != new.bytes {
        findings.push(differs(scene, old, new));
    }
    findings
}

const MTU_TOO_LARGE: Rule = Severity::Blocks.rule(
    "mtu-too-large",
    "The MTU of a network's pods does not fit between nodes with `transition.nodeMtu`.",
    "Large packets between nodes are lost or fragmented. Small requests work and large answers hang, which looks like a fault of the application.",
    "Set the MTU that the finding names.",
);

/// Only where the operator said the nodes' MTU: the objects do not.
fn find_too_large(scene: &Scene<'_>, cni: Cni, mtu: &Mtu) -> Option<Finding> {
    let node = scene.config.transition.node_mtu?;
    let most = node.saturating_sub(mtu.overhead);
    if mtu.bytes <= most {
        return None;
    }
    let what = format!(
        "Pods of {cni} have an MTU of {} bytes, and {most} bytes fit through its tunnels between nodes with {node}.",
        mtu.bytes
    );
    let finding = Finding::new(&MTU_TOO_LARGE).what(what).fix(cni.driver().set_mtu(scene, &mtu.source, most));
    Some(finding.with_objects([mtu.source.clone().detail(format!("{} bytes", mtu.bytes))]))
}

const MTU_DIFFERS: Rule = Severity::Risk.rule(
    "mtu-differs",
    "Pods of both networks have different MTUs.",
    "Large packets from one network do not fit into the other.",
    "Use the smaller MTU in both networks until the end.",
);

fn differs(scene: &Scene<'_>, old: &Mtu, new: &Mtu) -> Finding {
    let (from, to) = (scene.from, scene.to);
    let least = old.bytes.min(new.bytes);
    let assumed = match scene.config.transition.node_mtu {
        Some(_) => "",
        None if old.is_set && new.is_set => "",
        None => {
            " This assumes nodes with 1500 bytes; set transition.nodeMtu in the settings file to what they have."
        }
    };
    let what = format!(
        "Pods of {from} have an MTU of {} bytes, and pods of {to} one of {}.{assumed}",
        old.bytes, new.bytes
    );
    let why = format!(
        "A packet of up to {} bytes from one network does not fit into the other. The senders of TCP agree on the smaller size. UDP and tunnels inside pods do not, and a firewall that drops ICMP makes the loss silent.",
        old.bytes.max(new.bytes)
    );
    let (cni, mtu) = if old.bytes > new.bytes { (from, old) } else { (to, new) };
    let later = if cni == from {
        "Pods get it when they are created, so do this well before the migration."
    } else {
        "Remove the setting after the migration."
    };
    let fix = format!(
        "Use the smaller MTU in both networks until the end. {} {later}",
        cni.driver().set_mtu(scene, &mtu.source, least)
    );
    let about = [old, new].map(|mtu| {
        let how = if mtu.is_set { "set" } else { "computed from the nodes' MTU" };
        mtu.source.clone().detail(format!("{} bytes, {how}", mtu.bytes))
    });
    Finding::new(&MTU_DIFFERS).what(what).why(why).fix(fix).with_objects(about)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use serde_json::{Value, json};

    fn case(mode: &str, set: Value, cilium: Value) -> Case {
        let pool = object(Kind::IP_POOL, "p", json!({"spec": {"cidr": "10.0.0.0/16", mode: "Always"}}));
        let calico =
            object(Kind::TIGERA_INSTALLATION, "default", json!({"spec": {"calicoNetwork": {"mtu": set}}}));
        let cilium = object(Kind::CONFIG_MAP, "cilium-config", json!({"data": cilium}));
        Case::new(Cni::Calico, Cni::Cilium, vec![pool, calico, cilium])
    }

    #[test]
    fn the_smaller_mtu_is_for_both() {
        // IPIP adds 20 bytes and VXLAN 50: the numbers of Antrea's issue 5578.
        let findings = case("ipipMode", Value::Null, json!({})).findings(&CHECK);
        assert!(findings[0].what.contains("1480") && findings[0].what.contains("1450"), "{findings:?}");
        assert!(
            findings[0].fix.contains(r#""mtu":1450"#) && findings[0].what.contains("assumes"),
            "{findings:?}"
        );
        assert!(case("vxlanMode", Value::Null, json!({})).codes(&CHECK).is_empty());
        assert!(case("ipipMode", json!(1450), json!({"mtu": "0"})).codes(&CHECK).is_empty());
        let findings = case("ipipMode", json!(1400), json!({})).findings(&CHECK);
        assert!(findings[0].fix.contains("MTU=1400"), "{findings:?}");
        // Cilium encrypts its overlay: both headers count.
        let findings = case("vxlanMode", Value::Null, json!({"enable-wireguard": "true"})).findings(&CHECK);
        assert!(findings[0].what.contains("one of 1370"), "{findings:?}");
    }

    #[test]
    fn an_mtu_must_fit_between_the_nodes() {
        let mut case = case("vxlanMode", json!(8951), json!({"mtu": "8951"}));
        assert!(case.codes(&CHECK).is_empty());
        case.config.transition.node_mtu = Some(9000);
        assert_eq!(case.codes(&CHECK), ["mtu-too-large", "mtu-too-large"]);
        case.config.transition.node_mtu = Some(9001);
        assert!(case.codes(&CHECK).is_empty());
    }
}
