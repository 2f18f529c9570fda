//! DELs of whole networks: chains backwards, several networks side by side.

use std::time::Instant;

use serde_json::value::RawValue;

use super::{Limits, Network, Stopped};
use crate::exec::{self, Call, Running};
use crate::lock::Lock;
use crate::reply::{CniError, code};
use crate::request::Verb;
use crate::version::Version;

/// The DEL of one network while it runs: its chain backwards, one plugin at a time.
#[derive(Debug)]
pub struct Del<'a> {
    network: &'a Network<'a>,
    result: Option<&'a RawValue>,
    /// The plugin that runs or is next.
    plugin: usize,
    running: Option<Running>,
    ended: Option<Result<(), Stopped>>,
}

impl<'a> Del<'a> {
    /// A DEL that begins at the end of the chain, or resumes where an earlier one stopped.
    #[must_use]
    pub fn new(network: &'a Network<'a>, result: Option<&'a RawValue>, resume_at: Option<usize>) -> Self {
        let last = network.conf.plugins.len() - 1;
        // Before 0.4.0 there was no prevResult on DEL.
        let result = result.filter(|_| network.conf.version >= Version::V040);
        Self { network, result, plugin: resume_at.unwrap_or(last).min(last), running: None, ended: None }
    }

    /// Starts the next plugin, if none runs.
    fn start(&mut self, lock: Option<&mut Lock>, limits: &Limits<'_>) {
        if self.running.is_some() || self.ended.is_some() {
            return;
        }
        let plugin = &self.network.conf.plugins[self.plugin];
        let started = self.network.find(plugin).and_then(|binary| {
            let stdin = self.network.stdin(plugin, self.result);
            let call = Call { binary: &binary, env: self.network.env(Verb::Del), stdin: &stdin };
            Running::start(&call, lock, limits.deadline, limits.signals)
                .map_err(|e| self.network.not_started(plugin, Verb::Del, &binary, &e))
        });
        match started {
            Ok(running) => self.running = Some(running),
            Err(error) => self.ended = Some(Err(Stopped { plugin: self.plugin, error })),
        }
    }

    /// Takes in that the running plugin has ended; the plugin that is next, if the chain goes on.
    fn finish_plugin(&mut self) -> Option<usize> {
        let running = self.running.take()?;
        let outcome = running.into_outcome();
        let plugin = &self.network.conf.plugins[self.plugin];
        match self.network.succeeded(plugin, Verb::Del, &outcome) {
            Err(error) => self.ended = Some(Err(Stopped { plugin: self.plugin, error })),
            Ok(()) if self.plugin == 0 => self.ended = Some(Ok(())),
            Ok(()) => self.plugin -= 1,
        }
        self.ended.is_none().then_some(self.plugin)
    }
}

/// Runs the DELs of several networks, in order: the next one starts when the one before has ended, or when it has used
/// half the budget. Returns one outcome each. Before a chain goes on, `goes_on` hears which DEL it is and at which plugin.
///
/// Two networks know nothing of each other, so one that hangs must not keep the other from releasing what it has.
#[must_use]
pub fn del_all(
    mut dels: Vec<Del<'_>>,
    mut lock: Option<&mut Lock>,
    limits: &Limits<'_>,
    mut goes_on: impl FnMut(usize, usize),
) -> Vec<Result<(), Stopped>> {
    let half = |from: Instant| from + limits.deadline.saturating_duration_since(from) / 2;
    let mut begun = 0;
    let mut next_at = Instant::now();
    loop {
        if begun < dels.len()
            && (Instant::now() >= next_at || dels[..begun].iter().all(|del| del.ended.is_some()))
        {
            begun += 1;
            next_at = half(Instant::now());
        }
        for del in &mut dels[..begun] {
            del.start(lock.as_deref_mut(), limits);
        }
        if dels[..begun].iter().all(|del| del.ended.is_some()) {
            if begun == dels.len() {
                break;
            }
            continue;
        }
        let until = if begun < dels.len() { next_at.min(limits.deadline) } else { limits.deadline };
        let (indices, mut running): (Vec<usize>, Vec<&mut Running>) = dels[..begun]
            .iter_mut()
            .enumerate()
            .filter_map(|(index, del)| del.running.as_mut().map(|running| (index, running)))
            .unzip();
        match exec::wait_any(&mut running, until, limits.signals) {
            Ok(Some(ended)) => {
                if let Some(plugin) = dels[indices[ended]].finish_plugin() {
                    goes_on(indices[ended], plugin);
                }
            }
            Ok(None) if limits.signals.stop_requested() || Instant::now() >= limits.deadline => {
                exec::end_all(&mut running, limits.signals);
                for index in indices {
                    if let Some(plugin) = dels[index].finish_plugin() {
                        goes_on(index, plugin);
                    }
                }
                // What was never started is out of time as well.
                begun = dels.len();
                dels.iter_mut().for_each(expire);
                break;
            }
            Ok(None) => {}
            Err(error) => {
                exec::end_all(&mut running, limits.signals);
                let why = CniError::new(code::IO, format!("wait for a plugin: {error}"));
                for del in dels.iter_mut().filter(|del| del.ended.is_none()) {
                    del.ended = Some(Err(Stopped { plugin: del.plugin, error: why.clone() }));
                }
                break;
            }
        }
    }
    debug_assert_eq!(begun, dels.len());
    dels.into_iter().filter_map(|del| del.ended).collect()
}

fn expire(del: &mut Del<'_>) {
    if del.ended.is_none() {
        let error = CniError::new(
            code::DEADLINE,
            format!(
                "network {:?} (DEL): the deadline passed before all of its plugins had run",
                del.network.conf.name
            ),
        );
        del.ended = Some(Err(Stopped { plugin: del.plugin, error }));
    }
}
