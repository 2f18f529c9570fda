//! Records that were cut, flipped, appended to, or written by another program.

use serde::Serialize;

use super::*;
use crate::json::raw::raw_string;

/// The present boot.
const BOOT_ID: &str = "this";

fn intent() -> Intent {
    let leg = |network: &str, ifname: &str, primary| Leg {
        network: network.into(),
        profile: "generic".into(),
        conf_path: None,
        ifname: ifname.into(),
        primary,
        tolerated: false,
        host_route: false,
        conf: raw_string("conf"),
        runtime_config: None,
    };
    Intent {
        version: FORMAT,
        container_id: "c1".into(),
        ifname: "eth0".into(),
        began_at: Moment { boot_id: BOOT_ID.into(), boottime_ms: 81_234, wall_secs: 1_790_000_000 },
        netns: "/n".into(),
        netns_id: None,
        netns_cookie: None,
        cni_args: None,
        cni_path: None,
        route: None,
        legs: vec![leg("oldnet", "eth0", true), leg("newnet", "net1", false)],
    }
}

/// Reads a record in this boot.
fn parse(bytes: &[u8]) -> Result<Attachment, String> {
    Attachment::parse(bytes, Some(BOOT_ID))
}

fn bytes(events: &[Event]) -> Vec<u8> {
    let mut bytes = line(&intent());
    for event in events {
        bytes.extend(line(event));
    }
    bytes
}

#[test]
fn the_intent_alone_owes_the_first_network_its_del() {
    let record = parse(&bytes(&[])).expect("sound");
    assert_eq!(record.pending(), [0]);
    assert!(!record.attached);
}

/// The record of a pod on `oldnet` that another network is joining, with what has happened since.
fn joining(events: &[Event]) -> Attachment {
    let on_old = Intent { legs: intent().legs[..1].to_vec(), ..intent() };
    let mut pod = Attachment::begin(on_old);
    let result = || RawValue::from_string("{}".into()).expect("JSON");
    pod.apply(Event::Added { leg: 0, result: result(), present: None });
    pod.apply(Event::Attached {});
    let (joined, so_far) = pod.with_first(intent().legs[1].clone());
    let mut record = Attachment::begin(joined);
    so_far.into_iter().chain(events.iter().cloned()).for_each(|event| record.apply(event));
    record
}

/// Each row: how far a JOIN came before it was killed.
#[test]
fn until_a_join_has_ended_the_pod_goes_on_with_its_primary() {
    let result = || RawValue::from_string("{}".into()).expect("JSON");
    let added = Event::Added { leg: 0, result: result(), present: None };
    for (events, is_alone) in [
        (&[][..], true),
        (std::slice::from_ref(&added), true),
        (&[added.clone(), Event::Attached {}], false),
        (&[added.clone(), Event::Attached {}, Event::Stopped { leg: 0, plugin: 0 }], true),
    ] {
        assert_eq!(joining(events).is_on_primary_alone(), is_alone, "{events:?}");
    }
}

#[test]
fn a_rewritten_record_keeps_the_host_routes_of_its_networks() {
    let route = HostRoute {
        address: "10.2.0.2".parse().expect("an address"),
        interface: "cali0".into(),
        index: 17,
        via: None,
    };
    let mut record =
        joining(&[Event::HostRouted { leg: 1, routes: vec![route.clone()] }, Event::Deleted { leg: 0 }]);
    for is_unrouted in [false, true] {
        let (intent, events) = record.without_deleted();
        let mut shortened = Attachment::begin(intent);
        events.into_iter().for_each(|event| shortened.apply(event));
        let progress = &shortened.progress[0];
        assert_eq!((&progress.host_routes, progress.host_unrouted), (&vec![route.clone()], is_unrouted));
        record.apply(Event::HostUnrouted { leg: 1 });
    }
}

#[test]
fn json_spread_over_lines_stays_on_one() {
    let spread = || RawValue::from_string("{\n  \"a\": \"b\\n\",\r\n\t\"c\": 1.50\n}".into()).expect("JSON");
    let mut intent = intent();
    intent.legs[0].conf = spread();
    intent.legs[1].runtime_config = Some(spread());
    let mut whole = line(&intent);
    whole.extend(line(&Event::Added { leg: 0, result: spread(), present: None }));
    whole.extend(line(&Event::Started { leg: 1 }));
    let record = parse(&whole).expect("sound");
    assert_eq!(record.sound_bytes as usize, whole.len());
    assert_eq!(record.pending(), [1, 0]);
    let conf: serde_json::Value = serde_json::from_str(record.intent.legs[0].conf.get()).expect("JSON");
    assert_eq!(conf, serde_json::json!({ "a": "b\n", "c": 1.50 }));
    assert!(record.intent.legs[0].conf.get().contains("1.50"));
}

#[test]
fn pending_is_what_was_begun_and_not_deleted_last_first() {
    let started = Event::Started { leg: 1 };
    let record = parse(&bytes(std::slice::from_ref(&started))).expect("sound");
    assert_eq!(record.pending(), [1, 0]);
    let record = parse(&bytes(&[started, Event::Deleted { leg: 1 }])).expect("sound");
    assert_eq!(record.pending(), [0]);
}

