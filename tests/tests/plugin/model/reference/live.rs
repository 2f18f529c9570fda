//! JOIN and LEAVE: the second network of a pod that runs comes or goes, and the primary keeps what it has.
//!
//! What a record may say decides about them, so each possible record ([`Reference::worlds`]) is judged for itself. A call that was killed may have
//! left the node as it was after any of its steps.

use anyhow::{Context, Result, ensure};

use super::candidates::{add_new, surviving};
use super::{Attachment, Certainty, Debt, Ends, ExpectedCall, Leg, Owing, Paper, Reading, Reference, code};
use crate::history::{Attach, Disk, Fault, Key, Side, Verb};
use crate::stage::{CallObservation, CallOutcome};

/// A JOIN or LEAVE.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'a> {
    key: Key,
    annotation: Option<Attach>,
    faults: &'a [Fault],
    is_join: bool,
}

/// What the policy wants of a pod that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Keep,
    Join(Side),
    Leave,
    Restart,
}

/// The calls that were seen, and the states in which a kill may have left the node so far.
struct Walk<'a> {
    change: Change<'a>,
    reading: Reading,
    stops: Vec<Reference>,
}

impl<'a> Change<'a> {
    pub(super) const fn new(
        key: Key,
        annotation: Option<Attach>,
        faults: &'a [Fault],
        is_join: bool,
    ) -> Self {
        Self { key, annotation, faults, is_join }
    }
}

impl Walk<'_> {
    /// A moment at which a kill leaves the node in this state.
    fn stop(&mut self, state: &Reference) {
        if self.reading.is_of_killed() && self.reading.next().is_none() {
            add_new(&mut self.stops, [state.clone()]);
        }
    }
}

impl Attachment {
    fn primary(&self, key: Key) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.ifname == key.ifname())
    }

    /// The network beside the primary that the pod has, or whose DEL is owed.
    fn second(&self, key: Key) -> Option<usize> {
        self.legs.iter().position(|leg| leg.ifname != key.ifname() && leg.debt != Debt::Settled)
    }
}

impl Leg {
    /// Whether its ADD succeeded and no DEL of it has begun.
    fn is_whole(&self) -> bool {
        self.result == Certainty::Yes && self.leaving == Certainty::No && self.debt != Debt::Settled
    }
}

impl Reference {
    /// The states that a JOIN or LEAVE may have left, by what was seen of it.
    pub(super) fn change(
        &self,
        change: Change<'_>,
        seen: &CallObservation,
        reading: &Reading,
    ) -> Result<Vec<Self>> {
        let is_busy = self.busy.contains(&change.key) && seen.ended == CallOutcome::Code(code::TRY_LATER);
        if is_busy && reading.next().is_none() {
            return Ok(vec![self.clone()]);
        }
        if let Some(ends) = self.refused_before(change.key) {
            reading.finished()?;
            ensure!(ends.allow(seen.ended), "ended with {:?}, allowed is {ends:?}", seen.ended);
            return Ok(vec![self.clone()]);
        }
        let all = self.worlds(change.key).into_iter().map(|world| world.change_of(change, seen, reading));
        Ok(surviving(all)?.into_iter().flatten().fold(Vec::new(), |mut states, state| {
            add_new(&mut states, [state]);
            states
        }))
    }

    /// Why a JOIN or LEAVE is refused before anything depends on the lines of the record.
    fn refused_before(&self, key: Key) -> Option<Ends> {
        if self.broken {
            return Some(Ends::code(code::CONFIG));
        }
        if self.netns[usize::from(key.container)].is_none() {
            return Some(Ends::code(code::ENVIRONMENT));
        }
        let Some(attachment) = self.attachments.get(&key) else {
            return Some(Ends::code(code::UNKNOWN));
        };
        if attachment.paper != Paper::Sound || attachment.torn {
            let restart = Ends::code(code::RESTART);
            // A record that took a damaged one's place knows no netns.
            let is_sound = attachment.paper == Paper::Either;
            return Some(if is_sound { restart.or(Ends::code(code::ENVIRONMENT)) } else { restart });
        }
        if attachment.netns.is_none() {
            return Some(Ends::code(code::RESTART).or(Ends::code(code::ENVIRONMENT)));
        }
        self.is_elsewhere(key, attachment).then(|| Ends::code(code::ENVIRONMENT))
    }

