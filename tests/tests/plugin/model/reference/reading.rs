//! The calls of one operation, read one after the other.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use lab::standin::stub::Call as StubCall;

use super::{Reference, Side};
use crate::history::{Part, Verb};
use crate::stage::{CallObservation, CallOutcome, Stage};

/// A position in the calls of one operation.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    calls: Vec<StubCall>,
    at: usize,
    killed: bool,
    /// The last call was made, and never came to an end.
    hung: bool,
    /// The caller was killed before it came to what was looked for last.
    cut: bool,
}

/// What a call is expected to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExpectedCall<'a> {
    pub(crate) part: Part,
    pub(crate) verb: Verb,
    pub(crate) id: &'a str,
    pub(crate) ifname: &'a str,
    /// CNI_NETNS; any where it is not named.
    pub(crate) netns: Option<&'a str>,
}

impl Reading {
    pub(crate) fn new(seen: &CallObservation) -> Self {
        Self {
            calls: seen.calls.clone(),
            at: 0,
            killed: seen.ended == CallOutcome::Killed,
            hung: seen.hung,
            cut: false,
        }
    }

    /// The same for some of the calls only.
    pub(crate) fn with_calls(&self, calls: Vec<StubCall>) -> Self {
        Self { calls, at: 0, killed: self.killed, hung: false, cut: false }
    }

    pub(crate) const fn is_of_killed(&self) -> bool {
        self.killed
    }

    /// Whether the caller was killed before it came to what was looked for.
    pub(crate) const fn is_cut(&self) -> bool {
        self.cut
    }

    pub(crate) fn next(&self) -> Option<&StubCall> {
        self.calls.get(self.at)
    }

    /// Whether the caller was killed before any further call.
    pub(crate) fn ends_here(&mut self) -> bool {
        self.cut |= self.killed && self.at == self.calls.len();
        self.cut
    }

    /// Takes out all calls of these verbs and calls whose filter holds.
    pub(crate) fn take(&mut self, is_taken: impl Fn(&StubCall) -> bool) -> Vec<StubCall> {
        let (taken, left) = self.calls.drain(self.at..).partition(|call| is_taken(call));
        self.calls = left;
        self.at = 0;
        taken
    }

    /// Takes out those of the calls to come that `choose` answers true for, one answer each.
    pub(crate) fn take_chosen(&mut self, choose: impl FnOnce(&[StubCall]) -> Vec<bool>) -> Vec<StubCall> {
        let chosen = choose(&self.calls[self.at..]);
        let (taken, left): (Vec<_>, Vec<_>) =
            self.calls.drain(self.at..).zip(chosen).partition(|(_, chosen)| *chosen);
        self.calls = left.into_iter().map(|(call, _)| call).collect();
        self.at = 0;
        taken.into_iter().map(|(call, _)| call).collect()
    }

    /// Whether the next call is of this plugin and verb, for this interface.
    pub(crate) fn is_next(&self, part: Part, verb: Verb, ifname: &str) -> bool {
        self.next().is_some_and(|call| {
            call.name == part.plugin() && call.verb() == verb.name() && call.var("CNI_IFNAME") == ifname
        })
    }

    /// The next call must be this one. None when the caller was killed before it came to it, or in the midst of it.
    pub(crate) fn must(&mut self, expected: ExpectedCall<'_>) -> Result<Option<StubCall>> {
        if self.cut {
            return Ok(None);
        }
        let Some(call) = self.calls.get(self.at) else {
            ensure!(self.killed, "there was no call {expected:?}");
            self.cut = true;
            return Ok(None);
        };
        let call_made =
            (call.name.as_str(), call.verb(), call.var("CNI_CONTAINERID"), call.var("CNI_IFNAME"));
        let expected_call = (expected.part.plugin(), expected.verb.name(), expected.id, expected.ifname);
        ensure!(call_made == expected_call, "the call was {call_made:?}, expected {expected_call:?}");
        if let Some(netns) = expected.netns {
            ensure!(
                call.var("CNI_NETNS") == netns,
                "{expected_call:?} got netns {:?}, not {netns:?}",
                call.var("CNI_NETNS")
            );
        }
        let call = call.clone();
        self.at += 1;
        self.cut = self.hung && self.at == self.calls.len();
        Ok(Some(call).filter(|_| !self.cut))
    }

    /// Holds when there was no other call.
    pub(crate) fn finished(&self) -> Result<()> {
        let left: Vec<String> = self.calls[self.at..]
            .iter()
            .map(|call| format!("{} of {}", call.brief(), call.var("CNI_CONTAINERID")))
            .collect();
        ensure!(left.is_empty(), "calls that the plugin must not make: {left:?}");
        Ok(())
    }
}

impl Reference {
    /// The conf that a plugin got is its network's own: name, version, type, and no other network's result.
    pub(crate) fn own_conf(&self, side: Side, part: Part, call: &StubCall) -> Result<serde_json::Value> {
        let conf = call.conf()?;
        let text = |key: &str| conf[key].as_str().unwrap_or_default().to_owned();
        ensure!(
            (text("name"), text("type"), text("cniVersion"))
                == (
                    side.network().to_owned(),
                    part.plugin().to_owned(),
                    self.setup.versions[side.index()].clone()
                ),
            "{} got another conf: {conf}",
            call.brief()
        );
        let address = &conf["prevResult"]["ips"][0]["address"];
        ensure!(
            address.is_null() || *address == Stage::address(side),
            "{} got another network's result: {conf}",
            call.brief()
        );
        Ok(conf)
    }

    /// The plugins of a network, called at one verb in the order of its chain; stops at the first that fails.
    ///
    /// Answers the code of that failure, or none; nothing where the caller was killed meanwhile.
    pub(crate) fn forward(
        &self,
        side: Side,
        expected: ExpectedCall<'_>,
        faults: &[crate::history::Fault],
        reading: &mut Reading,
    ) -> Result<Option<Option<u64>>> {
        for part in self.setup.chain_of(side) {
            let Some(call) = reading.must(ExpectedCall { part: *part, ..expected })? else { return Ok(None) };
            self.own_conf(side, *part, &call)?;
            if let Some(code) = super::failure(faults, *part, expected.verb) {
                return Ok(Some(Some(code)));
            }
        }
        Ok(Some(None))
    }
}

/// Every `(containerID, ifname)` of a GC's list.
pub(crate) fn list_of(call: &StubCall) -> Result<BTreeSet<(String, String)>> {
    let conf = call.conf()?;
    let list = conf["cni.dev/valid-attachments"].as_array().context("a GC without a list")?;
    let mut attachments = BTreeSet::new();
    for entry in list {
        let text = |key: &str| entry[key].as_str().map(str::to_owned);
        let (Some(id), Some(ifname)) = (text("containerID"), text("ifname")) else {
            bail!("a GC's list has the entry {entry}")
        };
        attachments.insert((id, ifname));
    }
    Ok(attachments)
}
