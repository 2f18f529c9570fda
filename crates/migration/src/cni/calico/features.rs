//! Features of Calico.
//!
//! *Source*: Calico's documentation: "Configure BGP peering", "Encrypt in-cluster pod traffic", "Enable the eBPF data plane", "Protect hosts", "Use a
//! specific IP address with a pod", "Add a floating IP to a pod", "Assign IP addresses based on topology", IPReservation.

mod hosts;

use ipnetwork::IpNetwork;
use snapshot::model::{Kind, Object};

use crate::check::finding::{Rule, Severity, Subject};
use crate::check::{Scene, pods_with_annotation};
use crate::cni::calico;
use crate::cni::driver::Feature;
use crate::cni::network::subject;
use crate::cni::support::Cni;

pub(crate) const FEATURE_BGP: Rule = Severity::Blocks.rule(
    "feature-bgp",
    "Calico tells routers outside the cluster, by BGP, where pods or Services are.",
    "Routers do not learn the new pod range, so nothing outside reaches pods of the new network. When Calico goes, the routes to Services go, too. Cilium does not test migrations of clusters with BGP.",
    "Announce the new pod range and the Services to these peers by another speaker before the first node moves. Then accept this finding with a waiver.",
);

pub(crate) const FEATURE_WIREGUARD: Rule = Severity::Blocks.rule(
    "feature-wireguard",
    "The old CNI encrypts traffic between nodes, and the new one does not encrypt.",
    "Traffic of every pod that moves is in clear text on the wire, in silence.",
    "Encrypt by other means, or accept this finding with a waiver.",
);

pub(crate) const FEATURE_EBPF: Rule = Severity::Blocks.rule(
    "feature-ebpf",
    "Calico's eBPF data plane is on.",
    "Its programs sit on the node's interfaces and sockets, before every route and rule of the new CNI, and kube-proxy is off or cleaned away. Two owners of these hooks cut each other's pods off.",
    r#"Go back to the standard data plane first. 1. Run kube-proxy on all nodes. 2. kubectl patch felixconfigurations.crd.projectcalico.org default --type merge -p '{"spec":{"bpfEnabled":false}}' (with the operator: spec.calicoNetwork.linuxDataplane: Iptables in the Installation). 3. Reboot the nodes one by one, or make sure that no tc filter of Calico is left."#,
);

pub(crate) const FEATURE_EGRESS_GATEWAY: Rule = Severity::Blocks.rule(
    "feature-egress-gateway",
    "Traffic leaves the cluster through Calico's egress gateways.",
    "Pods of the new network leave with the address of their node. Partners that allow the gateways' addresses refuse them.",
    "Let the partners allow the nodes' addresses. Then accept this finding with a waiver.",
);

pub(crate) const FEATURE_HOST_ENDPOINTS: Rule = Severity::Blocks.rule(
    "feature-host-endpoints",
    "HostEndpoints let Calico's policies protect the nodes themselves.\n\n\
     A HostEndpoint that Calico's controllers made for a node counts only where a GlobalNetworkPolicy selects it.",
    "Calico drops what their policies do not allow, tunnels of the new network included; only its failsafe ports (SSH, DHCP, BGP, etcd, 6443) are always open. After Calico, nothing protects the nodes, and other CNIs have no failsafe ports: the same rules may lock all clients out.",
    "Allow the new network's tunnel and health ports (finding tunnel-ports) in the policies of these HostEndpoints before the new CNI is installed. Protect the nodes by other means, such as security groups or nftables, before Calico goes. Then accept this finding with a waiver.",
);

pub(crate) const FEATURE_FIXED_ADDRESSES: Rule = Severity::Blocks.rule(
    "feature-fixed-addresses",
    "Pods ask Calico for fixed addresses.",
    "The new network ignores the annotation. The pods get other addresses, and clients that know the old ones do not find them.",
    "Let clients use a Service instead of the address, and remove the annotation. Then accept this finding with a waiver for each owner that is left.",
);

