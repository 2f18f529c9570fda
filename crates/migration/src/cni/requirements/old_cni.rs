//! Rows about the CNI to move from: its version and its modes.

use snapshot::model::{Kind, Object, Workload};

use super::{Requirement, Scope, State};
use crate::check::{AGENT_OLD_ABSENT, Scene};
use crate::cni::aws_vpc::features::FEATURE_AWS_SECURITY_GROUPS;
use crate::cni::calico;
use crate::cni::calico::features::FEATURE_EBPF;
use crate::cni::support::{Cni, Strategy};
use crate::config::ObjectRef;
use crate::workload::{Version, image_tag, version};

/// The versions of which a migration is published. *Source*: Antrea's issue 5578 and its migration guide.
const CALICO: Version = (3, 26);
const FLANNEL: Version = (0, 22);

const IS_CALICO: Scope = Scope::From(&[Cni::Calico]);
const IS_FLANNEL: Scope = Scope::From(&[Cni::Flannel, Cni::Canal]);

pub(super) const ROWS: &[Requirement] = &[
    Requirement {
        name: "calico-version",
        what: "Calico is 3.26 or later.",
        why: "No migration from an older version is published, and its objects may mean something else.",
        found_by: &[&AGENT_OLD_ABSENT],
        scope: Scope::From(&[Cni::Calico, Cni::Canal]),
        needs: &[Kind::DAEMON_SET],
        state: |scene| {
            agent(scene, &scene.config.agents.old, &["calico-node", "canal"], &["calico-node"], CALICO)
        },
    },
    Requirement {
        name: "calico-ipam",
        what: "Calico gives addresses from at least one pool, or those of the Nodes' pod CIDRs.",
        why: "Without them, it is unknown which addresses the old network gives.",
        found_by: &[],
        scope: IS_CALICO,
        needs: &[Kind::IP_POOL, Kind::CONFIG_MAP, Kind::TIGERA_INSTALLATION, Kind::DAEMON_SET],
        state: addresses,
    },
    Requirement {
        name: "calico-pool-uses",
        what: "A pool serves workloads and, where Calico encapsulates, a pool serves tunnels.",
        why: "Without such a pool, pods or tunnels get no address, or one that the migration does not know.",
        found_by: &[],
        scope: IS_CALICO,
        needs: &[Kind::IP_POOL, Kind::CONFIG_MAP, Kind::TIGERA_INSTALLATION],
        state: pool_uses,
    },
    Requirement {
        name: "calico-encapsulation",
        what: "Every pool that gives addresses encapsulates its packets, with IPIP or VXLAN.",
        why: "Packets with pod addresses on the wire reach the other network only if every router knows both ranges.",
        found_by: &[],
        scope: IS_CALICO,
        needs: &[Kind::IP_POOL, Kind::IPAM_BLOCK],
        state: |scene| {
            let fix = "without encapsulation, routers must know both networks: use --strategy rotation, or set spec.ipipMode or spec.vxlanMode to Always";
            if scene.network_strategy() == Strategy::Rotation {
                return State::met(ONE_NETWORK);
            }
            // Addresses of a pool for tunnels or load balancers alone are no pod's.
            pools(scene, fix, |pool| !calico::serves(pool, "Workload") || encapsulates(pool))
        },
    },
    Requirement {
        name: "calico-auto-blocks",
        what: "Calico gives nodes new blocks when they need some.",
        why: "A node whose blocks are full gives no address any more, and pods that move there do not start.",
        found_by: &[],
        scope: IS_CALICO,
        needs: &[Kind::IPAM_CONFIG],
        state: |scene| {
            let off = |config: &&Object| {
                config
                    .pointer("/spec/autoAllocateBlocks")
                    .is_some_and(|_| !config.is_true("/spec/autoAllocateBlocks"))
            };
            match scene.snapshot.objects(Kind::IPAM_CONFIG).iter().find(off) {
                Some(config) => State::not_met(
                    format!("IPAMConfig/{} has autoAllocateBlocks: false", config.name()),
                    format!(
                        "kubectl patch ipamconfigs.crd.projectcalico.org {} --type merge -p '{{\"spec\":{{\"autoAllocateBlocks\":true}}}}'",
                        config.name()
                    ),
                ),
                None => State::met("autoAllocateBlocks is true"),
            }
        },
    },
    Requirement {
        name: "calico-iptables",
        what: "Calico's eBPF dataplane is off.",
        why: "Two eBPF dataplanes on one node take each other's packets.",
        found_by: &[&FEATURE_EBPF],
        scope: IS_CALICO,
        needs: &[Kind::FELIX_CONFIGURATION],
        state: |scene| {
            let on = |config: &&Object| config.is_true("/spec/bpfEnabled");
            match scene.snapshot.objects(Kind::FELIX_CONFIGURATION).iter().find(on) {
                Some(config) => State::not_met(
                    format!("FelixConfiguration/{} has bpfEnabled: true", config.name()),
                    "two eBPF dataplanes cannot share a node: turn Calico's off first",
                ),
                None => State::met("bpfEnabled is not true"),
            }
        },
    },
    Requirement {
        name: "flannel-version",
        what: "Flannel is 0.22 or later.",
        why: "No migration from an older version is published.",
        found_by: &[&AGENT_OLD_ABSENT],
        scope: IS_FLANNEL,
        needs: &[Kind::DAEMON_SET],
        state: |scene| {
            agent(
                scene,
                &scene.config.agents.old,
                &["kube-flannel-ds", "kube-flannel", "canal"],
                &["kube-flannel"],
                FLANNEL,
            )
        },
    },
    Requirement {
        name: "flannel-backend",
        what: "Flannel's backend is vxlan, host-gw or wireguard.",
        why: "What other backends do with the routes of nodes is not known to work beside a second CNI.",
        found_by: &[],
        scope: IS_FLANNEL,
        needs: &[Kind::CONFIG_MAP],
        state: |scene| {
            let snapshot = scene.snapshot;
            if scene.network_strategy() == Strategy::Rotation {
                return State::met(ONE_NETWORK);
            }
            let config =
                ["kube-flannel-cfg", "canal-config"].iter().find_map(|name| snapshot.config_map(name));
            let Some(config) = config else {
                return State::unknown("there is no ConfigMap kube-flannel-cfg", BACKEND_BY_HAND);
            };
            let conf = config
                .data("net-conf.json")
                .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
            let backend = conf.as_ref().and_then(|conf| conf.pointer("/Backend/Type")?.as_str());
            match backend {
                Some(backend @ ("vxlan" | "host-gw" | "wireguard")) => {
                    State::met(format!("backend {backend}"))
                }
                Some(other) => State::not_met(format!("backend {other}"), "use --strategy rotation"),
                None => State::unknown("net-conf.json names no backend", BACKEND_BY_HAND),
            }
        },
    },
    Requirement {
        name: "aws-pod-security-groups",
        what: "No pod has a security group of its own.",
        why: "The rules of such a group end when the pod moves: what they refused is open, or what they allowed is closed.",
        found_by: &[&FEATURE_AWS_SECURITY_GROUPS],
        scope: Scope::From(&[Cni::AwsVpcCni]),
        needs: &[Kind::DAEMON_SET],
        state: |scene| match scene
            .snapshot
            .daemon_set("aws-node")
            .and_then(|aws| variable(aws, "ENABLE_POD_ENI"))
        {
            Some("true") => State::not_met(
                "aws-node has ENABLE_POD_ENI=true",
                "replace SecurityGroupPolicies by network policies of the new CNI, then set ENABLE_POD_ENI=false",
            ),
            _ => State::met("ENABLE_POD_ENI is not true"),
        },
    },
];

