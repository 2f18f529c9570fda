//! One pass over all records, for GC and the sweep. Each record is closed under its own lock; a pass never waits for a living lock holder.

use std::io;
use std::time::Instant;

use types::attachment::Attachment;

use super::networks;
use super::session::Session;
use super::teardown::Teardown;
use crate::attachment::hostroute;
use crate::attachment::route::Budget;
use crate::call::reply::{CniError, code};
use crate::call::request::Verb;
use crate::host::boot::{Age, Moment};
use crate::host::lock::Lock;
use crate::node::first_failure;
use crate::node::inventory::{self, Deleter};
use crate::node::pass_order::{self, TimeShares};
use crate::node::store::{DamagedFile, Key, OpenRecord, StoredRecord};
use crate::sweep::SweepVerdict;

/// One pass over all records.
#[derive(Debug)]
pub struct Pass<'a> {
    /// Whose pass it is: a GC's, or the sweep's.
    pub session: &'a Session<'a>,
    /// All closes end then. The next pass closes what this one does not reach.
    pub deadline: Instant,
}

/// The result of a pass.
#[derive(Debug, Default)]
pub struct PassReport {
    /// Attachments that were closed.
    pub closed: Vec<Key>,
    /// Attachments whose DEL failed; their records stay.
    pub failed: Vec<(Key, CniError)>,
    /// Attachments whose lock another process holds, or for which no time was left.
    pub busy: Vec<Key>,
    /// Attachments that are not listed, but younger than the grace period.
    pub young: Vec<Key>,
    /// Attachments that are not listed, but whose networks are not ready to serve a DEL.
    pub waiting: Vec<Key>,
    /// Damaged records, which only a DEL can resolve; path and reason.
    pub damaged: Vec<DamagedFile>,
}

