//! DELs of whole networks: each chain runs backwards, and several networks run side by side.

use std::path::Path;
use std::time::Instant;

use serde_json::value::RawValue;

use super::missing_netns::{FailedStep, only_netns_was_missing};
use super::{Limits, Network, StoppedDel, require_answer};
use crate::call::reply::{CniError, code};
use crate::call::request::Verb;
use crate::call::version::Version;
use crate::host::exec::{self, PluginOutcome, RunningPlugin};
use crate::host::lock::Lock;
use crate::host::netns;

/// The DEL of one network while it runs: its chain backwards, one plugin at a time.
#[derive(Debug)]
pub struct Del<'a> {
    network: &'a Network<'a>,
    result: Option<&'a RawValue>,
    /// The plugin that runs or is next.
    plugin: usize,
    running: Option<RunningPlugin>,
    outcome: Option<Result<(), StoppedDel>>,
    /// The profile whose error texts are accepted once the netns is gone; none if each failure counts.
    outlives_netns: Option<&'a str>,
}

/// An event of running DELs, which [`del_all`] reports to its caller.
#[derive(Debug)]
pub enum DelEvent {
    /// The chain goes on to this plugin.
    GoesOn(usize),
    /// This plugin failed only because the netns is gone, so its DEL counts as done.
    NetnsGone {
        /// The plugin, counted from 0 in the order of ADD.
        plugin: usize,
        /// How much the plugin had released before the failure.
        before: FailedStep,
        /// The plugin's error.
        error: CniError,
    },
}

impl<'a> Del<'a> {
    /// A DEL that begins at the end of the chain, or resumes where an earlier one stopped.
    #[must_use]
    pub fn new(network: &'a Network<'a>, result: Option<&'a RawValue>, resume_at: Option<usize>) -> Self {
        let last = network.conf.plugins.len() - 1;
        // Before 0.4.0 there was no prevResult on DEL.
        let result = result.filter(|_| network.conf.version >= Version::V040);
        Self {
            network,
            result,
            plugin: resume_at.unwrap_or(last).min(last),
            running: None,
            outcome: None,
            outlives_netns: None,
        }
    }

    /// The same DEL, which also succeeds if a delegate fails only because the netns is gone.
    /// `profile` is the profile of the recorded leg.
    #[must_use]
    pub const fn outliving_its_netns(mut self, profile: &'a str) -> Self {
        self.outlives_netns = Some(profile);
        self
    }

    /// Starts the next plugin, if none runs.
    fn start(&mut self, lock: Option<&mut Lock>, limits: &Limits<'_>) {
        if self.running.is_some() || self.outcome.is_some() {
            return;
        }
        // A plugin that started now would be killed at once, with half of its work done.
        if limits.signals.stop_requested() || Instant::now() >= limits.deadline {
            expire(self);
            return;
        }
        let plugin = &self.network.conf.plugins[self.plugin];
        let started = self.network.find(plugin).and_then(|binary| {
            let stdin = self.network.stdin(plugin, self.result);
            self.network
                .prepare_plugin(Verb::Del, &binary, stdin)
                .and_then(|ready| ready.start(lock, limits.deadline, limits.signals))
                .map_err(|e| self.network.start_error(plugin, Verb::Del, &binary, &e))
        });
        match started {
            Ok(running) => self.running = Some(running),
            Err(error) => {
                self.outcome = Some(Err(StoppedDel { plugin: self.plugin, error, was_started: false }))
            }
        }
    }

    /// Handles the end of the running plugin, and reports to the caller.
    fn finish_plugin(&mut self, mut observe: impl FnMut(DelEvent)) {
        let Some(running) = self.running.take() else { return };
        let outcome = running.into_outcome();
        let plugin = &self.network.conf.plugins[self.plugin];
        if let Err(error) = self.network.require_success(plugin, Verb::Del, &outcome) {
            let Some(before) = self.netns_was_missing(&outcome) else {
                self.outcome = Some(Err(StoppedDel { plugin: self.plugin, error, was_started: true }));
                return;
            };
            observe(DelEvent::NetnsGone { plugin: self.plugin, before, error });
        }
        if self.plugin == 0 {
            self.outcome = Some(Ok(()));
        } else {
            self.plugin -= 1;
            observe(DelEvent::GoesOn(self.plugin));
        }
    }

