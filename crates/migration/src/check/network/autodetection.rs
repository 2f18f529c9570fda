//! Calico's search for a node's address, which must not find an interface of the new CNI.
//!
//! *Source*: Calico's documentation, "Configure IP autodetection"; node/pkg/lifecycle/startup/autodetection; Cilium's migration guide, which says this of
//! `cilium_host`. A published migration lost two minutes of traffic this way.

use regex::Regex;
use serde_json::Value;
use snapshot::model::{Kind, Object, Snapshot};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::support::Cni;
use crate::cni::{calico, network};
use snapshot::Range;

pub(in crate::check) const CHECK: Check = Check {
    name: "autodetection",
    rules: &[&AUTODETECTION_NEW_INTERFACE, &AUTODETECTION_UNREADABLE],
    needs: &[Need::From(Cni::Calico, Kind::DAEMON_SET), Need::From(Cni::Calico, Kind::TIGERA_INSTALLATION)],
    run,
};

/// How Calico finds a node's address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Method {
    /// The first interface that no built-in rule skips.
    First,
    /// From the Node object, or by the route to an address: never by the name of an interface.
    Other,
    /// The first interface whose name matches one of these.
    Interface(Vec<String>),
    /// The first interface whose name matches none of these.
    Skip(Vec<String>),
    /// The first interface with an address in one of these ranges.
    Cidr(Vec<String>),
}

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let names = scene.to.facts().interfaces;
    if scene.from != Cni::Calico || names.is_empty() || calico::is_policy_only(scene.snapshot) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (method, subject) in methods(scene.snapshot) {
        match chosen_interface(&method, names, scene) {
            Ok(None) => {}
            Ok(Some(name)) => findings.push(taking(scene, &name, subject)),
            Err(why) => findings.push(find_unreadable(&why, subject)),
        }
    }
    findings
}

/// The methods of both families: what the DaemonSet says counts, since the operator writes it there.
fn methods(snapshot: &Snapshot) -> Vec<(Method, Subject)> {
    if let Some(node) = calico::node(snapshot) {
        let method_of = |(address, method): (&str, &str)| {
            let is_fixed =
                network::variable(node, address).is_some_and(|value| !matches!(value, "autodetect" | ""));
            // Without the variable of IPv6, Calico looks for no address of that family.
            let is_off = address == "IP6" && network::variable(node, address).is_none_or(str::is_empty);
            if is_fixed || is_off {
                return None;
            }
            let text = network::variable(node, method).unwrap_or_default();
            let shown = if text.is_empty() { "not set, which means first-found" } else { text };
            let subject =
                Subject::from_meta(Kind::DAEMON_SET, &node.metadata).detail(format!("{method}: {shown}"));
            Some((from_text(text), subject))
        };
        return [("IP", "IP_AUTODETECTION_METHOD"), ("IP6", "IP6_AUTODETECTION_METHOD")]
            .into_iter()
            .filter_map(method_of)
            .collect();
    }
    let Some(installation) = calico::installation(snapshot) else {
        return vec![(Method::First, settings_subject())];
    };
    let has_v6 = installation
        .list("/spec/calicoNetwork/ipPools")
        .iter()
        .any(|pool| pool.get("cidr").and_then(Value::as_str).is_some_and(|cidr| cidr.contains(':')));
    let keys = if has_v6 {
        &["nodeAddressAutodetectionV4", "nodeAddressAutodetectionV6"][..]
    } else {
        &["nodeAddressAutodetectionV4"]
    };
    let method_of = |key: &&str| {
        let subject = network::subject(Kind::TIGERA_INSTALLATION, installation)
            .detail(format!("spec.calicoNetwork.{key}"));
        (from_object(installation, key), subject)
    };
    keys.iter().map(method_of).collect()
}

fn settings_subject() -> Subject {
    Subject::new(Kind::DAEMON_SET, "calico-node")
        .detail("not in the snapshot: the default, first-found, is assumed")
}

fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn from_text(text: &str) -> Method {
    match text.split_once('=') {
        Some(("interface", names)) => Method::Interface(split_list(names)),
        Some(("skip-interface", names)) => Method::Skip(split_list(names)),
        Some(("cidr", ranges)) => Method::Cidr(split_list(ranges)),
        Some(_) => Method::Other,
        None if text.is_empty() || text == "first-found" => Method::First,
        None => Method::Other,
    }
}

fn from_object(installation: &Object, key: &str) -> Method {
    let text_at =
        |field: &str| installation.text(&format!("/spec/calicoNetwork/{key}/{field}")).unwrap_or_default();
    let ranges: Vec<String> =
        installation.texts(&format!("/spec/calicoNetwork/{key}/cidrs")).map(str::to_owned).collect();
    if !text_at("kubernetes").is_empty() || !text_at("canReach").is_empty() {
        Method::Other
    } else if !text_at("interface").is_empty() {
        Method::Interface(split_list(text_at("interface")))
    } else if !text_at("skipInterface").is_empty() {
        Method::Skip(split_list(text_at("skipInterface")))
    } else if !ranges.is_empty() {
        Method::Cidr(ranges)
    } else {
        Method::First
    }
}

