//! Which of the things that a run waits for are worth a line.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::roll::wait::Wait;

/// A wait that is over sooner is not told: every pod that moves makes some, and each would be a line.
const PASSING: Duration = Duration::from_secs(10);

/// What the run waits for, and since when.
#[derive(Debug, Default)]
pub(super) struct News(BTreeMap<String, KnownWait>);

#[derive(Debug, Clone, Copy)]
struct KnownWait {
    since: Duration,
    is_told: bool,
}

impl News {
    /// The waits to tell now, each once: those that a person has to end at once, others when they have lasted for a while. One that ends and comes
    /// back is a new one.
    pub(super) fn of(&mut self, waits: &[Wait], now: Duration) -> Vec<Wait> {
        let before = std::mem::take(&mut self.0);
        let mut news = Vec::new();
        for wait in waits {
            let key = format!("{} {} {}", wait.object, wait.reason, wait.is_held);
            let mut known = before.get(&key).copied().unwrap_or(KnownWait { since: now, is_told: false });
            if !known.is_told && (wait.is_held || now.saturating_sub(known.since) >= PASSING) {
                known.is_told = true;
                news.push(wait.clone());
            }
            self.0.insert(key, known);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roll::wait::Reason;

    fn objects(news: &mut News, waits: &[Wait], second: u64) -> Vec<String> {
        news.of(waits, Duration::from_secs(second)).into_iter().map(|wait| wait.object).collect()
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
        assert_eq!(objects(&mut news, &[], 112), silent);
        assert_eq!(objects(&mut news, &pod, 113), silent);
        assert_eq!(objects(&mut news, &pod, 123), ["Pod/default/web"]);
    }

    #[test]
    fn what_a_person_has_to_end_is_told_at_once() {
        let mut news = News::default();
        let node = |is_held| {
            let wait = Wait::held("Node/a", Reason::NodeSilent, "", "");
            [Wait { is_held, ..wait }]
        };
        assert!(objects(&mut news, &node(false), 0).is_empty());
        assert_eq!(objects(&mut news, &node(true), 1), ["Node/a"]);
    }
}
