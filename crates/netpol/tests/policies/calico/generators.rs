//! Policies of Calico that use all that its API has.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::CalicoObjects;
use crate::kubernetes;

/// All of a cluster's objects that policies are made of: many of them, or one rule that nothing else hides.
pub(crate) fn written() -> BoxedStrategy<CalicoObjects> {
    let beside = vec(kubernetes::policy(), 0..2);
    let many = (vec(tier(), 0..3), vec(policy(), 1..6), beside, vec(set(), 0..3), vec(host(), 0..2));
    let rule = (rule(), select(vec![None, Some("shop")]), vec(set(), 1..4), vec(host(), 1..3));
    prop_oneof![
        many.prop_map(|(tiers, policies, kubernetes, sets, hosts)| CalicoObjects {
            tiers,
            policies,
            kubernetes,
            sets,
            hosts
        }),
        rule.prop_map(|(rule, namespace, sets, hosts)| {
            let namespace = namespace.map(Value::from).unwrap_or_default();
            let metadata = object([("name", json!("p")), ("namespace", namespace)]);
            let rules = [rule, json!({"action": "Allow", "protocol": "SCTP"})];
            let policy = json!({"metadata": metadata, "spec": {"ingress": rules, "egress": rules}});
            CalicoObjects { policies: vec![policy], sets, hosts, ..CalicoObjects::default() }
        }),
        at_1000(),
        passed(),
    ]
    .boxed()
}

/// A tier that passes something, before a policy that decides.
fn passed() -> impl Strategy<Value = CalicoObjects> {
    let order = select(vec![json!(10), json!(2_000_000)]);
    (tier(), order, rule(), rule()).prop_map(|(mut tier, order, mut passes, decides)| {
        tier["spec"]["order"] = order;
        passes["action"] = json!("Pass");
        let name = tier["metadata"]["name"].as_str().expect("a name");
        let first = [passes, json!({"action": "Deny", "protocol": "SCTP"})];
        let last = [decides, json!({"action": "Allow", "protocol": "UDP"})];
        let policies = vec![
            json!({"metadata": {"name": format!("{name}.p")}, "spec": {"tier": name, "ingress": first, "egress": first}}),
            json!({"metadata": {"name": "p"}, "spec": {"ingress": last, "egress": last}}),
        ];
        CalicoObjects { tiers: vec![tier], policies, ..CalicoObjects::default() }
    })
}

/// Policies of Calico and of Kubernetes at one place in the order.
fn at_1000() -> impl Strategy<Value = CalicoObjects> {
    let name = select(vec!["a", "knp", "z"]);
    let order = select(vec![999.5, 1000.0, 1000.5]);
    let namespace = select(vec![None, Some("office"), Some("shop")]);
    let action = select(vec!["Allow", "Deny"]);
    let policy = (name, order, namespace, action).prop_map(|(name, order, namespace, action)| {
        let namespace = namespace.map(Value::from).unwrap_or_default();
        let metadata = object([("name", json!(name)), ("namespace", namespace)]);
        json!({"metadata": metadata, "spec": {"order": order, "ingress": [{"action": action, "protocol": "TCP"}]}})
    });
    vec(policy, 1..4).prop_map(|policies| {
        let ports = json!([{"port": 80}, {"port": 443}]);
        let policy = json!({"metadata": {"name": "k", "namespace": "shop"}, "spec": {"podSelector": {}, "ingress": [{"ports": ports}]}});
        CalicoObjects { policies, kubernetes: vec![policy], ..CalicoObjects::default() }
    })
}

/// An object without the fields that are null.
pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let present = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(present.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
}

pub(crate) fn maybe<S: Strategy<Value = Value>>(often: f64, some: S) -> impl Strategy<Value = Value> {
    option::weighted(often, some).prop_map(Option::unwrap_or_default)
}

fn tier() -> impl Strategy<Value = Value> {
    let name = select(vec!["security", "platform"]);
    let order = select(vec![json!(null), json!(10), json!(20.5), json!(1_000_000), json!(2_000_000)]);
    let action = select(vec![json!(null), json!("Deny"), json!("Pass")]);
    (name, order, action).prop_map(|(name, order, action)| {
        json!({"metadata": {"name": name}, "spec": object([("order", order), ("defaultAction", action)])})
    })
}