    /// Whether the plugin failed only because of a netns that is certainly gone.
    fn netns_was_missing(&self, outcome: &PluginOutcome) -> Option<FailedStep> {
        let profile = self.outlives_netns?;
        let netns_path = self.network.scope.netns;
        let error = require_answer(Verb::Del, outcome).err()?;
        let before = only_netns_was_missing(profile, netns_path, &error)?;
        netns::is_gone(Path::new(netns_path)).then_some(before)
    }
}

/// Runs the DELs of several networks, in order. The next DEL starts when the previous one has ended or has used half of the budget. Returns one
/// outcome for each DEL. `observe` receives each [`DelEvent`] with the index of its DEL.
///
/// The networks are independent of each other, so a network that hangs must not keep the other from releasing what it has.
#[must_use]
pub fn del_all(
    mut dels: Vec<Del<'_>>,
    mut lock: Option<&mut Lock>,
    limits: &Limits<'_>,
    mut observe: impl FnMut(usize, DelEvent),
) -> Vec<Result<(), StoppedDel>> {
    let half = |from: Instant| from + limits.deadline.saturating_duration_since(from) / 2;
    let mut begun = 0;
    let mut next_at = Instant::now();
    loop {
        if begun < dels.len()
            && (Instant::now() >= next_at || dels[..begun].iter().all(|del| del.outcome.is_some()))
        {
            begun += 1;
            next_at = half(Instant::now());
        }
        for del in &mut dels[..begun] {
            del.start(lock.as_deref_mut(), limits);
        }
        if dels[..begun].iter().all(|del| del.outcome.is_some()) {
            if begun == dels.len() {
                break;
            }
            continue;
        }
        let until = if begun < dels.len() { next_at.min(limits.deadline) } else { limits.deadline };
        let (indices, mut running): (Vec<usize>, Vec<&mut RunningPlugin>) = dels[..begun]
            .iter_mut()
            .enumerate()
            .filter_map(|(index, del)| del.running.as_mut().map(|running| (index, running)))
            .unzip();
        match exec::wait_any(&mut running, until, limits.signals) {
            Ok(Some(ended)) => {
                let index = indices[ended];
                dels[index].finish_plugin(|event| observe(index, event));
            }
            Ok(None) if limits.signals.stop_requested() || Instant::now() >= limits.deadline => {
                exec::end_all(&mut running, limits.signals);
                for index in indices {
                    dels[index].finish_plugin(|event| observe(index, event));
                }
                // DELs that never started are out of time as well.
                begun = dels.len();
                dels.iter_mut().for_each(expire);
                break;
            }
            Ok(None) => {}
            Err(error) => {
                exec::end_all(&mut running, limits.signals);
                let why = CniError::new(code::IO, format!("wait for a plugin: {error}"));
                for del in dels.iter_mut().filter(|del| del.outcome.is_none()) {
                    del.outcome =
                        Some(Err(StoppedDel { plugin: del.plugin, error: why.clone(), was_started: true }));
                }
                break;
            }
        }
    }
    debug_assert_eq!(begun, dels.len());
    dels.into_iter().filter_map(|del| del.outcome).collect()
}

fn expire(del: &mut Del<'_>) {
    if del.outcome.is_none() {
        let error = CniError::new(
            code::DEADLINE,
            format!(
                "network {:?} (DEL): the deadline passed before all of its plugins had run",
                del.network.conf.name
            ),
        );
        del.outcome = Some(Err(StoppedDel { plugin: del.plugin, error, was_started: false }));
    }
}
