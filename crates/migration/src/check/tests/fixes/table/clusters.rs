//! Clusters, and what makes a good one have a finding.

use serde_json::{Value, json};

use super::super::world::{World, merge};
use crate::cni::support::{Cni, Strategy};

macro_rules! cilium_objects {
    () => {
        r#"
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: cilium, namespace: kube-system}, spec: {updateStrategy: {type: OnDelete}, template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}],
  containers: [{name: cilium-agent, image: "quay.io/cilium/cilium:v1.17.4"}]}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: cilium-operator, namespace: kube-system}, spec: {replicas: 2, template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}],
  containers: [{name: cilium-operator}]}}}, status: {readyReplicas: 2}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: cilium-config, namespace: kube-system}, data: {custom-cni-conf: "true", cni-exclusive: "false", cni-uninstall: "false",
  unmanaged-pod-watcher-interval: "0", enable-policy: never, enable-host-legacy-routing: "true", ipam: cluster-pool, cluster-pool-ipv4-cidr: 10.245.0.0/16, kube-proxy-replacement: "false",
  routing-mode: tunnel, tunnel-port: "8473", mtu: "1450", enable-ipv4-masquerade: "false"}}
"#
    };
}

/// Cilium beside another CNI, as the stage `install` needs it.
pub(in crate::check::tests::fixes) const CILIUM: &str = cilium_objects!();

/// A cluster with Calico in which nothing stands in the way of Cilium.
pub(in crate::check::tests::fixes) const GOOD: &str = concat!(
    r#"
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
---"#,
    cilium_objects!()
);

pub(super) fn cilium(world: &mut World, data: Value) {
    world.merge("configmap", "cilium-config", json!({ "data": data }));
}

/// Cilium is not installed yet.
pub(super) fn no_cilium(world: &mut World) {
    for (kind, name) in
        [("daemonset", "cilium"), ("deployment", "cilium-operator"), ("configmap", "cilium-config")]
    {
        world.remove(kind, name);
    }
    world.set("networks: {new: {cidrs: [10.245.0.0/16]}}");
}

/// Another range for Cilium.
pub(super) fn choose(world: &mut World) {
    cilium(world, json!({"cluster-pool-ipv4-cidr": "10.246.0.0/16"}));
}

pub(super) fn block(world: &mut World, cidr: &str) {
    world.add(&format!("{{apiVersion: crd.projectcalico.org/v1, kind: IPAMBlock, metadata: {{name: b}}, spec: {{cidr: {cidr}, affinity: 'host:n1'}}}}"));
}

pub(super) fn cilium_node(world: &mut World, spec: &str) {
    world.add(&format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumNode, metadata: {{name: n1}}, spec: {{{spec}}}}}"
    ));
}

pub(super) fn node_config(world: &mut World, name: &str, selector: &str, defaults: &str) {
    world.add(&format!("{{apiVersion: cilium.io/v2, kind: CiliumNodeConfig, metadata: {{name: {name}, namespace: kube-system}}, spec: {{nodeSelector: {{matchLabels: {{{selector}}}}}, defaults: {{{defaults}}}}}}}"));
}

pub(super) fn felix(world: &mut World, spec: Value) {
    world.merge("felixconfiguration", "default", json!({ "spec": spec }));
}

pub(super) fn daemon_set(world: &mut World, name: &str, spec: Value) {
    world.merge("daemonset", name, json!({"spec": {"template": {"spec": spec}}}));
}

pub(super) fn policy(world: &mut World, rule: &str) {
    world.add(&format!("{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p, namespace: x}}, spec: {{podSelector: {{}}, ingress: [{rule}]}}}}"));
}

pub(super) fn service(world: &mut World, spec: &str) {
    world.add(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: s, namespace: x}}, spec: {{{spec}}}}}"
    ));
}

/// A pod; what makes it is `KIND/NAME`, or nothing.
pub(super) fn pod(world: &mut World, name: &str, owner: &str, more: Value) {
    let owners = owner
        .split_once('/')
        .map_or(json!([]), |(kind, name)| json!([{"kind": kind, "name": name, "controller": true}]));
    let mut value = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x", "ownerReferences": owners, "labels": {"app": "a"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}]}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    merge(&mut value, more);
    world.add(&value.to_string());
}

