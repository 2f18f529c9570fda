//! A record's bytes: damage is told from a sound intent, and no reading owes less than the lines it could read say.

use std::collections::BTreeSet;

use shim::host::boot::boot_id;
use types::attachment::{Attachment, line};

/// Checks any bytes as a record.
pub fn check(data: &[u8]) {
    let record = match parse(data) {
        Ok(record) => record,
        Err(why) => return assert!(!why.is_empty() && !why.contains('\n'), "{why:?}"),
    };
    assert!(record.sound_bytes as usize <= data.len());
    assert_eq!(record.progress.len(), record.intent.legs.len());
    let pending = record.pending();
    assert!(
        pending.is_sorted_by(|first, other| first > other)
            && pending.iter().all(|leg| *leg < record.progress.len())
    );
    assert!(record.intent.legs.is_empty() || record.progress[0].started, "the first network needs no word");
    // What is passed over may tell us less, never that less is owed.
    let sound = parse(&data[..record.sound_bytes as usize]).expect("what is sound can be read");
    let owed: BTreeSet<_> = pending.iter().collect();
    assert!(sound.pending().iter().all(|leg| owed.contains(leg)), "doubt took a DEL away");
    let without_events = parse(&line(&record.intent)).expect("our own line");
    for leg in without_events.pending() {
        assert!(owed.contains(&leg) || record.progress[leg].deleted, "leg {leg} is owed by no DEL");
    }
    let first = data.split_inclusive(|byte| *byte == b'\n').next().expect("a line");
    let again = parse(first).expect("its own first line");
    assert_eq!(line(&again.intent), line(&record.intent), "events change no intent");
    // Torn anywhere behind the intent: what was owed and not seen to be done is owed.
    for cut in (first.len()..data.len()).step_by(data.len() / 32 + 1) {
        let torn = parse(&data[..cut]).expect("the intent is there");
        let whole_lines = data[..cut].ends_with(b"\n");
        for leg in pending.iter().filter(|_| !whole_lines) {
            assert!(torn.pending().contains(leg), "cut at {cut}: leg {leg} would leak");
        }
    }
}

/// Reads a record in this boot.
pub(super) fn parse(bytes: &[u8]) -> Result<Attachment, String> {
    Attachment::parse(bytes, boot_id().ok())
}
