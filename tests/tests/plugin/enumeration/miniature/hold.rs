//! The invariants of a miniature: while its pod lives, and at its end.

use std::path::Path;

use anyhow::{Context, Result};
use lab::{
    case::invariants::{self, Leavings, processes_naming, records},
    host::deadline::until,
};

use super::{BUDGET, Miniature, POD};
use crate::mode::Mode;

impl Miniature {
    /// N1 and N3 as they stand.
    pub(crate) fn hold_ledger(&mut self) -> Result<()> {
        let steps = invariants::steps(&self.stubs.log().calls()?)?;
        let findings = invariants::ledger(&steps, &self.named, &records(&self.path("state"))?);
        self.take(findings);
        Ok(())
    }

    /// Holds a pod that lives to what its ADD promised: CHECK passes, every lease, every interface and every host route
    /// is there.
    pub(crate) fn hold_whole(&mut self, when: &str) -> Result<()> {
        self.hold_parts(when, self.mode.parts())
    }

    /// The same of a pod that has these parts alone.
    pub(crate) fn hold_parts(&mut self, when: &str, parts: &[(&str, &str)]) -> Result<()> {
        let outcome = self.call("CHECK", POD)?;
        if !outcome.status.success() {
            self.problems.push(format!("{when}: CHECK fails: {}", outcome.stdout));
        }
        let leavings = self.leavings()?;
        let both = self.mode == Mode::Both;
        let interfaces = if self.has_interfaces() { parts.len() } else { 0 };
        let id = self.id(POD);
        let leases = parts.iter().filter(|(_, ifname)| leavings.leases.contains(&format!("{id}@{ifname}")));
        if leases.count() != parts.len() || leavings.interfaces.len() < interfaces {
            self.problems.push(format!("{when}: not whole: {:?} {:?}", leavings.leases, leavings.interfaces));
        }
        let wrong = if both { self.host.not_whole(&format!("{id}net1"))? } else { Vec::new() };
        if !wrong.is_empty() {
            self.problems.push(format!("{when}: on the host: {wrong:?}"));
        }
        Ok(())
    }

    /// Holds a pod whose DEL succeeded to having no host route any more: its addresses may be the next pod's.
    pub(crate) fn hold_unrouted(&mut self) -> Result<()> {
        let left = self.host.left()?;
        if !self.refused && !left.is_empty() {
            self.problems.push(format!("after a DEL that answered success, on the host: {left:?}"));
        }
        Ok(())
    }

    /// Routes and rules of the pod, for comparison.
    pub(crate) fn routes(&self) -> Result<String> {
        let rules = self.netns.ip("-4 rule")?;
        Ok(rules + &self.netns.ip("-4 route show table all")?)
    }

    fn leavings(&self) -> Result<Leavings> {
        Leavings::gather(&self.path("leases"), &self.path("state"), &self.path("run"))?
            .with_host(&self.host.netns, &self.interfaces())
    }

    /// Waits until no shim and no delegate of this miniature runs any more.
    pub(crate) fn wait_for_orphans(&mut self) -> Result<()> {
        let needle = format!("{}/", self.dir.path().display());
        let mut left = Vec::new();
        let delegates: Vec<i32> = self.stubs.log().calls()?.iter().map(|call| call.pid).collect();
        let gone = until("the end of every process", BUDGET, || {
            left = processes_naming(&needle);
            // A process that has ended and is not reaped yet has no environment any more, and is one all the same.
            left.extend(delegates.iter().filter(|pid| is_there(**pid)).map(|pid| format!("delegate {pid}")));
            Ok(left.is_empty().then_some(()))
        });
        if gone.is_err() {
            self.take(Leavings::default().with_processes(left).findings());
        }
        Ok(())
    }

    /// Every sandbox is deleted: sweeps, then holds the miniature to all that must be true of it now.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.wait_for_orphans()?;
        // A sweep that finds nothing does nothing, which is tried once per situation and not at every point.
        if !records(&self.path("state"))?.is_empty() || !self.leavings()?.findings().is_empty() {
            self.sweep()?;
        }
        self.hold_ledger()?;
        let findings = invariants::orphans(&records(&self.path("state"))?, &[].into());
        self.take(findings);
        // An interface goes with its netns some time after that was removed.
        let prefix = self.interfaces();
        let _told_below = until("the end of every interface", BUDGET, || {
            let left = Leavings::default().with_host(&self.host.netns, &prefix)?;
            Ok(left.interfaces.is_empty().then_some(()))
        });
        self.take(self.leavings()?.findings());
        let before = self.outside.take().context("the miniature as it began")?;
        self.take(before.changes(&self.look_outside()?));
        Ok(())
    }
}

fn is_there(pid: i32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}
