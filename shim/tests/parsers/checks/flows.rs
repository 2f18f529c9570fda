//! Recorded flows: a flow that the policies deny, or that cannot be judged, never counts as allowed, and each flow is counted once.
//!
//! *Input*: a record, a flow on each line.

use std::sync::LazyLock;

use netpol::engines::kubernetes::Blocks;
use netpol::flows::record::parse;
use netpol::flows::{FlowTally, Judgement, Record};
use netpol::gather::{Engine, Policies};
use netpol::world::{Cluster, Namespace, Node, Pod};
use serde_json::json;

/// So many lines at most of one input.
const LINES: usize = 64;

/// No policy at all.
static NO_POLICIES: LazyLock<Policies> = LazyLock::new(|| policies(&[]));
/// No pod may send or receive anything.
static NO_TRAFFIC: LazyLock<Policies> = LazyLock::new(|| policies(&NAMESPACES));

const NAMESPACES: [&str; 2] = ["shop", "office"];

/// Checks any bytes as a record.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let records: Vec<Record> = text.lines().take(LINES).filter_map(|line| parse(line.trim()).ok()).collect();
    let lost: u64 = records.iter().map(lost).fold(0, u64::saturating_add);
    let flows = records.iter().filter(|record| !matches!(record, Record::Lost(_))).count() as u64;
    let [open, closed] = [&*NO_POLICIES, &*NO_TRAFFIC].map(|policies| judge(policies, &records));
    for judgement in [&open, &closed] {
        let unjudged: u64 = judgement.unjudged.iter().map(|unjudged| unjudged.flows).sum();
        assert_eq!((judgement.flows, judgement.lost), (flows, lost), "what was counted");
        assert_eq!(judgement.judged() + unjudged, flows, "what became of each flow: {judgement:?}");
    }
    assert!(open.denied.is_empty(), "denied by no policy: {:?}", open.denied);
    assert_eq!(closed.allowed, 0, "allowed although nothing is: {closed:?}");
}

fn lost(record: &Record) -> u64 {
    match record {
        Record::Lost(flows) => *flows,
        Record::Flow(_) | Record::Unjudged(_) => 0,
    }
}

fn judge(policies: &Policies, records: &[Record]) -> Judgement {
    let services = Vec::from_iter(snapshot::Range::read("10.96.0.0/12").ok().map(|(range, _)| range));
    let mut tally = FlowTally::new(cluster(), services, policies).expect("policies");
    records.iter().for_each(|record| tally.add(record.clone()));
    tally.judge(policies).expect("policies")
}

fn policies(namespaces: &[&str]) -> Policies {
    let policy = |namespace: &&str| {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "nothing", "namespace": namespace},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}})
    };
    let objects: Vec<_> = namespaces.iter().map(policy).collect();
    let blocks = Blocks { pods: true, nodes: true, names_of_cluster: false };
    let policies = Policies::read(Engine::Kubernetes(blocks), &objects);
    assert!(policies.unread.is_empty(), "{:?}", policies.unread);
    policies
}

/// Three pods in two namespaces on two nodes, in both families.
fn cluster() -> Cluster {
    let addresses =
        |all: &[&str]| all.iter().map(|address| address.parse().expect("an address")).collect::<Vec<_>>();
    let pod = |namespace: &str, name: &str, node: &str, all: &[&str]| Pod {
        namespace: namespace.into(),
        name: name.into(),
        labels: [("app".into(), name.into())].into(),
        account: name.into(),
        addresses: addresses(all),
        node: node.into(),
        ..Pod::default()
    };
    let node = |name: &str, address: &str| Node { name: name.into(), addresses: addresses(&[address]) };
    Cluster {
        namespaces: NAMESPACES.map(|name| Namespace { name: name.into(), ..Namespace::default() }).into(),
        pods: vec![
            pod("shop", "web-7d9f-abcde", "n1", &["10.244.1.2", "fd00::2"]),
            pod("shop", "db-0", "n1", &["10.244.1.3", "fd00::3"]),
            pod("office", "job-1", "n2", &["10.244.2.3"]),
        ],
        nodes: vec![node("n1", "192.168.1.1"), node("n2", "192.168.1.2")],
        pod_ranges: ["10.244.0.0/16", "fd00::/64"]
            .iter()
            .filter_map(|range| Some(snapshot::Range::read(range).ok()?.0))
            .collect(),
    }
}
