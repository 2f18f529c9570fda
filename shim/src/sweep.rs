//! Which records are to be closed although no DEL came.
//!
//! Runtimes forget: after a crash, a reboot, a DEL they gave up on. The decision is pure ([`decide`]); [`Pass`] carries it out
//! record by record, each under its own lock, and never waits for one that is busy.

use std::io;
use std::time::Instant;

use crate::attachment::Attachment;
use crate::boot::{Age, Moment};
use crate::layout::Layout;
use crate::lock::Lock;
use crate::policy::Policy;
use crate::reply::CniError;
use crate::request::Verb;
use crate::serve::close::Closing;
use crate::serve::netns_of;
use crate::signal::Signals;
use crate::store::{Found, Key, Store};

/// What is to become of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its sandbox is listed.
    Live,
    /// Not listed, but so young that the runtime may not know it yet.
    Young,
    /// Not listed and past the grace: its DELs are owed.
    Close,
}

/// Decides one record.
///
/// | listed by the runtime | age | verdict |
/// |---|---|---|
/// | yes | any | live |
/// | no | below the grace, in this boot | young |
/// | no | past the grace, or of an earlier boot | close |
#[must_use]
pub fn decide(listed: bool, age: Age, grace_secs: u64) -> Verdict {
    if listed {
        Verdict::Live
    } else if age.reached(grace_secs) {
        Verdict::Close
    } else {
        Verdict::Young
    }
}

/// One pass over all records.
#[derive(Debug)]
pub struct Pass<'a> {
    /// Where state lies.
    pub layout: &'a Layout,
    /// The records.
    pub store: &'a Store,
    /// For retirement.
    pub policy: &'a Policy,
    /// `CNI_PATH` of the caller; the recorded one follows.
    pub search: Option<&'a str>,
    /// It ends then; what is not reached is left for the next pass.
    pub deadline: Instant,
    /// Stops it early.
    pub signals: &'a Signals,
}

/// What a pass did.
#[derive(Debug, Default)]
pub struct Report {
    /// Closed.
    pub closed: Vec<Key>,
    /// Their DEL failed; they stay on record.
    pub failed: Vec<(Key, CniError)>,
    /// Somebody holds their lock.
    pub busy: Vec<Key>,
    /// Not listed, but young.
    pub young: Vec<Key>,
    /// Damaged records, which only a DEL can resolve; path and reason.
    pub damaged: Vec<(std::path::PathBuf, String)>,
}

impl Pass<'_> {
    /// Goes over all records, asks `verdict` about each and closes what is to be closed.
    ///
    /// # Errors
    /// When the records cannot be listed.
    pub fn run(&self, now: &Moment, verdict: impl Fn(&Attachment, Age) -> Verdict) -> io::Result<Report> {
        let (records, damaged) = self.store.all()?;
        let mut report = Report { damaged, ..Report::default() };
        for record in records {
            let key = Key::new(&record.intent.container_id, &record.intent.ifname);
            match verdict(&record, record.intent.begun.age(now)) {
                Verdict::Live => {}
                Verdict::Young => report.young.push(key),
                Verdict::Close if Instant::now() >= self.deadline || self.signals.stop_requested() => {
                    report.busy.push(key);
                }
                Verdict::Close => match self.close(&key) {
                    Ok(true) => report.closed.push(key),
                    Ok(false) => report.busy.push(key),
                    Err(error) => report.failed.push((key, error)),
                },
            }
        }
        Ok(report)
    }

    /// Closes one record; false when somebody else has it.
    fn close(&self, key: &Key) -> Result<bool, CniError> {
        let io = |e: io::Error| {
            CniError::new(
                crate::reply::code::IO,
                format!("close attachment {} {}: {e}", key.container_id, key.ifname),
            )
        };
        let Some(mut lock) = Lock::try_take(self.layout, key, Verb::Gc).map_err(io)? else {
            return Ok(false);
        };
        // Read again under the lock: a DEL may have been faster.
        let Found::Record(record) = self.store.find(key).map_err(io)? else {
            return Ok(true);
        };
        let netns = netns_of(&record).to_owned();
        let closing = Closing {
            layout: self.layout,
            store: self.store,
            policy: Some(self.policy),
            netns: &netns,
            search: self.search,
            deadline: self.deadline,
            signals: self.signals,
        };
        closing.close(self.store.open(*record), Some(&mut lock)).map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_what_is_not_listed_and_past_the_grace_is_closed() {
        let age = |secs| Age::ThisBoot(Duration::from_secs(secs));
        for (listed, age, grace, verdict) in [
            (true, age(9999), 600, Verdict::Live),
            (true, Age::EarlierBoot, 600, Verdict::Live),
            (false, age(599), 600, Verdict::Young),
            (false, age(600), 600, Verdict::Close),
            (false, age(0), 0, Verdict::Close),
            (false, Age::EarlierBoot, 600, Verdict::Close),
        ] {
            assert_eq!(decide(listed, age, grace), verdict, "{listed} {age:?} {grace}");
        }
    }
}