pub(crate) const FEATURE_FLOATING_IPS: Rule = Severity::Blocks.rule(
    "feature-floating-ips",
    "Pods have floating addresses of Calico.",
    "The addresses lead nowhere once the pods have the new network.",
    "Replace each floating address by a Service of type LoadBalancer, or with externalIPs, and move the clients before the pods. Then accept this finding with a waiver for each owner.",
);

pub(crate) const FEATURE_POOL_SELECTION: Rule = Severity::Risk.rule(
    "feature-pool-selection",
    "Pods, namespaces or nodes choose the pool that their addresses come from.",
    "The new network has other pools. Firewalls that tell tenants or zones apart by these ranges see all pods in one range.",
    "If the ranges matter outside the cluster, change the rules there first. Then accept this finding with a waiver.",
);

pub(crate) const FEATURE_IP_RESERVATIONS: Rule = Severity::Note.rule(
    "feature-ip-reservations",
    "IPReservations keep Calico from giving some addresses to pods.",
    "The new network does not read them. If its range has such an address, a pod gets it.",
    "Name the addresses as cidrs.reserved in the settings file, so that check finds them in the new range.",
);

pub(super) const FEATURES: &[Feature] = &[
    Feature {
        rule: &FEATURE_BGP,
        find: bgp,
        what: None,
        fixes: &[
            (
                Cni::Cilium,
                "Set up Cilium's BGP control plane (Helm: bgpControlPlane.enabled=true, with a CiliumBGPClusterConfig for each of these peers) with another AS number or port than Calico's BIRD has on the node, and see the routes on the router before the first node moves. Then accept this finding with a waiver.",
            ),
            (
                Cni::Antrea,
                "Set up a BGPPolicy of Antrea (feature gate BGPPolicy, alpha) for these peers with another port than Calico's BIRD has on the node, or announce the new range by static routes. Then accept this finding with a waiver.",
            ),
        ],
    },
    Feature {
        rule: &FEATURE_WIREGUARD,
        find: |scene| {
            if scene.to.driver().encrypts(scene.snapshot) {
                return Vec::new();
            }
            ["wireguardEnabled", "wireguardEnabledV6"]
                .iter()
                .flat_map(|key| calico::find_enabled(scene.snapshot, key))
                .collect()
        },
        what: Some("Calico encrypts traffic between nodes with WireGuard, and the new CNI does not encrypt."),
        fixes: &[
            (
                Cni::Cilium,
                "Install Cilium with the Helm values encryption.enabled=true and encryption.type=wireguard. It uses UDP port 51871, Calico 51820, so both can be on a node.",
            ),
            (
                Cni::Antrea,
                "Install Antrea with the Helm values trafficEncryptionMode=wireGuard and wireGuard.port=51830: its default port is Calico's.",
            ),
        ],
    },
    Feature {
        rule: &FEATURE_EBPF,
        find: |scene| calico::find_enabled(scene.snapshot, "bpfEnabled"),
        what: None,
        fixes: &[],
    },
    Feature {
        rule: &FEATURE_EGRESS_GATEWAY,
        find: |scene| {
            let set = calico::felix(scene.snapshot, "egressIPSupport").into_iter();
            let on = set.filter(|set| set.value != "Disabled").map(|set| set.source);
            on.chain(pods_with_annotation(scene, |key| key.starts_with("egress.projectcalico.org/")))
                .collect()
        },
        what: None,
        fixes: &[
            (
                Cni::Cilium,
                "Write a CiliumEgressGatewayPolicy for each of these namespaces, and switch Cilium's egress gateway on after the migration: it needs kube-proxy's replacement. Until then, let the partners allow the nodes' addresses. Then accept this finding with a waiver.",
            ),
            (
                Cni::Antrea,
                "Write an Egress of Antrea for each of these namespaces, with addresses that the partners allow. Then accept this finding with a waiver.",
            ),
        ],
    },
    Feature { rule: &FEATURE_HOST_ENDPOINTS, find: hosts::find_protected_hosts, what: None, fixes: &[] },
    Feature {
        rule: &FEATURE_FIXED_ADDRESSES,
        find: |scene| {
            pods_with_annotation(scene, |key| {
                matches!(key, "cni.projectcalico.org/ipAddrs" | "cni.projectcalico.org/ipAddrsNoIpam")
            })
        },
        what: None,
        fixes: &[(
            Cni::Antrea,
            "Let clients use a Service instead of the address. Where the address must be fixed, use Antrea's IPPools (feature gate AntreaIPAM, alpha, addresses of the new range). Then accept this finding with a waiver for each owner.",
        )],
    },
    Feature {
        rule: &FEATURE_FLOATING_IPS,
        find: |scene| pods_with_annotation(scene, |key| key == "cni.projectcalico.org/floatingIPs"),
        what: None,
        fixes: &[],
    },
    Feature {
        rule: &FEATURE_POOL_SELECTION,
        find: pools,
        what: None,
        fixes: &[(
            Cni::Cilium,
            "If the ranges matter outside the cluster, install Cilium with ipam.mode=multi-pool and a CiliumPodIPPool for each of them, and annotate the namespaces with ipam.cilium.io/ip-pool. Else accept this finding with a waiver.",
        )],
    },
    Feature {
        rule: &FEATURE_IP_RESERVATIONS,
        find: |scene| {
            let all = scene
                .snapshot
                .objects(Kind::IP_RESERVATION)
                .iter()
                .filter(|object| !object.name().starts_with("crossfade-") && !is_reserved(scene, object));
            all.map(|object| subject(Kind::IP_RESERVATION, object)).collect()
        },
        what: None,
        fixes: &[],
    },
];

