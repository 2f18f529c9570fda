//! CHECK and STATUS: what only looks.

use anyhow::{Result, ensure};

use super::{
    Attachment, Certainty, Debt, Ends, ExpectedCall, Failure, Leg, Paper, Reading, Reference, code, hangs,
};
use crate::history::{Attach, Fault, Key, Side, Verb};

impl Reference {
    pub(super) fn check(&mut self, key: Key, faults: &[Fault], reading: &mut Reading) -> Result<Ends> {
        let Some(attachment) = self.attachments.get(&key) else {
            return Ok(Ends::code(code::UNKNOWN));
        };
        match attachment.paper {
            Paper::Sound => self.check_record(key, attachment, faults, reading),
            Paper::Damaged => Ok(Ends::code(code::UNKNOWN)),
            Paper::Either if reading.next().is_none() => {
                let ends = Ends::code(code::UNKNOWN).or(Ends::code(code::DELEGATE)).or(Ends::success());
                Ok(ends.or(Ends::code(code::BINARY)).or(Ends::code(code::MISSING)))
            }
            Paper::Either => self.check_record(key, attachment, faults, reading),
        }
    }

    /// Every network that is attached is asked with its own result; any failure is reported.
    fn check_record(
        &self,
        key: Key,
        attachment: &Attachment,
        faults: &[Fault],
        reading: &mut Reading,
    ) -> Result<Ends> {
        let unfinished = Ends::code(code::DELEGATE);
        let alone = self.is_on_primary_alone(key, attachment);
        if attachment.attached == Certainty::No && !alone
            || attachment.attached == Certainty::Perhaps && reading.next().is_none()
        {
            let silent = attachment.attached == Certainty::No || reading.is_of_killed();
            return Ok(if silent {
                unfinished
            } else {
                unfinished.or(Ends::success()).or(Ends::code(code::BINARY)).or(Ends::code(code::MISSING))
            });
        }
        let (mut failures, mut late) = (Vec::new(), false);
        // A second network that did not join the pod, or has begun to leave it, does not count.
        let counts = |leg: &&Leg| self.may_be_checked(leg) && !(alone && leg.ifname != key.ifname());
        let mut left: Vec<&Leg> = attachment.legs.iter().filter(counts).collect();
        let id = key.id();
        let netns = self.netns_paths[usize::from(key.container)].as_str();
        while let Some(at) = left
            .iter()
            .position(|leg| reading.is_next(self.setup.chain_of(leg.side)[0], Verb::Check, &leg.ifname))
        {
            let leg = left.remove(at);
            let part = self.setup.chain_of(leg.side)[0];
            let expected =
                ExpectedCall { part, verb: Verb::Check, id: &id, ifname: &leg.ifname, netns: Some(netns) };
            if let Some(Some(code)) = self.forward(leg.side, expected, faults, reading)? {
                failures.push(Failure { code, certain: true });
            }
            late |= self.setup.chain_of(leg.side).iter().any(|part| hangs(faults, *part, Verb::Check));
        }
        for leg in left {
            let certain = leg.debt == Debt::Owed && leg.result == Certainty::Yes && !late;
            if !self.has_binary(self.setup.chain_of(leg.side)[0]) {
                failures.push(Failure { code: code::BINARY, certain });
            } else if !reading.ends_here() {
                ensure!(!certain, "no CHECK came to {leg:?}");
                failures.extend(late.then_some(Failure { code: code::DEADLINE, certain: false }));
            }
        }
        // The netns of the attachment is checked last, after the delegates' CHECKs.
        if self.is_elsewhere(key, attachment) && failures.iter().all(|failure| !failure.certain) {
            failures.push(Failure { code: code::MISSING, certain: true });
        }
        Ok(Ends::any_of(&failures))
    }

    /// Whether the netns that the attachment was made in is not the one at its path now. None outlives its boot.
    pub(super) fn is_elsewhere(&self, key: Key, attachment: &Attachment) -> bool {
        let here = self.netns[usize::from(key.container)];
        attachment.netns.is_some() && (here != attachment.netns || attachment.boot < self.boot)
    }

    fn may_be_checked(&self, leg: &Leg) -> bool {
        leg.debt != Debt::Settled && leg.result != Certainty::No && self.setup.speaks(leg.side, "0.4.0")
    }

    /// Sticky: once a network was ready in this boot, only a broken policy or a missing binary counts.
    pub(super) fn status(&mut self, faults: &[Fault], reading: &mut Reading) -> Result<Ends> {
        if self.broken {
            return Ok(Ends::code(code::NOT_AVAILABLE));
        }
        let mut sides = match self.policy.attach {
            Attach::One(side) => vec![side],
            Attach::Both if self.policy.tolerate => vec![self.policy.primary],
            Attach::Both => Side::BOTH.to_vec(),
        };
        // In whatever order.
        let is_next = |side: &Side| reading.is_next(self.setup.chain_of(*side)[0], Verb::Status, "");
        sides.sort_by_key(|side| !is_next(side));
        let (mut failures, mut late) = (Vec::new(), false);
        for side in sides {
            failures.extend(self.status_of(side, late, faults, reading)?);
            late |= self.setup.chain_of(side).iter().any(|part| hangs(faults, *part, Verb::Status));
        }
        let limited = failures.iter().any(|failure| failure.certain && failure.code == code::LIMITED);
        Ok(if limited { Ends::code(code::LIMITED) } else { Ends::any_of(&failures) })
    }

    fn status_of(
        &mut self,
        side: Side,
        late: bool,
        faults: &[Fault],
        reading: &mut Reading,
    ) -> Result<Option<Failure>> {
        let ready = self.ready[side.index()];
        let first = self.setup.chain_of(side)[0];
        let fails = |certain: bool| Some(Failure { code: code::NOT_AVAILABLE, certain });
        let unless_ready = if ready == Certainty::Yes { None } else { fails(ready == Certainty::No) };
        if !self.agents[side.index()].conf {
            return Ok(unless_ready);
        }
        if !self.has_binary(first) {
            return Ok(fails(true));
        }
        if ready == Certainty::Yes {
            return Ok(None);
        }
        if !self.is_up(side) {
            return Ok(unless_ready);
        }
        let mut failed = None;
        if self.setup.speaks(side, "1.1.0") {
            if !reading.is_next(first, Verb::Status, "") {
                let excused = reading.ends_here() || late || ready == Certainty::Perhaps;
                ensure!(excused, "{} was not asked for its STATUS", side.name());
                return Ok(late.then(|| fails(false)).flatten());
            }
            let expected = ExpectedCall { part: first, verb: Verb::Status, id: "", ifname: "", netns: None };
            failed = self.forward(side, expected, faults, reading)?.flatten();
        }
        match failed {
            Some(code::LIMITED) => return Ok(Some(Failure { code: code::LIMITED, certain: true })),
            Some(_) => return Ok(fails(true)),
            // One that was killed, or ran out of time, may not have noted it.
            None => self.is_ready(side, !reading.is_of_killed() && !late),
        }
        Ok(None)
    }
}
