//! The format of records, held to files: what is written today may not change without a new file that keeps the old shape.
//!
//! `records/format-1.lines` is every kind of line with every field there is, and the shortest of each. Who changes the format raises
//! `FORMAT`, adds `format-2.lines` here and a directory of records that the program before the change wrote; nothing that
//! is there is ever changed, since a node may hold such a record for as long as its pod lives. A key that earlier programs pass over is no
//! new format: it comes with a file of its own, `format-1-KEY.lines`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_json::value::RawValue;
use shim::host::boot::Moment;
use types::attachment::{
    Attachment, Event, FORMAT, HostRoute, Intent, Leg, NetnsId, PodInterface, RouteStep, line,
};

const LINES: &str = include_str!("records/format-1.lines");

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).expect("JSON")
}

fn moment() -> Moment {
    Moment {
        boot_id: "11111111-2222-4333-8444-555555555555".into(),
        boottime_ms: 81_234,
        wall_secs: 1_790_000_000,
    }
}

/// Every field, spelled out: who adds one has to come by here.
fn full() -> Intent {
    let leg = Leg {
        network: "oldnet".into(),
        profile: "calico".into(),
        conf_path: Some("/etc/cni/net.d/10-old.conflist".into()),
        ifname: "eth0".into(),
        primary: true,
        tolerated: false,
        host_route: false,
        conf: raw(r#"{"cniVersion":"0.3.1","name":"oldnet","plugins":[{"type":"stub-old","k":1.50}]}"#),
        runtime_config: Some(raw(r#"{"portMappings":[{"hostPort":8080}]}"#)),
    };
    let other = Leg { ifname: "net1".into(), primary: false, tolerated: true, ..leg.clone() };
    Intent {
        version: FORMAT,
        container_id: "c1".into(),
        ifname: "eth0".into(),
        began_at: moment(),
        netns: "/run/netns/n1".into(),
        netns_id: Some(NetnsId { dev: 4, ino: 4_026_532_281 }),
        // In a file of its own: the first program that wrote format 1 did not know it.
        netns_cookie: None,
        cni_args: Some("IgnoreUnknown=1;K8S_POD_NAME=p1".into()),
        cni_path: Some("/opt/cni/bin".into()),
        route: Some(RouteStep { first: "eth0".into(), owner: "net1".into() }),
        legs: vec![leg, other],
    }
}

/// Every field that may be absent is.
fn least() -> Intent {
    let mut least = Intent { netns_id: None, cni_args: None, cni_path: None, route: None, ..full() };
    least.legs.truncate(1);
    least.legs[0] = Leg { conf_path: None, runtime_config: None, ..least.legs[0].clone() };
    least
}

/// Every event there is; the match makes the compiler ask for a new one.
fn events() -> Vec<Event> {
    let all = vec![
        Event::Started { leg: 1 },
        Event::Added {
            leg: 1,
            result: raw(r#"{"cniVersion":"1.0.0","ips":[],"vendor":1.50}"#),
            present: None,
        },
        Event::Attached {},
        Event::Deleted { leg: 1 },
        Event::Stopped { leg: 0, plugin: 2 },
        Event::DelFailed { failed_at: moment() },
    ];
    for event in &all {
        match event {
            Event::Started { .. }
            | Event::Added { .. }
            | Event::HostRouted { .. }
            | Event::HostUnrouted { .. }
            | Event::Attached {}
            | Event::Deleted { .. }
            | Event::Stopped { .. }
            | Event::DelFailed { .. } => {}
        }
    }
    all
}

#[test]
fn what_is_written_is_the_file_byte_for_byte() {
    let mut written = line(&full());
    written.extend(line(&least()));
    written.extend(events().iter().flat_map(line));
    let written = String::from_utf8(written).expect("text");
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records").join(format!("format-{FORMAT}.lines"));
    assert!(file.exists(), "a new format needs {}:\n{written}", file.display());
    assert_eq!(LINES, written, "the format changed without a new one");
}

#[test]
fn a_key_that_came_later_is_written_as_its_file_says_and_missing_in_none_before() {
    let with_cookie = Intent { netns_cookie: Some(4_242), ..full() };
    let written = String::from_utf8(line(&with_cookie)).expect("text");
    assert_eq!(include_str!("records/format-1-netns-cookie.lines"), written);
    let read = parse(written.as_bytes()).expect("sound");
    assert_eq!(read.intent.netns_cookie, Some(4_242));
    let before = LINES.split_inclusive('\n').next().expect("a line");
    assert_eq!(parse(before.as_bytes()).expect("sound").intent.netns_cookie, None);
}

#[test]
fn what_later_releases_added_is_written_as_its_file_says() {
    let mut with_host_route = full();
    with_host_route.legs[1].host_route = true;
    let interface = PodInterface { name: "net1".into(), addresses: vec![[10, 2, 0, 2].into()] };
    let way = |via| HostRoute { address: [10, 2, 0, 2].into(), interface: "cali0".into(), index: 17, via };
    let routes = vec![way(None), way(Some([10, 2, 0, 1].into()))];
    let events = [
        Event::Added { leg: 1, result: raw("{}"), present: Some(vec![interface.clone()]) },
        Event::HostRouted { leg: 1, routes: routes.clone() },
        Event::HostUnrouted { leg: 1 },
    ];
    let mut written = line(&with_host_route);
    written.extend(events.iter().flat_map(line));
    let written = String::from_utf8(written).expect("text");
    assert_eq!(include_str!("records/format-1-host-route.lines"), written);
    let read = parse(written.as_bytes()).expect("sound");
    assert!(read.intent.legs[1].host_route && !read.intent.legs[0].host_route);
    let progress = &read.progress[1];
    assert_eq!(progress.present.as_deref(), Some(&[interface][..]));
    assert_eq!((&progress.host_routes, progress.host_unrouted), (&routes, true));
}

#[test]
fn every_kind_of_line_is_valid_by_its_schema() {
    let schema =
        |text| jsonschema::validator_for(&serde_json::from_str(text).expect("JSON")).expect("a schema");
    let intent = schema(include_str!("../../types/attachment-intent.schema.json"));
    let event = schema(include_str!("../../types/attachment-event.schema.json"));
    let files = [
        LINES,
        include_str!("records/format-1-netns-cookie.lines"),
        include_str!("records/format-1-host-route.lines"),
    ];
    let mut valid = [0, 0];
    for line in files.iter().flat_map(|file| file.lines()) {
        let json: Value = serde_json::from_str(line.split_once(' ').expect("a sum").1).expect("JSON");
        let is_intent = json.get("legs").is_some();
        let errors: Vec<String> = if is_intent { &intent } else { &event }
            .iter_errors(&json)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:?}: {line}");
        valid[usize::from(!is_intent)] += 1;
    }
    assert_eq!(valid, [4, 9]);
}

/// Every record of every directory, and its path below it.
fn records() -> Vec<PathBuf> {
    let mut records = Vec::new();
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("list").map(|entry| entry.expect("entry").path()) {
            if entry.is_dir() {
                dirs.push(entry);
            } else if entry.extension().is_none_or(|extension| extension != "lines") {
                records.push(entry);
            }
        }
    }
    records
}

#[test]
fn every_record_ever_written_is_read_and_todays_come_out_as_they_went_in() {
    let (mut read, mut damaged, mut same) = (0, Vec::new(), 0);
    for path in records() {
        let bytes = std::fs::read(&path).expect("read");
        let place = path.display().to_string();
        match parse(&bytes) {
            Ok(record) => {
                read += 1;
                assert!(record.pending().len() <= record.intent.legs.len());
                if place.contains("/format-1/") {
                    let first = line(&record.intent);
                    assert!(bytes.starts_with(&first), "{place}: the intent comes out otherwise");
                    assert_eq!(record.sound_bytes as usize, bytes.len(), "{place}");
                    same += 1;
                }
            }
            Err(_) => damaged.push(place),
        }
    }
    assert!(read == 12 && same == 10, "{read} read, {same} of today");
    // A record of a later program can be read by such programs alone.
    assert!(damaged.len() == 1 && damaged[0].ends_with("later-unreadable@eth0"), "{damaged:?}");
}

/// Reads a record in this boot.
fn parse(bytes: &[u8]) -> Result<Attachment, String> {
    Attachment::parse(bytes, shim::host::boot::boot_id().ok())
}
