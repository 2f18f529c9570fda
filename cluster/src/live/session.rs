//! One program's work on one run: what it knows of the cluster, the Lease that it holds, and its acts.
//!
//! A driver takes the Lease, takes the run up, and then goes round: it looks, decides, acts, records. [`Session::look`] waits until something has changed;
//! [`Session::act`] gives a future that stands for itself, so that many acts may be under way while the driver looks again.

mod act;
pub(super) mod calls;
pub(super) mod clock;
mod epochs;
pub(super) mod gates;
pub(super) mod health;
mod machines;
mod node_claims;
pub(super) mod outage;
pub(super) mod state;
mod watches;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use migration::config::Config;
use migration::drive::gate::{LocalTime, is_open};
use migration::drive::status::Holder;
use migration::plan::{Gate, GateSource, Plan, gates};
use migration::roll::run::Run;
use migration::roll::world::{Availability, Owner, World};
use reachability::report::ClassCounts;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use types::api::eviction::Evictions;

use self::calls::LeasedCaller;
use self::clock::Clock;
use self::health::BlindSpot;
use self::machines::Management;
use self::node_claims::NodeClaims;
use self::state::{ClusterState, Event, WatchScope};
use super::lease::{self, AcquireError, HeldLease, Identity, Patience};
use super::rights;
use super::store::{Store, StoredRun, UnreadableRun};
use crate::cli::access::Access;
use crate::live::api::call::Caller;
use crate::live::api::connect::{connect, connect_for_ever};
use crate::live::api::failure::Failure;
use types::command::exit::Exit;

/// How long more changes are waited for once something has changed: they come in bursts.
const BURST: Duration = Duration::from_millis(200);

/// What the operator's settings say about looking at a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Labels that name a node's pool; the first one that a node has counts.
    pub pool_labels: Vec<String>,
    /// Workloads that must be ready before each step.
    pub watched: Vec<Owner>,
    /// The gates that the settings give. A command of a plan runs only if its gate is one of these, word for word: others can write plans.
    pub gates: Vec<Gate>,
    /// The port of agents that probe.
    pub probe_port: u16,
}

/// One program's work on one run.
#[derive(Debug)]
pub struct Session {
    caller: Caller,
    /// Requests that stay open.
    watcher: Caller,
    store: Store,
    settings: Settings,
    /// The management cluster of Cluster API, if the operator named one.
    management: Option<Management>,
    /// Where the NodeClaims of Karpenter are; none before they were found, or if the plan has nothing of Karpenter.
    node_claims: Option<NodeClaims>,
    evictions: Evictions,
    lease: Option<HeldLease>,
    keeper: Option<JoinHandle<()>>,
    /// The version of the run that the driver decides on.
    basis: Arc<Mutex<Option<String>>>,
    cluster: ClusterState,
    changes: UnboundedReceiver<Event>,
    sender: UnboundedSender<Event>,
    watches: BTreeMap<WatchScope, JoinHandle<()>>,
    /// What the watches of pods look for; other ones begin when it changes.
    pod_classifier: Option<migration::drive::objects::PodClassifier>,
    /// The gates that are asked, and what asks them.
    gates: Vec<Gate>,
    gate_tasks: Vec<JoinHandle<()>>,
    /// Something changed since the last look.
    is_new: bool,
}

impl Settings {
    /// What these settings say.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let owner = |(kind, namespace, name): (snapshot::model::Kind, &str, &str)| Owner {
            kind: kind.name().into(),
            namespace: namespace.into(),
            name: name.into(),
        };
        let watched = config.watched_resources.all().into_iter().map(owner).collect();
        let (pool_labels, probe_port) = (config.nodes.pool_labels.clone(), config.probe.port);
        Self { pool_labels, watched, gates: gates(config), probe_port }
    }
}

impl Session {
    /// Connects to the cluster that the operator's flags name. It asks which API evictions have, and begins nothing.
    ///
    /// # Errors
    /// The kubeconfig cannot be used, or the API server does not answer.
    pub async fn connect(access: &Access, settings: Settings) -> Result<Self, Failure> {
        let bad = |problem| (Exit::BadSettings, problem);
        let caller = Caller::new(connect(access).await.map_err(bad)?, Clock::from_machine());
        let watcher = caller.with_client(connect_for_ever(access).await.map_err(bad)?);
        Self::open(caller, watcher, settings).await
    }

