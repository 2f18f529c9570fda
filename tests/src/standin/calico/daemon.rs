//! One felix: the program `lab-felix`. It ends with its stdin and then leaves everything as a killed one would.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::datastore::{Datastore, write};
use super::felix::{Spec, State};
use super::leaks::Leaks;
use super::{reverse, routes};

/// Runs felix, inside the mount and net namespace of process `pid` if given, until stdin ends.
///
/// # Errors
/// The namespaces cannot be entered, the start's own changes are refused, or a pass cannot be reported.
pub fn run(spec: Spec, pid: Option<u32>) -> Result<()> {
    if let Some(pid) = pid {
        crate::host::netns::enter(pid).with_context(|| format!("enter the namespaces of process {pid}"))?;
    }
    reverse::check_all(&spec.prefix)?;
    spec.blocks.iter().try_for_each(|block| routes::blackhole(block))?;
    let mut daemon = Daemon { spec, leaks: Leaks::default(), state: State::default() };
    loop {
        daemon.pass()?;
        if ended(daemon.spec.every())? {
            return Ok(());
        }
    }
}

/// Waits; whether stdin has ended meanwhile.
fn ended(timeout: Duration) -> Result<bool> {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error).context("wait for the next pass"),
    }
}

struct Daemon {
    spec: Spec,
    leaks: Leaks,
    state: State,
}

impl Daemon {
    /// One pass, whose outcome is published. What fails is reported and tried again in the next one, as felix does.
    fn pass(&mut self) -> Result<()> {
        if let Err(error) = self.converge() {
            self.state.troubles.push(format!("pass {}: {error:#}", self.state.passes + 1));
        }
        self.state.passes += 1;
        write(&self.spec.state, &self.state)
    }

    fn converge(&mut self) -> Result<()> {
        let datastore = Datastore::open(&self.spec.datastore)?;
        let mut sets = BTreeMap::new();
        for endpoint in datastore.endpoints(&self.spec.nodename)? {
            let status = datastore.status(&endpoint.namespace, &endpoint.pod)?;
            // The datastore may hold endpoints of another Calico-like network, and such whose interface is gone.
            let interface = endpoint.interface;
            if interface.starts_with(&self.spec.prefix) && if_nametoindex(interface.as_str()).is_ok() {
                let addresses: Vec<IpAddr> = status.unwrap_or(endpoint.pod_ips);
                sets.insert(interface, addresses.into_iter().collect());
            }
        }
        sets.keys().try_for_each(|interface| reverse::check(interface))?;
        if !sets.is_empty() {
            routes::converge(&sets)?;
        }
        self.state.sets = sets;
        if let Some(grace) = self.spec.leak_grace {
            let released = self.leaks.collect(&datastore, &self.spec.nodename, grace)?;
            self.state.released.extend(released);
        }
        Ok(())
    }
}
