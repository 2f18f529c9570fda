//! The evidence of a machine's boots, as the stand-in kubelet wrote it down and as `/proc` shows it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Machine;
use super::furniture::Network;
use crate::standin::kubelet::{self, EVENTS, Event, Node, Pod};

impl Machine {
    /// Everything kubelet did, over all boots.
    ///
    /// # Errors
    /// A line that is none of its own.
    pub fn events(&self) -> Result<Vec<Event>> {
        kubelet::events(&self.disk(EVENTS))
    }

    /// The command lines that kubelet was started with, programs included.
    ///
    /// # Errors
    /// As [`Machine::events`].
    pub fn kubelet_starts(&self) -> Result<Vec<Vec<String>>> {
        let starts = self.events()?.into_iter().filter_map(|event| match event {
            Event::Started { arguments, .. } => Some(arguments),
            _ => None,
        });
        Ok(starts.collect())
    }

    /// The pods that came to be, over all boots.
    ///
    /// # Errors
    /// As [`Machine::events`].
    pub fn pods(&self) -> Result<Vec<Pod>> {
        let pods = self.events()?.into_iter().filter_map(|event| match event {
            Event::Pod(pod) if pod.error.is_none() => Some(pod),
            _ => None,
        });
        Ok(pods.collect())
    }

    /// Every pod that ever was has its address from this network.
    ///
    /// # Errors
    /// One has not; the message has it.
    pub fn ensure_only(&self, network: Network) -> Result<()> {
        for pod in self.pods()? {
            let first = pod.addresses.first().map(String::as_str).unwrap_or_default();
            ensure!(Network::by_address(first) == Some(network), "{pod:?} is not on {network:?}");
        }
        Ok(())
    }

    /// What `boot` made of this boot; empty when it has not said so.
    ///
    /// # Errors
    /// The machine is off.
    pub fn boot_kind(&self) -> Result<String> {
        let text = self.look("/run/crossfade/boot.json")?.unwrap_or_default();
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(value["kind"].as_str().unwrap_or_default().to_owned())
    }

    /// The attempts at pods, those that came to nothing included.
    ///
    /// # Errors
    /// As [`Machine::events`].
    pub fn attempts(&self) -> Result<usize> {
        Ok(self.events()?.iter().filter(|event| matches!(event, Event::Pod(_))).count())
    }

    /// The Node as the API server has it, none before it is registered, and whether kubelet's last start made it.
    ///
    /// # Errors
    /// As [`Machine::events`].
    pub fn node(&self) -> Result<Option<(Node, bool)>> {
        let mut nodes = self.events()?.into_iter().filter_map(|event| match event {
            Event::Registered { node, created } => Some((node, created)),
            _ => None,
        });
        Ok(nodes.next_back())
    }

    /// Whether the runtime, as the runtime last told the kubelet that runs, has a network; none before that kubelet asked.
    ///
    /// # Errors
    /// As [`Machine::events`].
    pub fn network_ready(&self) -> Result<Option<bool>> {
        let mut last = None;
        for event in self.events()? {
            match event {
                // The answer to an earlier kubelet says nothing: the next one writes its first line some time after systemd has started it.
                Event::Started { .. } | Event::Ended => last = None,
                Event::Network { ready, .. } => last = Some(ready),
                _ => {}
            }
        }
        Ok(last)
    }

    /// The command line of a unit's main process.
    ///
    /// # Errors
    /// It does not run.
    pub fn command_line(&self, unit: &str) -> Result<Vec<String>> {
        let pid: Option<u32> = self.show(unit, "MainPID").parse().ok().filter(|pid| *pid != 0);
        let text = pid.map(|pid| self.look(format!("/proc/{pid}/cmdline"))).transpose()?.flatten();
        let text = text.with_context(|| format!("{unit} does not run"))?;
        Ok(text.split_terminator('\0').map(str::to_owned).collect())
    }

    /// Waits until so many pods have come to be, over all boots.
    ///
    /// # Errors
    /// They do not; the message has the end of the journal.
    pub fn until_pods(&mut self, count: usize) -> Result<Vec<Pod>> {
        self.until(&format!("{count} pods"), |machine| Ok(machine.pods()?.len() >= count))?;
        self.pods()
    }

    /// Waits until everything of this boot is up but an agent that waits at its gate: kubelet, the runtime, `watch`, and the agent of this conf.
    ///
    /// # Errors
    /// It does not come to that; the message has the end of the journal.
    pub fn until_up(&mut self, conf: &Path) -> Result<()> {
        self.until("kubelet, runtime, watch and the old agent", |machine| {
            let id = machine.look("/proc/sys/kernel/random/boot_id")?.unwrap_or_default();
            let of_this_boot =
                |event: &Event| matches!(event, Event::Started { boot, .. } if boot == id.trim());
            Ok(machine.events()?.iter().any(of_this_boot)
                && machine.network_ready()?.is_some()
                && machine.inside(conf)?.exists()
                && machine.show("crossfade-watch.service", "ActiveState") == "active")
        })
    }

    /// The same, and the agent's network is ready and kubelet runs, yet no pod is even tried.
    ///
    /// # Errors
    /// It is not so.
    pub fn ensure_held(&mut self, conf: &Path) -> Result<()> {
        let before = self.attempts()?;
        self.until_up(conf)?;
        ensure!(self.network_ready()? == Some(false), "the runtime has a network: {:?}", self.events()?);
        ensure!(self.attempts()? == before, "a pod was tried: {:?}", self.events()?);
        let confs = self.list("/run/crossfade/net.d")?;
        ensure!(confs.is_empty(), "a conf before its network is ready: {confs:?}");
        Ok(())
    }

    /// Opens the gate of a network's agent.
    ///
    /// # Errors
    /// The machine is off.
    pub fn open_gate(&self, network: Network) -> Result<()> {
        let gate = self.inside(network.gate())?;
        let parent = gate.parent().context("a directory")?;
        std::fs::create_dir_all(parent).context("the agents' directory")?;
        std::fs::write(&gate, "").with_context(|| format!("opening {}", gate.display()))
    }
}
