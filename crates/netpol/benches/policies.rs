//! Time and memory to see that two sets of policies mean the same: one as Calico enforces it, and one of Kubernetes.
//!
//!     cargo bench -p netpol --bench policies -- [POLICIES PODS]      several pairs; by default 1000 10000 and 5000 100000
//!
//! Prints a JSON line for each pair.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may read files and the clock"
)]

use std::time::Instant;

use netpol::engines::calico;
use netpol::engines::kubernetes::{self, Blocks};
use netpol::tier::{Direction, Enforcement};
use netpol::verdict;
use netpol::world::{Cluster, Namespace, Node, Pod, Port, World};
use serde_json::{Value, json};
use snapshot::Range;
use snapshot::model::{Labels, Text};

/// Pods of one namespace, on average.
const PER_NAMESPACE: usize = 100;

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let pairs = if numbers.is_empty() { vec![1000, 10_000, 5000, 100_000] } else { numbers };
    for pair in pairs.chunks_exact(2) {
        println!("{}", measured(pair[0], pair[1]));
    }
}

fn measured(policies: usize, pods: usize) -> Value {
    let cluster = cluster(pods);
    let (old, new) = written(policies, cluster.namespaces.len());
    let began = Instant::now();
    let old: Vec<_> =
        old.iter().map(|object| calico::read_policy(object).expect("a policy of Calico")).collect();
    let mut new: Vec<_> =
        new.iter().map(|object| kubernetes::read(object).expect("a NetworkPolicy")).collect();
    let input = calico::Input { policies: &old, namespaces: &cluster.namespaces, ..calico::Input::default() };
    let mentions =
        calico::mentions(&input).expect("selectors").with(kubernetes::mentions(&new).expect("selectors"));
    let world = World::new(&cluster, &mentions);
    let built = began.elapsed();
    let before = calico::enforcement(&input, &world).expect("tiers");
    let after = kubernetes_of(&new, &world);
    let read = began.elapsed();
    let equal = verdict::difference(&world, &before, &after);
    let done = began.elapsed();
    assert!(equal.is_none(), "{}", equal.map(|item| item.words(&world)).unwrap_or_default());
    // The last policy is another one: the comparison finds it, and names a packet.
    new.pop();
    let other = verdict::difference(&world, &before, &kubernetes_of(&new, &world));
    json!({
        "policies": policies,
        "pods": pods,
        "parties": world.len(),
        "worldSeconds": built.as_secs_f64(),
        "readSeconds": (read - built).as_secs_f64(),
        "equalSeconds": (done - read).as_secs_f64(),
        "seconds": done.as_secs_f64(),
        "peakMiB": peak_mib(),
        "difference": other.expect("a difference").words(&world),
    })
}

fn kubernetes_of(policies: &[kubernetes::Policy], world: &World) -> Enforcement {
    let blocks = Blocks { pods: true, nodes: true, names_of_cluster: false };
    let tiers_of = |direction| vec![kubernetes::tier(policies, world, direction, blocks).expect("selectors")];
    Enforcement { ingress: tiers_of(Direction::Ingress), egress: tiers_of(Direction::Egress) }
}

fn labels(pairs: &[(&str, String)]) -> Labels {
    pairs.iter().map(|(key, value)| (Text::from(*key), Text::from(value.as_str()))).collect()
}

fn namespace(number: usize) -> Text {
    format!("ns-{number}").into()
}

/// Pods of both families, each with labels that it shares with some and with one of its own.
fn cluster(pods: usize) -> Cluster {
    let count = (pods / PER_NAMESPACE).max(1);
    let namespaces = (0..count).map(|number| Namespace {
        name: namespace(number),
        labels: labels(&[("team", format!("t{}", number % 20)), ("stage", format!("s{}", number % 3))]),
    });
    let pod = |number: usize| {
        let number_of_ip = u32::try_from(number + 2).expect("fewer pods than addresses");
        Pod {
            namespace: namespace(number % count),
            name: format!("pod-{number}").into(),
            labels: labels(&[
                ("app", format!("app-{}", number / count % 12)),
                ("tier", format!("tier-{}", number % 4)),
                ("pod-template-hash", format!("{number:x}")),
            ]),
            account: "default".into(),
            account_labels: Labels::new(),
            addresses: vec![
                std::net::Ipv4Addr::from(0x0a40_0000 + number_of_ip).into(),
                std::net::Ipv6Addr::from(0xfd00_0064_u128 << 96 | u128::from(number_of_ip)).into(),
            ],
            ports: vec![Port { protocol: 6, name: "http".into(), number: 8080 }],
            ..Pod::default()
        }
    };
    let range = |text: &str| Range::read(text).expect("a range").0;
    let node = |number: u16| Node {
        name: format!("n{number}").into(),
        addresses: vec![std::net::Ipv4Addr::from(0xc0a8_0000 + u32::from(number)).into()],
    };
    Cluster {
        namespaces: namespaces.collect(),
        pods: (0..pods).map(pod).collect(),
        nodes: (1..=1000).map(node).collect(),
        pod_ranges: vec![range("10.64.0.0/12"), range("fd00:64::/64")],
    }
}

/// The same policies for Calico and for Kubernetes.
fn written(policies: usize, namespaces: usize) -> (Vec<Value>, Vec<Value>) {
    (0..policies).map(|number| pair(number, namespaces)).unzip()
}

fn pair(number: usize, namespaces: usize) -> (Value, Value) {
    let metadata = json!({"name": format!("p{number}"), "namespace": &*namespace(number % namespaces)});
    let (app, other, team) =
        (format!("app-{}", number % 12), format!("app-{}", (number + 5) % 12), format!("t{}", number % 20));
    let port = 1000 + number % 60_000;
    let net = format!("172.{}.{}.0/24", 16 + number % 16, number / 16 % 256);
    let calico = json!({
        "selector": format!("app == '{app}'"),
        "types": ["Ingress", "Egress"],
        "ingress": [
            {"action": "Allow", "protocol": "TCP", "source": {"selector": format!("app == '{other}' || !has(app)")}, "destination": {"ports": [port, "8000:8100"]}},
            {"action": "Allow", "protocol": "UDP", "source": {"namespaceSelector": format!("team == '{team}'"), "selector": "tier in {'tier-1', 'tier-2'}"}},
        ],
        "egress": [
            {"action": "Allow", "protocol": "TCP", "destination": {"nets": [net], "ports": [443]}},
            {"action": "Allow", "protocol": "UDP", "destination": {"namespaceSelector": "projectcalico.org/name == 'ns-0'", "ports": [53]}},
        ],
    });
    let selected = |key: &str, value: &str| json!({"matchLabels": {key: value}});
    let kubernetes = json!({
        "podSelector": selected("app", &app),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [
                    {"podSelector": selected("app", &other)},
                    {"podSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}},
                ],
                "ports": [{"port": port}, {"port": 8000, "endPort": 8100}],
            },
            {
                "from": [{
                    "namespaceSelector": selected("team", &team),
                    "podSelector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["tier-1", "tier-2"]}]},
                }],
                "ports": [{"protocol": "UDP"}],
            },
        ],
        "egress": [
            {"to": [{"ipBlock": {"cidr": net}}], "ports": [{"port": 443}]},
            {"to": [{"namespaceSelector": selected("kubernetes.io/metadata.name", "ns-0")}], "ports": [{"protocol": "UDP", "port": 53}]},
        ],
    });
    (json!({"metadata": metadata, "spec": calico}), json!({"metadata": metadata, "spec": kubernetes}))
}

/// The most memory that this process ever had. *Source*: man 5 `proc_pid_status`, `VmHWM`.
fn peak_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}
