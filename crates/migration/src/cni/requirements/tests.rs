//! Rows that hold, and rows that do not.

use super::*;
use crate::cni::support::Strategy;
use crate::config::Config;
use clap::ValueEnum as _;

fn read(yaml: &str) -> Snapshot {
    let mut snapshot = snapshot::model::Snapshot::default();
    for row in snapshot::model::ALL_KINDS {
        snapshot.readings.insert(row.kind, snapshot::model::Reading::Read);
    }
    for value in serde_saphyr::from_multiple::<serde_json::Value>(yaml).expect("YAML") {
        let kind = value["kind"].as_str().expect("a kind").to_owned();
        match kind.as_str() {
            "Node" => snapshot.nodes.push(serde_json::from_value(value).expect("a node")),
            "DaemonSet" => {
                let workload = serde_json::from_value(value).expect("a workload");
                snapshot.workloads.entry(Kind::DAEMON_SET).or_default().push(workload);
            }
            _ => {
                let api_version = value["apiVersion"].as_str().expect("a version");
                let kind = Kind::find(api_version, &kind).expect("a known kind");
                snapshot.objects.entry(kind).or_default().extend(snapshot::model::Object::new(kind, value));
            }
        }
    }
    snapshot
}

fn states(snapshot: &Snapshot, from: Cni, to: Cni, strategy: Strategy) -> Vec<(&'static str, &'static str)> {
    let config = Config::default();
    let scene = Scene { snapshot, config: &config, from, to, strategy };
    rows(&scene).iter().map(|row| (row.name, row.state.words().0)).collect()
}

