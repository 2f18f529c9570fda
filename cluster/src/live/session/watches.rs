//! Begins and ends watches and gates, as the plan and the nodes in transit ask for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use migration::drive::objects::{self, PodClassifier};
use migration::drive::permit;
use migration::plan::{Gate, GateSource, Plan};
use migration::roll::replacement::arriving;
use migration::roll::run::Run;
use migration::roll::world::Pod;
use snapshot::model::{Kind, Text};
use tokio::task::JoinHandle;

use super::Session;
use crate::live::api::call::Caller;
use crate::live::api::path::{config_maps, encode};
use crate::live::api::watch::{Change, Read, Source, Watch};
use crate::live::probe::watch_gates;
use crate::live::session::gates;
use crate::live::session::state::{Event, WatchScope};
use crate::live::store::{RUN, StoredRun, permits};

/// Kinds whose pods are counted.
const COUNTED: [Kind; 4] = [Kind::DEPLOYMENT, Kind::STATEFUL_SET, Kind::REPLICA_SET, Kind::DAEMON_SET];

impl Session {
    /// Brings watches and gates in line with the plan and with what is known.
    pub(super) fn attend(&mut self, run: &Run, plan: &Plan) {
        let about = PodClassifier::from_plan(plan);
        if self.pod_classifier.as_ref() != Some(&about) {
            // Pods mean something else now.
            let places: Vec<WatchScope> =
                self.watches.keys().filter(|place| place.is_of_pods()).cloned().collect();
            places.iter().for_each(|place| self.end(place));
            self.pod_classifier = Some(about.clone());
        }
        let about = Arc::new(about);
        let scopes = self.wanted_scopes(run, plan);
        let unwanted: Vec<WatchScope> =
            self.watches.keys().filter(|place| !scopes.contains(*place)).cloned().collect();
        unwanted.iter().for_each(|place| self.end(place));
        for place in scopes {
            if !self.watches.contains_key(&place) {
                self.begin(place, &about);
            }
        }
        self.gates(plan);
    }

    /// All places to be watched now.
    fn wanted_scopes(&self, run: &Run, plan: &Plan) -> BTreeSet<WatchScope> {
        let standing = [WatchScope::Nodes, WatchScope::Pending, WatchScope::Run];
        let counted = COUNTED.map(WatchScope::Workloads);
        // Without labels, it would be all pods of the namespace.
        let dns = (!plan.dns.labels.is_empty()).then_some(WatchScope::Dns);
        let nodes = self.cluster.nodes_in_transit().chain(arriving(&self.cluster.world, run, plan));
        let on_nodes = nodes.cloned().map(WatchScope::OnNode);
        let permits = plan.takes_requests().then_some(WatchScope::Permits);
        let is_managed = self.management.as_ref().is_some_and(|management| management.machines.is_some());
        let machines = is_managed.then_some(WatchScope::Machines);
        let node_claims = self.node_claims.map(|_| WatchScope::NodeClaims);
        standing
            .into_iter()
            .chain(machines)
            .chain(node_claims)
            .chain(counted)
            .chain(dns)
            .chain(permits)
            .chain(on_nodes)
            .collect()
    }

    fn end(&mut self, place: &WatchScope) {
        if let Some(task) = self.watches.remove(place) {
            task.abort();
        }
        self.cluster.end(place);
    }

    fn begin(&mut self, place: WatchScope, about: &Arc<PodClassifier>) {
        self.cluster.begin(place.clone());
        let Some(source) = self.source(&place, about) else { return };
        let task = match &place {
            WatchScope::Nodes => {
                let labels = self.settings.pool_labels.clone();
                self.watch(source, Box::new(move |json| objects::node(json, &labels).map(Some)), Event::Nodes)
            }
            WatchScope::Workloads(kind) => {
                let kind = *kind;
                let read = Box::new(move |json: &str| objects::workload(kind, json));
                self.watch(source, read, move |change| Event::Workloads(kind, change))
            }
            WatchScope::Run => {
                // What cannot be read is known as such: a watch that fails goes on, and what it knew before would still count.
                self.watch(source, Box::new(|json: &str| Ok(Some(StoredRun::parse(json)))), Event::Run)
            }
            WatchScope::Permits => {
                self.watch(source, Box::new(|json: &str| Ok(Some(permits(json)))), Event::Permits)
            }
            WatchScope::Machines => {
                let caller = self.management.as_ref().map_or(&self.watcher, |management| &management.watcher);
                self.watch_through(caller.clone(), source, Box::new(objects::machine), Event::Machines)
            }
            WatchScope::NodeClaims => self.watch(source, Box::new(objects::node_claim), Event::NodeClaims),
            WatchScope::Pending | WatchScope::Dns | WatchScope::OnNode(_) => {
                let (about, place) = (Arc::clone(about), place.clone());
                let read: Read<Pod> = Box::new(move |json| objects::pod(json, &about).map(Some));
                self.watch(source, read, move |change| Event::Pods(place.clone(), change))
            }
        };
        self.watches.insert(place, task);
    }