pub(super) fn workload(world: &mut World, kind: &str, name: &str, replicas: u32) {
    world.add(&format!("{{apiVersion: apps/v1, kind: {kind}, metadata: {{name: {name}, namespace: x}}, spec: {{replicas: {replicas}, template: {{spec: {{containers: [{{name: c}}]}}}}}}, status: {{readyReplicas: {replicas}}}}}"));
}

/// A budget over the pods of `x`.
pub(super) fn budget(world: &mut World, name: &str, spec: &str) {
    world.add(&format!("{{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {{name: {name}, namespace: x}}, spec: {{selector: {{matchLabels: {{app: a}}}}, {spec}}}}}"));
}

/// A StatefulSet with two pods.
pub(super) fn database(world: &mut World) {
    workload(world, "StatefulSet", "db", 2);
    for name in ["db-0", "db-1"] {
        pod(world, name, "StatefulSet/db", json!({}));
    }
}

pub(super) fn node(world: &mut World, patch: Value) {
    world.merge("node", "n3", patch);
}

pub(super) fn version(world: &mut World, key: &str, value: &str) {
    node(world, json!({"status": {"nodeInfo": {key: value}}}));
}

/// `n3` does not report.
pub(super) fn silent(world: &mut World) {
    node(
        world,
        json!({"metadata": {"annotations": null, "labels": {"crossfade/phase": null}}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
    );
}

pub(super) fn reports(world: &mut World) {
    let boot = json!({"metadata": {"annotations": {"crossfade/observed": r#"{"bootId":"b","phase":"old"}"#}, "labels": {"crossfade/phase": "old"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "CrossfadeReady", "status": "True"}]}});
    node(world, boot);
}

/// The nodes say which networks they let join and leave running pods.
pub(super) fn joining(world: &mut World, joins: &[&str]) {
    for name in ["n1", "n2", "n3"] {
        let seen = json!({"bootId": "b", "phase": "old", "joins": joins}).to_string();
        world.merge("node", name, json!({"metadata": {"annotations": {"crossfade/observed": seen}}}));
    }
}

/// Nodes bear Cilium's taint until its agent is ready.
pub(super) fn tainted(world: &mut World) {
    node(
        world,
        json!({"spec": {"taints": [{"key": "node.cilium.io/agent-not-ready", "effect": "NoSchedule"}]}}),
    );
}

pub(super) fn rotation(world: &mut World) {
    world.strategy = Strategy::Rotation;
}

/// A selector of a DaemonSet by a label of new nodes.
pub(super) fn fenced(world: &mut World, name: &str, operator: &str) {
    let terms = json!([{"matchExpressions": [{"key": "new", "operator": operator}]}]);
    daemon_set(
        world,
        name,
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}),
    );
}

/// From Calico to Antrea.
pub(super) fn antrea(world: &mut World, settings: &str) {
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
pub(super) fn to_calico(world: &mut World) {
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
pub(super) fn flannel(world: &mut World) {
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
pub(super) fn aws(world: &mut World, variable: &str) {
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

pub(super) const GUIDE: &str =
    "write-cni-conf-when-ready: /host/etc/cni/net.d/05-cilium.conflist, custom-cni-conf: \"false\"";

pub(super) fn ports() -> Value {
    json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]}})
}

/// A Deployment whose pods never share a node, with as many replicas as there are nodes.
pub(super) fn apart(world: &mut World) {
    workload(world, "Deployment", "web", 3);
    let terms =
        json!([{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}]);
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}});
    world.merge("deployment", "web", json!({"spec": {"template": template}}));
}

/// A pod whose volume is of a zone with one node.
pub(super) fn zonal(world: &mut World) {
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
pub(super) fn webhook(world: &mut World) {
    workload(world, "StatefulSet", "hook", 1);
    pod(world, "hook-1", "StatefulSet/hook", json!({}));
    service(world, "selector: {app: a}");
    world.add("{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: h}, webhooks: [{name: h, failurePolicy: Fail, clientConfig: {service: {namespace: x, name: s}}, rules: [{apiGroups: [''], operations: [CREATE], resources: [pods]}]}]}");
}
