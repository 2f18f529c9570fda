//! The waits of a run that are worth a line, the ends of these waits, and the counts of attachments that are worth one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::{Count, Event};
use super::status::Status;
use crate::roll::wait::{Reason, Wait};

/// A wait that is over sooner is not reported: every pod that moves makes some, and each would be a line.
const PASSING: Duration = Duration::from_secs(10);
/// Attachments are reported this often at most: they change with every pod.
const COUNTED: Duration = Duration::from_secs(60);

/// What the run waits for, and since when; and the attachments of the nodes in the last report.
#[derive(Debug, Default)]
pub(super) struct News {
    waits: BTreeMap<WaitKey, WaitEntry>,
    count: Option<(Count, Duration)>,
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

    /// What is attached to the nodes, if it is worth a line: it has changed, and was not reported lately or the pass is another one. At the end it is reported in any
    /// case.
    pub(super) fn count(&mut self, status: &Status, now: Duration, is_last: bool) -> Option<Event> {
        let count = Count {
            pass: status.pass,
            to: status.to,
            attached: status.attached.clone(),
            silent: status.silent.len(),
        };
        let is_due = self.count.as_ref().is_none_or(|(last_count, since)| {
            let is_old = now.saturating_sub(*since) >= COUNTED;
            *last_count != count
                && (is_last || is_old || (last_count.pass, last_count.to) != (count.pass, count.to))
        });
        if !is_due {
            return None;
        }
        self.count = Some((count.clone(), now));
        Some(Event::Counted(count))
    }
}

#[cfg(test)]
mod tests {
    use types::policy::Phase;

    use super::*;
    use crate::drive::status::Counts;
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

    #[test]
    fn what_is_attached_is_told_once_a_minute_and_when_a_pass_begins_or_the_run_ends() {
        let status = |pass, old| Status {
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
            nodes: Counts::default(),
            zones: BTreeMap::new(),
            pools: Vec::new(),
            attached: [(Phase::Old, old)].into(),
            silent: vec!["a".into()],
            moving: Vec::new(),
            skipped: BTreeMap::new(),
            unenforced: Vec::new(),
            gates: Vec::new(),
            waits: Vec::new(),
        };
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
}