    /// The node once for each record that the attachment may have.
    pub(super) fn worlds(&self, key: Key) -> Vec<Self> {
        let Some(attachment) =
            self.attachments.get(&key).filter(|attachment| attachment.paper == Paper::Sound)
        else {
            return vec![self.clone()];
        };
        let certain = |known: Certainty| match known {
            Certainty::Perhaps => vec![Certainty::No, Certainty::Yes],
            other => vec![other],
        };
        let mut all = vec![attachment.clone()];
        all =
            split(&all, |variant| certain(variant.attached), |variant, attached| variant.attached = attached);
        for index in 0..attachment.legs.len() {
            let debts = |variant: &Attachment| match variant.legs[index].debt {
                Debt::Doubtful => vec![Debt::Owed, Debt::Settled],
                other => vec![other],
            };
            all = split(&all, debts, |variant, debt| variant.legs[index].debt = debt);
            // What is settled says nothing more.
            let open = |variant: &Attachment, known: Certainty| {
                if variant.legs[index].debt == Debt::Settled { vec![known] } else { certain(known) }
            };
            all = split(
                &all,
                |variant| open(variant, variant.legs[index].result),
                |variant, known| variant.legs[index].result = known,
            );
            all = split(
                &all,
                |variant| open(variant, variant.legs[index].leaving),
                |variant, known| variant.legs[index].leaving = known,
            );
        }
        let world = |attachment: Attachment| {
            let mut world = self.clone();
            world.attachments.insert(key, attachment);
            world
        };
        all.into_iter().map(world).collect()
    }

    /// Whether the pod goes on with its primary although its record has a second network, which did not join it or has begun to leave it.
    pub(super) fn is_on_primary_alone(&self, key: Key, attachment: &Attachment) -> bool {
        let primary = attachment.legs.iter().position(|leg| leg.ifname == key.ifname());
        primary.is_some_and(|at| {
            let earlier = &attachment.legs[..at];
            !attachment.torn
                && attachment.legs[at].is_whole()
                && !earlier.is_empty()
                && !earlier.iter().any(Leg::is_whole)
        })
    }

    /// What the policy wants, by a record that is certain.
    fn wish(&self, Change { key, annotation, .. }: Change<'_>, attachment: &Attachment) -> Wish {
        let attach = self.choice(key, annotation);
        let primary = match attach {
            Attach::One(side) => side,
            Attach::Both => self.policy.primary,
        };
        // Of a pod whose primary has begun to go, or never came, nothing is kept.
        let keeps = attachment.primary(key).is_some_and(|leg| leg.side == primary && leg.is_whole());
        if !keeps {
            return Wish::Restart;
        }
        let joins = primary.other();
        let is_owner_by_policy = self.policy.default_route == joins;
        let Some(index) = attachment.second(key) else {
            return match attach {
                Attach::One(_) => Wish::Keep,
                Attach::Both if is_owner_by_policy => Wish::Restart,
                Attach::Both => Wish::Join(joins),
            };
        };
        let is_owner = index + 1 == attachment.legs.len();
        let is_attached = attachment.attached == Certainty::Yes && attachment.legs[index].is_whole();
        match attach {
            Attach::One(_) if is_owner => Wish::Restart,
            Attach::One(_) => Wish::Leave,
            Attach::Both if is_owner != is_owner_by_policy => Wish::Restart,
            Attach::Both if is_attached => Wish::Keep,
            // The network that joins never gets the default route.
            Attach::Both if is_owner_by_policy => Wish::Restart,
            Attach::Both => Wish::Join(joins),
        }
    }

    /// The states after the call, by a record that is certain.
    fn change_of(&self, change: Change<'_>, seen: &CallObservation, reading: &Reading) -> Result<Vec<Self>> {
        let attachment = self.attachments.get(&change.key).context("a record")?;
        let mut walk = Walk { change, reading: reading.clone(), stops: Vec::new() };
        let mut after = self.clone();
        walk.stop(&after);
        let wish = self.wish(change, attachment);
        let ends = match (wish, change.is_join) {
            (Wish::Keep, _) => Ends::success(),
            (Wish::Restart, _) => Ends::code(code::RESTART),
            (Wish::Join(side), true) => after.join(side, &mut walk)?,
            (Wish::Leave, false) => after.leave(&mut walk)?.unwrap_or_else(Ends::success),
            (Wish::Join(_), false) | (Wish::Leave, true) => Ends::code(code::CONFIG),
        };
        walk.stop(&after);
        walk.reading.finished().with_context(|| format!("by the policy: {wish:?}"))?;
        if seen.ended == CallOutcome::Killed {
            return Ok(walk.stops);
        }
        ensure!(ends.allow(seen.ended), "ended with {:?}, allowed is {ends:?}: {}", seen.ended, seen.said);
        Ok(vec![after])
    }

    fn attachment_mut(&mut self, key: Key) -> Option<&mut Attachment> {
        self.attachments.get_mut(&key)
    }