    /// The same over clients that are there.
    pub(super) async fn open(caller: Caller, watcher: Caller, settings: Settings) -> Result<Self, Failure> {
        let evictions = crate::live::session::calls::version(&caller).await?;
        let (sender, changes) = unbounded_channel();
        Ok(Self {
            store: Store::new(caller.clone()),
            caller,
            watcher,
            settings,
            management: None,
            node_claims: None,
            evictions,
            lease: None,
            keeper: None,
            basis: Arc::default(),
            cluster: ClusterState::default(),
            changes,
            sender,
            watches: BTreeMap::new(),
            pod_classifier: None,
            gates: Vec::new(),
            gate_tasks: Vec::new(),
            is_new: true,
        })
    }

    /// The objects that keep plans, runs and journals.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The same for a holder: what it writes has ended before another one can take the Lease.
    #[must_use]
    pub fn held_store(&self) -> Store {
        match self.lease.clone() {
            Some(lease) => Store::new(LeasedCaller::new(&self.caller, lease).caller().clone()),
            None => self.store.clone(),
        }
    }

    /// What makes requests without the Lease, which only read.
    pub(super) const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What makes requests of the holder; none before the Lease was taken.
    pub(super) fn hand(&self) -> Option<LeasedCaller> {
        self.lease.clone().map(|lease| LeasedCaller::new(&self.caller, lease))
    }

    /// The rights that acting needs and the credential does not have, as a person says them: `patch nodes`.
    pub async fn missing_rights(&self) -> Vec<String> {
        let mut missing = rights::missing_to_act(self.caller.client()).await;
        let is_of_agents = |gate: &Gate| matches!(gate.source, GateSource::Probe(_));
        if self.settings.gates.iter().any(is_of_agents) {
            missing.extend(rights::missing_to_read_reports(self.caller.client()).await);
        }
        missing
    }

    /// Takes the Lease, and renews it from then on. `waiting` hears of its holder at each look while it waits, and `stop` ends the wait. Gives the epoch.
    ///
    /// # Errors
    /// Another holder has it, or a request failed.
    pub async fn take_lease(
        &mut self,
        patience: Patience,
        stop: impl Future<Output = ()>,
        waiting: &mut dyn FnMut(&Holder, Duration),
    ) -> Result<u64, AcquireError> {
        let mut stop = pin!(stop);
        let own = Identity::gather(&self.caller).await;
        let floor = tokio::select! {
            floor = epochs::greatest_epoch(&self.caller) => floor?,
            () = &mut stop => return Err(AcquireError::Interrupted),
        };
        let held_lease = lease::take(&self.caller, own.as_str(), floor, patience, stop, waiting).await?;
        let epoch = held_lease.epoch();
        let keeper = held_lease.clone();
        self.keeper = Some(tokio::spawn(async move { keeper.keep().await }));
        self.lease = Some(held_lease);
        Ok(epoch)
    }

    /// The Lease; none before it was taken.
    #[must_use]
    pub const fn lease(&self) -> Option<&HeldLease> {
        self.lease.as_ref()
    }

    /// Who holds the Lease as the API server has it, with its epoch; none if it has no holder.
    ///
    /// # Errors
    /// A request failed.
    pub async fn holder(&self) -> Result<Option<(Holder, u64)>, Failure> {
        lease::current_holder(&self.caller).await
    }

    /// The user of this program and its machine, as a wish names them.
    pub async fn person(&self) -> String {
        lease::person(&self.caller).await
    }

    /// Gives the Lease back. No act happens afterwards.
    ///
    /// # Errors
    /// The Lease could not be written. Others can take it once it has expired.
    pub async fn release(&mut self) -> Result<(), Failure> {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
        match &self.lease {
            Some(lease) => lease.release().await,
            None => Ok(()),
        }
    }

    /// The clock by which everything that is known has its time.
    pub(super) const fn clock(&self) -> &Clock {
        self.caller.clock()
    }

