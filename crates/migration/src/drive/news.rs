//! The waits of a run that are worth a line, the ends of these waits, and the counts of attachments that are worth one.

use std::collections::BTreeMap;
use std::time::Duration;

use reachability::report::{ClassCounts, Totals};

use super::event::{Count, Event};
use super::status::Status;
use crate::report::measure::MeasuredClass;
use crate::roll::wait::{Reason, Wait};

/// A wait that is over sooner is not reported: every pod that moves makes some, and each would be a line.
const PASSING: Duration = Duration::from_secs(10);
/// Attachments are reported this often at most: they change with every pod.
const COUNTED: Duration = Duration::from_secs(60);
/// What agents measured is reported this often at least, also if no attachment changes: it is lost if this holder is killed.
const MEASURED: Duration = Duration::from_secs(300);

/// What the run waits for, and since when; the attachments of the nodes in the last report, and what agents measured since.
#[derive(Debug, Default)]
pub(super) struct News {
    waits: BTreeMap<WaitKey, WaitEntry>,
    count: Option<(Count, Duration)>,
    measured: Totals,
}

/// The object, the reason, and whether a person has to act.
type WaitKey = (String, Reason, bool);

#[derive(Debug, Clone, Copy)]
struct WaitEntry {
    since: Duration,
    is_reported: bool,
}

impl News {
    /// The waits to tell now, each once: those that a person has to end at once, others when they have lasted for a while. One that ends and comes
    /// back is a new one. Before them, those that were reported and are over.
    pub(super) fn select(&mut self, waits: &[Wait], now: Duration) -> Vec<Event> {
        let mut before = std::mem::take(&mut self.waits);
        let mut news = Vec::new();
        for wait in waits {
            let key = (wait.object.to_string(), wait.reason, wait.is_held);
            // Two waits may have one key: the second finds what the first has left.
            let entry = before.remove(&key).or_else(|| self.waits.get(&key).copied());
            let mut entry = entry.unwrap_or(WaitEntry { since: now, is_reported: false });
            if !entry.is_reported && (wait.is_held || now.saturating_sub(entry.since) >= PASSING) {
                entry.is_reported = true;
                news.push(Event::Waits(wait.clone()));
            }
            self.waits.insert(key, entry);
        }
        let over = before.into_iter().filter(|(_, entry)| entry.is_reported);
        over.map(|((object, reason, _), _)| Event::Over { object, reason }).chain(news).collect()
    }

    /// Takes up what agents measured since the last look.
    pub(super) fn measure(&mut self, rows: &[ClassCounts]) {
        self.measured.add(rows, Vec::new());
    }

    /// What is attached to the nodes, if it is worth a line: it has changed, and was not reported lately or the pass is another one; or agents have measured
    /// something for a while. At the end it is reported in any case.
    pub(super) fn count(&mut self, status: &Status, now: Duration, is_last: bool) -> Option<Event> {
        let count = Count {
            pass: status.pass,
            to: status.to,
            attached: status.attached.clone(),
            silent: status.silent.len(),
            measured: Vec::new(),
        };
        let is_due = self.count.as_ref().is_none_or(|(last_count, since)| {
            let age = now.saturating_sub(*since);
            let is_other_pass = (last_count.pass, last_count.to) != (count.pass, count.to);
            let has_measured = !self.measured.classes.is_empty();
            *last_count != count && (is_last || age >= COUNTED || is_other_pass)
                || has_measured && (is_last || age >= MEASURED)
        });
        if !is_due {
            return None;
        }
        self.count = Some((count.clone(), now));
        let measured = MeasuredClass::sums(std::mem::take(&mut self.measured).rows());
        Some(Event::Counted(Count { measured, ..count }))
    }
}

#[cfg(test)]
mod tests {
    use reachability::Kind;
    use reachability::class::{Class, Family, Packet, Place, Target};
    use reachability::report::Counts;
    use types::policy::Phase;

    use super::*;
    use crate::roll::run::State;

    fn objects(news: &mut News, waits: &[Wait], second: u64) -> Vec<String> {
        let name = |event| match event {
            Event::Waits(wait) => wait.object.to_string(),
            Event::Over { object, .. } => format!("over {object}"),
            other => panic!("{other:?}"),
        };
        news.select(waits, Duration::from_secs(second)).into_iter().map(name).collect()
    }

    #[test]
    fn a_wait_is_told_once_and_not_before_it_has_lasted() {
        let mut news = News::default();
        let pod = [Wait::new("Pod/default/web", Reason::Terminating, "it is being deleted")];
        let silent: [&str; 0] = [];
        assert_eq!(objects(&mut news, &pod, 100), silent);
        assert_eq!(objects(&mut news, &pod, 109), silent);
        assert_eq!(objects(&mut news, &pod, 110), ["Pod/default/web"]);
        assert_eq!(objects(&mut news, &pod, 111), silent);
        assert_eq!(objects(&mut news, &[], 112), ["over Pod/default/web"]);
        assert_eq!(objects(&mut news, &pod, 113), silent);
        assert_eq!(objects(&mut news, &[], 114), silent, "what was not told is not over");
        assert_eq!(objects(&mut news, &pod, 115), silent);
        assert_eq!(objects(&mut news, &pod, 125), ["Pod/default/web"]);
    }