fn encapsulates(pool: &Object) -> bool {
    let modes = ["/spec/ipipMode", "/spec/vxlanMode"];
    modes.iter().any(|mode| matches!(pool.text(mode), Some("Always" | "CrossSubnet")))
}

/// Where Calico gets the addresses of pods from.
fn addresses(scene: &Scene<'_>) -> State {
    let pools = scene.snapshot.objects(Kind::IP_POOL);
    if calico::is_host_local(scene.snapshot) {
        return State::met("the pod CIDRs of the Nodes (host-local)");
    }
    if !pools.is_empty() {
        return State::met(format!("pools: {}", join_names(pools)));
    }
    if calico::is_on_etcd(scene.snapshot) {
        return State::not_met(
            "Calico keeps its pools in etcd, where no snapshot sees them",
            "move Calico's data to the Kubernetes API first: calicoctl datastore migrate export, calicoctl datastore migrate import, then install calico-node for the Kubernetes datastore (Calico's documentation, \"Migrate datastore\")",
        );
    }
    State::not_met(
        "there is no IPPool",
        "create the pool that Calico gives addresses from: calicoctl apply -f pool.yaml",
    )
}

/// Pools for pods and for tunnels, whichever pools they are.
fn pool_uses(scene: &Scene<'_>) -> State {
    let pools = scene.snapshot.objects(Kind::IP_POOL);
    let is_open = |pool: &&Object| !pool.is_true("/spec/disabled");
    let serving =
        |usage: &'static str| pools.iter().filter(is_open).filter(move |pool| calico::serves(pool, usage));
    if pools.is_empty() || calico::is_host_local(scene.snapshot) {
        return State::met("no pool gives addresses to pods");
    }
    let Some(pool) = serving("Workload").next() else {
        return State::not_met(
            format!("none serves workloads: {}", join_names(pools)),
            "create a pool for pods, whose spec.allowedUses is [Workload, Tunnel]: calicoctl apply -f pool.yaml",
        );
    };
    if serving("Workload").any(encapsulates) && serving("Tunnel").next().is_none() {
        return State::not_met(
            format!("none serves tunnels: {}", join_names(pools)),
            format!(
                r#"kubectl patch ippools.crd.projectcalico.org {} --type merge -p '{{"spec":{{"allowedUses":["Workload","Tunnel"]}}}}'"#,
                pool.name()
            ),
        );
    }
    State::met(format!("pools: {}", join_names(pools)))
}

