//! Records of any intent and any course of events: written and read is the same, and no damage owes less than was begun.
//!
//! *Input*: throws of the dice for the intent, the events, where it is cut and which bits are flipped.

use std::collections::BTreeSet;

use serde_json::value::RawValue;
use shim::host::boot::Moment;
use types::attachment::{Attachment, Event, FORMAT, Intent, Leg, NetnsId, RouteStep, line};

use super::dice::Dice;
use super::record::parse;

const RAW: [&str; 6] = [
    "{}",
    "null",
    "\"conf\"",
    "{\n \"a\": 1.50,\r\n\t\"b\": []}",
    r#"{"cniVersion":"1.0.0","ips":[]}"#,
    r#""a\nb""#,
];
const TEXT: [&str; 6] = ["", "eth0", "a=b;C", "\n", "ünï\u{2028}", "1234567890 {\"started\":{\"leg\":1}}"];

/// Checks what any bytes throw.
pub fn check(data: &[u8]) {
    let mut dice = Dice::new(data);
    let intent = intent(&mut dice);
    let first = line(&intent);
    let mut lines = vec![first.clone()];
    let mut events = Vec::new();
    while events.len() < 12 && !dice.used_up() {
        let event = event(&mut dice);
        lines.push(line(&event));
        events.push(event);
    }
    for count in 0..=events.len() {
        let bytes = lines[..=count].concat();
        let record = parse(&bytes).expect("our own lines");
        assert_eq!(line(&record.intent), first, "the intent came out otherwise");
        assert_eq!(owed(&record), expected(&intent, &events[..count]), "after {:?}", &events[..count]);
        assert_eq!(record.sound_bytes as usize, bytes.len());
        results(&record, &events[..count]);
    }
    let whole = lines.concat();
    let at_end = expected(&intent, &events);
    for _ in 0..8 {
        truncated(&whole, &lines, &intent, &events, dice.below(whole.len()));
        flipped(&whole, &first, &at_end, dice.below(whole.len()), dice.below(8));
        lost(&lines, &at_end, dice.below(lines.len()));
    }
}

fn owed(record: &Attachment) -> BTreeSet<usize> {
    record.pending().into_iter().collect()
}

/// What is owed, worked out without the code that reads records: begun and not seen to be deleted.
fn expected(intent: &Intent, events: &[Event]) -> BTreeSet<usize> {
    let earlier_boot = intent.began_at.boot_id == ANOTHER_BOOT;
    let all = 0..intent.legs.len();
    let began = |leg: usize| {
        leg == 0
            || events.iter().any(|event| match event {
                Event::Started { leg: at }
                | Event::Added { leg: at, .. }
                | Event::Stopped { leg: at, .. } => *at == leg,
                Event::Attached {}
                | Event::HostRouted { .. }
                | Event::HostUnrouted { .. }
                | Event::Deleted { .. }
                | Event::DelFailed { .. } => false,
            })
    };
    let deleted =
        |leg: usize| events.iter().any(|event| matches!(event, Event::Deleted { leg: at } if *at == leg));
    all.filter(|leg| (earlier_boot || began(*leg)) && !deleted(*leg)).collect()
}

/// The last result of each network is kept, on one line and otherwise as it was.
fn results(record: &Attachment, events: &[Event]) {
    for (leg, progress) in record.progress.iter().enumerate() {
        let last = events.iter().rev().find_map(|event| match event {
            Event::Added { leg: at, result, .. } if *at == leg => {
                Some(result.get().replace(['\n', '\r'], " "))
            }
            _ => None,
        });
        assert_eq!(progress.result.as_ref().map(|raw| raw.get()), last.as_deref());
    }
}

/// Cut at a byte: damage in the intent, doubt behind it.
fn truncated(whole: &[u8], lines: &[Vec<u8>], intent: &Intent, events: &[Event], cut: usize) {
    let read = parse(&whole[..cut]);
    if cut < lines[0].len() {
        assert!(read.is_err(), "half an intent was read");
        return;
    }
    let record = read.expect("the intent is whole");
    let mut left = cut - lines[0].len();
    let complete = lines[1..]
        .iter()
        .take_while(|line| left.checked_sub(line.len()).inspect(|less| left = *less).is_some())
        .count();
    let known = expected(intent, &events[..complete]);
    assert!(owed(&record).is_superset(&known), "cut at {cut}");
    if left > 0 {
        assert!(owed(&record).is_superset(&expected(intent, events)), "cut at {cut}: a DEL too few");
    }
}

