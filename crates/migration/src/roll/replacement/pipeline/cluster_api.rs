//! Cluster API. A pre-drain hook on a Machine of the management cluster holds its Node: Cluster API deletes the Machine, and waits before it drains the Node.
//!
//! A Machine that is being deleted asks for its Node: which one goes next is Cluster API's choice, and the run says when. Cluster API counts no Machine that is
//! being deleted among the replicas of its MachineSet, so new Machines may come as fast as they get ready, whatever the hooks hold. The deletion of the whole
//! Cluster honours no hook.
//!
//! Without access to the management cluster, nothing holds the Nodes, and the taint `node.cluster.x-k8s.io/outdated-revision` says which of them will go.
//!
//! *Source*: Cluster API 1.12, `internal/controllers/machine/machine_controller.go` (`reconcileDelete`) and `internal/controllers/machineset`.

use snapshot::model::Text;
use types::text::quote::quote;

use super::{NodeGroup, PipelineRules};
use crate::config::roll::Method;
use crate::plan::Pool;
use crate::roll::replacement::{self, LEVERS, Turnover};
use crate::roll::run::Run;
use crate::roll::step::{Act, Hook};
use crate::roll::view::View;
use crate::roll::wait::{Reason, Subject, Wait};
use crate::roll::world::{Machine, Node, World};

/// The method `cluster-api`.
#[derive(Debug)]
pub(super) struct ClusterApi;

/// How many bytes of a hook's value are shown.
const HOLDER_BYTES: usize = 64;
/// The options that give access to the management cluster.
const ACCESS: &str = "kubectl crossfade roll --resume --management-context CONTEXT";

impl PipelineRules for ClusterApi {
    fn has_own_order(&self) -> bool {
        true
    }

    fn can_hold(&self, world: &World) -> bool {
        world.machines.is_some()
    }

    fn acts_alone(&self) -> bool {
        true
    }

    /// A deletion cannot be taken back.
    fn is_final(&self, world: &World, name: &Text) -> bool {
        world.machine(name).is_some_and(|machine| machine.is_deleted)
    }

    fn release(&self, world: &World, name: &Text) -> String {
        let unhook = |machine: &Machine| {
            let Machine { namespace, name, .. } = machine;
            let hook = crate::drive::objects::HOOK;
            format!("in the management cluster: kubectl -n {namespace} annotate machine {name} {hook}-")
        };
        world.machine(name).filter(|machine| machine.hook.is_some()).map(unhook).unwrap_or_default()
    }

    /// A Node without a Machine has nothing to be held by.
    fn is_held(&self, world: &World, name: &Text, _node: &Node) -> bool {
        world.machine(name).is_none_or(|machine| machine.hook.is_some())
    }

    fn asks(&self, world: &World, _run: &Run, name: &Text, _node: &Node) -> Option<bool> {
        let machines = world.machines.as_ref()?;
        Some(machines.get(name).is_some_and(|machine| machine.is_deleted))
    }

    fn has_begun(&self, world: &World, node: &Node) -> bool {
        self.can_hold(world) || !node.is_ready
    }

    fn obstacle(&self, world: &World, _run: &Run, name: &Text, node: &Node) -> Option<Wait> {
        let object = Subject::node(name);
        if world.machines.is_none() {
            return Some(unheld_wait(object, node));
        }
        let Some(machine) = world.machine(name) else {
            let what = "no Machine of its Cluster in the management cluster has it as its Node";
            let help = format!(
                "kubectl get machines -A -o wide in the management cluster; or leave it out: kubectl crossfade roll skip {name}"
            );
            return Some(Wait::new_held(object, Reason::NotAsked, what, help));
        };
        let Machine { namespace, name: machine_name, .. } = machine;
        let is_ours =
            node.step.as_ref().is_some_and(|step| machine.hook.as_deref() == Some(step.run.as_str()));
        if let Some(hook) = machine.hook.as_ref().filter(|_| node.step.is_some() && !is_ours) {
            let what = format!(
                "Machine {namespace}/{machine_name} has the pre-drain hook of run {}, which is another run, so Cluster API does not drain it",
                quote(hook.as_bytes(), HOLDER_BYTES)
            );
            let help = format!(
                "once that run is over, in the management cluster: kubectl -n {namespace} annotate machine {machine_name} {}-",
                crate::drive::objects::HOOK
            );
            return Some(Wait::new_held(object, Reason::Undisturbed, what, help));
        }
        if machine.is_deleted {
            return None;
        }
        let what = format!("Cluster API has not deleted Machine {namespace}/{machine_name} yet");
        let help = format!(
            "give its MachineDeployment the new template; with the strategy OnDelete, in the management cluster: kubectl -n {namespace} delete machine {machine_name}"
        );
        Some(Wait::new(object, Reason::NotAsked, what).help(help))
    }

    fn departure(&self, world: &World, name: &Text) -> (&'static str, String) {
        let machine = world.machine(name);
        let title =
            machine.map(|machine| format!("-n {} describe machine {}", machine.namespace, machine.name));
        (
            "Cluster API may drain it, and has not taken it away yet",
            format!(
                "in the management cluster, the condition Deleting says what it waits for: kubectl {}",
                title.unwrap_or_else(|| "describe machines -A".into())
            ),
        )
    }

