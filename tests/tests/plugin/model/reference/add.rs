//! ADD: everything is looked at before anything begins, and a failure undoes what had begun, in reverse.

use anyhow::{Context, Result, bail, ensure};

use super::{Attachment, Certainty, Debt, Ends, ExpectedCall, Leg, Owing, Paper, Reading, Reference, code};
use crate::history::{Attach, Disk, Fault, Key, Side, Verb};
use crate::stage::{CallObservation, CallOutcome, Stage};

/// One network of an ADD.
#[derive(Debug, Clone, Copy)]
struct PlannedLeg {
    side: Side,
    primary: bool,
    /// The pod may live without it.
    tolerated: bool,
}

/// An ADD that is not refused.
#[derive(Debug, Clone, Copy)]
struct Adding<'a> {
    key: Key,
    plan: &'a [PlannedLeg],
    faults: &'a [Fault],
}

impl Reference {
    pub(super) fn add(
        &mut self,
        (key, annotation): (Key, Option<Attach>),
        faults: &[Fault],
        seen: &CallObservation,
        reading: &mut Reading,
    ) -> Result<Ends> {
        let mut plan = self.plan(self.choice(key, annotation));
        if let Some(refused) = self.refusal(self.attachments.contains_key(&key), &mut plan) {
            return Ok(Ends::code(refused));
        }
        let secondary = self.secondary_ifname(key, None)?;
        let leg = |planned: &PlannedLeg| Leg {
            side: planned.side,
            ifname: if planned.primary { key.ifname() } else { secondary.clone() },
            // Until it is called nothing is owed, but a record that knows of it may be read so.
            debt: Debt::Doubtful,
            result: Certainty::No,
            leaving: Certainty::No,
            resume: self.end_of_chain(planned.side),
        };
        let mut attachment = Attachment {
            paper: Paper::Sound,
            torn: false,
            legs: plan.iter().map(leg).collect(),
            attached: Certainty::No,
            boot: self.boot,
            netns: self.netns[usize::from(key.container)],
        };
        self.unsure.extend(reading.is_of_killed().then_some(key));
        let adding = Adding { key, plan: &plan, faults };
        let failed = self.attach(adding, &mut attachment, reading)?;
        let cut = reading.is_cut();
        if let (Some(_), false) = (failed, cut) {
            self.undo(adding, &mut attachment, reading)?;
        }
        let undone = attachment.legs.iter().all(|leg| leg.debt != Debt::Owed);
        if failed.is_some() && undone && !reading.is_of_killed() {
            return Ok(Ends::code(failed.unwrap_or_default()));
        }
        if failed.is_none() && !cut {
            self.attached(adding, &mut attachment, seen)?;
        }
        self.attachments.insert(key, attachment);
        Ok(failed.map_or_else(Ends::success, Ends::code))
    }

    /// The networks in the order of ADD: who owns the default route comes last.
    fn plan(&self, attach: Attach) -> Vec<PlannedLeg> {
        match attach {
            Attach::One(side) => vec![PlannedLeg { side, primary: true, tolerated: false }],
            Attach::Both => [self.policy.default_route.other(), self.policy.default_route]
                .map(|side| {
                    let primary = side == self.policy.primary;
                    PlannedLeg { side, primary, tolerated: !primary && self.policy.tolerate }
                })
                .into(),
        }
    }

    /// The code with which an ADD is refused before a delegate is called, if it is.
    pub(crate) fn refusal_of(&self, exists: bool, attach: Attach) -> Option<u64> {
        self.refusal(exists, &mut self.plan(attach))
    }

    /// The networks that an ADD that is not refused attaches.
    pub(crate) fn attached_networks(&self, attach: Attach) -> Vec<Side> {
        let mut plan = self.plan(attach);
        let _refused = self.refusal(false, &mut plan);
        plan.iter().map(|planned| planned.side).collect()
    }

    /// Why an ADD is refused before a delegate is called. A tolerated network that is not there is left out.
    fn refusal(&self, exists: bool, plan: &mut Vec<PlannedLeg>) -> Option<u64> {
        let has_binaries = |side: Side| self.setup.chain_of(side).iter().all(|part| self.has_binary(*part));
        let needed = |planned: &&PlannedLeg| !planned.tolerated;
        if self.broken {
            return Some(code::CONFIG);
        }
        if exists {
            return Some(code::EXISTS);
        }
        if plan.iter().filter(needed).any(|planned| !self.is_up(planned.side)) {
            return Some(code::TRY_LATER);
        }
        if plan.iter().filter(needed).any(|planned| !has_binaries(planned.side)) {
            return Some(code::BINARY);
        }
        plan.retain(|planned| self.is_up(planned.side) && has_binaries(planned.side));
        (self.disk != Disk::Sound).then_some(code::IO)
    }

