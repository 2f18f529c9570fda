//! Policies of known shapes, and what becomes of them.

use netpol::convert::report::Outcome;
use netpol::engines::cilium::Settings;
use netpol::verdict::difference;
use serde_json::{Value, json};

use super::{SETTINGS, converted, read};
use crate::calico::CalicoObjects;
use crate::convert::turned::ConversionResult;

const NAMESPACE: &str = "k8s:io.kubernetes.pod.namespace";

fn global(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": spec})
}

fn in_shop(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

fn turned(policies: &[Value]) -> ConversionResult {
    converted(&CalicoObjects { policies: policies.to_vec(), ..CalicoObjects::default() }, SETTINGS)
}

/// The only object, of which the comparison says that it means what the policies meant, without its selector of pods.
fn same(turned: &ConversionResult) -> Value {
    assert!(turned.difference().is_none(), "{}", turned.explanation().unwrap_or_default());
    let [object] = turned.objects.as_slice() else { panic!("one object: {:?}", turned.objects) };
    let mut spec = object["spec"].clone();
    spec.as_object_mut().expect("one spec").remove("endpointSelector");
    spec
}

fn whys(turned: &ConversionResult) -> Vec<&str> {
    turned.report.entries.iter().filter_map(|entry| entry.why.as_deref()).collect()
}

fn has(turned: &ConversionResult, words: &str) -> bool {
    whys(turned).iter().any(|why| why.contains(words))
}

#[test]
fn what_denies_by_default_still_does() {
    let all = json!({"fromEntities": ["all"]});
    for (spec, expected) in [
        (json!({}), json!({"ingress": [{}]})),
        (json!({"types": ["Ingress"]}), json!({"ingress": [{}]})),
        (json!({"types": ["Egress"]}), json!({"egress": [{}]})),
        (json!({"types": ["Ingress", "Egress"]}), json!({"ingress": [{}], "egress": [{}]})),
        (
            json!({"types": ["Ingress", "Egress"], "ingress": [{"action": "Allow"}]}),
            json!({"ingress": [all], "egress": [{}]}),
        ),
        // A rule of a direction that `types` does not have is none.
        (json!({"types": ["Ingress"], "egress": [{"action": "Allow"}]}), json!({"ingress": [{}]})),
        // A rule that can be about no packet.
        (
            json!({"ingress": [{"action": "Allow", "source": {"selector": "!all()"}}]}),
            json!({"ingress": [{}]}),
        ),
        (json!({"ingress": [{"action": "Deny"}]}), json!({"ingress": [{}]})),
    ] {
        let (near, far) = (turned(&[in_shop("p", spec.clone())]), turned(&[global("p", spec.clone())]));
        assert_eq!((same(&near), same(&far)), (expected.clone(), expected), "{spec}");
        assert_eq!(near.objects[0]["kind"], "CiliumNetworkPolicy");
        assert_eq!(near.objects[0]["spec"]["endpointSelector"], json!({}));
        assert_eq!(far.objects[0]["kind"], "CiliumClusterwideNetworkPolicy");
        // Not the endpoints of Cilium's own, which have no namespace.
        let exists = json!({"matchExpressions": [{"key": NAMESPACE, "operator": "Exists"}]});
        assert_eq!(far.objects[0]["spec"]["endpointSelector"], exists);
    }
}

#[test]
fn a_denial_before_what_allows_is_exact() {
    let deny = json!({"action": "Deny", "source": {"selector": "app == 'job'"}});
    let (allow, deny_all) = (json!({"action": "Allow"}), json!({"action": "Deny"}));
    let conversion = turned(&[global("p", json!({"ingress": [deny, allow, deny_all]}))]);
    let job = json!([{"fromEndpoints": [{"matchLabels": {"k8s:app": "job"}, "matchExpressions": [{"key": NAMESPACE, "operator": "Exists"}]}]}]);
    assert_eq!(same(&conversion), json!({"ingressDeny": job, "ingress": [{"fromEntities": ["all"]}]}));
    // In two policies: the first one denies, the second one allows.
    let two = [
        global("a", json!({"order": 1, "ingress": [deny]})),
        global("b", json!({"order": 2, "ingress": [allow]})),
    ];
    let two = turned(&two);
    assert!(two.difference().is_none(), "{}", two.explanation().unwrap_or_default());
    assert_eq!((two.objects.len(), two.objects[0]["spec"]["ingressDeny"].clone()), (2, job));
    assert!(!has(&two, "before it"));
}

#[test]
fn a_denial_after_what_allows_is_left_to_the_default() {
    let rules = [
        json!({"action": "Allow", "protocol": "TCP"}),
        json!({"action": "Deny", "source": {"selector": "app == 'job'"}}),
    ];
    let conversion = turned(&[global("p", json!({"ingress": rules}))]);
    assert!(same(&conversion).get("ingressDeny").is_none());
    // Ports that have nothing in common, and other pods, are no reason to write it.
    let other =
        json!({"order": 2, "selector": "app == 'x'", "ingress": [{"action": "Allow", "protocol": "UDP"}]});
    let rules = [json!({"action": "Allow", "protocol": "TCP"}), json!({"action": "Deny", "protocol": "TCP"})];
    let two = turned(&[global("a", json!({"order": 1, "ingress": rules})), global("b", other)]);
    assert!(two.difference().is_none(), "{}", two.explanation().unwrap_or_default());
    assert!(two.objects[0]["spec"].get("ingressDeny").is_none());
}

#[test]
fn a_denial_between_what_allows_is_found_different_and_told() {
    let allow = |protocol: &str| json!({"action": "Allow", "protocol": protocol});
    let rules =
        [allow("TCP"), json!({"action": "Deny", "source": {"selector": "app == 'job'"}}), allow("UDP")];
    let conversion = turned(&[global("p", json!({"ingress": rules}))]);
    assert!(
        conversion.explanation().expect("a difference").contains("ingressDeny[0]"),
        "{:?}",
        conversion.explanation()
    );
    assert!(has(&conversion, "a rule before it may let through what it denies"));
    let [entry] = conversion.report.entries.as_slice() else {
        panic!("one entry: {:?}", conversion.report.entries)
    };
    assert_eq!((&*entry.field, entry.outcome), ("spec.ingress[1].action", Outcome::Expanded));
}

#[test]
fn tiers_that_pass_deny_nothing_by_default() {
    let tier = |action: &str| json!({"metadata": {"name": "security"}, "spec": {"order": 10, "defaultAction": action}});
    let deny = json!({"action": "Deny", "source": {"selector": "app == 'job'"}});
    let last = global("p", json!({"ingress": [{"action": "Allow", "protocol": "TCP"}]}));
    let first = |rules: Vec<Value>| global("security.p", json!({"tier": "security", "ingress": rules}));
    let turned_of = |action: &str, rules: Vec<Value>, settings: Settings| {
        let policies = vec![first(rules), last.clone()];
        converted(
            &CalicoObjects { tiers: vec![tier(action)], policies, ..CalicoObjects::default() },
            settings,
        )
    };
    let by_rule = vec![deny.clone(), json!({"action": "Pass"})];
    for turned in
        [turned_of("Deny", by_rule.clone(), SETTINGS), turned_of("Pass", vec![deny.clone()], SETTINGS)]
    {
        assert!(turned.difference().is_none(), "{}", turned.explanation().unwrap_or_default());
        let security = turned
            .objects
            .iter()
            .find(|object| object["spec"].get("ingressDeny").is_some())
            .expect("a denial");
        assert_eq!(security["spec"]["enableDefaultDeny"], json!({"ingress": false}));
        assert!(security["spec"].get("ingress").is_none());
    }
    // Without the rule that passes, the tier drops what the last one allows.
    let closed = turned_of("Deny", vec![deny], SETTINGS);
    assert!(closed.difference().is_some() && has(&closed, "what a policy of a later tier allows is allowed"));
    // 1.15 has no such field, and the API server would drop it in silence.
    let old = turned_of("Deny", by_rule, Settings { has_port_ranges: false, ..SETTINGS });
    assert!(has(&old, "no enableDefaultDeny") && old.difference().is_none());
    // What passes in the last tier is allowed.
    let passes = json!([{"action": "Pass", "protocol": "TCP"}, {"action": "Deny"}]);
    let passed = same(&turned(&[global("p", json!({"ingress": passes}))]));
    assert_eq!(passed["ingress"][0]["toPorts"], json!([{"ports": [{"port": "0", "protocol": "TCP"}]}]));
}

#[test]
fn ports_are_split_and_named() {
    let ports: Vec<u16> = (0..41).map(|number| 1000 + 2 * number).collect();
    let rule =
        |ports: Value| json!([{"action": "Allow", "protocol": "TCP", "destination": {"ports": ports}}]);
    let many = same(&turned(&[in_shop("p", json!({"ingress": rule(json!(ports))}))]));
    let lengths: Vec<usize> = many["ingress"][0]["toPorts"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|object| object["ports"].as_array().expect("ports").len())
        .collect();
    assert_eq!(lengths, [40, 1]);
    let named = same(&turned(&[in_shop("p", json!({"ingress": rule(json!(["http", "0:80"]))}))]));
    let expected =
        json!([{"port": "1", "endPort": 80, "protocol": "TCP"}, {"port": "http", "protocol": "TCP"}]);
    assert_eq!(named["ingress"][0]["toPorts"][0]["ports"], expected);
    // The name of a port that pods send to is one number of the cluster, and this town's pods have two.
    let sent = turned(&[in_shop("p", json!({"egress": rule(json!(["http"]))}))]);
    assert!(sent.difference().is_some() && has(&sent, "for every receiver"));
    let capital = turned(&[in_shop("p", json!({"ingress": rule(json!(["HTTP"]))}))]);
    assert!(has(&capital, "no container port has such a name"));
    let old = Settings { has_port_ranges: false, ..SETTINGS };
    let turned_of = |ports: &str| {
        let policies = vec![in_shop("p", json!({"ingress": rule(json!([ports]))}))];
        converted(&CalicoObjects { policies, ..CalicoObjects::default() }, old)
    };
    let few = same(&turned_of("80:82"));
    assert_eq!(few["ingress"][0]["toPorts"][0]["ports"].as_array().expect("ports").len(), 3);
    assert!(has(&turned_of("80:120"), "reads no ranges of ports"));
}

#[test]
fn messages_have_types() {
    let rule = |message: Value, source: &str| {
        let mut rule = json!({"action": "Allow", "protocol": "ICMP", "source": {"selector": source}});
        if !message.is_null() {
            rule["icmp"] = message;
        }
        turned(&[in_shop("p", json!({"ingress": [rule]}))])
    };
    let echo = same(&rule(json!({"type": 8}), "app == 'a'"));
    assert_eq!(echo["ingress"][0]["icmps"], json!([{"fields": [{"family": "IPv4", "type": 8}]}]));
    assert!(has(&rule(json!({"type": 8, "code": 0}), ""), "by their types alone"));
    let every = same(&rule(json!(null), ""));
    assert_eq!(every["ingress"][0]["icmps"].as_array().expect("entries").len(), 7);
    assert!(has(&rule(json!(null), "app == 'a'"), "policy maps"));
}

#[test]
fn ranges_are_what_their_addresses_are() {
    let turned_of = |destination: Value| {
        turned(&[in_shop("p", json!({"egress": [{"action": "Allow", "destination": destination}]}))])
    };
    let nets = |nets: &[&str]| turned_of(json!({"nets": nets}));
    let outside = json!([{"toCIDRSet": [{"cidr": "172.16.0.0/12"}]}]);
    assert_eq!(same(&nets(&["172.16.0.0/12"]))["egress"], outside);
    assert_eq!(same(&nets(&["0.0.0.0/0", "::/0"]))["egress"], json!([{"toEntities": ["all"]}]));
    let except = same(&turned_of(json!({"notNets": ["10.244.0.0/16", "192.168.1.0/24", "fd00:244::/64"]})));
    let expected = json!([{"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16", "192.168.1.0/24"]}, {"cidr": "::/0", "except": ["fd00:244::/64"]}]);
    assert_eq!(except["egress"][0]["toCIDRSet"], expected);
    let pods = same(&nets(&["10.0.0.0/8", "fd00:244::/64"]));
    let exists = json!({"matchExpressions": [{"key": NAMESPACE, "operator": "Exists"}]});
    assert_eq!(pods["egress"], json!([{"toEndpoints": [exists]}, {"toCIDRSet": [{"cidr": "10.0.0.0/8"}]}]));
    let nodes = nets(&["192.168.0.0/16"]);
    let expected =
        json!([{"toCIDRSet": [{"cidr": "192.168.0.0/16"}]}, {"toEntities": ["host", "remote-node"]}]);
    assert_eq!(same(&nodes)["egress"], expected);
    assert_eq!(nodes.report.entries[0].outcome, Outcome::Snapshot);
    for (turned, words) in [
        (nets(&["0.0.0.0/0"]), "the addresses of some pods"),
        (nets(&["10.244.1.2/32"]), "the addresses of some pods"),
        (nets(&["192.168.1.1/32"]), "the addresses of some nodes"),
        (turned_of(json!({"notNets": ["172.16.0.0/12"]})), "the addresses of some pods"),
    ] {
        assert!(has(&turned, words), "{:?}", whys(&turned));
        assert_eq!(same(&turned), json!({"egress": [{}]}), "the rest still denies by default");
    }
    let policies = vec![in_shop(
        "p",
        json!({"egress": [{"action": "Allow", "destination": {"nets": ["192.168.1.1/32"]}}]}),
    )];
    let set = converted(
        &CalicoObjects { policies, ..CalicoObjects::default() },
        Settings { ranges_match_nodes: true, ..SETTINGS },
    );
    assert_eq!(same(&set)["egress"], json!([{"toCIDRSet": [{"cidr": "192.168.1.1/32"}]}]));
}

