//! policy.json.

use proptest::prelude::*;
use proptest::sample::select;
use types::json::version::V1;
use types::policy::{
    Attach, Both, Deadlines, Gc, Join, Network, Networks, Phase, PodAnnotation, PodPattern, Pods, Policy,
    Probe, RetiredNetwork, Rule, Secondary, SecondaryFailure, Side,
};

use crate::{comes_back, maybe, path};

fn side() -> impl Strategy<Value = Side> {
    select(&Side::BOTH[..])
}

fn attach() -> impl Strategy<Value = Attach> {
    select(&Attach::ALL[..])
}

fn probe() -> impl Strategy<Value = Probe> {
    let header = ("[a-zA-Z-]{1,5}", "[ -~]{0,9}");
    prop_oneof![
        path().prop_map(Probe::Unix),
        path().prop_map(Probe::File),
        (
            "(localhost|127\\.0\\.0\\.1|\\[::1\\]):[1-9][0-9]{0,3}(/[a-z]{0,5})?",
            prop::collection::vec(header, 0..3)
        )
            .prop_map(|(target, headers)| Probe::Http { target, headers }),
    ]
}

fn network() -> impl Strategy<Value = Network> {
    let cidr = select(&["10.0.0.0/8", "192.168.1.0/24", "fd00::/16", "0.0.0.0/0"][..]);
    (
        "[a-zA-Z0-9][a-z_.-]{0,8}",
        prop::collection::vec(path(), 1..3),
        prop::collection::vec(cidr, 0..3),
        maybe(prop::collection::vec(probe(), 0..3)),
        maybe(select(&[Secondary::Works, Secondary::HostRoute, Secondary::Refused][..])),
        maybe(select(&[Join::Works, Join::Refused][..])),
    )
        .prop_map(|(profile, conf, cidrs, ready, secondary, join)| Network {
            profile,
            conf,
            cidrs: cidrs.iter().map(|cidr| cidr.parse().expect("a CIDR")).collect(),
            ready,
            secondary,
            join,
        })
}

fn both() -> impl Strategy<Value = Both> {
    let failure = select(&[SecondaryFailure::Fail, SecondaryFailure::Tolerate][..]);
    (maybe(side()), "net[0-9]{1,3}", maybe(side()), failure).prop_map(
        |(primary, secondary_ifname, default_route, secondary_failure)| Both {
            primary,
            secondary_ifname,
            default_route,
            secondary_failure,
        },
    )
}

fn limits() -> impl Strategy<Value = (Gc, Deadlines)> {
    let gc = (0..=31_622_400_u64, any::<bool>());
    let deadlines = (1..=3600_u64, 1..=3600_u64, 1..=3600_u64, 1..=3_600_000_u64, 1..=3600_u64);
    let some = (gc, deadlines).prop_map(|((grace_secs, forward), (add, del, check, status_millis, gc))| {
        let deadlines =
            Deadlines { add_secs: add, del_secs: del, check_secs: check, status_millis, gc_secs: gc };
        (Gc { grace_secs, forward }, deadlines)
    });
    prop_oneof![Just((Gc::default(), Deadlines::default())), some]
}

/// Policies, many of which do not hold together.
fn policy() -> impl Strategy<Value = Policy> {
    let rule = (maybe(".{0,5}"), maybe("[a-z*]{0,5}"), attach()).prop_map(|(namespace, pod, attach)| Rule {
        namespace,
        pod,
        attach,
    });
    let annotation = (".{1,5}", prop::collection::vec(attach(), 0..3))
        .prop_map(|(key, allow)| PodAnnotation { key, allow });
    let pattern = (maybe("[a-z*]{1,6}"), maybe("[a-z*]{1,6}"))
        .prop_map(|(namespace, pod)| PodPattern { namespace, pod });
    let retired = (side(), 0..=31_622_400_u64)
        .prop_map(|(network, force_after_secs)| RetiredNetwork { network, force_after_secs });
    (
        (maybe(network()), maybe(network())),
        attach(),
        both(),
        prop::collection::vec(rule, 0..3),
        maybe(annotation),
        prop::collection::vec(pattern, 0..3),
        maybe(side()),
        prop::collection::vec(retired, 0..2),
        limits(),
    )
        .prop_map(
            |(
                (old, new),
                attach,
                both,
                rules,
                pod_annotation,
                restart,
                unrecorded,
                retired,
                (gc, deadlines),
            )| {
                let networks = Networks { old, new };
                Policy {
                    version: V1,
                    networks,
                    attach,
                    both,
                    rules,
                    pod_annotation,
                    pods: Pods { restart },
                    unrecorded,
                    retired,
                    gc,
                    deadlines,
                }
            },
        )
}

proptest! {
    #[test]
    fn a_policy_comes_back_or_is_refused_by_both_readers(policy in policy()) {
        let written = serde_json::to_vec(&policy).expect("it serialises");
        match Policy::parse(&written) {
            Ok(_) => comes_back(&policy, Policy::parse),
            Err(why) => {
                prop_assert!(!why.contains("unknown key") && !why.contains("missing"), "{}", why);
                prop_assert!(serde_json::from_slice::<Policy>(&written).is_err(), "{}", why);
            }
        }
    }

    #[test]
    fn a_policy_of_both_networks_comes_back_in_every_phase(
        old in network(), new in network(), both in both(), limits in limits(), phase in select(&Phase::ALL[..])
    ) {
        let both = Both { default_route: None, ..both };
        let [old, new] = [old, new].map(|network| Some(Network { secondary: Some(Secondary::Works), ..network }));
        let policy = Policy {
            version: V1, networks: Networks { old, new }, attach: Attach::Both, both, rules: vec![],
            pod_annotation: None, pods: Pods::default(), unrecorded: Some(Side::Old), retired: vec![], gc: limits.0, deadlines: limits.1,
        };
        comes_back(&policy, Policy::parse);
        let flipped = Policy::flip(&serde_json::to_vec(&policy).expect("it serialises"), phase).expect("a flip");
        let flipped = Policy::parse(&flipped).expect("valid");
        prop_assert_eq!(flipped.phase(), phase);
        comes_back(&flipped, Policy::parse);
    }
}