    /// The ADDs of all networks; the code of the first that failed and is not tolerated.
    fn attach(
        &mut self,
        Adding { key, plan, faults }: Adding<'_>,
        attachment: &mut Attachment,
        reading: &mut Reading,
    ) -> Result<Option<u64>> {
        let id = key.id();
        for (index, planned) in plan.iter().enumerate() {
            if !planned.primary {
                attachment.legs[index].ifname = self.secondary_ifname(key, Some((planned.side, reading)))?;
            }
            let leg = &mut attachment.legs[index];
            let ifname = leg.ifname.clone();
            let first = self.setup.chain_of(planned.side)[0];
            if reading.is_next(first, Verb::Add, &ifname) {
                leg.debt = Debt::Owed;
            }
            let netns = &self.netns_paths[usize::from(key.container)].clone();
            let expected =
                ExpectedCall { part: first, verb: Verb::Add, id: &id, ifname: &ifname, netns: Some(netns) };
            let Some(failed) = self.forward(planned.side, expected, faults, reading)? else {
                return Ok(None);
            };
            match failed {
                None => leg.result = if reading.is_of_killed() { Certainty::Perhaps } else { Certainty::Yes },
                Some(_) if planned.tolerated => {
                    let owing = Owing { id: &id, netns: Some(netns), netns_gone: false, faults };
                    self.dels(&mut attachment.legs, &[index], &owing, reading)?;
                    if reading.is_cut() {
                        return Ok(None);
                    }
                }
                Some(code) => return Ok(Some(code)),
            }
        }
        Ok(None)
    }

    /// The DELs of what had begun, last first.
    fn undo(
        &mut self,
        Adding { key, faults, .. }: Adding<'_>,
        attachment: &mut Attachment,
        reading: &mut Reading,
    ) -> Result<()> {
        let netns = self.netns_paths[usize::from(key.container)].clone();
        let owed = |index: &usize| attachment.legs[*index].debt == Debt::Owed;
        let begun: Vec<usize> = (0..attachment.legs.len()).rev().filter(owed).collect();
        let owing = Owing { id: &key.id(), netns: Some(&netns), netns_gone: false, faults };
        self.dels(&mut attachment.legs, &begun, &owing, reading).context("undoing a failed ADD")?;
        Ok(())
    }

    /// An ADD that succeeded: its reply is the primary's result alone, and who took part is ready.
    fn attached(
        &mut self,
        Adding { key, plan, .. }: Adding<'_>,
        attachment: &mut Attachment,
        seen: &CallObservation,
    ) -> Result<()> {
        let certain = seen.ended == CallOutcome::Success;
        attachment.attached = if certain { Certainty::Yes } else { Certainty::Perhaps };
        for leg in attachment.legs.iter().filter(|leg| leg.result != Certainty::No) {
            self.is_ready(leg.side, certain);
        }
        let Some(reply) = &seen.reply else {
            ensure!(seen.ended != CallOutcome::Success, "an ADD without a reply");
            return Ok(());
        };
        let Some(primary) = plan.iter().find(|planned| planned.primary) else {
            bail!("a plan without a primary")
        };
        let addresses: Vec<&str> =
            reply["ips"].as_array().into_iter().flatten().filter_map(|ip| ip["address"].as_str()).collect();
        ensure!(addresses == [Stage::address(primary.side)], "the reply is not the primary's alone: {reply}");
        let name = &reply["interfaces"][0]["name"];
        ensure!(*name == key.ifname(), "the reply names interface {name}: {reply}");
        Ok(())
    }

    /// The name that the secondary gets: `net1`, or the next netN that no attachment of this container has. A record that cannot
    /// be read names no interface; where a record may be unreadable, any netN with which the secondary is called is allowed. A name that
    /// another ADD of the container took at the same time and gave back may be passed over.
    pub(super) fn secondary_ifname(&self, key: Key, called: Option<(Side, &Reading)>) -> Result<String> {
        let others = || {
            let of_container = self.attachments.iter().filter(|(other, _)| other.container == key.container);
            of_container.map(|(_, other)| other).filter(|other| other.paper != Paper::Damaged)
        };
        let readable = others().all(|other| other.paper == Paper::Sound);
        let next = called.and_then(|(side, reading)| {
            let first = self.setup.chain_of(side)[0].plugin();
            reading.next().filter(|call| call.name == first && call.verb() == Verb::Add.name())
        });
        let used = next.map(|call| call.var("CNI_IFNAME"));
        if let Some(used) = used.filter(|used| !readable && used.starts_with("net")) {
            return Ok(used.to_owned());
        }
        let is_freed = |name: &str| {
            let anothers = |(whose, had): &(Key, String)| {
                *whose != key && whose.container == key.container && had == name
            };
            used == Some(name) && self.freed.iter().any(anothers)
        };
        let taken: Vec<&str> = others()
            .flat_map(|other| other.legs.iter().map(|leg| leg.ifname.as_str()))
            .filter(|name| !is_freed(name))
            .collect();
        let may_be_taken = |name: &str| {
            let anothers = |(whose, had): &(Key, String)| {
                *whose != key && whose.container == key.container && had == name
            };
            self.passing.iter().any(anothers)
        };
        let names = (1..).map(|n| format!("net{n}")).filter(|name| !taken.contains(&name.as_str()));
        let mut free = names.filter(|name| used == Some(name.as_str()) || !may_be_taken(name));
        free.next().context("a free name")
    }
}