/// The value of a variable in any container of an agent.
fn variable<'a>(agent: &'a Workload, name: &str) -> Option<&'a str> {
    let containers = agent.spec.template.spec.containers.iter();
    containers
        .flat_map(|container| &container.env)
        .find(|variable| variable.name.as_ref() == name)
        .map(|candidate| candidate.value.as_ref())
}

fn join_names(pools: &[Object]) -> String {
    pools.iter().map(Object::name).collect::<Vec<_>>().join(", ")
}

/// Of the pools that give addresses, whether each holds.
fn pools(scene: &Scene<'_>, fix: &str, holds: impl Fn(&Object) -> bool) -> State {
    let pools = scene.snapshot.objects(Kind::IP_POOL);
    let giving = pools.iter().filter(|pool| calico::claims::gives_addresses(scene, pool));
    let wrong: Vec<&str> = giving.filter(|pool| !holds(pool)).map(Object::name).collect();
    if wrong.is_empty() {
        State::met(format!("pools: {}", join_names(pools)))
    } else {
        State::not_met(format!("not so: {}", wrong.join(", ")), fix)
    }
}

/// Why a rotation does not depend on how the old CNI sends packets.
const ONE_NETWORK: &str = "each node has one network, as long as it lives";

/// What to do where the cluster does not say Flannel's backend.
const BACKEND_BY_HAND: &str =
    "check the backend in net-conf.json of Flannel by hand, and accept this with a waiver";

/// What to do where the cluster does not say a version.
const BY_HAND: &str = "check the version by hand, and accept this with a waiver";

/// The version of an agent, by the image of its container.
pub(super) fn agent(
    scene: &Scene<'_>,
    named: &[ObjectRef],
    sets: &[&str],
    containers: &[&str],
    least: Version,
) -> State {
    let is_named = |set: &&Workload| named.iter().any(|name| name.matches(set.namespace(), set.name()));
    let own = scene.snapshot.workloads(Kind::DAEMON_SET).iter().find(is_named);
    let Some(set) = own.or_else(|| sets.iter().find_map(|name| scene.snapshot.daemon_set(name))) else {
        return State::unknown(
            format!("there is no DaemonSet {}", sets.join(" or ")),
            "install it; if its DaemonSet has another name, name it in the settings file (agents); without a DaemonSet, check the version by hand and accept this with a waiver",
        );
    };
    let spec = &set.spec.template.spec;
    let image = spec.containers.iter().find(|container| containers.contains(&container.name.as_ref()));
    // The operator says that it is the agent, whatever its container is called.
    let image = image.or_else(|| own.and_then(|own| own.spec.template.spec.containers.first()));
    let Some(image) = image.map(|container| container.image.as_ref()) else {
        return State::unknown(
            format!("DaemonSet {} has no container {}", set.name(), containers.join(" or ")),
            BY_HAND,
        );
    };
    match image_tag(image).and_then(version) {
        Some(version) if version >= least => State::met(image),
        Some(_) => State::not_met(image, format!("update it to {}.{}.0 or later first", least.0, least.1)),
        None => State::unknown(format!("{image} names no version"), BY_HAND),
    }
}