impl Pass<'_> {
    /// Calls `verdict` for each record, and closes those that are due. Each close has a share of the time, and the pass begins behind the
    /// attachment that the previous pass tried last.
    ///
    /// # Errors
    /// When the records cannot be listed.
    pub fn run(
        &self,
        now: &Moment,
        verdict: impl Fn(&Attachment, Age) -> SweepVerdict,
    ) -> io::Result<PassReport> {
        let (records, damaged) = self.session.store.load_all()?;
        let mut report = PassReport { damaged, ..PassReport::default() };
        if let Err(error) = first_failure::tidy(self.session.layout(), &self.session.store) {
            // Each file that stays costs an inode until the next pass.
            tracing::warn!(error = error.to_string(), "times of failed DELs not tidied up");
        }
        let routed = !report.damaged.is_empty() || records.iter().any(hostroute::has);
        let judge = |record: &Attachment| verdict(record, record.intent.began_at.age(now));
        let mut due = Vec::new();
        for record in records {
            let key = Key::new(&record.intent.container_id, &record.intent.ifname);
            match judge(&record) {
                SweepVerdict::Live => {}
                SweepVerdict::Young => report.young.push(key),
                SweepVerdict::Waiting => report.waiting.push(key),
                SweepVerdict::Close => due.push(key),
            }
        }
        pass_order::order(&mut due, pass_order::last_tried(self.session.layout()).as_deref(), |key| key);
        let shares = TimeShares::new_until(self.deadline, Instant::now());
        let count = due.len();
        for (index, key) in due.into_iter().enumerate() {
            let share = shares.next_deadline(count - index, Instant::now());
            let Some(until) = share.filter(|_| !self.session.signals.stop_requested()) else {
                report.busy.push(key);
                continue;
            };
            match self.close_if(&key, until, |record| judge(record) == SweepVerdict::Close) {
                Ok(true) => report.closed.push(key),
                Ok(false) => report.busy.push(key),
                Err(error) => report.failed.push((key, error)),
            }
        }
        self.converge_host_routes(routed);
        Ok(report)
    }

    /// Restores host routes that living attachments have lost, and removes host routes that no attachment has. It runs after the closes, and the
    /// next pass tries again what fails.
    fn converge_host_routes(&self, routed: bool) {
        let budget = Budget::share(self.deadline, self.session.signals);
        // If no record has host routes, the records need not be read again.
        let records = || if routed { self.session.store.load_all() } else { Ok((Vec::new(), Vec::new())) };
        let pending =
            records().and_then(|(sound, damaged)| hostroute::unconverged_routes(&sound, &damaged, budget));
        match pending {
            Ok(changes) if changes.is_empty() => {}
            Ok(_) => match hostroute::converge(self.session.layout(), budget) {
                Ok(changes) => tracing::info!(changes = changes.join("; "), "host routes converged"),
                Err(error) => tracing::warn!(error = error.to_string(), "host routes not converged"),
            },
            Err(error) => tracing::warn!(error = error.to_string(), "host routes not looked at"),
        }
    }

    /// Closes the record of `key` that was begun at `begun`, until `until`. Returns true also if the record is gone by now. Returns false if
    /// another process holds the lock, or if the record was begun at another moment: then it belongs to a later attachment, and stays.
    ///
    /// # Errors
    /// The first network's error; what failed stays on record. A damaged record is left for a DEL.
    pub fn close(&self, key: &Key, begun: &Moment, until: Instant) -> Result<bool, CniError> {
        self.close_if(key, until, |record| record.intent.began_at == *begun)
    }

    /// Closes the record of `key` if `is_due` holds for what is there under the lock: the attachment may have been deleted
    /// and added again since the records were listed.
    fn close_if(
        &self,
        key: &Key,
        until: Instant,
        is_due: impl Fn(&Attachment) -> bool,
    ) -> Result<bool, CniError> {
        let mut is_left = false;
        let closed = self.with_lock(key, until, |lock| {
            // Read again under the lock: a DEL may have been faster.
            match self.find(key)? {
                Some(open) if is_due(&open.attachment) => self.finish(open, until, lock),
                Some(_) => {
                    is_left = true;
                    Ok(())
                }
                None => Ok(()),
            }
        })?;
        Ok(closed && !is_left)
    }

    /// Closes an inventory entry as its DEL would: the entry becomes a record, and the record is closed. If the runtime itself sends the DEL of
    /// this entry, the entry is only removed from the inventory, and no delegate is called. Returns true also if the entry is gone by now.
    /// Returns false if another process holds the lock, or if there is a record without an entry: that is a later attachment's, and stays.
    ///
    /// # Errors
    /// As [`Self::close`], and when the network of the entry cannot be told; then the entry stays.
    pub fn close_entry(&self, key: &Key, until: Instant) -> Result<bool, CniError> {
        let mut is_left = false;
        let closed = self.with_lock(key, until, |lock| {
            let record = self.find(key)?;
            let inventory = inventory::load(self.session.layout()).map_err(|e| lock_error(key, &e))?;
            let Some(entry) = inventory.find(key) else {
                is_left = record.is_some();
                return Ok(());
            };
            // An entry with a record: an earlier DEL made the record and did not finish.
            if let Some(open) = record {
                return self.finish(open, until, lock);
            }
            if entry.deleted_by == Deleter::Runtime {
                return inventory::strike_out(self.session.layout(), key).map_err(|e| lock_error(key, &e));
            }
            self.finish(self.session.adopt(entry)?, until, lock)
        })?;
        Ok(closed && !is_left)
    }

    fn with_lock(
        &self,
        key: &Key,
        until: Instant,
        act: impl FnOnce(&mut Lock) -> Result<(), CniError>,
    ) -> Result<bool, CniError> {
        // Without this note only the order of the next pass changes.
        if let Err(error) = pass_order::note(self.session.layout(), key) {
            tracing::debug!(error = error.to_string(), "turn not noted");
        }
        let lock = Lock::take_unattended(self.session.layout(), key, Verb::Gc, until, self.session.signals);
        match lock.map_err(|e| lock_error(key, &e))? {
            Some(mut lock) => act(&mut lock).map(|()| true),
            None => Ok(false),
        }
    }

    fn find(&self, key: &Key) -> Result<Option<OpenRecord>, CniError> {
        match self.session.store.find(key).map_err(|e| lock_error(key, &e))? {
            StoredRecord::Sound(record) => Ok(Some(self.session.store.open(*record))),
            StoredRecord::Absent => Ok(None),
            StoredRecord::Damaged(why) => {
                Err(lock_error(key, &io::Error::other(format!("its record is damaged: {why}"))))
            }
        }
    }

    fn finish(&self, open: OpenRecord, until: Instant, lock: &mut Lock) -> Result<(), CniError> {
        let netns = netns_of(&open.attachment).to_owned();
        Teardown::new(self.session, &netns, until).close(open, Some(lock))
    }
}

fn lock_error(key: &Key, error: &io::Error) -> CniError {
    CniError::new(code::IO, format!("close attachment {} {}: {error}", key.container_id, key.ifname))
}

/// The path of a record's netns if the netns there is still the same one; else empty. No netns outlives its boot, but its inode number may come
/// again.
#[must_use]
pub fn netns_of(record: &Attachment) -> &str {
    let intent = &record.intent;
    match networks::is_its_netns(intent, &intent.netns) {
        Some(true) => &intent.netns,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use types::attachment::{FORMAT, Intent};

    use super::*;
    use crate::host::netns::Netns;
    use std::path::Path;

    #[test]
    fn a_netns_of_an_earlier_boot_is_gone_whatever_is_at_its_path_under_its_number() {
        let path = "/proc/self/ns/net";
        let mut intent = Intent {
            version: FORMAT,
            container_id: "c1".into(),
            ifname: "eth0".into(),
            began_at: crate::host::boot::now().expect("now"),
            netns: path.into(),
            netns_id: Some(Netns::open(Path::new(path)).expect("netns").id()),
            netns_cookie: None,
            cni_args: None,
            cni_path: None,
            route: None,
            legs: Vec::new(),
        };
        assert_eq!(netns_of(&Attachment::begin(intent.clone())), path);
        intent.began_at.boot_id = "another".into();
        assert_eq!(netns_of(&Attachment::begin(intent)), "");
    }
}
