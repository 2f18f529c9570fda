//! Clusters that have a finding each, and the way out of it.

use serde_json::{Value, json};

use super::Fix::{Edit, Of, Printed, PrintedThen, Settings, Waiver};
use super::world::World;
use super::{Fix, Row};
use crate::model::Kind;
use crate::support::{Cni, Strategy};

/// Findings whose fix changes no object and no setting that a check reads.
pub(super) const OUTSIDE: &[(&str, &str)] = &[
    ("cidr-overlap-closed-pool", "a note: the pool is to stay as it is"),
    ("cidr-two-halves", "the settings file asks for it; it says what to do in the maintenance window"),
    ("dns-order", "a note on the order in which DNS pods move"),
    ("network-condition-at-end", "about the moment at which the old agents go"),
    ("tunnel-ports", "firewalls between the nodes, which no object shows"),
    ("versions-differ", "a note on the order in which nodes move"),
];

/// Cilium beside another CNI, as the stage `install` needs it.
pub(super) const CILIUM: &str = r#"
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: cilium, namespace: kube-system}, spec: {updateStrategy: {type: OnDelete}, template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}],
  containers: [{name: cilium-agent, image: "quay.io/cilium/cilium:v1.17.4"}]}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: cilium-operator, namespace: kube-system}, spec: {replicas: 2, template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}],
  containers: [{name: cilium-operator}]}}}, status: {readyReplicas: 2}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: cilium-config, namespace: kube-system}, data: {custom-cni-conf: "true", cni-exclusive: "false", cni-uninstall: "false",
  unmanaged-pod-watcher-interval: "0", enable-policy: never, enable-host-legacy-routing: "true", ipam: cluster-pool, cluster-pool-ipv4-cidr: 10.245.0.0/16, kube-proxy-replacement: "false",
  routing-mode: tunnel, tunnel-port: "8473", mtu: "1450", enable-ipv4-masquerade: "false"}}
"#;

/// A cluster with Calico in which nothing stands in the way of Cilium.
pub(super) const GOOD: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: kube-system, uid: u}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {kubernetes.io/os: linux, crossfade/phase: old}, annotations: {crossfade/observed: '{"bootId":"b","phase":"old"}'}},
  spec: {unschedulable: false, taints: []}, status: {nodeInfo: {bootID: b, kubeletVersion: v1.31.2, containerRuntimeVersion: "containerd://1.7.20", kernelVersion: 6.1.0-1, architecture: amd64, operatingSystem: linux, osImage: Debian},
  addresses: [{type: InternalIP, address: 172.18.0.1}], allocatable: {cpu: "8", memory: 16Gi, pods: "110"},
  conditions: [{type: Ready, status: "True", lastHeartbeatTime: "2026-03-01T10:00:00Z"}, {type: CrossfadeReady, status: "True"}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2, labels: {kubernetes.io/os: linux, crossfade/phase: old}, annotations: {crossfade/observed: '{"bootId":"b","phase":"old"}'}},
  spec: {unschedulable: false, taints: []}, status: {nodeInfo: {bootID: b, kubeletVersion: v1.31.2, containerRuntimeVersion: "containerd://1.7.20", kernelVersion: 6.1.0-1, architecture: amd64, operatingSystem: linux, osImage: Debian},
  addresses: [{type: InternalIP, address: 172.18.0.2}], allocatable: {cpu: "8", memory: 16Gi, pods: "110"},
  conditions: [{type: Ready, status: "True"}, {type: CrossfadeReady, status: "True"}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n3, labels: {kubernetes.io/os: linux, crossfade/phase: old}, annotations: {crossfade/observed: '{"bootId":"b","phase":"old"}'}},
  spec: {unschedulable: false, taints: []}, status: {nodeInfo: {bootID: b, kubeletVersion: v1.31.2, containerRuntimeVersion: "containerd://1.7.20", kernelVersion: 6.1.0-1, architecture: amd64, operatingSystem: linux, osImage: Debian},
  addresses: [{type: InternalIP, address: 172.18.0.3}], allocatable: {cpu: "8", memory: 16Gi, pods: "110"},
  conditions: [{type: Ready, status: "True"}, {type: CrossfadeReady, status: "True"}]}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: calico-node, namespace: kube-system}, spec: {updateStrategy: {type: OnDelete}, template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}],
  containers: [{name: calico-node, image: "docker.io/calico/node:v3.27.0", env: [{name: IP, value: autodetect}, {name: IP_AUTODETECTION_METHOD, value: kubernetes-internal-ip}]}]}}}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: kube-proxy, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: kube-proxy}]}}}}
---
{apiVersion: crd.projectcalico.org/v1, kind: IPPool, metadata: {name: pool}, spec: {cidr: 10.10.0.0/16, ipipMode: Always, vxlanMode: Never}}
---
{apiVersion: crd.projectcalico.org/v1, kind: FelixConfiguration, metadata: {name: default}, spec: {}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: calico-config, namespace: kube-system}, data: {veth_mtu: "1450"}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: coredns, namespace: kube-system}, spec: {replicas: 2, template: {spec: {containers: [{name: coredns}]}}}, status: {readyReplicas: 2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: coredns-1, namespace: kube-system, labels: {k8s-app: kube-dns, pod-template-hash: h}, ownerReferences: [{kind: ReplicaSet, name: coredns-h, controller: true}]},
  spec: {nodeName: n1, containers: [{name: coredns}]}, status: {phase: Running, podIPs: [{ip: 10.10.1.2}], conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: coredns-2, namespace: kube-system, labels: {k8s-app: kube-dns, pod-template-hash: h}, ownerReferences: [{kind: ReplicaSet, name: coredns-h, controller: true}]},
  spec: {nodeName: n2, containers: [{name: coredns}]}, status: {phase: Running, podIPs: [{ip: 10.10.2.2}], conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: cilium, namespace: kube-system}, spec: {updateStrategy: {type: OnDelete}, template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}],
  containers: [{name: cilium-agent, image: "quay.io/cilium/cilium:v1.17.4"}]}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: cilium-operator, namespace: kube-system}, spec: {replicas: 2, template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}],
  containers: [{name: cilium-operator}]}}}, status: {readyReplicas: 2}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: cilium-config, namespace: kube-system}, data: {custom-cni-conf: "true", cni-exclusive: "false", cni-uninstall: "false",
  unmanaged-pod-watcher-interval: "0", enable-policy: never, enable-host-legacy-routing: "true", ipam: cluster-pool, cluster-pool-ipv4-cidr: 10.245.0.0/16, kube-proxy-replacement: "false",
  routing-mode: tunnel, tunnel-port: "8473", mtu: "1450", enable-ipv4-masquerade: "false"}}
"#;

const fn row(code: &'static str, given: fn(&mut World), fix: Fix) -> Row {
    Row { code, given, fix }
}

fn cilium(world: &mut World, data: Value) {
    world.merge("configmap", "cilium-config", json!({ "data": data }));
}

/// Cilium is not installed yet.
fn no_cilium(world: &mut World) {
    for (kind, name) in
        [("daemonset", "cilium"), ("deployment", "cilium-operator"), ("configmap", "cilium-config")]
    {
        world.remove(kind, name);
    }
    world.set("networks: {new: {cidrs: [10.245.0.0/16]}}");
}

/// Another range for Cilium.
fn choose(world: &mut World) {
    cilium(world, json!({"cluster-pool-ipv4-cidr": "10.246.0.0/16"}));
}

