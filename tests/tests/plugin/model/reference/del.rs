//! DEL: to the delegates that did the ADD, whatever the policy says now; what failed is owed, and only that.

use anyhow::{Context, Result, ensure};

use super::{
    Attachment, Certainty, Debt, Ends, ExpectedCall, Failure, Leg, Paper, Reading, Reference, code, failure,
    wants_netns,
};
use crate::history::{Attach, Disk, Fault, Key, Side, Verb};

/// What DELs are called with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owing<'a> {
    pub(super) id: &'a str,
    /// CNI_NETNS; any where it is not named.
    pub(super) netns: Option<&'a str>,
    /// The attachment is to end, and no netns is where the plugins were told: who fails for want of it has done its part.
    pub(super) netns_gone: bool,
    pub(super) faults: &'a [Fault],
}

impl Reference {
    pub(super) fn del(
        &mut self,
        key: Key,
        without_netns: bool,
        faults: &[Fault],
        reading: &mut Reading,
    ) -> Result<Ends> {
        let Some(attachment) = self.attachments.get(&key).cloned() else {
            return Ok(Ends::success());
        };
        // Another pod's netns at that path is none of this attachment's.
        let here = self.netns[usize::from(key.container)];
        let anothers = attachment.netns.is_some()
            && here.is_some()
            && (here != attachment.netns || attachment.boot < self.boot);
        let path = self.netns_paths[usize::from(key.container)].clone();
        let output = if without_netns { String::new() } else { path };
        let netns = if anothers { String::new() } else { output.clone() };
        let gone = |output: &str| output.is_empty() || here.is_none();
        let owing = Owing { id: &key.id(), netns: Some(&netns), netns_gone: gone(&netns), faults };
        // What cannot be read does not say which netns it was.
        let owing_of_damaged = Owing { netns: Some(&output), netns_gone: gone(&output), ..owing };
        match attachment.paper {
            Paper::Sound => self.close(key, attachment, &owing, reading),
            Paper::Damaged => self.del_of_damaged(key, &owing_of_damaged, reading),
            Paper::Either => {
                let (mut other, mut again) = (self.clone(), reading.clone());
                let (before, is_silent) = (attachment.clone(), reading.next().is_none());
                let sound = other.close(key, attachment, &owing, &mut again);
                match sound.and_then(|ends| again.finished().map(|()| ends)) {
                    Ok(ends) => {
                        let damaged =
                            self.clone().del_of_damaged(key, &owing_of_damaged, &mut reading.clone());
                        (*self, *reading) = (other, again);
                        // One that could not be read and was refused is still there.
                        if is_silent && damaged.as_ref().is_ok_and(|ends| *ends != Ends::success()) {
                            self.attachments.entry(key).or_insert(before);
                            self.unsure.insert(key);
                        }
                        self.attachments.entry(key).and_modify(|attachment| attachment.paper = Paper::Either);
                        Ok(damaged.map_or(ends.clone(), |damaged| ends.or(damaged)))
                    }
                    Err(_) => self.del_of_damaged(key, &owing_of_damaged, reading),
                }
            }
        }
    }

    /// The DELs that are owed, last network first; then the record goes, or it keeps what failed.
    pub(super) fn close(
        &mut self,
        key: Key,
        mut attachment: Attachment,
        owing: &Owing<'_>,
        reading: &mut Reading,
    ) -> Result<Ends> {
        let order: Vec<usize> = (0..attachment.legs.len()).rev().collect();
        let failures = self.dels(&mut attachment.legs, &order, owing, reading)?;
        let failures = self.give_up_retired(key, &mut attachment.legs, failures, reading);
        self.closed(key, attachment, &failures, reading);
        Ok(Ends::first_of(&failures))
    }

    fn closed(&mut self, key: Key, attachment: Attachment, failures: &[Failure], reading: &Reading) {
        let stays = reading.is_of_killed() || self.disk == Disk::ReadOnly || !failures.is_empty();
        if !stays {
            self.attachments.remove(&key);
            return;
        }
        if reading.is_of_killed() || failures.iter().all(|failure| !failure.certain) {
            self.unsure.insert(key);
        }
        self.attachments.insert(key, attachment);
    }

    /// A record that cannot be read: every network of the policy is asked, under the names of the present policy.
    fn del_of_damaged(&mut self, key: Key, owing: &Owing<'_>, reading: &mut Reading) -> Result<Ends> {
        if self.broken {
            return Ok(Ends::code(code::CONFIG));
        }
        let retired = |side: Side| self.policy.retired && side == Side::Old;
        let confless = |side: &Side| !self.agents[side.index()].conf;
        if Side::BOTH.iter().any(|side| confless(side) && !retired(*side)) {
            return Ok(Ends::code(code::TRY_LATER).or(Ends::code(code::CONFIG)));
        }
        let legs = Side::BOTH.iter().filter(|side| !confless(side)).map(|side| Leg {
            side: *side,
            ifname: if *side == self.policy.primary || self.policy.attach != Attach::Both {
                key.ifname()
            } else {
                "net1".to_owned()
            },
            debt: Debt::Owed,
            result: Certainty::No,
            leaving: Certainty::No,
            resume: self.end_of_chain(*side),
        });
        let mut attachment = Attachment {
            paper: if self.disk == Disk::Sound && !reading.is_of_killed() {
                Paper::Sound
            } else {
                Paper::Either
            },
            torn: false,
            legs: legs.collect(),
            attached: Certainty::No,
            boot: self.boot,
            netns: None,
        };
        // In whatever order.
        let new_first = reading.next().is_some_and(|call| self.side_of(&call.name) == Side::New);
        let mut order: Vec<usize> = (0..attachment.legs.len()).collect();
        order.sort_by_key(|index| (attachment.legs[*index].side == Side::New) != new_first);
        let failures = self.dels(&mut attachment.legs, &order, owing, reading).context("a damaged record")?;
        let failures = self.give_up_retired(key, &mut attachment.legs, failures, reading);
        self.closed(key, attachment, &failures, reading);
        Ok(Ends::any_of(&failures))
    }