#[test]
fn network_sets_are_written_out() {
    let set = json!({"metadata": {"name": "s", "labels": {"kind": "bank"}}, "spec": {"nets": ["198.51.100.7", "2001:db8::/64"]}});
    let policies = vec![global(
        "p",
        json!({"egress": [{"action": "Allow", "destination": {"selector": "kind == 'bank'"}}]}),
    )];
    let turned =
        converted(&CalicoObjects { policies, sets: vec![set], ..CalicoObjects::default() }, SETTINGS);
    let ranges = json!([{"cidr": "198.51.100.7/32"}, {"cidr": "2001:db8::/64"}]);
    assert_eq!(same(&turned)["egress"][1], json!({"toCIDRSet": ranges}));
    assert!(turned.report.entries.iter().any(|entry| entry.outcome == Outcome::Snapshot));
}

/// A selector of nothing but negations would also select nodes and everybody outside.
#[test]
fn peers_of_other_namespaces_are_pods() {
    for namespaces in ["all()", "team != 'a'", "projectcalico.org/name != 'shop'", "!has(team)"] {
        for place in [global, in_shop] {
            let spec = json!({"ingress": [{"action": "Allow", "source": {"namespaceSelector": namespaces}}]});
            let turned = turned(&[place("p", spec)]);
            same(&turned);
            let selector = &turned.objects[0]["spec"]["ingress"][0]["fromEndpoints"][0];
            let mut requests = selector["matchExpressions"].as_array().expect("expressions").clone();
            assert_eq!(requests.pop(), Some(json!({"key": NAMESPACE, "operator": "Exists"})));
            // Without it the comparison finds the nodes.
            if namespaces.contains("name") {
                let mut objects = turned.objects.clone();
                objects[0]["spec"]["ingress"][0]["fromEndpoints"][0]["matchExpressions"] = json!(requests);
                let (_, evaluate) = read(&objects, &[], SETTINGS);
                let difference = difference(&turned.world, &turned.before, &evaluate(&turned.world))
                    .expect("a difference");
                assert!(difference.after.allowed && !turned.world.pods().has(difference.peer));
            }
        }
    }
}