fn block(world: &mut World, cidr: &str) {
    world.add(&format!("{{apiVersion: crd.projectcalico.org/v1, kind: IPAMBlock, metadata: {{name: b}}, spec: {{cidr: {cidr}, affinity: 'host:n1'}}}}"));
}

fn cilium_node(world: &mut World, spec: &str) {
    world.add(&format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumNode, metadata: {{name: n1}}, spec: {{{spec}}}}}"
    ));
}

fn node_config(world: &mut World, name: &str, selector: &str, defaults: &str) {
    world.add(&format!("{{apiVersion: cilium.io/v2, kind: CiliumNodeConfig, metadata: {{name: {name}, namespace: kube-system}}, spec: {{nodeSelector: {{matchLabels: {{{selector}}}}}, defaults: {{{defaults}}}}}}}"));
}

fn felix(world: &mut World, spec: Value) {
    world.merge("felixconfiguration", "default", json!({ "spec": spec }));
}

fn daemon_set(world: &mut World, name: &str, spec: Value) {
    world.merge("daemonset", name, json!({"spec": {"template": {"spec": spec}}}));
}

fn policy(world: &mut World, rule: &str) {
    world.add(&format!("{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p, namespace: x}}, spec: {{podSelector: {{}}, ingress: [{rule}]}}}}"));
}

fn service(world: &mut World, spec: &str) {
    world.add(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: s, namespace: x}}, spec: {{{spec}}}}}"
    ));
}

/// A pod; what makes it is `KIND/NAME`, or nothing.
fn pod(world: &mut World, name: &str, owner: &str, more: Value) {
    let owners = owner
        .split_once('/')
        .map_or(json!([]), |(kind, name)| json!([{"kind": kind, "name": name, "controller": true}]));
    let mut value = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x", "ownerReferences": owners, "labels": {"app": "a"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}]}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    super::world::merge(&mut value, more);
    world.add(&value.to_string());
}

fn workload(world: &mut World, kind: &str, name: &str, replicas: u32) {
    world.add(&format!("{{apiVersion: apps/v1, kind: {kind}, metadata: {{name: {name}, namespace: x}}, spec: {{replicas: {replicas}, template: {{spec: {{containers: [{{name: c}}]}}}}}}, status: {{readyReplicas: {replicas}}}}}"));
}

/// A budget over the pods of `x`.
fn budget(world: &mut World, name: &str, spec: &str) {
    world.add(&format!("{{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {{name: {name}, namespace: x}}, spec: {{selector: {{matchLabels: {{app: a}}}}, {spec}}}}}"));
}

/// A StatefulSet with two pods.
fn database(world: &mut World) {
    workload(world, "StatefulSet", "db", 2);
    for name in ["db-0", "db-1"] {
        pod(world, name, "StatefulSet/db", json!({}));
    }
}

fn node(world: &mut World, patch: Value) {
    world.merge("node", "n3", patch);
}

fn version(world: &mut World, key: &str, value: &str) {
    node(world, json!({"status": {"nodeInfo": {key: value}}}));
}

/// `n3` does not report.
fn silent(world: &mut World) {
    node(
        world,
        json!({"metadata": {"annotations": null, "labels": {"crossfade/phase": null}}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
    );
}

fn reports(world: &mut World) {
    let boot = json!({"metadata": {"annotations": {"crossfade/observed": r#"{"bootId":"b","phase":"old"}"#}, "labels": {"crossfade/phase": "old"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "CrossfadeReady", "status": "True"}]}});
    node(world, boot);
}

/// Nodes bear Cilium's taint until its agent is ready.
fn tainted(world: &mut World) {
    node(
        world,
        json!({"spec": {"taints": [{"key": "node.cilium.io/agent-not-ready", "effect": "NoSchedule"}]}}),
    );
}

fn rotation(world: &mut World) {
    world.strategy = Strategy::Rotation;
}

/// A selector of a DaemonSet by a label of new nodes.
fn fenced(world: &mut World, name: &str, operator: &str) {
    let terms = json!([{"matchExpressions": [{"key": "new", "operator": operator}]}]);
    daemon_set(
        world,
        name,
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}),
    );
}

/// From Calico to Antrea.
fn antrea(world: &mut World, settings: &str) {
    no_cilium(world);
    world.to = Cni::Antrea;
    world.strategy = Strategy::Bridge;
    world.set("networks: {new: {cidrs: null}}");
    world.merge("configmap", "calico-config", json!({"data": {"veth_mtu": "1450"}}));
    for name in ["n1", "n2", "n3"] {
        world.merge("node", name, json!({"spec": {"podCIDR": format!("10.245.{}.0/24", &name[1..])}}));
    }
    world.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: antrea-agent, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: antrea-agent, image: 'antrea/antrea-agent-ubuntu:v2.2.0'}]}}}}");
    world.add("{apiVersion: v1, kind: ConfigMap, metadata: {name: antrea-config, namespace: kube-system}, data: {}}");
    world.merge("configmap", "antrea-config", json!({"data": {"antrea-agent.conf": settings}}));
}

/// From Flannel to Calico.
fn to_calico(world: &mut World) {
    flannel(world);
    no_cilium(world);
    world.set("networks: {new: {cidrs: null}}");
    world.to = Cni::Calico;
    world.strategy = Strategy::Bridge;
    world.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: calico-node, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: calico-node, image: 'docker.io/calico/node:v3.27.0'}]}}}}");
    world.add("{apiVersion: crd.projectcalico.org/v1, kind: IPPool, metadata: {name: pool}, spec: {cidr: 10.10.0.0/16, ipipMode: Always, vxlanMode: Never}}");
    felix(world, json!({"chainInsertMode": "Append"}));
}

/// From Flannel to Cilium.
fn flannel(world: &mut World) {
    world.from = Cni::Flannel;
    for (kind, name) in [("daemonset", "calico-node"), ("ippool", "pool"), ("configmap", "calico-config")] {
        world.remove(kind, name);
    }
    for name in ["n1", "n2", "n3"] {
        world.merge("node", name, json!({"spec": {"podCIDR": format!("10.244.{}.0/24", &name[1..])}}));
    }
    world.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: kube-flannel-ds, namespace: kube-flannel}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: kube-flannel, image: 'flannel/flannel:v0.25.0'}]}}}}");
    world.add(r#"{apiVersion: v1, kind: ConfigMap, metadata: {name: kube-flannel-cfg, namespace: kube-flannel}, data: {net-conf.json: '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}'}}"#);
}

/// From the Amazon VPC CNI to Cilium.
fn aws(world: &mut World, variable: &str) {
    world.from = Cni::AwsVpcCni;
    world.strategy = Strategy::Rotation;
    for (kind, name) in [
        ("daemonset", "calico-node"),
        ("ippool", "pool"),
        ("configmap", "calico-config"),
        ("felixconfiguration", "default"),
    ] {
        world.remove(kind, name);
    }
    world.add(&format!("{{apiVersion: apps/v1, kind: DaemonSet, metadata: {{name: aws-node, namespace: kube-system}}, spec: {{template: {{spec: {{hostNetwork: true, tolerations: [{{operator: Exists}}], containers: [{{name: aws-node, env: [{{name: {variable}, value: 'true'}}]}}]}}}}}}}}"));
}

const GUIDE: &str =
    "write-cni-conf-when-ready: /host/etc/cni/net.d/05-cilium.conflist, custom-cni-conf: \"false\"";