    fn side_of(&self, plugin: &str) -> Side {
        let is_of = |side: &Side| self.setup.chain_of(*side).iter().any(|part| part.plugin() == plugin);
        if is_of(&Side::New) { Side::New } else { Side::Old }
    }

    /// The DELs of these networks in this order; what failed, by leg.
    pub(super) fn dels(
        &mut self,
        legs: &mut [Leg],
        order: &[usize],
        owing: &Owing<'_>,
        reading: &mut Reading,
    ) -> Result<Vec<(usize, Failure)>> {
        let mut failures = Vec::new();
        let noted = self.disk == Disk::Sound && !reading.is_of_killed();
        for index in order {
            let leg = &mut legs[*index];
            if leg.debt == Debt::Settled {
                continue;
            }
            if leg.leaving == Certainty::No {
                leg.leaving = Certainty::Perhaps;
            }
            let chain = self.setup.chain_of(leg.side);
            let begins = |at: &usize| reading.is_next(chain[*at], Verb::Del, &leg.ifname);
            let failed = match leg.resume.iter().copied().find(begins) {
                Some(start) => self.del_chain(leg, start, owing, reading)?,
                None => self.no_del(leg, reading)?,
            };
            if reading.is_cut() {
                break;
            }
            if noted && failed.is_some_and(|failure| failure.certain) {
                legs[*index].leaving = Certainty::Yes;
            }
            failures.extend(failed.map(|failure| (*index, failure)));
        }
        Ok(failures)
    }

    /// A network that was not called: its binary is missing, or nothing was owed.
    fn no_del(&self, leg: &Leg, reading: &mut Reading) -> Result<Option<Failure>> {
        let chain = self.setup.chain_of(leg.side);
        let missing = |at: &usize| !self.has_binary(chain[*at]);
        if leg.resume.iter().any(missing) {
            let certain = leg.debt == Debt::Owed && leg.resume.iter().all(missing);
            return Ok(Some(Failure { code: code::BINARY, certain }));
        }
        if reading.ends_here() {
            return Ok(None);
        }
        ensure!(leg.debt == Debt::Doubtful, "no DEL came to {leg:?}");
        Ok(None)
    }

    /// The DEL of one network, its chain backwards from `start`.
    fn del_chain(
        &mut self,
        leg: &mut Leg,
        start: usize,
        owing: &Owing<'_>,
        reading: &mut Reading,
    ) -> Result<Option<Failure>> {
        let chain = self.setup.chain_of(leg.side);
        // Whether what happens now is certainly written down.
        let noted = self.disk == Disk::Sound && !reading.is_of_killed();
        let ifname = leg.ifname.clone();
        for at in (0..=start).rev() {
            let part = chain[at];
            let mut failed = (!self.has_binary(part)).then_some(code::BINARY);
            if failed.is_none() {
                let expected =
                    ExpectedCall { part, verb: Verb::Del, id: owing.id, ifname: &ifname, netns: owing.netns };
                let Some(call) = reading.must(expected)? else {
                    leg.resume.extend(0..=start);
                    return Ok(None);
                };
                let conf = self.own_conf(leg.side, part, &call)?;
                let output = !conf["prevResult"].is_null() || !self.setup.speaks(leg.side, "0.4.0");
                ensure!(output || leg.result != Certainty::Yes, "DEL without the result of its ADD: {conf}");
                failed = failure(owing.faults, part, Verb::Del);
                if owing.netns_gone && wants_netns(owing.faults, part) {
                    failed = None;
                    self.outlived += 1;
                    // One that was killed may not have come to the line that says so.
                    self.forced.0 += usize::from(noted);
                    self.forced.1 += 1;
                }
            }
            if let Some(code) = failed {
                if noted {
                    leg.debt = Debt::Owed;
                    leg.resume.clear();
                }
                leg.resume.extend(if noted { at..=at } else { at..=start });
                return Ok(Some(Failure { code, certain: true }));
            }
        }
        leg.debt = if noted { Debt::Settled } else { Debt::Doubtful };
        // How far it was may be known, and that it was through may not.
        leg.resume.extend(0..=start);
        Ok(None)
    }

    /// What a retired network owes is given up at once when its DEL fails.
    fn give_up_retired(
        &mut self,
        key: Key,
        legs: &mut [Leg],
        failures: Vec<(usize, Failure)>,
        reading: &Reading,
    ) -> Vec<Failure> {
        let mut left = Vec::new();
        for (index, mut failure) in failures {
            let leg = &mut legs[index];
            if self.broken || !self.policy.retired || leg.side != Side::Old {
                left.push(failure);
                continue;
            }
            self.forced.1 += 1;
            if reading.is_of_killed() {
                // It may have been ended before, or after.
                leg.debt = Debt::Doubtful;
                failure.certain = false;
                left.push(failure);
                continue;
            }
            // Without room for the line that says what was given up the journal takes it, and the leg ends all the same.
            let noted = self.disk == Disk::Sound && failure.certain;
            self.forced.0 += usize::from(noted);
            leg.debt = if noted { Debt::Settled } else { Debt::Doubtful };
            if self.disk != Disk::Sound {
                self.told_journal.insert((key.id(), leg.side.network().to_owned()));
            }
        }
        left
    }
}