    fn watch<T: Send + 'static>(
        &self,
        source: Source,
        read: Read<T>,
        event: impl Fn(Change<T>) -> Event + Send + Sync + 'static,
    ) -> JoinHandle<()> {
        self.watch_through(self.watcher.clone(), source, read, event)
    }

    /// The same through another client.
    fn watch_through<T: Send + 'static>(
        &self,
        caller: Caller,
        source: Source,
        read: Read<T>,
        event: impl Fn(Change<T>) -> Event + Send + Sync + 'static,
    ) -> JoinHandle<()> {
        let sender = self.sender.clone();
        // Nothing receives it any more when the session is gone, and the watch with it.
        let sink = Box::new(move |change| drop(sender.send(event(change))));
        tokio::spawn(Watch { caller, source, read, sink }.run())
    }

    /// Asks the plan's gates that are commands or go by agents, if this program holds the run and its own settings have the gate as well. A program that looks
    /// at a run starts none.
    fn gates(&mut self, plan: &Plan) {
        let is_own = |gate: &&Gate| self.lease.is_some() && self.settings.gates.contains(gate);
        let own_gates: Vec<&Gate> = plan.gates.iter().filter(is_own).collect();
        if self.gates.iter().eq(own_gates.iter().copied()) {
            return;
        }
        self.gate_tasks.drain(..).for_each(|task| task.abort());
        self.gates = own_gates.into_iter().cloned().collect();
        let send = || {
            let sender = self.sender.clone();
            move |event| drop(sender.send(event))
        };
        let is_of_agents = |gate: &Gate| matches!(gate.source, GateSource::Probe(_));
        let (of_agents, commands): (Vec<Gate>, Vec<Gate>) =
            self.gates.iter().cloned().partition(is_of_agents);
        for gate in commands {
            let task = gates::ask(gate, self.caller.clock().clone(), send());
            self.gate_tasks.push(tokio::spawn(task));
        }
        if !of_agents.is_empty() {
            let (port, caller) = (self.settings.probe_port, self.caller.clone());
            let task = watch_gates(of_agents, plan.clone(), port, caller, send());
            self.gate_tasks.push(tokio::spawn(task));
        }
    }

    /// What is watched at a place; none where no Machines or NodeClaims were found.
    fn source(&self, place: &WatchScope, about: &PodClassifier) -> Option<Source> {
        const PODS: &str = "/api/v1/pods";
        Some(match place {
            WatchScope::Nodes => Source::new("/api/v1/nodes"),
            WatchScope::Workloads(kind) => Source::new(format!("/apis/apps/v1/{}", kind.plural_name())),
            WatchScope::Pending => Source::new(PODS).fields("spec.nodeName="),
            WatchScope::OnNode(node) => Source::new(PODS).fields(format!("spec.nodeName={node}")),
            WatchScope::Dns => {
                let pair = |(key, value): (&Text, &Text)| format!("{key}={value}");
                let labels: Vec<String> = about.dns.labels.iter().map(pair).collect();
                let pods = format!("/api/v1/namespaces/{}/pods", encode(&about.dns.namespace));
                Source::new(pods).labels(labels.join(","))
            }
            WatchScope::Run => Source::new(config_maps()).fields(format!("metadata.name={RUN}")),
            WatchScope::Machines => self.management.as_ref()?.machines.as_ref()?.source(),
            WatchScope::NodeClaims => self.node_claims?.source(),
            WatchScope::Permits => {
                Source::new(config_maps()).fields(format!("metadata.name={}", permit::NAME))
            }
        })
    }
}