fn ports() -> Value {
    json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]}})
}

/// A Deployment whose pods never share a node, with as many replicas as there are nodes.
fn apart(world: &mut World) {
    workload(world, "Deployment", "web", 3);
    let terms =
        json!([{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}]);
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}});
    world.merge("deployment", "web", json!({"spec": {"template": template}}));
}

/// A pod whose volume is of a zone with one node.
fn zonal(world: &mut World) {
    for (name, zone) in [("n1", "a"), ("n2", "b"), ("n3", "b")] {
        world.merge("node", name, json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}));
    }
    world.add("{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: topology.kubernetes.io/zone, operator: In, values: [a]}]}]}}}}\n---\n{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: x}, spec: {volumeName: v}}");
    pod(
        world,
        "db-0",
        "StatefulSet/db",
        json!({"spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]}}),
    );
}

/// A webhook for pods that fails closed, served by one pod.
fn webhook(world: &mut World) {
    workload(world, "StatefulSet", "hook", 1);
    pod(world, "hook-1", "StatefulSet/hook", json!({}));
    service(world, "selector: {app: a}");
    world.add("{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: h}, webhooks: [{name: h, failurePolicy: Fail, clientConfig: {service: {namespace: x, name: s}}, rules: [{apiGroups: [''], operations: [CREATE], resources: [pods]}]}]}");
}

pub(super) const ROWS: &[Row] = &[
    // Address ranges.
    row(
        "cidr-invalid",
        |w| {
            w.add("{apiVersion: crd.projectcalico.org/v1, kind: IPPool, metadata: {name: odd}, spec: {cidr: 10.99.6.42/26, disabled: true}}")
        },
        Edit("Correct the range", |w| w.merge("ippool", "odd", json!({"spec": {"cidr": "10.99.6.0/26"}}))),
    ),
    row(
        "cidr-overlap-services",
        |w| service(w, "clusterIPs: [10.245.0.10]"),
        Edit("install the new CNI with it", choose),
    ),
    row(
        "cidr-overlap-nodes",
        |w| node(w, json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.245.0.7"}]}})),
        Edit("install the new CNI with it", choose),
    ),
    row(
        "cidr-overlap-external",
        |w| w.set("cidrs: {external: [10.245.7.0/24]}"),
        Edit("install the new CNI with it", choose),
    ),
    row(
        "cidr-overlap-reserved",
        |w| w.set("cidrs: {reserved: [10.245.7.0/24]}"),
        Edit("install the new CNI with it", choose),
    ),
    row(
        "cidr-overlap-pool",
        |w| w.merge("ippool", "pool", json!({"spec": {"cidr": "10.245.0.0/17"}})),
        Edit("cidr-plan", choose),
    ),
    row("cidr-overlap-block", |w| block(w, "10.245.1.0/26"), Edit("cidr-plan", choose)),
    row(
        "cidr-overlap-own-block",
        |w| {
            cilium_node(w, "ipam: {podCIDRs: [10.247.1.0/24]}");
            block(w, "10.247.1.0/26");
        },
        Edit("cidr-plan", |w| w.remove("ipamblock", "b")),
    ),
    row(
        "cidr-plan",
        |w| {
            w.set("cidrs: {drainAtMostPercent: 100}");
            cilium_node(w, "ipam: {podCIDRs: [10.247.1.0/24]}");
            block(w, "10.247.1.0/26");
            w.merge("ipamblock", "b", json!({"spec": {"affinity": "host:n2"}}));
        },
        Edit("the blocks must be gone", |w| w.remove("ipamblock", "b")),
    ),
    row(
        "cidr-same-on-node",
        |w| {
            cilium_node(w, "ipam: {podCIDRs: [10.10.1.0/26]}");
            block(w, "10.10.1.0/26");
        },
        Edit("install the new CNI with it", |w| cilium_node(w, "ipam: {podCIDRs: [10.245.1.0/24]}")),
    ),
    row(
        "cidr-unknown",
        |w| {
            no_cilium(w);
            w.set("networks: {new: {cidrs: null}}");
        },
        Edit("Set networks.new.cidrs", |w| w.set("networks: {new: {cidrs: [10.245.0.0/16]}}")),
    ),
    row(
        "gateway-conflict",
        |w| {
            cilium_node(w, "addresses: [{type: CiliumInternalIP, ip: 10.10.1.9}]");
            pod(w, "web", "ReplicaSet/web", json!({"status": {"podIPs": [{"ip": "10.10.1.9"}]}}));
        },
        Printed,
    ),
    row("masquerade-new", |w| cilium(w, json!({"enable-ipv4-masquerade": "true"})), Printed),
    row("masquerade-old", |w| w.merge("ippool", "pool", json!({"spec": {"natOutgoing": true}})), Printed),
    row("masquerade-old", |w| aws(w, "OTHER"), Printed),
    // Tunnels, MTU and interfaces.
    row(
        "autodetection-new-interface",
        |w| {
            daemon_set(
                w,
                "calico-node",
                json!({"containers": [{"name": "calico-node", "image": "docker.io/calico/node:v3.27.0", "env": [{"name": "IP", "value": "autodetect"}]}]}),
            )
        },
        Printed,
    ),
    row(
        "autodetection-unreadable",
        |w| {
            w.at("daemonset", "calico-node")["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"] =
                "interface=[".into()
        },
        Edit("kubernetes-internal-ip", |w| {
            w.at("daemonset", "calico-node")["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"] =
                "kubernetes-internal-ip".into()
        }),
    ),
    row(
        "mtu-differs",
        |w| w.merge("configmap", "calico-config", json!({"data": {"veth_mtu": "1480"}})),
        Printed,
    ),
    row(
        "mtu-too-large",
        |w| {
            w.set("transition: {nodeMtu: 1500}");
            w.merge("configmap", "calico-config", json!({"data": {"veth_mtu": "1490"}}));
        },
        Printed,
    ),
    row(
        "tunnel-clash",
        |w| {
            w.merge("ippool", "pool", json!({"spec": {"ipipMode": "Never", "vxlanMode": "Always"}}));
            cilium(w, json!({"tunnel-port": "4789"}));
        },
        Printed,
    ),
    // Settings of the new CNI.
    row("antrea-bridging", |w| antrea(w, "enableBridgingMode: true"), Printed),
    row("antrea-encap-mode", |w| antrea(w, "trafficEncapMode: networkPolicyOnly"), Printed),
    row(
        "antrea-migrator",
        |w| {
            antrea(w, "trafficEncapMode: encap");
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: antrea-migrator, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true}}}}");
        },
        Printed,
    ),
    row("antrea-no-encap", |w| antrea(w, "trafficEncapMode: noEncap"), Printed),
    row("antrea-node-policies", |w| antrea(w, "featureGates: {NodeNetworkPolicy: true}"), Printed),
    row("antrea-proxy-all", |w| antrea(w, "antreaProxy: {proxyAll: true}"), Printed),
    row(
        "calico-chain-insert",
        |w| {
            to_calico(w);
            felix(w, json!({"chainInsertMode": "Insert"}));
        },
        Printed,
    ),
    row(
        "calico-ebpf",
        |w| {
            to_calico(w);
            felix(w, json!({"bpfEnabled": true}));
        },
        Printed,
    ),
    row("cilium-chaining", |w| cilium(w, json!({"cni-chaining-mode": "aws-cni"})), Printed),
    row("cilium-custom-conf", |w| cilium(w, json!({"custom-cni-conf": "false"})), Printed),
    row("cilium-exclusive", |w| cilium(w, json!({"cni-exclusive": "true"})), Printed),
    row("cilium-exclusive", |w| node_config(w, "c", "none: here", "cni-exclusive: \"true\""), Printed),
    row("cilium-host-firewall", |w| cilium(w, json!({"enable-host-firewall": "true"})), Printed),
    row("cilium-host-routing", |w| cilium(w, json!({"enable-host-legacy-routing": null})), Printed),
    row("cilium-ipam", |w| cilium(w, json!({"ipam": "kubernetes"})), Printed),
    row("cilium-kube-proxy", |w| cilium(w, json!({"kube-proxy-replacement": "true"})), Printed),
    row("cilium-native-routing", |w| cilium(w, json!({"routing-mode": "native"})), Printed),
    row("cilium-policy-mode", |w| cilium(w, json!({"enable-policy": "default"})), Printed),
    row("cilium-uninstall", |w| cilium(w, json!({"cni-uninstall": "true"})), Printed),
    row("cilium-unmanaged-pods", |w| cilium(w, json!({"unmanaged-pod-watcher-interval": "15"})), Printed),
    row(
        "cilium-node-config-ambiguous",
        |w| {
            node_config(w, "c", "kubernetes.io/os: linux", "debug: \"true\"");
            node_config(w, "d", "kubernetes.io/os: linux", "debug: \"false\"");
        },
        Edit("at most one of them selects each node", |w| {
            node_config(w, "d", "moved: \"true\"", "debug: \"false\"")
        }),
    ),
    row(
        "cilium-node-config-everywhere",
        |w| {
            silent(w);
            node_config(w, "c", "kubernetes.io/os: linux", GUIDE);
        },
        Printed,
    ),
    row(
        "cilium-node-config-everywhere",
        |w| {
            silent(w);
            for name in ["n1", "n2", "n3"] {
                w.merge(
                    "node",
                    name,
                    json!({"metadata": {"labels": {"io.cilium.migration/cilium-default": "true"}}}),
                );
            }
            node_config(w, "c", "io.cilium.migration/cilium-default: \"true\"", GUIDE);
        },
        Printed,
    ),
    row(
        "cilium-node-config-everywhere",
        |w| {
            silent(w);
            node_config(w, "c", "kubernetes.io/os: linux", GUIDE);
        },
        Edit("Install Crossfade on these nodes", reports),
    ),
    row(
        "cilium-node-config-namespace",
        |w| {
            node_config(w, "c", "none: here", "debug: \"true\"");
            w.at("ciliumnodeconfig", "c")["metadata"]["namespace"] = "x".into();
        },
        Edit("Create the object in the namespace kube-system", |w| {
            w.at("ciliumnodeconfig", "c")["metadata"]["namespace"] = "kube-system".into()
        }),
    ),
    row("values-next", |_| {}, PrintedThen(|w| w.set("transition: {phase: finish}"))),
    row("values-not-installed", no_cilium, Printed),
    row("agent-new-absent", no_cilium, Of("values-not-installed")),
    // Features of the old CNI.
    row("feature-aws-custom-networking", |w| aws(w, "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG"), Waiver),
    row("feature-aws-security-groups", |w| aws(w, "ENABLE_POD_ENI"), Waiver),
    row(
        "feature-bandwidth",
        |w| {
            pod(
                w,
                "web",
                "ReplicaSet/web",
                json!({"metadata": {"annotations": {"kubernetes.io/egress-bandwidth": "1M"}}}),
            )
        },
        Edit("bandwidthManager.enabled=true", |w| cilium(w, json!({"enable-bandwidth-manager": "true"}))),
    ),
    row(
        "feature-bgp",
        |w| {
            w.add("{apiVersion: crd.projectcalico.org/v1, kind: BGPPeer, metadata: {name: p}, spec: {peerIP: 192.0.2.1}}")
        },
        Waiver,
    ),
    row("feature-ebpf", |w| felix(w, json!({"bpfEnabled": true})), Printed),
    row("feature-egress-gateway", |w| felix(w, json!({"egressIPSupport": "EnabledPerNamespace"})), Waiver),
    row(
        "feature-fixed-addresses",
        |w| {
            pod(
                w,
                "web",
                "ReplicaSet/web",
                json!({"metadata": {"annotations": {"cni.projectcalico.org/ipAddrs": "[]"}}}),
            )
        },
        Waiver,
    ),
    row(
        "feature-floating-ips",
        |w| {
            pod(
                w,
                "web",
                "ReplicaSet/web",
                json!({"metadata": {"annotations": {"cni.projectcalico.org/floatingIPs": "[]"}}}),
            )
        },
        Waiver,
    ),
    row(
        "feature-host-endpoints",
        |w| {
            w.add("{apiVersion: crd.projectcalico.org/v1, kind: HostEndpoint, metadata: {name: h}, spec: {node: n1}}")
        },
        Waiver,
    ),
    row(
        "feature-ip-reservations",
        |w| {
            w.add("{apiVersion: crd.projectcalico.org/v1, kind: IPReservation, metadata: {name: r}, spec: {reservedCIDRs: [10.99.1.0/24, 10.99.9.9]}}")
        },
        Edit("cidrs.reserved", |w| w.set("cidrs: {reserved: [10.99.1.0/24, 10.99.9.9/32]}")),
    ),
    row(
        "feature-kube-proxy",
        |w| w.remove("daemonset", "kube-proxy"),
        Edit("install kube-proxy", |w| {
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: kube-proxy, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}]}}}}")
        }),
    ),
    row(
        "feature-pool-selection",
        |w| w.merge("ippool", "pool", json!({"spec": {"nodeSelector": "zone == 'a'"}})),
        Waiver,
    ),
    row(
        "feature-wireguard",
        |w| felix(w, json!({"wireguardEnabled": true})),
        Edit("encryption.type=wireguard", |w| cilium(w, json!({"enable-wireguard": "true"}))),
    ),
    // References and meanings.
    row(
        "meaning-end-port",
        |w| {
            w.at("daemonset", "cilium")["spec"]["template"]["spec"]["containers"][0]["image"] =
                "quay.io/cilium/cilium:v1.15.1".into();
            policy(w, "{ports: [{port: 1, endPort: 9}]}");
        },
        Edit("Install Cilium 1.16 or later", |w| {
            w.at("daemonset", "cilium")["spec"]["template"]["spec"]["containers"][0]["image"] =
                "quay.io/cilium/cilium:v1.16.1".into()
        }),
    ),
    row(
        "meaning-external-local",
        |w| service(w, "externalTrafficPolicy: Local"),
        Edit("externalTrafficPolicy to Cluster", |w| service(w, "externalTrafficPolicy: Cluster")),
    ),
    row(
        "meaning-ip-block",
        |w| policy(w, "{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}"),
        Edit("add a peer that selects the pods", |w| {
            policy(w, "{from: [{ipBlock: {cidr: 10.0.0.0/8}}, {podSelector: {}, namespaceSelector: {}}]}")
        }),
    ),
    row(
        "meaning-named-port",
        |w| policy(w, "{ports: [{port: http}]}"),
        Edit("write the numbers", |w| policy(w, "{ports: [{port: 80}]}")),
    ),
    row(
        "meaning-sctp",
        |w| policy(w, "{ports: [{port: 80, protocol: SCTP}]}"),
        Edit("sctp.enabled=true", |w| cilium(w, json!({"enable-sctp": "true"}))),
    ),
    row("old-range-policies", |w| policy(w, "{from: [{ipBlock: {cidr: 10.10.0.0/16}}]}"), Printed),
    row(
        "old-range-policies",
        |w| policy(w, "{from: [{ipBlock: {cidr: 10.10.0.0/16, except: [10.10.7.0/24]}}]}"),
        Printed,
    ),
    row(
        "old-range-policies",
        |w| policy(w, "{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.10.0.0/16]}}]}"),
        Printed,
    ),
    row("old-range-services", |w| service(w, "loadBalancerSourceRanges: [10.10.0.0/16]"), Printed),
    row(
        "old-range-settings",
        |w| {
            w.add("{apiVersion: v1, kind: ConfigMap, metadata: {name: kube-proxy, namespace: kube-system}, data: {config.conf: 'clusterCIDR: 10.10.0.0/16'}}")
        },
        Edit("or leave it empty", |w| {
            w.merge("configmap", "kube-proxy", json!({"data": {"config.conf": "clusterCIDR: ''"}}))
        }),
    ),
    row(
        "old-range-settings",
        |w| {
            w.add("{apiVersion: v1, kind: ConfigMap, metadata: {name: coredns, namespace: kube-system}, data: {Corefile: 'acl allow net 10.10.0.0/16'}}")
        },
        Edit("add 10.245.0.0/16 beside the old range", |w| {
            w.merge(
                "configmap",
                "coredns",
                json!({"data": {"Corefile": "acl allow net 10.10.0.0/16 10.245.0.0/16"}}),
            )
        }),
    ),
    row(
        "old-range-settings",
        |w| felix(w, json!({"externalNodesList": ["10.10.0.0/16"]})),
        Edit("add 10.245.0.0/16 beside the old range", |w| {
            felix(w, json!({"externalNodesList": ["10.10.0.0/16", "10.245.0.0/16"]}))
        }),
    ),
    // Policies.
    row(
        "policies-lost",
        |w| {
            w.add("{apiVersion: crd.projectcalico.org/v1, kind: NetworkPolicy, metadata: {name: p, namespace: x}, spec: {}}")
        },
        Waiver,
    ),
    row(
        "policies-start",
        |w| {
            flannel(w);
            policy(w, "{}");
        },
        Edit("Delete those", |w| w.remove("networkpolicy", "p")),
    ),
    row("policies-unenforced", |w| policy(w, "{}"), Waiver),
    // Any check.
    row("not-checked", |w| w.unread = vec![Kind::IP_POOL], Edit("Add them", |w| w.unread.clear())),
    row(
        "waiver-unused",
        |w| w.set("waivers: [{finding: cidr-invalid, reason: so}]"),
        Edit("remove the waiver", |w| w.set("waivers: []")),
    ),
    // Agents and start-up taints.
    row(
        "agent-controller-homeless",
        |w| {
            for name in ["n1", "n2", "n3"] {
                w.merge("node", name, json!({"spec": {"taints": [{"key": "t", "effect": "NoSchedule"}]}}));
            }
            w.at("deployment", "cilium-operator")["spec"]["template"]["spec"]["tolerations"] = json!([]);
        },
        Printed,
    ),
    row(
        "agent-missing",
        |w| daemon_set(w, "cilium", json!({"nodeSelector": {"kubernetes.io/os": "linux", "dual": "true"}})),
        Printed,
    ),
    row(
        "agent-missing",
        |w| {
            node(w, json!({"spec": {"taints": [{"key": "t", "effect": "NoSchedule"}]}}));
            daemon_set(w, "cilium", json!({"tolerations": [{"key": "u", "operator": "Exists"}]}));
        },
        Printed,
    ),
    row(
        "agent-missing",
        |w| {
            node(w, json!({"spec": {"taints": [{"key": "t", "effect": "NoSchedule"}]}}));
            daemon_set(w, "cilium", json!({"tolerations": null}));
        },
        Printed,
    ),
    row(
        "agent-not-ready",
        |w| {
            w.merge("daemonset", "cilium", json!({"status": {"desiredNumberScheduled": 3, "numberReady": 2}}))
        },
        Edit("repair them", |w| w.merge("daemonset", "cilium", json!({"status": {"numberReady": 3}}))),
    ),
    row(
        "agent-old-absent",
        |w| {
            w.remove("daemonset", "calico-node");
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: vendor-net, namespace: v}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: net, image: 'docker.io/calico/node:v3.27.0'}]}}}}");
        },
        Settings(
            "agents: {old: [{namespace: NAMESPACE, name: NAME}]}",
            "agents: {old: [{namespace: v, name: vendor-net}]}",
        ),
    ),
    row(
        "agent-restarts",
        |w| {
            rotation(w);
            w.merge("daemonset", "cilium", json!({"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}}}));
        },
        Printed,
    ),
    row(
        "agent-twice",
        |w| {
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: cilium-two, namespace: kube-system}, spec: {updateStrategy: {type: OnDelete}, template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: cilium-agent}]}}}}")
        },
        Edit("must refuse", |w| {
            fenced(w, "cilium", "DoesNotExist");
            fenced(w, "cilium-two", "Exists");
        }),
    ),
    row(
        "fence-mixed",
        |w| {
            rotation(w);
            node(w, json!({"metadata": {"labels": {"new": ""}}}));
            fenced(w, "cilium", "Exists");
        },
        Edit("refuse it", |w| fenced(w, "calico-node", "DoesNotExist")),
    ),
    row(
        "fence-unproven",
        rotation,
        Settings(
            "nodes: {templates: [{name: POOL, labels: {KEY: VALUE}, taints: [{key: KEY, effect: NoSchedule}]}]}",
            "nodes: {templates: [{name: pool, labels: {new: \"\"}, taints: []}]}",
        ),
    ),
    row(
        "daemonset-starts-early",
        |w| {
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, namespace: x}, spec: {template: {spec: {tolerations: [{operator: Exists}]}}}}")
        },
        Edit("Tolerate named taints only", |w| {
            daemon_set(w, "d", json!({"tolerations": [{"key": "t", "operator": "Exists"}]}))
        }),
    ),
    row(
        "startup-taint-agent-waits",
        |w| {
            tainted(w);
            daemon_set(w, "cilium", json!({"tolerations": []}));
        },
        Printed,
    ),
    row(
        "startup-taint-agent-waits",
        |w| {
            tainted(w);
            daemon_set(w, "cilium", json!({"tolerations": null}));
        },
        Printed,
    ),
    row(
        "startup-taint-daemonset-waits",
        |w| {
            tainted(w);
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: csi, namespace: x}, spec: {template: {spec: {hostNetwork: true}}}}");
        },
        Printed,
    ),
    row(
        "startup-taint-lifter-waits",
        |w| {
            tainted(w);
            w.at("deployment", "cilium-operator")["spec"]["template"]["spec"]["tolerations"] = json!([]);
        },
        Printed,
    ),
    row(
        "startup-taint-no-lifter",
        |w| {
            tainted(w);
            cilium(w, json!({"remove-cilium-node-taints": "false"}));
        },
        Edit("remove-cilium-node-taints: \"true\"", |w| {
            cilium(w, json!({"remove-cilium-node-taints": "true"}))
        }),
    ),
    row(
        "autoscaler-startup-taint",
        |w| {
            tainted(w);
            w.add("{apiVersion: apps/v1, kind: Deployment, metadata: {name: cluster-autoscaler, namespace: x}, spec: {replicas: 2, template: {spec: {containers: [{name: c, args: [--v=4]}]}}}, status: {readyReplicas: 2}}");
        },
        Edit("--startup-taint=node.cilium.io/agent-not-ready", |w| {
            w.at("deployment", "cluster-autoscaler")["spec"]["template"]["spec"]["containers"][0]["args"] =
                json!(["--startup-taint=node.cilium.io/agent-not-ready"])
        }),
    ),
    row(
        "karpenter-startup-taint",
        |w| {
            tainted(w);
            w.add("{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: spot}, spec: {template: {spec: {}}}}");
        },
        Printed,
    ),
    // Budgets and evictions.
    row(
        "pdb-blocked-now",
        |w| {
            database(w);
            w.at("pod", "db-1")["status"]["conditions"] = json!([]);
            budget(w, "b", "maxUnavailable: 1");
        },
        Edit("Repair the pods", database),
    ),
    row(
        "pdb-cannot-count",
        |w| {
            pod(w, "d-1", "DaemonSet/d", json!({}));
            budget(w, "b", "maxUnavailable: 1");
        },
        Printed,
    ),
    row(
        "pdb-never-yields",
        |w| {
            database(w);
            budget(w, "b", "minAvailable: 2");
        },
        Printed,
    ),
    row(
        "pdb-overlap",
        |w| {
            database(w);
            budget(w, "b", "maxUnavailable: 1");
            budget(w, "c", "maxUnavailable: 1");
        },
        Printed,
    ),
    row("pdb-selects-nothing", |w| budget(w, "b", "maxUnavailable: 1"), Printed),
    row(
        "job-running",
        |w| pod(w, "j-1", "Job/j", json!({})),
        Edit("Let them end", |w| w.remove("pod", "j-1")),
    ),
    row(
        "pod-empty-dir",
        |w| pod(w, "web", "ReplicaSet/web", json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}})),
        Edit("PersistentVolumeClaim", |w| {
            w.at("pod", "web")["spec"]["volumes"] =
                json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
        }),
    ),
    row(
        "pod-refuses-eviction",
        |w| pod(w, "web", "", json!({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}})),
        Printed,
    ),
    row(
        "pod-refuses-eviction",
        |w| {
            pod(
                w,
                "web",
                "ReplicaSet/web",
                json!({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}}),
            )
        },
        Edit("remove the annotation", |w| w.merge("pod", "web", json!({"metadata": {"annotations": null}}))),
    ),
    row(
        "pod-static",
        |w| {
            pod(
                w,
                "s-n1",
                "Node/n1",
                json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "h"}}}),
            )
        },
        Edit("hostNetwork: true", |w| w.merge("pod", "s-n1", json!({"spec": {"hostNetwork": true}}))),
    ),
    row(
        "pod-stuck",
        |w| pod(w, "web", "ReplicaSet/web", json!({"status": {"phase": "Pending"}})),
        Edit("Find out why", |w| w.merge("pod", "web", json!({"status": {"phase": "Running"}}))),
    ),
    row("pod-without-owner", |w| pod(w, "web", "", json!({})), Printed),
    row(
        "workload-not-ready",
        |w| {
            workload(w, "Deployment", "web", 2);
            w.merge("deployment", "web", json!({"status": {"readyReplicas": 1}}));
        },
        Edit("Repair or scale", |w| workload(w, "Deployment", "web", 2)),
    ),
    row("workload-single", |w| workload(w, "Deployment", "web", 1), Printed),
    // Capacity, DNS and workloads.
    row(
        "capacity-short",
        |w| {
            for at in ["1", "2", "3"] {
                pod(
                    w,
                    &format!("big-{at}"),
                    "ReplicaSet/big",
                    json!({"spec": {"nodeName": format!("n{at}"), "containers": [{"name": "c", "resources": {"requests": {"cpu": "5"}}}]}}),
                );
            }
        },
        Settings("roll: {methods: {POOL: churn}}", "roll: {methods: {'*': churn}}"),
    ),
    row(
        "capacity-unknown",
        |w| node(w, json!({"status": {"allocatable": null}})),
        Edit("Take the snapshot again", |w| {
            node(w, json!({"status": {"allocatable": {"cpu": "8", "memory": "16Gi", "pods": "110"}}}))
        }),
    ),
    row(
        "pod-fits-nowhere",
        |w| {
            w.merge("node", "n1", json!({"status": {"allocatable": {"cpu": "20"}}}));
            pod(
                w,
                "big",
                "ReplicaSet/big",
                json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "9"}}}]}}),
            );
        },
        Edit("roll: {methods: {POOL: churn}}", |w| w.set("roll: {methods: {'*': churn}}")),
    ),
    row(
        "dns-absent",
        |w| {
            for name in ["coredns-1", "coredns-2"] {
                w.at("pod", name)["metadata"]["labels"]["k8s-app"] = "other".into();
            }
        },
        Settings(
            "dns: {namespace: NAMESPACE, labels: {KEY: VALUE}}",
            "dns: {namespace: kube-system, labels: {k8s-app: other}}",
        ),
    ),
    row(
        "dns-on-one-node",
        |w| w.at("pod", "coredns-2")["spec"]["nodeName"] = "n1".into(),
        Edit("Spread them", |w| w.at("pod", "coredns-2")["spec"]["nodeName"] = "n2".into()),
    ),
    row(
        "dns-too-few",
        |w| {
            w.remove("pod", "coredns-2");
            w.merge(
                "deployment",
                "coredns",
                json!({"spec": {"replicas": 1}, "status": {"readyReplicas": 1}}),
            );
        },
        PrintedThen(|w| {
            let mut second = w.at("pod", "coredns-1").clone();
            (second["metadata"]["name"], second["spec"]["nodeName"]) = ("coredns-2".into(), "n2".into());
            w.documents.push(second);
        }),
    ),
    row(
        "dns-zone-without",
        |w| {
            for (name, zone) in [("n1", "a"), ("n2", "a"), ("n3", "b")] {
                w.merge("node", name, json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}));
            }
        },
        Edit("Spread DNS", |w| w.at("pod", "coredns-2")["spec"]["nodeName"] = "n3".into()),
    ),
    row("host-port-lost", |w| pod(w, "web", "ReplicaSet/web", ports()), Printed),
    row(
        "host-port-lost",
        |w| {
            pod(w, "web", "ReplicaSet/web", ports());
            cilium(w, json!({"cni-chaining-mode": "portmap"}));
            node_config(w, "c", "kubernetes.io/os: linux", "cni-chaining-mode: none");
        },
        Printed,
    ),
    row(
        "host-port-lost",
        |w| {
            no_cilium(w);
            pod(w, "web", "ReplicaSet/web", ports());
        },
        Of("values-not-installed"),
    ),
    row("services-bridged", |w| service(w, "clusterIPs: [172.20.0.10], selector: {a: b}"), Waiver),
    row(
        "freeze-not-found",
        |w| w.set("freeze: [{name: g, members: [{namespace: x, name: db}]}]"),
        Edit("Correct freeze", |w| w.set("freeze: []")),
    ),
    row(
        "freeze-scaled-by-others",
        |w| {
            database(w);
            w.merge("statefulset", "db", json!({"metadata": {"ownerReferences": [{"kind": "Postgres", "name": "p", "controller": true}]}}));
            w.set("freeze: [{name: g, method: scale, members: [{namespace: x, name: db}]}]");
        },
        Edit("method: ordinals", |w| {
            w.set("freeze: [{name: g, method: ordinals, members: [{namespace: x, name: db}]}]")
        }),
    ),
    row(
        "freeze-twice",
        |w| {
            database(w);
            w.set("freeze: [{name: g, members: [{namespace: x, name: db}]}, {name: h, members: [{namespace: x, name: db}]}]");
        },
        Edit("in one place", |w| w.set("freeze: [{name: g, members: [{namespace: x, name: db}]}]")),
    ),
    row(
        "stateful-without-group",
        database,
        Settings(
            "freeze: [{name: GROUP, members: [{namespace: x, name: db}]}]",
            "freeze: [{name: g, members: [{namespace: x, name: db}]}]",
        ),
    ),
    row(
        "pod-local-volume",
        |w| {
            w.add("{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {local: {path: /d}}}\n---\n{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: x}, spec: {volumeName: v}}");
            pod(
                w,
                "db-0",
                "StatefulSet/db",
                json!({"spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]}}),
            );
        },
        Edit("roll: {methods: {POOL: churn}}", |w| w.set("roll: {methods: {'*': churn}}")),
    ),
    // Nodes.
    row(
        "crossfade-absent",
        |w| {
            for name in ["n1", "n2", "n3"] {
                w.merge("node", name, json!({"metadata": {"annotations": null}}));
            }
        },
        Edit("Install Crossfade on the nodes", |w| {
            for name in ["n1", "n2", "n3"] {
                w.merge("node", name, json!({"metadata": {"annotations": {"crossfade/observed": r#"{"bootId":"b","phase":"old"}"#}}}));
            }
        }),
    ),
    row("crossfade-silent", silent, Edit("report.node: true", reports)),
    row("crossfade-silent", silent, Settings("roll: {leaveOut: [{node: n3, reason: WHY}]}", "")),
    row("crossfade-stale", |w| version(w, "bootID", "c"), Edit("doctor", |w| version(w, "bootID", "b"))),
    row("node-cordoned", |w| node(w, json!({"spec": {"unschedulable": true}})), Printed),
    row(
        "node-leaving",
        |w| node(w, json!({"spec": {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}})),
        Edit("until they are gone", |w| w.remove("node", "n3")),
    ),
    row(
        "node-network-unavailable",
        |w| {
            w.at("node", "n3")["status"]["conditions"]
                .as_array_mut()
                .expect("conditions")
                .push(json!({"type": "NetworkUnavailable", "status": "True"}))
        },
        Edit("writes the condition anew", reports),
    ),
    row(
        "node-not-ready",
        |w| w.at("node", "n3")["status"]["conditions"][0]["status"] = "False".into(),
        Edit("Repair", reports),
    ),
    row(
        "node-unfit",
        |w| node(w, json!({"spec": {"taints": [{"key": "crossfade/unfit", "effect": "NoSchedule"}]}})),
        Printed,
    ),
    row(
        "version-architecture",
        |w| version(w, "architecture", "riscv64"),
        Edit("leave the cluster", |w| w.remove("node", "n3")),
    ),
    row(
        "version-kernel",
        |w| version(w, "kernelVersion", "4.9.0"),
        Edit("Upgrade the kernel", |w| version(w, "kernelVersion", "6.1.0")),
    ),
    row(
        "version-kernel-doubtful",
        |w| {
            no_cilium(w);
            version(w, "kernelVersion", "5.4.0");
        },
        Edit("upgrade the kernel", |w| version(w, "kernelVersion", "6.1.0")),
    ),
    row(
        "version-kubelet",
        |w| version(w, "kubeletVersion", "v1.24.1"),
        Edit("Upgrade these nodes", |w| version(w, "kubeletVersion", "v1.31.1")),
    ),
    row(
        "version-runtime",
        |w| version(w, "containerRuntimeVersion", "docker://20.10.7"),
        Edit("replace the runtime", |w| version(w, "containerRuntimeVersion", "containerd://1.7.20")),
    ),
    row("version-runtime-unproven", |w| version(w, "containerRuntimeVersion", "containerd://3.0.0"), Waiver),
    row(
        "version-unknown",
        |w| version(w, "kernelVersion", "new"),
        Edit("Take the snapshot again", |w| version(w, "kernelVersion", "6.1.0")),
    ),
    // Platforms.
    row(
        "platform-eks-auto-mode",
        |w| node(w, json!({"metadata": {"labels": {"eks.amazonaws.com/compute-type": "auto"}}})),
        Edit("delete the Auto Mode node pools", |w| w.remove("node", "n3")),
    ),
    row(
        "platform-fargate",
        |w| node(w, json!({"metadata": {"labels": {"eks.amazonaws.com/compute-type": "fargate"}}})),
        Waiver,
    ),
    row(
        "platform-read-only",
        |w| {
            silent(w);
            version(w, "osImage", "Talos (v1.9.0)");
        },
        Edit("Install Crossfade as docs/daemonset.md says", reports),
    ),
    row(
        "platform-virtual",
        |w| node(w, json!({"metadata": {"labels": {"type": "virtual-kubelet"}}})),
        Waiver,
    ),
    row(
        "platform-windows",
        |w| {
            node(
                w,
                json!({"metadata": {"labels": {"kubernetes.io/os": "windows"}}, "status": {"nodeInfo": {"operatingSystem": "windows"}}}),
            )
        },
        Waiver,
    ),
    // Workloads that the settings name.
    row(
        "clean-up-absent",
        |w| w.set("cleanUpResources: {daemonSets: {x: [gone]}}"),
        Edit("cleanUpResources", |w| w.set("cleanUpResources: null")),
    ),
    row(
        "clean-up-new-agent",
        |w| w.set("cleanUpResources: {daemonSets: {kube-system: [cilium]}}"),
        Edit("cleanUpResources", |w| w.set("cleanUpResources: null")),
    ),
    row(
        "preflight-absent",
        |w| w.set("preflightResources: {daemonSets: {x: [gone]}}"),
        Edit("preflightResources", |w| w.set("preflightResources: null")),
    ),
    row(
        "watched-absent",
        |w| w.set("watchedResources: {daemonSets: {x: [gone]}}"),
        Edit("watchedResources", |w| w.set("watchedResources: null")),
    ),
    row(
        "watched-empty",
        |w| w.set("watchedResources: {daemonSets: {kube-system: [cilium]}}"),
        Edit("watchedResources", |w| w.set("watchedResources: null")),
    ),
    row(
        "watched-not-ready",
        |w| {
            workload(w, "Deployment", "web", 2);
            w.merge("deployment", "web", json!({"status": {"readyReplicas": 1}}));
            w.set("watchedResources: {deployments: {x: [web]}}");
        },
        Edit("watchedResources", |w| w.set("watchedResources: null")),
    ),
    // Labels and the backup.
    row(
        "label-invalid",
        |w| w.set("labels: {value: 'a b'}"),
        Edit("labels", |w| w.set("labels: {value: ab}")),
    ),
    row(
        "label-misspelt",
        |w| w.set("labels: {setByKubelet: false, migrated: node.kubernetes/moved}"),
        Edit("labels", |w| w.set("labels: {migrated: crossfade/moved}")),
    ),
    row(
        "label-protected",
        |w| w.set("labels: {setByKubelet: true, migrated: node-role.kubernetes.io/moved}"),
        Settings("labels: {setByKubelet: false}", ""),
    ),
    row(
        "label-reserved",
        |w| w.set("labels: {migrated: crossfade/phase}"),
        Edit("labels", |w| w.set("labels: {migrated: crossfade/moved}")),
    ),
    row(
        "label-twice",
        |w| w.set("labels: {migrated: crossfade/a, new: crossfade/a}"),
        Edit("labels", |w| w.set("labels: {migrated: crossfade/b}")),
    ),
    row(
        "backup-unproven",
        |w| w.set("backup: null"),
        Settings("backup: {of: etcd.db, taken: \"2026-03-01T02:00:00Z\"}", ""),
    ),
    row(
        "backup-old",
        |w| w.set("backup: {of: etcd.db, taken: '2026-01-01T00:00:00Z'}"),
        Settings("backup: {of: etcd.db, taken: \"2026-03-01T02:00:00Z\"}", ""),
    ),
    row(
        "backup-age-unknown",
        |w| w.set("backup: {of: etcd.db, taken: yesterday}"),
        Edit("2026-03-01T02:00:00Z", |w| w.set("backup: {taken: '2026-03-01T02:00:00Z'}")),
    ),
    // What other controllers do, and what a drain waits for.
    row(
        "cidr-too-small",
        |w| cilium(w, json!({"cluster-pool-ipv4-cidr": "10.245.0.0/23"})),
        Edit("add one to the end of Cilium's list", |w| {
            cilium(w, json!({"cluster-pool-ipv4-cidr": "10.245.0.0/23 10.246.0.0/16"}))
        }),
    ),
    row("cilium-network-name", |w| node_config(w, "c", "none: here", "cni-chaining-mode: portmap"), Printed),
    row(
        "feature-policy-engine",
        |w| {
            aws(w, "OTHER");
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: calico-node, namespace: calico-system}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: calico-node, env: [{name: CALICO_NETWORKING_BACKEND, value: none}]}]}}}}");
        },
        Waiver,
    ),
    row(
        "machine-health-check",
        |w| {
            w.add("{apiVersion: cluster.x-k8s.io/v1beta1, kind: MachineHealthCheck, metadata: {name: m, namespace: x}, spec: {}}")
        },
        Printed,
    ),
    row(
        "machine-rollout",
        |w| {
            w.add("{apiVersion: cluster.x-k8s.io/v1beta1, kind: MachineDeployment, metadata: {name: m, namespace: x}, spec: {replicas: 3}, status: {replicas: 3, updatedReplicas: 1}}")
        },
        Edit("Wait until they are done", |w| {
            w.merge("machinedeployment", "m", json!({"status": {"updatedReplicas": 3}}))
        }),
    ),
    row(
        "masquerade-both",
        |w| {
            flannel(w);
            w.strategy = Strategy::Bridge;
            w.at("daemonset", "kube-flannel-ds")["spec"]["template"]["spec"]["containers"][0]["args"] =
                json!(["--ip-masq"]);
        },
        Waiver,
    ),
    row(
        "multus-attachments",
        |w| {
            pod(
                w,
                "web",
                "ReplicaSet/web",
                json!({"metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": "n"}}}),
            )
        },
        Edit("Try one pod of each owner", |w| {
            w.set("waivers: [{finding: multus-attachments, reason: tried}]")
        }),
    ),
    row(
        "multus-master",
        |w| {
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: kube-multus-ds, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: kube-multus, args: [--v=4]}]}}}}")
        },
        Printed,
    ),
    row(
        "multus-master",
        |w| {
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: kube-multus-ds, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: kube-multus}]}}}}")
        },
        Printed,
    ),
    row(
        "object-illegible",
        |w| pod(w, "web", "ReplicaSet/web", json!({"status": {"podIPs": [{"ip": "no address"}]}})),
        Edit("Correct the field", |w| {
            w.merge("pod", "web", json!({"status": {"podIPs": [{"ip": "10.10.1.7"}]}}))
        }),
    ),
    row(
        "plugin-appended",
        |w| {
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: istio-cni-node, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}]}}}}")
        },
        Waiver,
    ),
    row("pod-anti-affinity", apart, Printed),
    row(
        "pod-anti-affinity",
        apart,
        Settings("roll: {methods: {POOL: churn}}", "roll: {methods: {'*': churn}}"),
    ),
    row(
        "pod-grace-long",
        |w| pod(w, "web", "ReplicaSet/web", json!({"spec": {"terminationGracePeriodSeconds": 7200}})),
        Settings("roll: {limits: {moveSeconds: 7980}}", ""),
    ),
    row(
        "pod-zonal-volume",
        zonal,
        Edit("Add a node to the zone", |w| {
            w.merge("node", "n2", json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "a"}}}))
        }),
    ),
    row(
        "pod-zonal-volume",
        zonal,
        Settings("roll: {methods: {POOL: churn}}", "roll: {methods: {'*': churn}}"),
    ),
    row(
        "startup-taint-left",
        |w| {
            for name in ["n1", "n2", "n3"] {
                w.merge("node", name, json!({"spec": {"taints": [{"key": "node.cilium.io/agent-not-ready", "effect": "NoSchedule"}]}}));
            }
        },
        Printed,
    ),
    row("strategy-host-routes", |_| {}, Edit("--strategy bridge", |w| w.strategy = Strategy::Bridge)),
    row(
        "webhook-few",
        webhook,
        PrintedThen(|w| pod(w, "hook-2", "StatefulSet/hook", json!({"spec": {"nodeName": "n2"}}))),
    ),
    row(
        "webhook-unreachable",
        |w| {
            webhook(w);
            aws(w, "OTHER");
        },
        PrintedThen(|w| w.merge("pod", "hook-1", json!({"spec": {"hostNetwork": true}}))),
    ),
    // Requirements.
    row(
        "requirement-not-met",
        |w| {
            w.add("{apiVersion: crd.projectcalico.org/v1, kind: IPAMConfig, metadata: {name: default}, spec: {autoAllocateBlocks: false}}")
        },
        Printed,
    ),
    row(
        "requirement-not-met",
        |w| w.merge("ippool", "pool", json!({"spec": {"ipipMode": "Never"}})),
        Edit("spec.ipipMode", |w| w.merge("ippool", "pool", json!({"spec": {"ipipMode": "Always"}}))),
    ),
    row(
        "requirement-not-met",
        |w| w.merge("ippool", "pool", json!({"spec": {"allowedUses": ["Workload"]}})),
        Printed,
    ),
    row(
        "requirement-not-met",
        |w| {
            antrea(w, "trafficEncapMode: encap");
            w.strategy = Strategy::Double;
        },
        Edit("--strategy bridge", |w| w.strategy = Strategy::Bridge),
    ),
    row(
        "requirement-not-met",
        |w| {
            w.at("daemonset", "calico-node")["spec"]["template"]["spec"]["containers"][0]["image"] =
                "calico/node:v3.20.0".into()
        },
        Edit("update it", |w| {
            w.at("daemonset", "calico-node")["spec"]["template"]["spec"]["containers"][0]["image"] =
                "calico/node:v3.27.0".into()
        }),
    ),
    row(
        "requirement-unknown",
        |w| {
            w.at("daemonset", "calico-node")["spec"]["template"]["spec"]["containers"][0]["image"] =
                "calico/node:master".into()
        },
        Waiver,
    ),
];