    fn replace(&self, world: &World, name: &Text) -> String {
        let title = world
            .machine(name)
            .map(|machine| format!("-n {} delete machine {}", machine.namespace, machine.name));
        let title = title.unwrap_or_else(|| format!("delete machine, that of Node {name},"));
        format!("kubectl {title} in the management cluster")
    }

    fn arrivals(&self) -> &'static str {
        "kubectl get machinedeployments,machines -A in the management cluster shows what Cluster API launches"
    }

    fn note(&self, pool: &Pool, _group: Option<NodeGroup>) -> String {
        format!(
            "Cluster API replaces the {} nodes of pool {:?} once its MachineDeployment names the new template. Have the run started before, with roll --management-context CONTEXT: it holds each node by a pre-drain hook on its Machine. Without that option nothing holds them, and the run only follows. New Machines come as fast as they get ready, maxSurge at once, since no Machine that is held counts as a replica. The hook does not hold a Machine whose Cluster is deleted or whose machine is lost.",
            pool.nodes, pool.name
        )
    }

    fn refusal(&self, pool: &str) -> Option<String> {
        Some(format!(
            "Cluster API replaces the nodes of pool {pool:?} when the run takes its pre-drain hook from their Machines"
        ))
    }
}

/// A Node of which the Machine is not known.
fn unheld_wait(object: Subject, node: &Node) -> Wait {
    if replacement::is_waiting(node) {
        let what = "the run holds its Machine by a pre-drain hook, and only a run with access to the management cluster can take that away";
        return Wait::new(object, Reason::NotAsked, what).help(ACCESS);
    }
    let what = if node.is_outdated {
        "Cluster API is about to replace it (taint node.cluster.x-k8s.io/outdated-revision), and nothing holds it"
    } else {
        "Cluster API replaces it once its MachineDeployment names another template, and nothing holds it"
    };
    Wait::new(object, Reason::Leaving, what).help(format!("for the run to hold it: {ACCESS}"))
}

/// Whether the run holds the Machine of a Node: as long as the Node has to wait, and what the run held before it was turned. At its end, Machines that Cluster
/// API deletes go one after the other.
pub(in crate::roll) fn is_wanted(view: &View<'_>, name: &str) -> bool {
    if view.run.target().is_none() {
        return is_deleted_of(view, name) && next_of_end(view).is_none_or(|next| **next != *name);
    }
    let Some(status) = view.nodes.get(name) else { return false };
    let is_ours = || view.world.machine(name).is_some_and(|machine| is_hook_of(machine, view));
    // Its step may be of an earlier pass, or another actor has taken it away: it is taken up anew before anything is let go.
    let is_next = status.turnover == Turnover::Leaves && !replacement::has_turn(status.node, view.run);
    let is_kept = replacement::is_kept(view, status)
        || (is_next || replacement::is_left_alone(view, status)) && is_ours()
        || replacement::keeps_lever(view, status) && replacement::is_waiting(status.node);
    is_kept && view.method(status.node) == Method::ClusterApi
}

fn is_hook_of(machine: &Machine, view: &View<'_>) -> bool {
    machine.hook.as_deref() == Some(view.run.id.as_str())
}

/// Whether Cluster API deletes the Machine of a Node that is there, and the hook of this run is what it waits for.
fn is_deleted_of(view: &View<'_>, name: &str) -> bool {
    let waits_for_hook = |machine: &Machine| machine.is_deleted && is_hook_of(machine, view);
    view.world.nodes.contains_key(name) && view.world.machine(name).is_some_and(waits_for_hook)
}

/// Which Node may go next once the run is over, of those whose Machines are deleted and held; none while another one is drained.
fn next_of_end<'a>(view: &View<'a>) -> Option<&'a Text> {
    let machines = view.world.machines.as_ref()?;
    let is_drained = |(node, machine): (&Text, &Machine)| {
        machine.is_deleted && machine.hook.is_none() && view.world.nodes.contains_key(node)
    };
    if machines.iter().any(is_drained) {
        return None;
    }
    machines.keys().find(|node| is_deleted_of(view, node))
}

/// A wait at the end of a run: Machines are deleted and held, and one after the other goes.
pub(in crate::roll) fn wait_of_end(view: &View<'_>) -> Option<Wait> {
    let machines = view.world.machines.as_ref()?;
    let held = machines.keys().filter(|node| is_deleted_of(view, node)).count();
    let what = format!("{held} Machines are being deleted, and their nodes go one after the other");
    let help = "kubectl get machines -A in the management cluster";
    (held > 0).then(|| Wait::new(Subject::Run, Reason::Leaving, what).help(help))
}

/// Hooks that are to be set, and those of this run that are to be taken away: a Node may go or is gone, or the run is over.
pub(in crate::roll) fn hooks(view: &View<'_>) -> Vec<Act> {
    let machines = view.world.machines.iter().flat_map(|machines| machines.iter());
    let change = |(node, machine): (&Text, &Machine)| {
        let is_wanted = is_wanted(view, node);
        let is_ours = is_hook_of(machine, view);
        let run = match (is_wanted, &machine.hook) {
            (true, None) => Some(view.run.id.as_str().into()),
            (false, Some(_)) if is_ours => None,
            (true | false, _) => return None,
        };
        Some(Act::Hook(Box::new(Hook { node: node.clone(), machine: machine.clone(), run })))
    };
    machines.filter_map(change).take(LEVERS).collect()
}