#[test]
fn a_record_of_an_earlier_boot_owes_every_network_its_del() {
    let mut intent = intent();
    intent.began_at.boot_id = "another".into();
    let record = parse(&line(&intent)).expect("sound");
    assert_eq!(record.pending(), [1, 0]);
}

#[test]
fn truncation_at_every_byte_is_damage_in_the_intent_and_doubt_behind_it() {
    let whole =
        bytes(&[Event::Added { leg: 0, result: raw_string("r"), present: None }, Event::Deleted { leg: 0 }]);
    let first = line(&intent()).len();
    for cut in 0..whole.len() {
        let read = parse(&whole[..cut]);
        if cut < first {
            assert!(read.is_err(), "cut at {cut}");
        } else {
            let record = read.unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
            assert!(record.pending().contains(&0), "cut at {cut}: a DEL too few");
            assert!(record.sound_bytes as usize <= cut);
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let whole = bytes(&[Event::Deleted { leg: 0 }]);
    for byte in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << bit;
            if let Ok(record) = parse(&flipped) {
                assert_eq!(record.pending(), [1, 0], "byte {byte} bit {bit}");
            }
        }
    }
}

#[test]
fn a_later_format_is_read_for_what_it_has_in_common_and_everything_in_it_is_owed() {
    let mut intent = intent();
    intent.version = FORMAT + 1;
    let later = String::from_utf8(line(&intent)).expect("text");
    let json = later.split_once(' ').expect("a sum").1.trim_end();
    let with_more = RawValue::from_string(json.replacen('{', r#"{"more":{"legs":3},"#, 1)).expect("JSON");
    let record = parse(&line(&with_more)).expect("readable");
    assert_eq!((record.pending(), record.intent.container_id.as_str()), (vec![1, 0], "c1"));
    let without = RawValue::from_string(json.replace("\"legs\"", "\"arms\"")).expect("JSON");
    assert!(parse(&line(&without)).expect_err("no legs").contains("format 2"));
}

#[test]
fn an_event_of_a_later_program_is_passed_over_and_puts_all_in_doubt() {
    let unknown = RawValue::from_string(r#"{"mended":{"leg":0}}"#.into()).expect("JSON");
    let mut whole = bytes(&[]);
    whole.extend(line(&unknown));
    assert_eq!(parse(&whole).expect("sound").pending(), [1, 0]);
    whole.extend(line(&Event::Deleted { leg: 1 }));
    let record = parse(&whole).expect("sound");
    assert_eq!(record.pending(), [0], "what comes after it counts");
    assert_eq!(record.sound_bytes as usize, whole.len(), "and it is not cut off");
}

#[test]
fn a_format_that_no_release_wrote_is_damage() {
    let mut intent = intent();
    intent.version = 0;
    assert!(parse(&line(&intent)).expect_err("unknown").contains("format 0"));
}

#[test]
fn every_interface_name_is_told() {
    assert_eq!(Attachment::begin(intent()).ifnames().collect::<Vec<_>>(), ["eth0", "net1"]);
}

#[test]
fn a_first_line_that_says_too_little_is_blamed_on_its_format_only_if_that_is_later() {
    #[derive(Serialize)]
    struct Short {
        version: u32,
    }
    for (version, says) in [
        (FORMAT, "its first line: containerID: missing; expected a string"),
        (FORMAT + 1, "format 2, of which this program"),
    ] {
        let why = parse(&line(&Short { version })).expect_err("too little");
        assert!(why.starts_with(says), "{why}");
    }
}

#[test]
fn a_netns_is_another_by_its_number_and_after_a_boot_whatever_its_number() {
    let (id, other) = (NetnsId { dev: 4, ino: 77 }, NetnsId { dev: 4, ino: 78 });
    let mut intent = Intent { netns_id: Some(id), ..intent() };
    intent.began_at.boot_id = "this".into();
    assert_eq!(intent.is_its_netns(id, None, Some("this")), Some(true));
    assert_eq!(intent.is_its_netns(other, None, Some("this")), Some(false));
    assert_eq!(intent.is_its_netns(other, None, None), Some(false));
    assert_eq!(intent.is_its_netns(id, None, Some("next")), Some(false));
    assert_eq!(intent.is_its_netns(id, None, None), None, "an unknown boot is no reason");
    intent.netns_cookie = Some(7);
    let output = |cookie| intent.is_its_netns(id, cookie, Some("this"));
    assert_eq!(
        [None, Some(7), Some(8)].map(output),
        [Some(true), Some(true), Some(false)],
        "where both are known"
    );
    assert_eq!(intent.is_its_netns(other, Some(7), Some("this")), Some(false));
    intent.netns_id = None;
    assert_eq!(intent.is_its_netns(other, None, Some("next")), None, "nothing is known of it");
}

#[test]
fn in_a_later_boot_every_network_counts_as_begun_and_where_the_boot_is_not_known_none_more() {
    let whole = bytes(&[]);
    for (boot_id, pending) in [(Some("another"), vec![1, 0]), (None, vec![0])] {
        let record = Attachment::parse(&whole, boot_id).expect("sound");
        assert_eq!(record.pending(), pending, "{boot_id:?}");
    }
}
