//! node.json.

use std::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use types::api::taint::{Effect, Taint};
use types::json::version::V1;
use types::node::{
    CniVersion, DesiredSource, Gate, Kubelet, Mode, Node, Proof, Reporting, Runtime, RuntimeKind,
};
use types::packets::{PacketPath, PacketTargets, Peer};
use types::policy::Phase;

use crate::{comes_back, maybe, path};

fn runtime() -> impl Strategy<Value = Runtime> {
    let unit = "[a-z@-]{1,5}\\.service";
    let dirs = prop::collection::vec(path(), 0..3);
    (maybe(select(&RuntimeKind::ALL[..])), maybe("(unix://)?/[a-z/.]{0,5}"), maybe(unit), maybe(path()), dirs)
        .prop_map(|(kind, endpoint, unit, config, bin_dirs)| Runtime {
            kind,
            endpoint,
            unit,
            config,
            bin_dirs,
        })
}

fn kubelet() -> impl Strategy<Value = Kubelet> {
    ("[a-z]{1,5}\\.service", any::<bool>(), maybe(path()), maybe(".{0,5}"))
        .prop_map(|(unit, register, kubeconfig, node_name)| Kubelet { unit, register, kubeconfig, node_name })
}

fn packets() -> impl Strategy<Value = PacketTargets> {
    let peer = (any::<IpAddr>(), maybe(1..=u16::MAX)).prop_map(|(address, port)| Peer { address, port });
    let paths = subsequence(PacketPath::ALL.to_vec(), 0..=5);
    (
        maybe(prop::collection::vec(any::<IpAddr>(), 0..3)),
        maybe(prop::collection::vec(peer, 0..3)),
        maybe(paths),
    )
        .prop_map(|(dns, peers, paths)| PacketTargets { dns, peers, paths })
}

fn node() -> impl Strategy<Value = Node> {
    let taint = ("[a-z./]{1,9}", "[a-z]{0,3}", select(&Effect::ALL[..]))
        .prop_map(|(key, value, effect)| Taint { key, value, effect });
    let report = (any::<bool>(), any::<bool>(), maybe("/[a-z/]{0,5}x\\.prom")).prop_map(
        |(node, require_all_networks, textfile)| Reporting {
            node,
            require_all_networks,
            textfile: textfile.map(Into::into),
        },
    );
    let gate = (1..=60_u64, maybe(1..=604_800_u64))
        .prop_map(|(try_secs, give_up_secs)| Gate { try_secs, give_up_secs });
    let words = (
        select(&Mode::ALL[..]),
        select(&CniVersion::ALL[..]),
        select(&[DesiredSource::NodeAnnotation, DesiredSource::Off][..]),
        select(&Proof::ALL[..]),
        subsequence(Phase::ALL.to_vec(), 0..=4),
        any::<bool>(),
    );
    (
        words,
        prop::collection::btree_map(".{0,5}", ".{0,5}", 0..3),
        prop::collection::vec(taint, 0..3),
        runtime(),
        kubelet(),
        gate,
        report,
        packets(),
    )
        .prop_map(
            |(
                (conf_dir, cni_version, desired, proof, allowed, join_pods),
                labels,
                taints,
                runtime,
                kubelet,
                gate,
                report,
                packets,
            )| {
                Node {
                    version: V1,
                    conf_dir,
                    labels,
                    taints,
                    cni_version,
                    runtime,
                    kubelet,
                    gate,
                    desired,
                    allowed,
                    join_pods,
                    report,
                    proof,
                    packets,
                }
            },
        )
}

proptest! {
    #[test]
    fn node_json_comes_back_or_is_refused_by_both_readers(node in node()) {
        let written = serde_json::to_vec(&node).expect("it serialises");
        match Node::parse(&written) {
            Ok(_) => comes_back(&node, Node::parse),
            Err(why) => {
                let is_known = ["twice", "allowed: missing", "joinPods: true"].iter().any(|rule| why.contains(rule));
                prop_assert!(is_known, "{}", why);
                prop_assert!(serde_json::from_slice::<Node>(&written).is_err(), "{}", why);
            }
        }
    }
}

#[test]
fn the_settings_of_an_absent_file_come_back() {
    comes_back(&Node::default(), Node::parse);
}
