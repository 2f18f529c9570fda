//! The mesh as a test sees it: pods enter and are retired, phases are named, a report comes out.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::EVERY_MS;
use super::Link;
use super::ledger::{Life, SharedLedger};
use super::report::{Loss, Progress, Report};
use super::session::{Birth, Session};
use super::speech::Action;

type Reach = Box<dyn Fn(&str, &str, IpAddr) -> bool + Send>;

/// A running mesh. Dropping it ends its agents without a report.
pub struct Mesh {
    shared: Arc<SharedLedger>,
    silence: Duration,
    every_ms: u64,
    pods: BTreeMap<String, Pod>,
    reach: Reach,
    phase: usize,
    paused: bool,
    lives: Life,
    /// What went wrong with agents, which no later call forgets.
    faults: Vec<String>,
}

#[derive(Debug)]
struct Pod {
    session: Session,
    addresses: Vec<IpAddr>,
}

/// A handle to what the mesh counts, for another thread (live progress).
#[derive(Debug, Clone)]
pub struct Gauge {
    shared: Arc<SharedLedger>,
}

impl fmt::Debug for Mesh {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Mesh")
            .field("pods", &self.pods)
            .field("paused", &self.paused)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl Mesh {
    /// A mesh without pods, in a phase called `phase`. `silence_ms`: an agent that says nothing for so long is an error
    /// (agents speak every five slots, so every 500 ms unless [`Mesh::every`] says otherwise; 5000 tells busy from dead on a loaded machine).
    pub fn new(phase: &str, silence_ms: u64) -> Self {
        let shared = Arc::new(SharedLedger::default());
        let phase = shared.lock().phase(phase);
        Self {
            shared,
            silence: Duration::from_millis(silence_ms),
            every_ms: EVERY_MS,
            pods: BTreeMap::new(),
            reach: Box::new(|_, _, _| true),
            phase,
            paused: false,
            lives: 0,
            faults: Vec::new(),
        }
    }

    /// The same, whose pods probe each target every so many milliseconds instead of every [`EVERY_MS`].
    #[must_use]
    pub fn every(mut self, every_ms: u64) -> Self {
        self.every_ms = every_ms;
        self
    }

    /// Restricts the all-to-all probes of pods that enter from now on to those for which `reach(src, dst, address)`
    /// holds.
    pub fn restrict(&mut self, reach: impl Fn(&str, &str, IpAddr) -> bool + Send + 'static) {
        self.reach = Box::new(reach);
    }

    /// Starts the agent of a pod in its netns and probes all-to-all: from this pod to all others, and from them to each
    /// of `addresses`. The pod must be reachable when this is called: from here on a probe that is not answered is a loss.
    ///
    /// # Errors
    /// The name is taken, the netns cannot be entered, or an agent does not answer.
    pub fn enter(&mut self, name: &str, netns: &Path, addresses: &[IpAddr]) -> Result<()> {
        self.check()?;
        ensure!(!self.pods.contains_key(name), "{name} is in the mesh already; retire it first");
        self.lives += 1;
        let birth =
            Birth { pod: name, netns, life: self.lives, silence: self.silence, every_ms: self.every_ms };
        let mut session = Session::start(&birth, &self.shared)
            .with_context(|| format!("start the probe agent of {name}"))?;
        let id = session.order(Action::Phase { index: self.phase })?;
        session.done(id)?;
        let addresses = addresses.to_vec();
        self.pods.insert(name.to_owned(), Pod { session, addresses });
        let mut orders = self.introductions(name);
        if !self.paused {
            orders.push((name.to_owned(), Action::Run));
        }
        self.carry_out(orders)
    }

    /// Takes a pod out on purpose, to be called *before* it is stopped: from the moment this returns no pod probes it, its
    /// agent is gone, and what was under way to and from it is excused. It may [`Mesh::enter`] again under its name.
    ///
    /// # Errors
    /// No such pod, or an agent does not answer.
    pub fn retire(&mut self, name: &str) -> Result<()> {
        self.check()?;
        ensure!(self.pods.contains_key(name), "{name} is not in the mesh");
        let dst = name.to_owned();
        let mut orders = self.to_all(&Action::Forget { dst });
        orders.retain(|(pod, _)| pod != name);
        // First it is not probed any more, then it goes: nothing can be lost in between.
        self.carry_out(orders)?;
        self.carry_out(vec![(name.to_owned(), Action::Leave)])?;
        match self.pods.remove(name) {
            Some(pod) => pod.session.end(),
            None => Ok(()),
        }
    }

    /// Adds one directed probe beside the all-to-all ones; it ends when either pod is retired.
    ///
    /// # Errors
    /// Either pod is not in the mesh, or the agent refuses.
    pub fn link(&mut self, link: &Link) -> Result<()> {
        self.check()?;
        ensure!(self.pods.contains_key(&link.dst), "{} is not in the mesh", link.dst);
        let action = Action::Peer { dst: link.dst.clone(), address: link.address, source: link.source };
        self.carry_out(vec![(link.src.clone(), action)])
    }

    /// Begins the next phase; probes sent from now on are counted under its name. A name may come again.
    ///
    /// # Errors
    /// An agent does not answer.
    pub fn phase(&mut self, name: &str) -> Result<()> {
        self.check()?;
        self.phase = self.shared.lock().phase(name);
        self.carry_out(self.to_all(&Action::Phase { index: self.phase }))
    }

    /// Stops sending and waits until every probe under way is answered or lost (2 s at most). Connections stay open.
    ///
    /// # Errors
    /// An agent does not answer.
    pub fn pause(&mut self) -> Result<()> {
        self.check()?;
        self.paused = true;
        self.carry_out(self.to_all(&Action::Pause))
    }

    /// Sends again after [`Mesh::pause`].
    ///
    /// # Errors
    /// An agent does not answer.
    pub fn resume(&mut self) -> Result<()> {
        self.check()?;
        self.paused = false;
        self.carry_out(self.to_all(&Action::Run))
    }

    /// Makes a pod answer late: every answer to a probe is held back for `hold_ms`; 0 ends it. For tests of the mesh, and
    /// of what a slow pod does.
    ///
    /// # Errors
    /// No such pod, or its agent does not answer.
    pub fn hold_answers(&mut self, name: &str, hold_ms: u64) -> Result<()> {
        self.check()?;
        self.carry_out(vec![(name.to_owned(), Action::Hold { ms: hold_ms })])
    }

    /// Makes a pod reset every connection that others hold open to it.
    ///
    /// # Errors
    /// No such pod, or its agent does not answer.
    pub fn reset_connections(&mut self, name: &str) -> Result<()> {
        self.check()?;
        self.carry_out(vec![(name.to_owned(), Action::Reset)])
    }

    /// Errors if an agent died or fell silent, now or at any earlier call.
    ///
    /// # Errors
    /// Names each such pod and what is known.
    pub fn check(&mut self) -> Result<()> {
        if self.faults.is_empty() {
            let pods = self.pods.values();
            self.faults = pods.filter_map(|pod| pod.session.trouble()).collect();
        }
        if !self.faults.is_empty() {
            bail!("{}", self.faults.join("\n"));
        }
        Ok(())
    }

    /// The process id of a pod's agent.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.pods.get(name).map(|pod| pod.session.pid())
    }