/// One bit flipped: damage, or the same intent with at least the same owed.
fn flipped(whole: &[u8], first: &[u8], at_end: &BTreeSet<usize>, byte: usize, bit: usize) {
    let mut flipped = whole.to_vec();
    flipped[byte] ^= 1 << bit;
    if let Ok(record) = parse(&flipped) {
        assert_eq!(line(&record.intent), first, "byte {byte} bit {bit}: another intent");
        assert!(owed(&record).is_superset(at_end), "byte {byte} bit {bit}: a DEL too few");
    }
}

/// One line lost in the middle to damage that left its ends.
fn lost(lines: &[Vec<u8>], at_end: &BTreeSet<usize>, at: usize) {
    let mut lines = lines.to_vec();
    let middle = lines[at].len() / 2;
    lines[at][middle] ^= 0x01;
    match parse(&lines.concat()) {
        Err(_) => assert_eq!(at, 0),
        Ok(record) => assert!(at > 0 && owed(&record).is_superset(at_end), "line {at}: a DEL too few"),
    }
}

const ANOTHER_BOOT: &str = "11111111-2222-4333-8444-555555555555";

fn intent(dice: &mut Dice<'_>) -> Intent {
    let boot_id = match shim::host::boot::boot_id() {
        Ok(now) if dice.coin() => now.to_owned(),
        _ => ANOTHER_BOOT.to_owned(),
    };
    let begun = Moment { boot_id, boottime_ms: u64::from(dice.byte()), wall_secs: u64::MAX };
    let legs = (0..1 + dice.below(3)).map(|_| leg(dice)).collect();
    let text = |dice: &mut Dice<'_>| dice.coin().then(|| dice.one_of(&TEXT).to_owned());
    Intent {
        version: FORMAT,
        container_id: "a".repeat(1 + dice.below(300)),
        ifname: "eth0".into(),
        began_at: begun,
        netns: dice.one_of(&TEXT).into(),
        netns_id: dice.coin().then_some(NetnsId { dev: 4, ino: u64::MAX }),
        netns_cookie: dice.coin().then_some(u64::MAX),
        cni_args: text(dice),
        cni_path: text(dice),
        route: dice.coin().then(|| RouteStep { first: "eth0".into(), owner: dice.one_of(&TEXT).into() }),
        legs,
    }
}

fn leg(dice: &mut Dice<'_>) -> Leg {
    Leg {
        network: dice.one_of(&TEXT).into(),
        profile: "generic".into(),
        conf_path: dice.coin().then(|| dice.one_of(&TEXT).to_owned()),
        ifname: dice.one_of(&TEXT).into(),
        primary: dice.coin(),
        tolerated: dice.coin(),
        host_route: dice.coin(),
        conf: raw(dice),
        // An absent one and null are the same.
        runtime_config: dice.coin().then(|| raw(dice)).filter(|raw| raw.get() != "null"),
    }
}

fn raw(dice: &mut Dice<'_>) -> Box<RawValue> {
    RawValue::from_string(dice.one_of(&RAW).to_owned()).expect("JSON")
}

fn event(dice: &mut Dice<'_>) -> Event {
    // The fourth leg is never there.
    let leg = dice.below(4);
    match dice.below(8) {
        0 => Event::Started { leg },
        1 => Event::Added { leg, result: raw(dice), present: dice.coin().then(Vec::new) },
        5 => Event::HostRouted { leg, routes: Vec::new() },
        6 => Event::HostUnrouted { leg },
        2 => Event::Attached {},
        3 => Event::Deleted { leg },
        4 => Event::Stopped { leg, plugin: dice.below(3) },
        _ => Event::DelFailed {
            failed_at: Moment { boot_id: ANOTHER_BOOT.into(), boottime_ms: 0, wall_secs: 0 },
        },
    }
}
