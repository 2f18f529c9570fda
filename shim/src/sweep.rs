//! Which records are to be closed although no DEL came.
//!
//! Runtimes forget: after a crash, a reboot, a DEL they gave up on. The decision is pure ([`decide`]); [`Pass`] carries it out
//! record by record, each under its own lock, and never waits for one that is busy.

use std::io;
use std::time::Instant;

use crate::attachment::Attachment;
use crate::boot::{Age, Moment};
use crate::conflist::Conflist;
use crate::inventory::{Entry, Inventory};
use crate::layout::Layout;
use crate::lock::Lock;
use crate::policy::{Policy, Side};
use crate::probe::{self, Depth};
use crate::reply::{CniError, code};
use crate::request::Verb;
use crate::serve::close::Closing;
use crate::serve::{Adopt, netns_of, side_of};
use crate::signal::Signals;
use crate::store::{Found, Key, Open, Store};

/// What a list of living sandboxes says about one attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Its sandbox is in it.
    Listed,
    /// Its sandbox would be in it, and is not.
    Missing,
    /// The list is not about it: somebody else than the lister made its sandbox.
    Unasked,
}

/// Whether those who would have to serve the DELs can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Conf and probes of every network that is owed a DEL are there; or the policy does not know it, and only its DEL tells.
    Ready,
    /// The policy retires what is not ready: its attachments are cleaned locally when its DEL keeps failing.
    Retired,
    /// The conf of one is gone or a probe of it does not hold: its DEL would fail, or lie.
    NotReady,
}

/// What is to become of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its sandbox is listed, or may well live though the list is not about it.
    Live,
    /// Not listed, but so young that the runtime may not know it yet.
    Young,
    /// Its DELs are owed, but nobody could serve them now.
    Waiting,
    /// Its DELs are owed.
    Close,
}

/// Decides one attachment.
///
/// | the list | age | owner | verdict |
/// |---|---|---|---|
/// | has it | any | any | live |
/// | is not about it | in this boot | any | live |
/// | lacks it | below the grace, in this boot | any | young |
/// | lacks it, or is not about it | past the grace and of this boot, or of an earlier boot | not ready | waiting |
/// | lacks it, or is not about it | past the grace and of this boot, or of an earlier boot | ready, retired | close |
///
/// No sandbox outlives a boot, so an earlier one answers what a list that is not about it does not.
#[must_use]
pub fn decide(seen: Seen, age: Age, grace_secs: u64, owner: Owner) -> Verdict {
    match (seen, age, owner) {
        (Seen::Listed, _, _) | (Seen::Unasked, Age::ThisBoot(_), _) => Verdict::Live,
        (Seen::Missing, age, _) if !age.reached(grace_secs) => Verdict::Young,
        (_, _, Owner::NotReady) => Verdict::Waiting,
        (_, _, Owner::Ready | Owner::Retired) => Verdict::Close,
    }
}

/// The state of the policy's networks as owners, asked once.
#[derive(Debug, Clone, Copy)]
pub struct Owners<'a> {
    policy: &'a Policy,
    old: Owner,
    new: Owner,
}

impl<'a> Owners<'a> {
    /// Asks conf and probes of every network; `deadline` bounds all of it.
    #[must_use]
    pub fn ask(policy: &'a Policy, deadline: Instant) -> Self {
        let of = |side| {
            policy.network(side).map_or(Owner::Ready, |network| {
                let ready = Conflist::load(&network.conf).is_ok()
                    && probe::all_hold(&network.ready, Depth::All, deadline).is_ok();
                match (ready, policy.retired(side)) {
                    (true, _) => Owner::Ready,
                    (false, Some(_)) => Owner::Retired,
                    (false, None) => Owner::NotReady,
                }
            })
        };
        Self { policy, old: of(Side::Old), new: of(Side::New) }
    }

    /// The owner of what a record owes: the least ready of its networks, so that a DEL is not served by halves.
    #[must_use]
    pub fn of(&self, record: &Attachment) -> Owner {
        let owed = record.pending();
        let sides = owed.iter().filter_map(|leg| side_of(self.policy, &record.intent.legs[*leg]));
        let owners: Vec<Owner> = sides.map(|side| self.on(side)).collect();
        [Owner::NotReady, Owner::Retired]
            .into_iter()
            .find(|state| owners.contains(state))
            .unwrap_or(Owner::Ready)
    }

    /// The owner of an inventory entry.
    #[must_use]
    pub fn of_entry(&self, entry: &Entry) -> Owner {
        let side = Side::BOTH.into_iter().find(|side| side.as_str() == entry.network);
        side.map_or(Owner::Ready, |side| self.on(side))
    }

