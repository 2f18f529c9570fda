//! The invariants of evictions and deletions of pods.

use migration::cni::reach::{self, Way};
use migration::roll::run::{RunRequest, State as RunState};
use migration::roll::step::PodId;
use migration::roll::world::Trait;
use types::api::step::State;
use types::policy::Phase;
use types::text::glob;

use crate::cluster::truth::Pod;
use crate::history::History;
use crate::history::event::Flight;

impl History {
    /// A pod is about to be evicted or deleted.
    pub(crate) fn check_eviction(&mut self, flight: &Flight, id: &PodId, pod: u32) {
        self.check_lease(flight, &format!("an eviction of {}/{}", id.namespace, id.name));
        let checks = [
            Self::is_stopped,
            Self::is_of_pipeline,
            Self::is_of_node,
            Self::could_join,
            Self::parts,
            Self::may_go,
            Self::starves_dns,
            Self::is_second,
        ];
        for check in checks {
            if let Some((invariant, why)) = check(self, flight, pod) {
                self.broken(invariant, format!("pod {}/{}: {why}", id.namespace, id.name));
                return;
            }
        }
        self.count_restart(pod);
    }

    /// The pod that comes in its place knows how often it was restarted.
    fn count_restart(&mut self, id: u32) {
        if let Some(pod) = self.truth.pods.get_mut(&id) {
            pod.is_moved = true;
        }
        self.check_restarted(id);
    }

    /// The same of one that a pipeline evicts.
    pub(crate) fn check_restarted(&mut self, id: u32) {
        let pass = self.truth.run().map_or(0, |run| run.pass);
        self.tally.count(&format!("a restart in pass {pass}"));
        let Some(pod) = self.truth.pods.get_mut(&id) else { return };
        pod.restarts += 1;
        if let Some(workload) = pod.workload {
            self.truth.workloads[workload].evicted.push(pod.restarts);
        }
    }

    /// R12.
    fn is_stopped(&self, flight: &Flight, _: u32) -> Option<(&'static str, String)> {
        let run = self.truth.run()?;
        let mut stopped = matches!(run.state, RunState::Stopped(_));
        for wish in self.truth.record.wishes.iter().filter(|wish| wish.seq <= run.wish) {
            match wish.what {
                RunRequest::PauseNow => stopped = true,
                // A run that fixes stragglers has no way back, and refuses; so does each run what leads beyond its plan.
                RunRequest::Abort(_) if self.plan.fixes_stragglers() => {}
                RunRequest::Abort(to) if !self.plan.covers(to) => {}
                RunRequest::Resume(_) | RunRequest::Abort(_) => stopped = false,
                RunRequest::Pause | RunRequest::Skip(_) | RunRequest::Retry(_) | RunRequest::Rollback(_) => {}
            }
        }
        let was_sent_after = flight.sent > self.truth.record.changed_at;
        (stopped && was_sent_after).then(|| ("R12", "everything is stopped".into()))
    }

    /// R16: a pipeline drains its node.
    fn is_of_pipeline(&self, flight: &Flight, pod: u32) -> Option<(&'static str, String)> {
        let node = self.truth.pods.get(&pod)?.node?;
        // One that a person asked back, or that goes back with the run, is the run's.
        let goes_back =
            |step: &types::api::step::Step| self.truth.run().is_some_and(|run| step.to == run.from);
        let is_back = self.truth.nodes[node].api.step.as_ref().is_some_and(goes_back);
        let is_early = !is_back && self.is_replaced_now(node, flight.nodes_seen);
        is_early.then(|| ("R16", format!("the pipeline of node {} drains it", self.truth.nodes[node].name)))
    }