/// The settings file reserves every address that the object does.
fn is_reserved(scene: &Scene<'_>, reservation: &Object) -> bool {
    let reserved = &scene.config.cidrs.reserved;
    let is_in = |text: &str| {
        text.parse::<IpNetwork>().is_ok_and(|range| {
            reserved.iter().any(|outer| outer.prefix() <= range.prefix() && outer.contains(range.ip()))
        })
    };
    let mut ranges = reservation.texts("/spec/reservedCIDRs").peekable();
    ranges.peek().is_some() && ranges.all(is_in)
}

fn bgp(scene: &Scene<'_>) -> Vec<Subject> {
    let peers = scene.snapshot.objects(Kind::BGP_PEER).iter().map(|peer| {
        let whom = peer.text("/spec/peerIP").or_else(|| peer.text("/spec/peerSelector")).unwrap_or_default();
        subject(Kind::BGP_PEER, peer).detail(whom)
    });
    let announced = ["serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"];
    let services = scene.snapshot.objects(Kind::BGP_CONFIGURATION).iter().filter_map(|config| {
        let key = announced.iter().find(|key| !config.list(&format!("/spec/{key}")).is_empty())?;
        Some(subject(Kind::BGP_CONFIGURATION, config).detail(*key))
    });
    peers.chain(services).collect()
}

fn pools(scene: &Scene<'_>) -> Vec<Subject> {
    let chosen = pods_with_annotation(scene, |key| {
        matches!(key, "cni.projectcalico.org/ipv4pools" | "cni.projectcalico.org/ipv6pools")
    });
    let selecting = scene.snapshot.objects(Kind::IP_POOL).iter().filter_map(|pool| {
        let selector = |key: &str| {
            pool.text(&format!("/spec/{key}"))
                .map(str::trim)
                .filter(|text| !matches!(*text, "" | "all()" | "!all()"))
        };
        let selector = selector("nodeSelector").or_else(|| selector("namespaceSelector"))?;
        Some(subject(Kind::IP_POOL, pool).detail(selector))
    });
    chosen.into_iter().chain(selecting).collect()
}