    /// The run as it is known now; none if there is none, or before the first look.
    #[must_use]
    pub const fn stored_run(&self) -> Option<&Result<StoredRun, UnreadableRun>> {
        self.cluster.stored.as_ref()
    }

    /// The same, to decide on: the next [`Act::Record`](migration::roll::step::Act::Record) is written only if it was not written since.
    pub fn take_up(&mut self) -> Option<Result<StoredRun, UnreadableRun>> {
        let stored = self.cluster.stored.clone();
        let readable = stored.as_ref().and_then(|stored| stored.as_ref().ok());
        *self.basis.lock().unwrap_or_else(PoisonError::into_inner) =
            readable.map(|stored| stored.version.clone());
        stored
    }

    /// All Deployments, StatefulSets, DaemonSets and ReplicaSets without an owner, with their pods that are ready.
    #[must_use]
    pub const fn workloads(&self) -> &BTreeMap<Owner, Availability> {
        self.cluster.workloads()
    }

    /// How many pods workloads miss now: what a run remembers in `short` when it begins.
    #[must_use]
    pub fn short_workloads(&self) -> BTreeMap<String, u32> {
        self.cluster.short_workloads()
    }

    /// Waits until something has changed since the last look, at most for this time, and gives what is known then.
    ///
    /// Watches begin with the first look. Those of pods on nodes in transit begin and end as steps come and go.
    ///
    /// # Errors
    /// Something is not known well enough to decide anything. The watches go on.
    pub async fn look(&mut self, run: &Run, plan: &Plan, at_most: Duration) -> Result<Arc<World>, BlindSpot> {
        let end = tokio::time::Instant::now() + at_most;
        loop {
            self.take_changes();
            self.attend(run, plan);
            let is_blind = self.cluster.blind(self.caller.clock().now()).is_some();
            if self.is_new && !is_blind {
                tokio::time::sleep_until(end.min(tokio::time::Instant::now() + BURST)).await;
                self.take_changes();
                self.attend(run, plan);
                break;
            }
            match tokio::time::timeout_at(end, self.changes.recv()).await {
                Ok(Some(event)) => self.take_change(event),
                // The session has a sender itself, so that the channel never closes.
                Ok(None) | Err(_) => break,
            }
        }
        let now = self.caller.clock().now();
        if let Some(blind) = self.cluster.blind(now) {
            return Err(blind);
        }
        self.is_new = false;
        self.cluster.update_world(run, plan, &self.settings.watched, &self.caller.pulse(), now);
        let world = Arc::make_mut(&mut self.cluster.world);
        world.wall = self.caller.clock().wall();
        world.epoch = self.lease.as_ref().map_or(0, HeldLease::epoch);
        world.renewed_at = self.lease.as_ref().map_or(Duration::ZERO, HeldLease::renewed_at);
        world.is_open = is_open(&plan.limits.windows, |zone| local(self.caller.clock(), zone));
        Ok(Arc::clone(&self.cluster.world))
    }

    /// What the agents of gates measured since it was taken last.
    pub(super) fn take_measured(&mut self) -> Vec<ClassCounts> {
        self.cluster.take_measured()
    }

    fn take_changes(&mut self) {
        while let Ok(event) = self.changes.try_recv() {
            self.take_change(event);
        }
    }

    fn take_change(&mut self, event: Event) {
        self.is_new |= self.cluster.apply(event, self.caller.clock().now());
    }
}

/// What time of the week it is in a time zone; none if this machine does not know the zone.
fn local(clock: &Clock, zone: Option<&str>) -> Option<LocalTime> {
    let zone = zone.map_or(Ok(TimeZone::UTC), TimeZone::get).ok()?;
    let time = clock.wall().to_zoned(zone);
    let day = usize::try_from(time.weekday().to_monday_zero_offset()).ok()?;
    let minute = u32::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).ok()?;
    Some(LocalTime { day, minute })
}

impl Drop for Session {
    fn drop(&mut self) {
        self.watches.values().chain(&self.gate_tasks).chain(&self.keeper).for_each(JoinHandle::abort);
    }
}

#[cfg(test)]
mod tests;