    const fn on(&self, side: Side) -> Owner {
        match side {
            Side::Old => self.old,
            Side::New => self.new,
        }
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
    /// Our network's name, the key of the runtime's result cache; inventory entries without a result are looked up there.
    pub name: Option<&'a str>,
    /// What we are called, so that we never call ourselves.
    pub plugin_type: &'a str,
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
    /// Not listed, but nobody could serve their DELs.
    pub waiting: Vec<Key>,
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
                Verdict::Waiting => report.waiting.push(key),
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

    /// Closes the record of `key`; false when somebody else has it in hand. A record that is gone by now is closed.
    ///
    /// # Errors
    /// The first network's error; what failed stays on record. A damaged record is left for a DEL.
    pub fn close(&self, key: &Key) -> Result<bool, CniError> {
        self.locked(key, |lock| {
            // Read again under the lock: a DEL may have been faster.
            match self.find(key)? {
                Some(open) => self.finish(open, lock),
                None => Ok(()),
            }
        })
    }

    /// Closes an inventory entry as its DEL would: it becomes a record, and that is closed. False when somebody else has
    /// it in hand; an entry that is gone by now is closed.
    ///
    /// # Errors
    /// As [`Self::close`], and when the network of the entry cannot be told; then the entry stays.
    pub fn close_entry(&self, key: &Key) -> Result<bool, CniError> {
        self.locked(key, |lock| {
            if let Some(open) = self.find(key)? {
                return self.finish(open, lock);
            }
            let inventory = Inventory::load(self.layout).map_err(|e| failed(key, &e))?;
            let Some(entry) = inventory.find(key) else {
                return Ok(());
            };
            let adopt = Adopt {
                store: self.store,
                policy: Ok(self.policy),
                plugin_type: self.plugin_type,
                name: self.name,
                netns: "",
                args: None,
                search: self.search,
                prev_result: None,
                runtime_config: None,
            };
            self.finish(adopt.record(entry)?, lock)
        })
    }

    fn locked(
        &self,
        key: &Key,
        act: impl FnOnce(&mut Lock) -> Result<(), CniError>,
    ) -> Result<bool, CniError> {
        match Lock::try_take(self.layout, key, Verb::Gc).map_err(|e| failed(key, &e))? {
            Some(mut lock) => act(&mut lock).map(|()| true),
            None => Ok(false),
        }
    }

    fn find(&self, key: &Key) -> Result<Option<Open>, CniError> {
        match self.store.find(key).map_err(|e| failed(key, &e))? {
            Found::Record(record) => Ok(Some(self.store.open(*record))),
            Found::Nothing => Ok(None),
            Found::Damaged(why) => {
                Err(failed(key, &io::Error::other(format!("its record is damaged: {why}"))))
            }
        }
    }

    fn finish(&self, open: Open, lock: &mut Lock) -> Result<(), CniError> {
        let netns = netns_of(&open.attachment).to_owned();
        let closing = Closing {
            layout: self.layout,
            store: self.store,
            policy: Some(self.policy),
            netns: &netns,
            search: self.search,
            deadline: self.deadline,
            signals: self.signals,
        };
        closing.close(open, Some(lock))
    }
}

fn failed(key: &Key, error: &io::Error) -> CniError {
    CniError::new(code::IO, format!("close attachment {} {}: {error}", key.container_id, key.ifname))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_truth_table() {
        let age = |secs| Age::ThisBoot(Duration::from_secs(secs));
        let owners = [Owner::Ready, Owner::Retired, Owner::NotReady];
        for (seen, age, verdicts) in [
            (Seen::Listed, age(9999), [Verdict::Live; 3]),
            (Seen::Listed, Age::EarlierBoot, [Verdict::Live; 3]),
            (Seen::Unasked, age(9999), [Verdict::Live; 3]),
            (Seen::Unasked, Age::EarlierBoot, [Verdict::Close, Verdict::Close, Verdict::Waiting]),
            (Seen::Missing, age(599), [Verdict::Young; 3]),
            (Seen::Missing, age(600), [Verdict::Close, Verdict::Close, Verdict::Waiting]),
            (Seen::Missing, Age::EarlierBoot, [Verdict::Close, Verdict::Close, Verdict::Waiting]),
        ] {
            for (owner, verdict) in owners.into_iter().zip(verdicts) {
                assert_eq!(decide(seen, age, 600, owner), verdict, "{seen:?} {age:?} {owner:?}");
            }
        }
        assert_eq!(decide(Seen::Missing, age(0), 0, Owner::Ready), Verdict::Close, "no grace");
    }
}