/// A selector over some keys.
pub(crate) fn selector(keys: Vec<&'static str>) -> BoxedStrategy<String> {
    let values = vec!["web", "db", "prod", "test", "frontend", "a", "shop", "office", "default", "k8s"];
    let key = move || select(keys.clone());
    let value = move || select(values.clone());
    let condition = prop_oneof![
        4 => (key(), value()).prop_map(|(key, value)| format!("{key} == '{value}'")),
        2 => (key(), value()).prop_map(|(key, value)| format!("{key}!='{value}'")),
        1 => (key(), vec(value(), 0..3)).prop_map(|(key, values)| format!("{key} in {}", braces(&values))),
        1 => (key(), vec(value(), 0..3)).prop_map(|(key, values)| format!("{key} not in {}", braces(&values))),
        2 => key().prop_map(|key| format!("has({key})")),
        1 => (key(), select(vec!["contains", "starts with", "ends  with"]), select(vec!["d", "o", "eb", ""]))
            .prop_map(|(key, test, text)| format!("{key} {test} '{text}'")),
        2 => Just("all()".to_owned()),
    ];
    condition
        .prop_recursive(2, 5, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(item, other)| format!("{item} && {other}")),
                (inner.clone(), inner.clone()).prop_map(|(item, other)| format!("{item} || {other}")),
                (inner.clone(), inner.clone())
                    .prop_map(|(item, other)| format!("({item} || {other}) && {item}")),
                inner.prop_map(|inner| format!("!({inner})")),
            ]
        })
        .boxed()
}

fn braces(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
    format!("{{{}}}", quoted.join(", "))
}

/// A selector of endpoints and network sets.
fn own() -> impl Strategy<Value = Value> {
    let keys = vec![
        "app",
        "role",
        "env",
        "app",
        "role",
        "projectcalico.org/namespace",
        "projectcalico.org/serviceaccount",
        "projectcalico.org/orchestrator",
        "pcns.team",
        "pcsa.tier",
    ];
    selector(keys).prop_map(Value::from)
}

fn namespaces() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => selector(vec!["team", "env", "projectcalico.org/name", "kubernetes.io/metadata.name"]),
        1 => Just("all()".to_owned()),
        2 => Just("global()".to_owned()),
        1 => Just("global() || team == 'a'".to_owned()),
    ]
    .prop_map(Value::from)
}

fn accounts() -> impl Strategy<Value = Value> {
    let names = vec(select(vec!["web", "default", "absent"]), 0..3).prop_map(Value::from);
    let labels = maybe(0.5, selector(vec!["tier", "projectcalico.org/name"]).prop_map(Value::from));
    (names, labels).prop_map(|(names, selector)| object([("names", names), ("selector", selector)]))
}

fn nets(is_v6: bool) -> impl Strategy<Value = Value> {
    let all = if is_v6 {
        vec!["::/0", "fd00:244::/126", "fd00:244::2", "2001:db8::/64"]
    } else {
        vec!["0.0.0.0/0", "10.244.0.0/16", "10.244.2.0/24", "192.168.1.1/32", "172.16.0.0/12", "10.244.1.2"]
    };
    vec(select(all), 0..3).prop_map(Value::from)
}

fn ports() -> impl Strategy<Value = Value> {
    let port = select(vec![
        json!(80),
        json!("443"),
        json!("1:80"),
        json!("81:8080"),
        json!("0:65535"),
        json!("http"),
        json!("dns"),
        json!(7),
        json!(1024),
        json!("1024:50000"),
        json!(65535),
    ]);
    vec(port, 1..3).prop_map(Value::from)
}

fn entity(is_v6: bool, with_ports: bool) -> BoxedStrategy<Value> {
    (
        maybe(0.35, own()),
        maybe(0.25, namespaces()),
        maybe(0.15, own()),
        maybe(0.2, nets(is_v6)),
        maybe(0.15, nets(is_v6)),
        maybe(0.4, ports()),
        maybe(0.2, ports()),
        maybe(0.15, accounts()),
    )
        .prop_map(move |(selector, namespaces, not, nets, not_nets, ports, not_ports, accounts)| {
            let value_of = |ports: Value| if with_ports { ports } else { json!(null) };
            object([
                ("selector", selector),
                ("namespaceSelector", namespaces),
                ("notSelector", not),
                ("nets", nets),
                ("notNets", not_nets),
                ("ports", value_of(ports)),
                ("notPorts", value_of(not_ports)),
                ("serviceAccounts", accounts),
            ])
        })
        .boxed()
}

fn message() -> impl Strategy<Value = Value> {
    select(vec![
        json!({"type": 8}),
        json!({"type": 8, "code": 0}),
        json!({"type": 128}),
        json!({"type": 3, "code": 4}),
    ])
}

/// What a rule says of protocols: `protocol`, `notProtocol`, `icmp` and `notICMP`, and whether it may have ports.
fn protocols() -> impl Strategy<Value = (Value, Value, Value, Value, bool)> {
    let any = || {
        select(vec![
            json!("TCP"),
            json!("UDP"),
            json!("SCTP"),
            json!(17),
            json!("6"),
            json!("UDPLite"),
            json!(136),
        ])
    };
    let other =
        || select(vec![json!("TCP"), json!("ICMP"), json!(47), json!("ICMPv6"), json!(6), json!("SCTP")]);
    prop_oneof![
        3 => Just((json!(null), json!(null), json!(null), json!(null), false)),
        4 => any().prop_map(|object| (object, json!(null), json!(null), json!(null), true)),
        1 => other().prop_map(|object| (object, json!(null), json!(null), json!(null), false)),
        1 => other().prop_map(|object| (json!(null), object, json!(null), json!(null), false)),
        1 => (any(), other()).prop_map(|(object, other)| (object, other, json!(null), json!(null), true)),
        2 => (select(vec![json!("ICMP"), json!("ICMPv6"), json!(1)]), maybe(0.7, message()), maybe(0.4, message()))
            .prop_map(|(object, message, not)| (object, json!(null), message, not, false)),
    ]
}