/// The interface of the new CNI that the method may take.
fn chosen_interface(method: &Method, names: &[&str], scene: &Scene<'_>) -> Result<Option<String>, String> {
    let first =
        |does: &dyn Fn(&str) -> bool| names.iter().find(|name| does(name)).map(|name| (*name).to_owned());
    let compiled = |all: &[String]| -> Result<Vec<Regex>, String> {
        all.iter()
            .map(|item| Regex::new(item).map_err(|_| format!("{item:?} is no regular expression")))
            .collect()
    };
    Ok(match method {
        Method::First => names.first().map(|name| (*name).to_owned()),
        Method::Other => None,
        Method::Interface(all) => {
            let all = compiled(all)?;
            first(&|name| all.iter().any(|pattern| pattern.is_match(name)))
        }
        Method::Skip(all) => {
            let all = compiled(all)?;
            first(&|name| !all.iter().any(|pattern| pattern.is_match(name)))
        }
        Method::Cidr(ranges) => {
            let claims = crate::cni::cidr::gather(scene);
            let mut read = ranges.iter().map(|range| {
                Range::read(range).map(|(range, _)| range).map_err(|why| format!("{range}: {why}"))
            });
            let overlap = |range: Range| {
                claims.all.iter().any(|claim| claim.usage.is_new() && claim.range.overlaps(range))
            };
            let mut is_taken = false;
            read.try_for_each(|range| range.map(|range| is_taken |= overlap(range)))?;
            names.first().filter(|_| is_taken).map(|name| (*name).to_owned())
        }
    })
}

const AUTODETECTION_NEW_INTERFACE: Rule = Severity::Blocks.rule(
    "autodetection-new-interface",
    "Calico's search for the node's address may find an interface of the new CNI.",
    "Calico announces that address, and traffic between nodes stops.",
    "Let Calico take the address of the Node object, before the new CNI is installed.",
);

fn taking(scene: &Scene<'_>, interface: &str, subject: Subject) -> Finding {
    let to = scene.to;
    let what = format!("Calico may take {interface}, an interface of {to}, for the node's own.");
    let why = format!(
        "Once {to} runs, calico-node may find the address of {interface} when it starts or looks again. It then announces this address to all nodes, and traffic between nodes stops until an operator corrects it."
    );
    let is_v6 = subject.detail.contains("IP6") || subject.detail.contains("V6");
    let fix = if calico::installation(scene.snapshot).is_some() {
        let name = calico::installation(scene.snapshot).map(Object::name).unwrap_or_default();
        let key = if is_v6 { "nodeAddressAutodetectionV6" } else { "nodeAddressAutodetectionV4" };
        format!(
            r#"Before {to} is installed: kubectl patch installations.operator.tigera.io {name} --type merge -p '{{"spec":{{"calicoNetwork":{{"{key}":{{"firstFound":null,"interface":null,"skipInterface":null,"cidrs":null,"kubernetes":"NodeInternalIP"}}}}}}}}'"#
        )
    } else {
        let variable = if is_v6 { "IP6_AUTODETECTION_METHOD" } else { "IP_AUTODETECTION_METHOD" };
        let namespace = if subject.namespace.is_empty() { "kube-system" } else { &subject.namespace };
        format!(
            "Before {to} is installed: kubectl -n {namespace} set env daemonset/calico-node {variable}=kubernetes-internal-ip && kubectl -n {namespace} rollout status daemonset/calico-node. The agents restart one after the other; pods keep their connections."
        )
    };
    Finding::new(&AUTODETECTION_NEW_INTERFACE).what(what).why(why).fix(fix).with_objects([subject])
}

const AUTODETECTION_UNREADABLE: Rule = Severity::Risk.rule(
    "autodetection-unreadable",
    "Crossfade cannot read Calico's method.",
    "If Calico takes an interface of the new CNI for the node's own, traffic between nodes stops.",
    "Use the address of the Node object: kubernetes-internal-ip in the DaemonSet's variable, or kubernetes: NodeInternalIP in the operator's Installation.",
);