const CALICO: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: a}
status: {nodeInfo: {kubeletVersion: v1.31.2, containerRuntimeVersion: "containerd://1.7.20", operatingSystem: linux}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: kube-system}
spec: {template: {spec: {containers: [{name: calico-node, image: "docker.io/calico/node:v3.26.1"}]}}}
---
apiVersion: crd.projectcalico.org/v1
kind: IPPool
metadata: {name: p}
spec: {cidr: 10.10.0.0/16, ipipMode: Always, allowedUses: [Workload, Tunnel]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: cilium, namespace: kube-system}
spec: {template: {spec: {containers: [{name: cilium-agent, image: "quay.io/cilium/cilium:v1.17.2"}]}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {ipam: cluster-pool, cluster-pool-ipv4-cidr: 10.20.0.0/16}
"#;

#[test]
fn a_cluster_that_is_ready_meets_every_row() {
    let states = states(&read(CALICO), Cni::Calico, Cni::Cilium, Strategy::Double);
    assert!(states.len() >= 14, "{states:?}");
    assert!(states.iter().all(|(_, state)| *state == "met"), "{states:?}");
}

/// One change of the cluster each, and the one row that it breaks.
#[test]
fn each_row_fails_on_its_own() {
    for (from, to, row, state) in [
        ("v1.31.2", "v1.24.9", "kubelet-version", "not met"),
        ("v1.31.2", "new", "kubelet-version", "unknown"),
        ("containerd://1.7.20", "docker://20.10.7", "runtime-version", "not met"),
        ("containerd://1.7.20", "containerd", "runtime-version", "unknown"),
        ("operatingSystem: linux", "operatingSystem: windows", "linux", "not met"),
        ("node:v3.26.1", "node:v3.25.2", "calico-version", "not met"),
        ("node:v3.26.1", "node:master", "calico-version", "unknown"),
        ("ipipMode: Always", "ipipMode: Never", "calico-encapsulation", "not met"),
        ("[Workload, Tunnel]", "[Workload]", "calico-pool-uses", "not met"),
        ("cilium:v1.17.2", "cilium:v1.12.0", "cilium-version", "not met"),
        ("ipam: cluster-pool,", "ipam: azure,", "cilium-ipam", "not met"),
        ("data: {ipam", "data: {cni-chaining-mode: aws-cni, ipam", "cilium-unchained", "not met"),
        ("10.20.0.0/16", "10.0.0.0/8", "distinct-ranges", "not met"),
        ("10.20.0.0/16", "10.20.0.0/16 10.30.0.0/99", "distinct-ranges", "unknown"),
    ] {
        let text = CALICO.replace(from, to);
        assert_ne!(text, CALICO, "{from}");
        let states = states(&read(&text), Cni::Calico, Cni::Cilium, Strategy::Double);
        let wrong: Vec<_> = states.into_iter().filter(|(_, state)| *state != "met").collect();
        // Without a pool of Cilium's own, its ranges are unknown, too.
        assert!(wrong.contains(&(row, state)) && wrong.len() <= 2, "{row}: {wrong:?}");
    }
}

/// `check` warns of a runtime that is newer than those that were tried.
#[test]
fn a_runtime_that_is_newer_than_those_tried_meets_its_row() {
    let newer = CALICO.replace("containerd://1.7.20", "containerd://3.0.0");
    assert_eq!(state(&newer, Cni::Calico, Strategy::Double, "runtime-version"), "met");
}

#[test]
fn a_row_without_its_objects_is_unknown() {
    let snapshot = Snapshot::default();
    for (name, state) in states(&snapshot, Cni::Calico, Cni::Cilium, Strategy::Double) {
        assert_eq!(state, if matches!(name, "pair" | "strategy") { "met" } else { "unknown" }, "{name}");
    }
}

#[test]
fn every_pair_that_is_asked_for_is_in_the_matrix() {
    for from in [Cni::Calico, Cni::Flannel, Cni::Canal, Cni::AwsVpcCni] {
        for to in [Cni::Cilium, Cni::Antrea, Cni::Calico] {
            let is_there = PAIRS.iter().any(|pair| (pair.from, pair.to) == (from, to));
            assert_eq!(is_there, from != to, "{from} to {to}");
        }
    }
    let none = states(&Snapshot::default(), Cni::Cilium, Cni::Calico, Strategy::Bridge);
    assert_eq!(none[0], ("pair", "not met"));
}

#[test]
fn double_needs_two_cnis_that_bear_it() {
    let state = |to| states(&Snapshot::default(), Cni::Calico, to, Strategy::Double)[1].1;
    assert_eq!((state(Cni::Cilium), state(Cni::Antrea)), ("met", "not met"));
    for strategy in Strategy::value_variants() {
        let state = states(&Snapshot::default(), Cni::Calico, Cni::Antrea, *strategy)[1].1;
        assert_eq!(state == "met", *strategy != Strategy::Double);
    }
}

fn state(yaml: &str, from: Cni, strategy: Strategy, row: &str) -> &'static str {
    let states = states(&read(yaml), from, Cni::Cilium, strategy);
    states.into_iter().find(|(name, _)| *name == row).map(|(_, state)| state).expect("a row")
}

#[test]
fn pools_for_one_use_are_no_fault() {
    let pool = |name: &str, uses: &str, mode: &str| {
        format!(
            "---\napiVersion: crd.projectcalico.org/v1\nkind: IPPool\nmetadata: {{name: {name}}}\nspec: {{cidr: 10.9.0.0/24, ipipMode: {mode}, allowedUses: {uses}}}\n"
        )
    };
    let own = CALICO.replace("[Workload, Tunnel]", "[Workload]");
    for (cluster, more, uses, encapsulation) in [
        (CALICO, pool("vips", "[LoadBalancer]", "Never"), "met", "met"),
        (CALICO, pool("tunnels", "[Tunnel]", "Never"), "met", "met"),
        (&own, pool("tunnels", "[Tunnel]", "Never"), "met", "met"),
        (&own, pool("vips", "[LoadBalancer]", "Never"), "not met", "met"),
        (CALICO, pool("other", "[Workload]", "Never"), "met", "not met"),
        // Without tunnels nothing needs a pool for them.
        (&own.replace("ipipMode: Always", "ipipMode: Never"), String::new(), "met", "not met"),
        (&CALICO.replace("[Workload, Tunnel]", "[Tunnel]"), String::new(), "not met", "met"),
        // A pool that is disabled serves no pod.
        (&CALICO.replace("allowedUses:", "disabled: true, allowedUses:"), String::new(), "not met", "met"),
    ] {
        let yaml = format!("{cluster}{more}");
        let row = |name: &str| state(&yaml, Cni::Calico, Strategy::Bridge, name);
        assert_eq!((row("calico-pool-uses"), row("calico-encapsulation")), (uses, encapsulation), "{more}");
    }
    // The fix names the pool that pods use, and never one for load balancers.
    let snapshot = read(&format!("{own}{}", pool("vips", "[LoadBalancer]", "Never")));
    let config = Config::default();
    let scene = Scene {
        snapshot: &snapshot,
        config: &config,
        from: Cni::Calico,
        to: Cni::Cilium,
        strategy: Strategy::Bridge,
    };
    let rows = rows(&scene);
    let (_, _, fix) = rows.iter().find(|row| row.name == "calico-pool-uses").expect("a row").state.words();
    assert!(fix.contains("ippools.crd.projectcalico.org p ") && !fix.contains("vips"), "{fix}");
}

#[test]
fn calico_on_etcd_is_not_canal() {
    let start = CALICO.find("apiVersion: crd.projectcalico.org/v1").expect("the pool");
    let end = start + CALICO[start..].find("---").expect("its end");
    let bare = format!("{}{}", &CALICO[..start], &CALICO[end + 4..]);
    let map = |data: &str| {
        format!(
            "{bare}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: calico-config, namespace: kube-system}}\ndata: {data}\n"
        )
    };
    let fix = |yaml: &str| {
        let (snapshot, config) = (read(yaml), Config::default());
        let scene = Scene {
            snapshot: &snapshot,
            config: &config,
            from: Cni::Calico,
            to: Cni::Cilium,
            strategy: Strategy::Bridge,
        };
        let rows = rows(&scene);
        let row = rows.iter().find(|row| row.name == "calico-ipam").expect("a row");
        let (state, _, fix) = row.state.words();
        (state, fix.to_owned())
    };
    let (state, etcd) = fix(&map("{etcd_endpoints: \"https://10.0.0.1:2379\"}"));
    assert!(state == "not met" && etcd.contains("calicoctl datastore migrate"), "{etcd}");
    let (state, none) = fix(&bare);
    assert!(state == "not met" && !none.contains("canal") && !none.contains("datastore"), "{none}");
    let local =
        map("{cni_network_config: '{\"ipam\": {\"type\": \"host-local\", \"subnet\": \"usePodCidr\"}}'}");
    assert_eq!(fix(&local).0, "met");
}

#[test]
fn the_pod_cidrs_of_nodes_are_given_once_or_twice() {
    let yaml = CALICO.replace("ipam: cluster-pool,", "ipam: kubernetes,");
    let row = |from, strategy| state(&yaml, from, strategy, "cilium-ipam");
    assert_eq!(row(Cni::Calico, Strategy::Bridge), "met", "Calico has ranges of its own");
    assert_eq!(row(Cni::Flannel, Strategy::Bridge), "not met");
    assert_eq!(row(Cni::Flannel, Strategy::Rotation), "met", "each node has one network");
}
