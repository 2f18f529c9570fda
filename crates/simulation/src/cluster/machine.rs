//! The simulated machines: they boot, lose the API server, and go.

use migration::roll::world::Trait;
use snapshot::model::Text;
use types::policy::Phase;

use crate::cluster::truth::{Reporter, Surprise};
use crate::cluster::watch;
use crate::history::History;
use crate::history::event::{Event, Repair, Turn};
use crate::history::queue::{MINUTE, Millis, SECOND};

/// After this time without a word of kubelet its Node is not Ready. *Source*: kube-controller-manager's `--node-monitor-grace-period` of long.
const GRACE: Millis = 40 * SECOND;
/// After this time more its pods are deleted. *Source*: the toleration that every pod gets, of 300 s.
const TOLERATED: Millis = 5 * MINUTE;

impl History {
    /// The history did something to a node that no run could foresee.
    pub(crate) fn surprise(&mut self, index: usize, reporter: Reporter) {
        self.truth.nodes[index].surprise = Some(Surprise { reporter, published_at: None });
    }

    /// Its object tells of that now.
    pub(crate) fn publish_report(&mut self, index: usize) {
        let now = self.now;
        self.truth.nodes[index].surprise.iter_mut().for_each(|surprise| surprise.published_at = Some(now));
    }

    fn turns(&mut self, index: usize) -> Turn {
        let machine = &mut self.truth.nodes[index].machine;
        machine.turn += 1;
        (machine.is_publishing, machine.is_joining) = (false, false);
        self.truth.turn(index)
    }

    /// The machine ends, with everything on it, and runs again after a time: with the policy that it had, or with that of its image.
    pub(crate) fn reboot(&mut self, index: usize, away: Millis, is_fresh: bool) {
        self.surprise(index, Reporter::Kubelet);
        let turn = self.turns(index);
        let is_final = is_fresh && self.gives_final_image(index);
        let node = &mut self.truth.nodes[index];
        node.machine.is_up = false;
        if is_final {
            node.machine.image = Phase::New;
        }
        if is_fresh {
            node.machine.phase = node.machine.image;
        }
        // Its Node keeps the label and the report.
        node.machine.has_crossfade &= !is_final;
        // What a machine has attached does not outlive it.
        node.machine.leftovers.clear();
        node.machine.forgets.clear();
        for id in node.pods.clone() {
            if let Some(pod) = self.truth.pods.get_mut(&id) {
                (pod.attached, pod.sandbox) = (None, pod.sandbox + 1);
            }
        }
        self.schedule_after(away, Event::Boot(index));
        self.schedule_after(GRACE, Event::Miss(turn));
    }

    /// The machine runs again.
    pub(crate) fn boot(&mut self, index: usize) {
        if self.truth.nodes[index].gone_at.is_some() {
            return;
        }
        let turn = self.turns(index);
        // Sometimes `watch` runs long after kubelet does.
        let (now, is_late) = (self.now, self.random.chance(300));
        let machine = &mut self.truth.nodes[index].machine;
        (machine.is_up, machine.has_watch) = (true, !is_late && machine.has_crossfade);
        machine.boot += 1;
        if is_late {
            machine.watch_ended = Some(now);
            self.schedule_within(5 * SECOND, 10 * MINUTE, Event::Mend(Repair::Watch(index)));
        }
        let machine = &self.truth.nodes[index].machine;
        if machine.is_connected {
            self.schedule_within(3 * SECOND, 10 * SECOND, Event::Register(turn));
        }
    }

    /// The machine does not reach the API server for a time; its pods run on.
    pub(crate) fn disconnect(&mut self, index: usize, away: Millis) {
        let turn = self.turns(index);
        self.truth.nodes[index].machine.is_connected = false;
        self.schedule_after(away, Event::Connect(index));
        self.schedule_after(GRACE, Event::Miss(turn));
    }

    /// It reaches it again.
    pub(crate) fn connect(&mut self, index: usize) {
        if self.truth.nodes[index].gone_at.is_some() {
            return;
        }
        let turn = self.turns(index);
        self.truth.nodes[index].machine.is_connected = true;
        if self.truth.nodes[index].machine.is_up {
            self.schedule_within(SECOND, 5 * SECOND, Event::Register(turn));
        }
    }

    /// kubelet registers.
    pub(crate) fn register(&mut self, turn: Turn) {
        let (now, node) = (self.now, &mut self.truth.nodes[turn.node]);
        if node.machine.turn != turn.number || node.gone_at.is_some() {
            return;
        }
        let boot = Text::from(watch::boot(node.machine.boot));
        if node.api.boot != boot {
            (node.api.boot, node.booted_at) = (boot, Some(now));
        }
        node.api.is_ready = true;
        if let Some(surprise) =
            node.surprise.as_mut().filter(|surprise| surprise.reporter == Reporter::Kubelet)
        {
            surprise.published_at.get_or_insert(now);
        }
        self.touch_node(turn.node);
        self.resume_pods(turn);
        self.poke(turn.node);
        self.compare(turn.node);
        self.wake_scheduler();
        for workload in 0..self.truth.workloads.len() {
            self.wake(workload);
        }
    }

    /// kubelet has not reported for a time.
    pub(crate) fn miss(&mut self, turn: Turn) {
        let node = &mut self.truth.nodes[turn.node];
        if node.machine.turn != turn.number || node.gone_at.is_some() {
            return;
        }
        node.api.is_ready = false;
        let pods: Vec<u32> = node.pods.iter().copied().collect();
        self.touch_node(turn.node);
        for id in pods {
            let Some(pod) = self.truth.pods.get_mut(&id) else { continue };
            pod.shaken = Some(self.now);
            if pod.api.traits.remove(&Trait::Ready) {
                self.touch_pod(id);
            }
        }
        self.schedule_after(TOLERATED, Event::GiveUp(turn));
    }

    /// Pods of a node that is away for long are deleted, those of DaemonSets left out.
    pub(crate) fn give_up(&mut self, turn: Turn) {
        let node = &self.truth.nodes[turn.node];
        if node.machine.turn != turn.number || node.gone_at.is_some() {
            return;
        }
        for id in node.pods.clone() {
            let is_kept = self.truth.pods.get(&id).is_none_or(|pod| {
                pod.api.has_trait(Trait::Static)
                    || pod.api.owner.as_ref().is_some_and(|owner| &*owner.kind == "DaemonSet")
            });
            if !is_kept {
                self.delete(id);
            }
        }
    }

    /// The machine and its object go, and with them its pods.
    pub(crate) fn remove(&mut self, index: usize) {
        if self.truth.nodes[index].gone_at.is_some() {
            return;
        }
        self.turns(index);
        let now = self.now;
        let node = &mut self.truth.nodes[index];
        node.gone_at = Some(now);
        (node.machine.is_up, node.machine.is_connected) = (false, false);
        let pods: Vec<u32> = node.pods.iter().copied().collect();
        let uid = self.truth.nodes[index].api.uid.clone();
        self.truth.permits.requested.remove(&uid);
        self.note(|history| format!("{} is gone", history.truth.nodes[index].name));
        self.touch_node(index);
        if self.truth.nodes[index].capi.is_some() {
            self.touch_machine(index);
        }
        for workload in 0..self.truth.workloads.len() {
            self.count_later(workload);
        }
        for id in pods {
            let workload = self.truth.pods.get(&id).and_then(|pod| pod.workload);
            self.forget(id);
            workload.into_iter().for_each(|workload| self.wake(workload));
        }
    }
}