    /// What is counted so far, for any thread.
    pub fn gauge(&self) -> Gauge {
        let shared = Arc::clone(&self.shared);
        Gauge { shared }
    }

    /// Comes to rest, ends the agents and reports.
    ///
    /// # Errors
    /// An agent died, fell silent or does not answer; [`Mesh::gauge`] still has what was counted.
    pub fn finish(mut self) -> Result<Report> {
        self.pause()?;
        self.carry_out(self.to_all(&Action::Leave))?;
        for (_, pod) in std::mem::take(&mut self.pods) {
            pod.session.end()?;
        }
        Ok(self.shared.lock().report())
    }

    /// The orders that make a pod and all others probe each other.
    fn introductions(&self, name: &str) -> Vec<(String, Action)> {
        let pairs = self.pods.keys().filter(|other| *other != name).flat_map(|other| {
            let there = (name.to_owned(), other.clone());
            let back = (other.clone(), name.to_owned());
            [there, back]
        });
        pairs
            .flat_map(|(src, dst)| {
                let addresses = self.pods.get(&dst).map(|pod| pod.addresses.as_slice());
                let addresses = addresses.unwrap_or_default().iter().copied();
                let reached = addresses.filter(|address| (self.reach)(&src, &dst, *address));
                let peers = reached.map(|address| Action::Peer { dst: dst.clone(), address, source: None });
                peers.map(|peer| (src.clone(), peer)).collect::<Vec<_>>()
            })
            .collect()
    }

    fn to_all(&self, action: &Action) -> Vec<(String, Action)> {
        let pods = self.pods.keys();
        pods.map(|pod| (pod.clone(), action.clone())).collect()
    }

    /// Gives every order first, then waits for all of them, so that the agents act at the same time.
    fn carry_out(&mut self, orders: Vec<(String, Action)>) -> Result<()> {
        let mut given = Vec::with_capacity(orders.len());
        for (name, action) in orders {
            let pod = self.pods.get_mut(&name);
            let pod = pod.with_context(|| format!("{name} is not in the mesh"))?;
            given.push((pod.session.order(action)?, name));
        }
        for (id, name) in given {
            if let Some(pod) = self.pods.get(&name) {
                pod.session.done(id)?;
            }
        }
        Ok(())
    }
}

impl Gauge {
    /// Sums so far; at most half a second old.
    pub fn progress(&self) -> Progress {
        self.shared.lock().progress()
    }

    /// Losses noticed so far.
    pub fn losses(&self) -> Vec<Loss> {
        self.shared.lock().losses()
    }

    /// The report as it would be now; probes under way are counted as sent only.
    pub fn report(&self) -> Report {
        self.shared.lock().report()
    }
}