    #[test]
    fn what_a_person_has_to_end_is_told_at_once() {
        let mut news = News::default();
        let node = |is_held| {
            let wait = Wait::new_held("Node/a", Reason::NodeSilent, "", "");
            [Wait { is_held, ..wait }]
        };
        assert!(objects(&mut news, &node(false), 0).is_empty());
        assert_eq!(objects(&mut news, &node(true), 1), ["Node/a"]);
    }

    fn status(pass: u32, old: u32) -> Status {
        Status {
            run: "r-1".into(),
            plan: "4be1".into(),
            pass,
            passes_left: 1,
            restarts_left: 1,
            from: Phase::Old,
            to: Some(Phase::BothOld),
            is_final: false,
            way_back: None,
            state: State::Running,
            holder: None,
            held_since: None,
            renewed_at: None,
            nodes: crate::drive::status::Counts::default(),
            zones: BTreeMap::new(),
            pools: Vec::new(),
            attached: [(Phase::Old, old)].into(),
            silent: vec!["a".into()],
            moving: Vec::new(),
            skipped: BTreeMap::new(),
            unenforced: Vec::new(),
            gates: Vec::new(),
            waits: Vec::new(),
        }
    }

    #[test]
    fn what_is_attached_is_told_once_a_minute_and_when_a_pass_begins_or_the_run_ends() {
        let mut news = News::default();
        let mut is_reported = |pass, old, second, is_last| {
            let report = news.count(&status(pass, old), Duration::from_secs(second), is_last);
            assert!(matches!(&report, None | Some(Event::Counted(Count { silent: 1, .. }))), "{report:?}");
            report.is_some()
        };
        for (pass, old, second, is_last, expected) in [
            (1, 9, 100, false, true),
            (1, 8, 159, false, false),
            (1, 8, 160, false, true),
            (1, 8, 900, false, false),
            (2, 8, 901, false, true),
            (2, 7, 902, false, false),
            (2, 7, 903, true, true),
            (2, 7, 904, true, false),
        ] {
            assert_eq!(is_reported(pass, old, second, is_last), expected, "{pass} {old} {second} {is_last}");
        }
    }

    #[test]
    fn what_agents_measured_is_told_with_what_is_attached_every_five_minutes_and_at_the_end() {
        let old = Kind::Pod(Phase::Old);
        let row = |to, packet, answered| ClassCounts {
            class: Class { from: old, to, place: Place::OtherNode, family: Family::IPv4, packet },
            counts: Counts { answered, lost: 1, longest_gap: answered, ..Counts::default() },
        };
        let rows = |answered| {
            let agents = Target::Agent(old);
            [
                row(agents, Packet::Udp, answered),
                row(agents, Packet::HeldTcp, answered),
                row(agents, Packet::DeniedUdp, 900),
                row(Target::Dns, Packet::Udp, 5),
            ]
        };
        let mut news = News::default();
        let mut sent = |old, answered: Option<u64>, second, is_last| {
            answered.iter().for_each(|answered| news.measure(&rows(*answered)));
            let event = news.count(&status(1, old), Duration::from_secs(second), is_last)?;
            let Event::Counted(Count { attached, measured, .. }) = event else { panic!("{event:?}") };
            assert_eq!(attached[&Phase::Old], old);
            let class = |class: &MeasuredClass| {
                let MeasuredClass { from, to, sent, lost, longest_gap_millis } = class;
                assert_eq!(from, "old");
                (to.clone(), *sent, *lost, *longest_gap_millis)
            };
            Some(measured.iter().map(class).collect::<Vec<_>>())
        };
        let all = |sent, lost, gap| {
            let dns = ("dns".to_owned(), lost / 2 * 6, lost / 2, Some(5));
            Some(vec![("old".to_owned(), sent, lost, Some(gap)), dns])
        };
        for (old, answered, second, is_last, expected) in [
            (9, None, 100, false, Some(vec![])),
            (9, Some(10), 115, false, None),
            (9, Some(20), 399, false, None),
            (9, None, 400, false, all(64, 4, 20)),
            (9, None, 900, false, None),
            (9, Some(10), 901, false, all(22, 2, 10)),
            (8, Some(10), 961, false, all(22, 2, 10)),
            (8, Some(10), 962, true, all(22, 2, 10)),
            (8, None, 963, true, None),
        ] {
            assert_eq!(sent(old, answered, second, is_last), expected, "{second}");
        }
    }
}
