//! The files that our programs keep: inventory, ledger, status.json; the annotations of a Node; and the profiles.

use std::fmt::Debug;
use std::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::select;
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::api::observed::{AttachmentCounts, NodeObservation};
use types::api::step::{Cordon, State, Step};
use types::attachment::key::Key;
use types::attachment::ledger::{self, Line};
use types::inventory::{Deleter, Entry, Inventory};
use types::json::raw::raw_string;
use types::moment::Moment;
use types::node::Mode;
use types::packets::{Exchange, Outcome, PacketPath, PacketReason, Packets, Protocol};
use types::policy::{Phase, Side};
use types::profile::{Profile, Profiles};
use types::status::{Conf, ConfState, Document, Network, NotMoved, ProofState, Reason, VERSION, Watch, Word};

use crate::{comes_back, maybe, path};

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}

/// As [`comes_back`], for what holds JSON of other programs and so cannot be compared itself.
fn same_text<T: Serialize + DeserializeOwned + Debug>(value: &T) {
    let written = serde_json::to_string(value).expect("it serialises");
    let read: T = serde_json::from_str(&written).unwrap_or_else(|e| panic!("{e}: {written}"));
    assert_eq!(serde_json::to_string(&read).expect("it serialises"), written);
}

fn moment() -> impl Strategy<Value = Moment> {
    (".{0,9}", any::<u64>(), any::<u64>()).prop_map(|(boot_id, boottime_ms, wall_secs)| Moment {
        boot_id,
        boottime_ms,
        wall_secs,
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let deleter = select(&[Deleter::Crossfade, Deleter::Runtime][..]);
    (
        ("[a-z0-9]{1,9}", "[a-z0-9]{1,9}", "old|new"),
        maybe(".{0,9}"),
        maybe(".{0,9}"),
        maybe(moment()),
        deleter,
    )
        .prop_map(|((id, ifname, network), conf, cni_args, taken, deleted_by)| Entry {
            conf: conf.map(|text| raw_string(&text)),
            cni_args,
            listed_at: taken,
            deleted_by,
            ..Entry::new(Key::new(id, ifname), network)
        })
}

fn line() -> impl Strategy<Value = Line> {
    let texts = || prop::collection::vec(".{0,9}", 0..3);
    (any::<u64>(), [".{0,9}", "[a-z0-9]{1,9}", ".{0,9}", ".{0,9}"], texts(), texts(), texts()).prop_map(
        |(wall_secs, [container_id, ifname, network, reason], removed, left, unknown)| Line {
            version: 1,
            wall_secs,
            container_id,
            ifname,
            network,
            addresses: vec!["10.1.0.5/32".parse().expect("an address")],
            reason,
            removed,
            leftovers: left,
            unknown,
        },
    )
}

fn packets() -> impl Strategy<Value = Packets> {
    let words = (
        select(&PacketPath::ALL[..]),
        select(&[Protocol::Udp, Protocol::Tcp, Protocol::Icmp, Protocol::Dns][..]),
        select(&[Outcome::Passed, Outcome::NoAnswer, Outcome::Silent, Outcome::Refused][..]),
    );
    let sizes = (maybe(any::<u32>()), maybe(any::<u32>()), any::<bool>());
    let exchange = (words, maybe(any::<IpAddr>()), any::<IpAddr>(), sizes).prop_map(
        |((path, protocol, outcome), from, to, (mtu, passes, announced))| Exchange {
            path,
            protocol,
            from,
            to,
            outcome,
            mtu,
            passes,
            announced,
        },
    );
    let reason = select(&[PacketReason::Passed, PacketReason::OneWay, PacketReason::PeerMtu][..]);
    let notes = prop::collection::vec(".{0,9}", 0..3);
    (reason, maybe(any::<u64>()), notes, prop::collection::vec(exchange, 0..3)).prop_map(
        |(reason, settled_millis, notes, exchanges)| Packets { reason, settled_millis, notes, exchanges },
    )
}

fn document() -> impl Strategy<Value = Document> {
    let side = select(&Side::BOTH[..]);
    let network = (side, maybe(".{0,9}"), any::<[bool; 3]>(), maybe(".{0,9}"), maybe(packets())).prop_map(
        |(network, name, [attached, ready, unmapped_host_ports], why, packets)| Network {
            network,
            name,
            profile: "cilium".into(),
            attached,
            ready,
            why,
            proof: ProofState::None.into(),
            packets,
            unmapped_host_ports,
        },
    );
    let conf = (path(), any::<u64>(), any::<bool>(), maybe(".{0,9}"), maybe(".{0,9}")).prop_map(
        |(dir, repairs, was_there, directory, lost_by)| Conf {
            mode: Mode::Private.into(),
            dir,
            state: ConfState::InPlace.into(),
            repairs,
            was_there,
            directory,
            lost_by,
        },
    );
    let watch = (any::<i32>(), any::<u64>()).prop_map(|(pid, start)| Watch { pid, start });
    let phase = maybe(select(&Phase::ALL[..]));
    let not_moved =
        (any::<u32>(), any::<u32>()).prop_map(|(connections, failed)| NotMoved { connections, failed });
    let texts = (prop::collection::vec(".{0,9}", 0..3), maybe(any::<u32>()), maybe(not_moved));
    (watch, any::<bool>(), ".{0,9}", phase, conf, prop::collection::vec(network, 0..3), texts).prop_map(
        |(watch, ready, message, phase, conf, networks, (findings, restarts, not_moved))| Document {
            version: VERSION,
            boot_id: "5c1e".into(),
            watch,
            ready,
            reason: Reason::NetworkReady.into(),
            message,
            phase,
            policy_sha256: None,
            conf,
            networks,
            attached: None,
            restarts,
            not_moved,
            findings,
        },
    )
}

fn phases() -> impl Strategy<Value = Vec<Phase>> {
    prop::sample::subsequence(&Phase::ALL[..], 0..=4)
}

fn observed() -> impl Strategy<Value = NodeObservation> {
    let counts = prop::collection::btree_map(select(&Phase::ALL[..]), 1..=u32::MAX, 0..5);
    let attached = (counts, any::<u32>(), prop::collection::vec("[0-9a-f]{8}", 0..3))
        .prop_map(|(by_phase, unknown, others)| AttachmentCounts { by_phase, unknown, others });
    let texts = (".{0,9}", maybe(".{0,9}"), maybe(".{0,9}"), maybe(".{0,9}"), maybe(".{0,9}"));
    let joins = (prop::sample::subsequence(&Side::BOTH[..], 0..=2), maybe(any::<u32>()));
    (maybe(select(&Phase::ALL[..])), texts, maybe(attached), phases(), phases(), joins).prop_map(
        |(
            phase,
            (boot_id, policy_sha256, base, image, echo),
            attached,
            mints,
            follows,
            (joins, restarts),
        )| {
            NodeObservation {
                boot_id,
                phase,
                policy_sha256,
                base,
                mints,
                follows,
                joins,
                restarts,
                attached,
                image,
                echo,
            }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let state = select(&[State::Claimed, State::Moving, State::Done, State::Waiting, State::Permitted][..]);
    let cordon = maybe(select(&[Cordon::Ours, Cordon::Theirs][..]));
    let texts = [".{0,9}", ".{0,9}", ".{0,9}"];
    let last = (any::<u32>(), any::<bool>());
    (texts, any::<u64>(), select(&Phase::ALL[..]), state, cordon, maybe(".{0,9}"), last).prop_map(
        |([run, plan, claim], epoch, to, state, cordon, since, (r#try, undisturbed))| Step {
            run,
            plan,
            epoch,
            claim,
            to,
            state,
            cordon,
            since: since.clone(),
            r#try,
            why: since,
            undisturbed,
        },
    )
}

/// A parser of an annotation's value, for bytes.
fn text<T>(parse: impl Fn(&str) -> Result<T, String>) -> impl Fn(&[u8]) -> Result<T, String> {
    move |bytes| parse(std::str::from_utf8(bytes).map_err(|e| e.to_string())?)
}

proptest! {
    #[test]
    fn the_annotations_of_a_node_come_back(observed in observed(), step in step()) {
        comes_back(&observed, text(NodeObservation::parse));
        prop_assert_eq!(NodeObservation::parse(&observed.to_text()), Ok(observed));
        comes_back(&step, text(Step::parse));
    }

    #[test]
    fn an_inventory_comes_back(attachments in prop::collection::vec(entry(), 0..4)) {
        let inventory = Inventory { version: 1, attachments };
        same_text(&inventory);
        let written = serde_json::to_vec(&inventory).expect("it serialises");
        let read = Inventory::parse(&written).expect("valid");
        for entry in &inventory.attachments {
            prop_assert!(read.find(&entry.key()).is_some());
        }
    }

    #[test]
    fn a_line_of_the_ledger_comes_back_and_a_torn_one_spoils_no_other(line in line(), cut in 0..40_usize) {
        comes_back(&line, parse);
        let written = serde_json::to_vec(&line).expect("it serialises");
        let text = [&written[..], b"\n", &written[..cut], b"\n", &written[..], b"\n"].concat();
        prop_assert_eq!(ledger::parse(&text), [line.clone(), line]);
    }

    #[test]
    fn status_json_comes_back_and_what_a_later_watch_adds_does_no_harm(document in document()) {
        comes_back(&document, parse);
        let mut later = serde_json::to_value(&document).expect("it serialises");
        later["later"] = 1.into();
        later["conf"]["later"] = 1.into();
        prop_assert_eq!(serde_json::from_value::<Document>(later.clone()).expect("readable"), document);
        for word in ["/reason", "/conf/state", "/conf/mode", "/networks/0/proof"] {
            if let Some(word) = later.pointer_mut(word) {
                *word = "later".into();
            }
        }
        let read = serde_json::from_value::<Document>(later).expect("readable");
        prop_assert_eq!(&read.reason, &Word::Unknown("later".into()));
        comes_back(&read, parse);
    }
}

#[test]
fn every_profile_comes_back() {
    for profile in Profiles::built_in().all() {
        comes_back::<Profile>(profile, parse);
    }
}