    /// R5: it is of another phase, on a node that is moving.
    fn is_of_node(&self, flight: &Flight, pod: u32) -> Option<(&'static str, String)> {
        let pod = self.truth.pods.get(&pod)?;
        let Some(node) = pod.node else { return Some(("R5", "it has no node".into())) };
        let node = &self.truth.nodes[node];
        if node.surprises(flight.nodes_seen) || self.truth.lease.was_forced {
            return None;
        }
        if node.going_since.is_some_and(|since| since < flight.nodes_seen) {
            return Some(("R5", format!("a pipeline takes node {} away", node.name)));
        }
        let run = self.truth.run()?;
        let step = node.api.step.as_ref().filter(|step| step.run == run.id && step.state == State::Moving);
        let Some(step) = step else { return Some(("R5", format!("node {} is not moving", node.name))) };
        match pod.attached {
            Some(attached) if attached.phase != step.to => None,
            Some(attached) => Some(("R5", format!("it is of phase {} already", attached.phase))),
            None if pod.shaken.is_some_and(|time| time >= flight.pods_seen) => None,
            None => Some(("R5", "it is not attached".into())),
        }
    }

    /// R14: no network could join or leave it.
    fn could_join(&self, flight: &Flight, pod: u32) -> Option<(&'static str, String)> {
        let pod = self.truth.pods.get(&pod)?;
        let node = &self.truth.nodes[pod.node?];
        let to = node.api.step.as_ref()?.to;
        if pod.refuses_joins(&self.truth) || node.surprises(flight.nodes_seen) || self.truth.lease.was_forced
        {
            return None;
        }
        let way = reach::way(pod.attached?.phase, to, &node.machine.joins);
        (way != Way::Restart)
            .then(|| ("R14", format!("it is restarted, and a {} would have been enough", way.into_str())))
    }

    /// R3: no pod that was there before comes to be parted from it.
    fn parts(&self, _: &Flight, pod: u32) -> Option<(&'static str, String)> {
        let node = self.truth.pods.get(&pod)?.node?;
        let to = self.truth.nodes[node].api.step.as_ref()?.to;
        let other = self.parted_from(node, to)?;
        Some(("R3", format!("it is restarted for {to}, and {other}")))
    }

    /// R5: nothing holds it back.
    fn may_go(&self, flight: &Flight, id: u32) -> Option<(&'static str, String)> {
        let pod = self.truth.pods.get(&id)?;
        let title = pod.api.title();
        let is_listed = |list: &[String]| list.iter().any(|pattern| glob::matches(pattern, &title));
        let run = self.truth.run()?;
        if pod.shaken.is_some_and(|time| time >= flight.pods_seen) {
            return None;
        }
        for what in [Trait::HostNetwork, Trait::Static, Trait::Finished, Trait::Terminating] {
            if pod.api.has_trait(what) {
                return Some(("R5", format!("it is {what:?}")));
            }
        }
        let pods = &self.plan.pods;
        let is_daemon = pod.api.owner.as_ref().is_some_and(|owner| &*owner.kind == "DaemonSet");
        if pod.api.has_trait(Trait::Undisturbed) && !is_listed(&pods.disrupt) {
            return Some(("R5", "it asks not to be disrupted".into()));
        }
        if pod.api.has_trait(Trait::EmptyDir) && !pods.delete_empty_dir && !is_daemon {
            return Some(("R5", "its emptyDir would be lost".into()));
        }
        let is_named = is_listed(&pods.delete) || run.delete.contains(&title);
        (pod.api.owner.is_none() && !is_named).then(|| ("R5", "no controller makes it again".into()))
    }

    /// Whether a pod answers, or did when the run saw it last.
    fn counts_as_ready(pod: &Pod, version: u64) -> bool {
        pod.is_ready() || pod.shaken.is_some_and(|time| time >= version)
    }

