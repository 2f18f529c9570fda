//! The agent: it answers, asks whom its hub names, and reports.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use reachability::Peer;
use reachability::class::Family;
use reachability::report::{Targets, ToHub};
use reachability::roster::INTERVAL;

use crate::ask::Asker;
use crate::connection::Hubs;
use crate::settings::Settings;
use crate::tcp::Connections;
use crate::{answer, dns, interface};

/// See the module.
#[derive(Debug)]
pub(crate) struct Agent {
    settings: Arc<Settings>,
    own: Arc<Mutex<Peer>>,
    asker: Arc<Asker>,
    connections: Connections,
    hubs: Hubs,
    aimed_at: Option<(Peer, Targets)>,
    summary_at: u64,
}

impl Agent {
    /// # Errors
    /// What keeps it from answering or asking.
    pub(crate) fn start(settings: &Arc<Settings>) -> Result<Self> {
        let id = RandomState::new().hash_one(&settings.pod).max(1);
        let own = interface::describe(settings, id, interface::mtu(settings))
            .map_err(|why| anyhow!("CROSSFADE_PROBE_NETWORKS: {why}"))?;
        let own = Arc::new(Mutex::new(own));
        let families: BTreeSet<Family> =
            settings.addresses.iter().map(|address| Family::of_address(*address)).collect();
        let service: Vec<_> = settings
            .service
            .iter()
            .copied()
            .filter(|address| families.contains(&Family::of_address(*address)))
            .collect();
        let asker = Asker::start(
            settings.key.clone(),
            settings.port,
            settings.denied_port,
            service.clone(),
            &families,
        )?;
        answer::start(settings, &asker, &own)?;
        let servers: Vec<_> = settings
            .dns
            .iter()
            .copied()
            .filter(|address| families.contains(&Family::of_address(*address)))
            .collect();
        dns::start(&servers, &asker, &own)?;
        let hubs = Hubs::start(&settings.hubs, &settings.key, &own)?;
        let connections = Connections::new(Arc::clone(&asker), settings.port, service);
        let settings = Arc::clone(settings);
        Ok(Self { settings, own, asker, connections, hubs, aimed_at: None, summary_at: INTERVAL })
    }

    /// Does what is due.
    ///
    /// # Errors
    /// Where no thread is to be had.
    pub(crate) fn advance(&mut self) -> Result<()> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let aim = self.hubs.targets().map(|targets| (own, targets));
        if let Some((own, targets)) = aim.as_ref().filter(|_| aim != self.aimed_at) {
            self.asker.aim(own, &targets.peers);
            self.connections.aim(own, &targets.peers)?;
            self.aimed_at = aim;
        }
        self.asker.advance();
        if self.asker.now() >= self.summary_at {
            self.summary_at += INTERVAL;
            let (classes, troubles) = self.asker.take();
            self.hubs.send(&ToHub::Summary { classes, troubles });
            self.look_at_interfaces();
        }
        Ok(())
    }

    /// Registers again if a network has joined or left.
    fn look_at_interfaces(&self) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        match interface::describe(&self.settings, own.id, own.mtu) {
            Ok(now) if now != *own => {
                *own = now.clone();
                self.hubs.send(&ToHub::Register(now));
            }
            Ok(_) => {}
            Err(why) => eprintln!("crossfade-probe: {why}"),
        }
    }

    /// Tells the hubs that the agent ends, so that what is lost to it from now on is no loss.
    pub(crate) fn take_leave(&self) {
        self.hubs.send(&ToHub::Goodbye);
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}