    /// The ADD of one network, behind the DEL that it may owe; what fails is undone.
    fn join(&mut self, side: Side, walk: &mut Walk<'_>) -> Result<Ends> {
        let Change { key, faults, .. } = walk.change;
        if !self.agents[side.index()].conf {
            return Ok(Ends::code(code::TRY_LATER));
        }
        let attachment = self.attachment_mut(key).context("a record")?;
        if attachment.second(key).is_some() {
            if let Some(failed) = self.leave(walk)? {
                return Ok(failed);
            }
        } else if attachment.legs.len() > 1
            && let Some(failed) = self.shorten(walk)?
        {
            return Ok(failed);
        }
        if !self.is_up(side) {
            return Ok(Ends::code(code::TRY_LATER));
        }
        if !self.setup.chain_of(side).iter().all(|part| self.has_binary(*part)) {
            return Ok(Ends::code(code::BINARY));
        }
        if self.disk != Disk::Sound {
            return Ok(Ends::code(code::IO));
        }
        let ifname = self.secondary_ifname(key, Some((side, &walk.reading)))?;
        let resume = self.end_of_chain(side);
        let leg = Leg {
            side,
            ifname: ifname.clone(),
            debt: Debt::Doubtful,
            result: Certainty::No,
            leaving: Certainty::No,
            resume,
        };
        let attachment = self.attachment_mut(key).context("a record")?;
        attachment.legs.insert(0, leg);
        attachment.attached = Certainty::No;
        walk.stop(self);
        let part = self.setup.chain_of(side)[0];
        if walk.reading.is_next(part, Verb::Add, &ifname) {
            self.attachment_mut(key).context("a record")?.legs[0].debt = Debt::Owed;
        }
        let (id, netns) = (key.id(), self.netns_paths[usize::from(key.container)].clone());
        let expected = ExpectedCall { part, verb: Verb::Add, id: &id, ifname: &ifname, netns: Some(&netns) };
        let failed = self.forward(side, expected, faults, &mut walk.reading).context("a JOIN")?;
        walk.stop(self);
        match failed {
            None => Ok(Ends::success()),
            Some(Some(code)) => {
                let _owed = self.leave(walk).context("undoing a JOIN")?;
                Ok(Ends::code(code))
            }
            Some(None) => {
                self.attachment_mut(key).context("a record")?.legs[0].result = Certainty::Yes;
                walk.stop(self);
                self.attachment_mut(key).context("a record")?.attached = Certainty::Yes;
                walk.stop(self);
                self.is_ready(side, !walk.reading.is_of_killed());
                Ok(Ends::success())
            }
        }
    }

    /// The DEL of the second network alone, which is noted before it begins; then the record is that of the primary alone. How it fails, if it does.
    fn leave(&mut self, walk: &mut Walk<'_>) -> Result<Option<Ends>> {
        let Change { key, faults, .. } = walk.change;
        let attachment = self.attachment_mut(key).context("a record")?;
        let index = attachment.second(key).context("a second network")?;
        let full = self.disk == Disk::Full && walk.reading.next().is_none();
        if self.disk == Disk::ReadOnly || full {
            return Ok(Some(Ends::code(code::IO)));
        }
        let attachment = self.attachment_mut(key).context("a record")?;
        attachment.legs[index].leaving = Certainty::Yes;
        attachment.attached = Certainty::Yes;
        let mut legs = attachment.legs.clone();
        walk.stop(self);
        let (id, netns) = (key.id(), self.netns_paths[usize::from(key.container)].clone());
        let owing = Owing { id: &id, netns: Some(&netns), netns_gone: false, faults };
        let failures = self.dels(&mut legs, &[index], &owing, &mut walk.reading)?;
        self.attachment_mut(key).context("a record")?.legs = legs;
        walk.stop(self);
        if let Some((_, failure)) = failures.first() {
            let ends = Ends::first_of(&[*failure]);
            let late = failure.code == code::DEADLINE && walk.change.is_join;
            return Ok(Some(if late { ends.or(Ends::code(code::TRY_LATER)) } else { ends }));
        }
        if walk.reading.is_cut() {
            return Ok(Some(Ends::success()));
        }
        self.shorten(walk)
    }

    /// The record of the primary alone takes the place of the record of both. How it fails, if it does.
    fn shorten(&mut self, walk: &mut Walk<'_>) -> Result<Option<Ends>> {
        if self.disk != Disk::Sound {
            return Ok(Some(Ends::code(code::IO)));
        }
        let key = walk.change.key;
        let attachment = self.attachment_mut(key).context("a record")?;
        attachment.legs.retain(|leg| leg.ifname == key.ifname());
        attachment.attached = Certainty::Yes;
        walk.stop(self);
        Ok(None)
    }
}

/// Each of them once for each of these values.
fn split<T>(
    all: &[Attachment],
    values: impl Fn(&Attachment) -> Vec<T>,
    mut set: impl FnMut(&mut Attachment, T),
) -> Vec<Attachment> {
    let mut variants = Vec::new();
    for attachment in all {
        for value in values(attachment) {
            let mut next = attachment.clone();
            set(&mut next, value);
            variants.push(next);
        }
    }
    variants
}