#[test]
fn a_policy_keeps_its_name() {
    let either = global("either", json!({"selector": "app == 'a' || role == 'b'", "types": ["Ingress"]}));
    let narrow = json!({"action": "Allow", "destination": {"selector": "role == 'db'"}});
    let narrowed = in_shop("narrowed", json!({"ingress": [narrow]}));
    let turned = turned(&[either, narrowed]);
    assert!(turned.difference().is_none(), "{}", turned.explanation().unwrap_or_default());
    let names: Vec<&Value> = turned.objects.iter().map(|value| &value["metadata"]["name"]).collect();
    assert_eq!(names, ["either", "narrowed"]);
    for object in &turned.objects {
        assert_eq!(object["specs"].as_array().map(Vec::len), Some(2), "{object}");
        assert!(object.get("spec").is_none());
    }
    // The same name in two tiers: neither has it.
    let tier = json!({"metadata": {"name": "security"}, "spec": {"order": 10}});
    let policies = ["default.p", "security.p"]
        .map(|name| global(name, json!({"tier": name.trim_end_matches(".p"), "types": ["Ingress"]})));
    let both = converted(
        &CalicoObjects { tiers: vec![tier], policies: policies.into(), ..CalicoObjects::default() },
        SETTINGS,
    );
    let names: Vec<&str> =
        both.objects.iter().filter_map(|value| value["metadata"]["name"].as_str()).collect();
    assert!(
        names.len() == 2 && names[0] != names[1] && names.iter().all(|name| name.starts_with("p-")),
        "{names:?}"
    );
}

#[test]
fn labels_that_cilium_filters_are_noted() {
    let rule = json!({"action": "Allow", "source": {"selector": "has(pod-template-hash)"}});
    let turned =
        turned(&[in_shop("p", json!({"selector": "kubernetes.io/os == 'linux'", "ingress": [rule]}))]);
    let noted: Vec<_> = turned.report.entries.iter().map(|entry| (&*entry.field, entry.outcome)).collect();
    assert_eq!(noted, [("spec.selector", Outcome::Snapshot), ("spec.ingress[0].source", Outcome::Snapshot)]);
}