fn find_unreadable(why: &str, subject: Subject) -> Finding {
    Finding::new(&AUTODETECTION_UNREADABLE)
        .what(format!("Crossfade cannot read how Calico finds the node's address: {why}."))
        .with_objects([subject])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use serde_json::json;

    fn daemon_set(variables: &[(&str, &str)]) -> (Kind, Value) {
        let env: Vec<Value> =
            variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let container = json!({"name": "calico-node", "image": "calico/node:v3.26.1", "env": env});
        let metadata = json!({"namespace": "kube-system"});
        object(
            Kind::DAEMON_SET,
            "calico-node",
            json!({"metadata": metadata, "spec": {"template": {"spec": {"containers": [container]}}}}),
        )
    }

    fn list_codes(to: Cni, objects: Vec<(Kind, Value)>) -> Vec<&'static str> {
        Case::new(Cni::Calico, to, objects).codes(&CHECK)
    }

    #[test]
    fn a_method_finds_an_interface_of_the_new_cni_or_not() {
        const NEW: &str = "autodetection-new-interface";
        for (method, to, expected) in [
            ("", Cni::Cilium, Some(NEW)),
            ("first-found", Cni::Cilium, Some(NEW)),
            ("first-found", Cni::Antrea, Some(NEW)),
            ("first-found", Cni::Calico, None),
            ("kubernetes-internal-ip", Cni::Cilium, None),
            ("can-reach=8.8.8.8", Cni::Cilium, None),
            ("interface=eth0", Cni::Cilium, None),
            ("interface=eth.*,cilium.*", Cni::Cilium, Some(NEW)),
            ("interface=.*", Cni::Antrea, Some(NEW)),
            ("skip-interface=cilium.*,docker.*", Cni::Cilium, None),
            // cilium_net is left, and has no address that Calico could take.
            ("skip-interface=cilium_host", Cni::Cilium, None),
            ("skip-interface=cilium_net", Cni::Cilium, Some(NEW)),
            ("skip-interface=docker.*", Cni::Cilium, Some(NEW)),
            ("interface=(", Cni::Cilium, Some("autodetection-unreadable")),
        ] {
            let set = daemon_set(&[("IP", "autodetect"), ("IP_AUTODETECTION_METHOD", method)]);
            assert_eq!(list_codes(to, vec![set]), Vec::from_iter(expected), "{method} {to}");
        }
    }

    #[test]
    fn a_range_finds_the_new_network_only_if_it_overlaps() {
        let cilium = || {
            object(
                Kind::CONFIG_MAP,
                "cilium-config",
                json!({"data": {"cluster-pool-ipv4-cidr": "10.20.0.0/16"}}),
            )
        };
        for (range, count) in [("cidr=10.0.0.0/8", 1), ("cidr=192.168.0.0/16", 0), ("cidr=10.20.3.0/24", 1)] {
            let set = daemon_set(&[("IP_AUTODETECTION_METHOD", range)]);
            assert_eq!(list_codes(Cni::Cilium, vec![set, cilium()]).len(), count, "{range}");
        }
    }

    #[test]
    fn no_address_is_looked_for_where_it_is_fixed_or_policies_are_all() {
        assert_eq!(list_codes(Cni::Cilium, vec![daemon_set(&[("IP", "10.0.0.1")])]), [""; 0]);
        assert_eq!(
            list_codes(Cni::Cilium, vec![daemon_set(&[("CALICO_NETWORKING_BACKEND", "none")])]),
            [""; 0]
        );
        let both = daemon_set(&[
            ("IP", "autodetect"),
            ("IP6", "autodetect"),
            ("IP_AUTODETECTION_METHOD", "kubernetes-internal-ip"),
        ]);
        let case = Case::new(Cni::Calico, Cni::Cilium, vec![both]);
        let findings = case.findings(&CHECK);
        assert!(findings.len() == 1 && findings[0].fix.contains("IP6_AUTODETECTION_METHOD="), "{findings:?}");
    }

    #[test]
    fn the_operator_says_it_in_its_installation() {
        let installation = |detection: Value| {
            object(
                Kind::TIGERA_INSTALLATION,
                "default",
                json!({"spec": {"calicoNetwork": {"nodeAddressAutodetectionV4": detection}}}),
            )
        };
        for (detection, count) in [
            (json!({"firstFound": true}), 1),
            (json!({"kubernetes": "NodeInternalIP"}), 0),
            (json!({"skipInterface": "cilium.*"}), 0),
            (json!({"interface": "eth0"}), 0),
            (json!({"cidrs": ["10.0.0.0/8"]}), 0),
        ] {
            assert_eq!(
                list_codes(Cni::Cilium, vec![installation(detection.clone())]).len(),
                count,
                "{detection}"
            );
        }
        // What the operator wrote into the DaemonSet counts, and the fix is in the Installation.
        let case = Case::new(
            Cni::Calico,
            Cni::Cilium,
            vec![installation(json!({"firstFound": true})), daemon_set(&[])],
        );
        assert!(case.findings(&CHECK)[0].fix.contains("installations.operator.tigera.io default"));
    }
}