fn rule() -> BoxedStrategy<Value> {
    let action = select(vec!["Allow", "Allow", "Allow", "Deny", "Deny", "Pass", "Log"]);
    let version = select(vec![json!(null), json!(null), json!(null), json!(null), json!(4), json!(6)]);
    (action, version, protocols(), any::<bool>())
        .prop_flat_map(|(action, version, protocols, is_v6)| {
            let (protocol, not_protocol, message, not_message, has_ports) = protocols;
            (entity(is_v6, has_ports), entity(is_v6, has_ports)).prop_map(move |(source, destination)| {
                object([
                    ("action", json!(action)),
                    ("ipVersion", version.clone()),
                    ("protocol", protocol.clone()),
                    ("notProtocol", not_protocol.clone()),
                    ("icmp", message.clone()),
                    ("notICMP", not_message.clone()),
                    ("source", source),
                    ("destination", destination),
                    ("metadata", json!({"annotations": {"why": "a test"}})),
                ])
            })
        })
        .boxed()
}

fn policy() -> BoxedStrategy<Value> {
    let tier = select(vec!["default", "default", "security", "platform", ""]);
    let namespace = select(vec![None, None, Some("shop"), Some("shop"), Some("office"), Some("absent")]);
    let order =
        select(vec![json!(null), json!(1), json!(1), json!(999.5), json!(1000), json!(1000), json!(2000)]);
    let types =
        select(vec![json!(null), json!(["Ingress"]), json!(["Egress"]), json!(["Ingress", "Egress"])]);
    let selectors = (
        maybe(0.6, own()),
        maybe(0.3, namespaces()),
        maybe(0.15, selector(vec!["tier"]).prop_map(Value::from)),
    );
    let rules = || maybe(0.8, vec(rule(), 0..3).prop_map(Value::from));
    // With the name of the tier, as the backing resources have it, and without.
    let name = (select(vec!["a", "b", "c", "knp", "z"]), any::<bool>());
    (tier, namespace, order, types, selectors, rules(), rules(), name)
        .prop_map(
            |(
                tier,
                namespace,
                order,
                types,
                (selector, namespaces, account),
                ingress,
                egress,
                (name, is_long),
            )| {
                let prefix = if tier.is_empty() { "default" } else { tier };
                let is_long = is_long || prefix != "default";
                let name = if is_long { format!("{prefix}.{name}") } else { name.to_owned() };
                let tier = if tier.is_empty() { json!(null) } else { json!(tier) };
                let is_global = namespace.is_none();
                let spec = object([
                    ("tier", tier),
                    ("order", order),
                    ("types", types),
                    ("selector", selector),
                    ("namespaceSelector", if is_global { namespaces } else { json!(null) }),
                    ("serviceAccountSelector", account),
                    ("ingress", ingress),
                    ("egress", egress),
                ]);
                let namespace = namespace.map(Value::from).unwrap_or_default();
                json!({"metadata": object([("name", json!(name)), ("namespace", namespace)]), "spec": spec})
            },
        )
        .boxed()
}

fn labels() -> impl Strategy<Value = Value> {
    let key = select(vec!["app", "role", "env", "tier"]);
    let value = select(vec!["web", "db", "prod", "frontend"]);
    proptest::collection::btree_map(key, value, 0..3).prop_map(|labels| json!(labels))
}

fn set() -> impl Strategy<Value = Value> {
    let nets = vec(
        select(vec![
            "10.244.2.0/24",
            "192.168.1.0/24",
            "172.16.0.0/12",
            "198.51.100.7",
            "2001:db8::/64",
            "fd00:244::1",
        ]),
        0..3,
    );
    (select(vec![None, None, Some("shop"), Some("office")]), labels(), nets).prop_map(
        |(namespace, labels, nets)| {
            let namespace = namespace.map(Value::from).unwrap_or_default();
            json!({
                "metadata": object([("name", json!("set")), ("namespace", namespace), ("labels", labels)]),
                "spec": {"nets": nets}
            })
        },
    )
}

fn host() -> impl Strategy<Value = Value> {
    let addresses = vec(select(vec!["192.168.1.1", "192.168.1.2", "203.0.113.1"]), 0..3);
    (labels(), addresses).prop_map(|(labels, addresses)| {
        json!({"metadata": {"name": "host", "labels": labels}, "spec": {"node": "n1", "expectedIPs": addresses}})
    })
}