    /// R4.
    pub(super) fn starves_dns(&self, flight: &Flight, id: u32) -> Option<(&'static str, String)> {
        let version = flight.pods_seen;
        let going = self.truth.pods.get(&id).filter(|pod| pod.api.has_trait(Trait::Dns))?;
        // One that the run cannot miss yet would have been counted by it; and what a holder had under way when its Lease was taken by force, the next one
        // cannot know.
        let lease = &self.truth.lease;
        let is_overtaken = lease.was_forced && lease.holder != Some(flight.holder);
        if is_overtaken || self.truth.dns_lost.is_some_and(|time| time >= version) {
            return None;
        }
        let zone = &self.truth.nodes[going.node?].api.zone;
        let others: Vec<_> =
            self.truth.dns().filter(|(other, pod, _)| *other != id && pod.placed < version).collect();
        let ready = || others.iter().filter(|(_, pod, _)| Self::counts_as_ready(pod, version));
        let here = ready().filter(|(_, _, other_zone)| *other_zone == zone).count();
        let elsewhere = ready().count() - here;
        let all = others.iter().filter(|(_, _, other_zone)| *other_zone == zone).count() + 1;
        if all == 1 {
            // Two others, or the other one of two.
            let least = others.len().clamp(1, 2);
            return (elsewhere < least).then(|| ("R4", "it is the only DNS pod of its zone".into()));
        }
        if here < (all - 1).max(1) {
            let names: Vec<_> = others
                .iter()
                .map(|(_, pod, zone)| (&pod.api.name, zone, &pod.api.node, &pod.api.traits, pod.placed))
                .collect();
            return Some((
                "R4",
                format!(
                    "{here} of {} other DNS pods of its zone {zone} are ready: {names:?}, it {:?}, seen {version}",
                    all - 1,
                    going.api.traits
                ),
            ));
        }
        if flight.is_bridged {
            return None;
        }
        // A pod whose machine is being rebooted seems to be as it was.
        let phase = |pod: &Pod| {
            let node = &self.truth.nodes[pod.node?];
            Some(pod.attached.map_or(node.machine.phase, |attachment| attachment.phase))
        };
        // Nor is the phase known of one that its node has forgotten.
        let is_doubtful = |id: u32, pod: &Pod| {
            let node = pod.node.map(|index| &self.truth.nodes[index]);
            node.is_some_and(|node| node.surprises(flight.nodes_seen) || node.machine.forgets.contains(&id))
        };
        let serves = |client, id: u32, pod: &Pod| {
            is_doubtful(id, pod) || phase(pod).is_some_and(|server| !reach::needs_bridge(client, server))
        };
        // It need not stay for itself, nor for others of its kind, nor for what goes with it: where a pipeline takes the node, all its pods go.
        let goes_along = going.node.filter(|index| self.is_to_leave(&self.truth.nodes[*index]));
        let kinds = self.kinds(flight.nodes_seen, goes_along, |pod| !pod.api.has_trait(Trait::Dns));
        let is_starved = |client: &Phase| {
            let own = phase(going).is_some_and(|own| !reach::needs_bridge(*client, own));
            own && !is_doubtful(id, going) && !ready().any(|(other, pod, _)| serves(*client, *other, pod))
        };
        let starved = kinds.into_iter().find(is_starved);
        let describe = |(_, pod, _): &(u32, &Pod, &snapshot::model::Text)| {
            format!("{} on {} {:?} {:?}", pod.api.name, pod.api.node, phase(pod), pod.api.traits)
        };
        starved.map(|client| {
            let others = others.iter().map(describe).collect::<Vec<_>>().join(", ");
            ("R4", format!("pods in {client} reach no other DNS pod; the others: {others}"))
        })
    }

    /// Pods of a StatefulSet move one at a time.
    fn is_second(&self, _: &Flight, id: u32) -> Option<(&'static str, String)> {
        let pod = self.truth.pods.get(&id)?;
        let workload = &self.truth.workloads[pod.workload?];
        let is_moved = |other: &&u32| self.truth.pods.get(other).is_some_and(|other| other.is_moved);
        let other = workload.pods.iter().filter(|other| **other != id).find(is_moved)?;
        let is_set = &*workload.blueprint.owner.kind == "StatefulSet";
        is_set.then(|| ("R5", format!("pod {other:x} of the same StatefulSet is being moved")))
    }
}
