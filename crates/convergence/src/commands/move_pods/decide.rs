//! The order in which pods are moved, and the reasons of those that stay.

use std::time::Duration;

use shim::attachment::plan::{PodChange, decide_change};
use types::api::eviction::STAY;
use types::command::problem::Problem;
use types::pod::Pod;
use types::policy::{Attach, Phase, Policy, Side};
use types::text::glob::matches;

use crate::commands::move_pods::facts::Facts;
use crate::node::attachments::selection::is_selected;
use crate::node::attachments::{Line, attached};
use crate::publish::pods::BoundPod;
use crate::runtime::Sandbox;

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct MoveOptions {
    /// Only pods that were attached in this phase, or have a network of this name.
    pub selection: Option<String>,
    /// Only these pods; all of them if it is empty. `NAMESPACE/NAME`, in which `*` stands for any text, as in the lists below.
    pub pods: Vec<String>,
    /// Pods are restarted where they are.
    pub in_place: bool,
    /// Also those with a hook, which is not run then.
    pub skip_pre_stop: bool,
    /// Pods that may be deleted although no controller makes them again.
    pub delete_bare: Vec<String>,
    /// The data of emptyDirs may be lost.
    pub delete_empty_dir: bool,
    /// Pods that may be disrupted although they ask not to be, or are a Job's.
    pub disrupt: Vec<String>,
    /// The ways that pods may go.
    pub ways: Ways,
    /// How long the connections over a network that leaves may take to end.
    pub connections_end_within: Duration,
    /// A network leaves although connections use it.
    pub break_connections: bool,
}

/// The ways that pods may go to the networks of the policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ways {
    /// Networks join and leave the pods that bear it, and the others are restarted.
    #[default]
    All,
    /// Every pod is restarted.
    RestartOnly,
    /// No pod is restarted.
    NoRestart,
}

/// One pod that is not as the policy says, or that was asked for by `--on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub sandbox: String,
    /// The phase that it was attached in; none if no phase of the policy attaches so.
    pub from: Option<Phase>,
    /// The phase in which the policy would attach it now.
    pub to: Phase,
    pub fate: PodDisposition,
    /// Why no network joins or leaves it instead; none where one does, and where an option forbids it.
    pub restart: Option<&'static str>,
}

/// What becomes of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodDisposition {
    /// It is evicted, and its owner makes another one.
    Evicted,
    /// It is deleted for good, since the operator named it.
    Deleted,
    /// Its containers end, and kubelet starts them in a new sandbox.
    Restarted,
    /// This network joins it while it runs.
    Joined(Side),
    /// This network leaves it while it runs.
    Left(Side),
    /// It is on its way out already.
    Ends,
    Stays(StayReason),
}

/// Why a pod stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum StayReason {
    /// kubelet made it from a file of the node.
    Static,
    /// No record says what it is attached to.
    Unrecorded,
    /// The API server has no such pod on this node.
    Unknown,
    /// The policy would attach it to the same networks.
    Same,
    /// An annotation asks not to disrupt it.
    Undisturbed,
    EmptyDir,
    OfJob,
    /// No controller makes it again.
    Bare,
    /// Its containers would not start again.
    Once,
    /// A hook would not run.
    PreStop,
    /// Only a restart can change its networks.
    NeedsRestart,
}

impl StayReason {
    /// The reason for people, and what to do about it.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Static => (
                "kubelet made it from a file of the node",
                "move its manifest out of kubelet's directory until the pod is gone, then back",
            ),
            Self::Unrecorded => (
                "no record and no inventory says what it is attached to",
                "look at it with crossfade-bootstrap doctor, then delete the pod",
            ),
            Self::Unknown => (
                "the API server has no such pod on this node, so kubelet ends its sandbox",
                "wait a minute; if the sandbox stays, look at it with crictl pods",
            ),
            Self::Same => (
                "the policy would attach it to the same networks again",
                "flip the policy first, or leave --on out",
            ),
            Self::Undisturbed => (
                "an annotation asks not to disrupt it",
                "name the pod with --disrupt to move it all the same",
            ),
            Self::EmptyDir => (
                "it has an emptyDir, whose data an eviction deletes",
                "say --delete-emptydir-data if the data may be lost, or restart it with --in-place",
            ),
            Self::OfJob => (
                "a Job runs it, and would begin again",
                "let it end, or name it with --disrupt to move it all the same",
            ),
            Self::Bare => (
                "no controller makes it again when it is gone",
                "delete it with --delete-bare, or restart it with --in-place",
            ),
            Self::Once => (
                "its restartPolicy is not Always, so its containers might not start again",
                "evict it: run the command without --in-place",
            ),
            Self::PreStop => (
                "it has a preStop hook, which only kubelet runs",
                "evict it without --in-place, or say --skip-pre-stop if the hook need not run",
            ),
            Self::NeedsRestart => {
                ("only a restart can change its networks", "run the command without --no-restart")
            }
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// Why nothing may be done now, all of it.
    pub refusals: Vec<Problem>,
    /// The pods, in the order in which they go; those that stay are last.
    pub candidates: Vec<Candidate>,
}

#[must_use]
pub fn decide(facts: &Facts, options: &MoveOptions) -> Decision {
    let mut refusals = facts.obstacles.clone();
    // A run flips the node, and lets it move its pods by itself as far as none restarts.
    let is_restarting = options.ways != Ways::NoRestart;
    if let Some(step) = facts.step.as_ref().filter(|step| is_restarting && step.state.is_in_transit()) {
        let what = format!(
            "run {} of kubectl crossfade roll is about to bring this node to phase {}",
            step.run, step.to
        );
        let fix =
            "let the run move the pods, or take the node out of it with kubectl crossfade roll skip or abort";
        refusals.push(Problem::new(what).with_place("the Node's annotation crossfade/step").fix(fix));
    }
    let Some(policy) = &facts.policy else { return Decision { refusals, candidates: Vec::new() } };
    let mut candidates: Vec<Candidate> =
        facts.sandboxes.iter().filter_map(|sandbox| candidate(facts, policy, options, sandbox)).collect();
    // A pod of a DaemonSet comes back to this node at once, and others may need it: the DNS of the node, or a proxy.
    let is_daemon = |candidate: &Candidate| {
        let owner = facts.pod(&candidate.uid).and_then(|pod| pod.owner.as_ref());
        owner.is_some_and(|owner| owner.kind == "DaemonSet")
    };
    candidates.sort_by_cached_key(|candidate| {
        (
            !candidate.fate.is_act(),
            !candidate.fate.is_live(),
            !is_daemon(candidate),
            candidate.namespace.clone(),
            candidate.name.clone(),
            candidate.sandbox.clone(),
        )
    });
    Decision { refusals, candidates }
}

/// A sandbox, if it is not as it would be made now, or has what was asked for.
fn candidate(facts: &Facts, policy: &Policy, options: &MoveOptions, sandbox: &Sandbox) -> Option<Candidate> {
    let title = format!("{}/{}", sandbox.namespace, sandbox.name);
    let is_named = |globs: &[String]| globs.iter().any(|glob| matches(glob, &title));
    if !options.pods.is_empty() && !is_named(&options.pods) {
        return None;
    }
    let pod = facts.pod(&sandbox.uid);
    let to = phase_of(policy, sandbox, pod);
    let line = facts.line(&sandbox.id);
    let from = line.and_then(|line| attached::phase(line, Some(policy)));
    // A second network that is half gone does not count, and its DEL is owed.
    let owes = |line: &Line| line.pod_networks.iter().any(|network| !network.primary && !network.attached);
    let is_right = from == Some(to) && !line.is_some_and(owes);
    let is_wanted = match (&options.selection, line) {
        (None, _) => !is_right,
        (Some(on), Some(line)) => is_selected(line, on, Some(policy)),
        (Some(_), None) => false,
    };
    let mut restart = None;
    let fate = match (line, pod) {
        (None, _) => PodDisposition::Stays(StayReason::Unrecorded),
        (Some(_), None) => PodDisposition::Stays(StayReason::Unknown),
        (Some(_), Some(_)) if is_right => PodDisposition::Stays(StayReason::Same),
        (Some(_), Some(pod)) if pod.is_leaving || pod.has_ended => PodDisposition::Ends,
        (Some(line), Some(pod)) => match change(facts, policy, sandbox, line, pod) {
            Ok(change) if options.ways != Ways::RestartOnly => change,
            Err(_) if options.ways == Ways::NoRestart => PodDisposition::Stays(StayReason::NeedsRestart),
            reason => {
                restart = reason.err();
                fate(pod, options, is_named)
            }
        },
    };
    let (namespace, name, uid) = (sandbox.namespace.clone(), sandbox.name.clone(), sandbox.uid.clone());
    is_wanted.then(|| Candidate {
        namespace,
        name,
        uid,
        sandbox: sandbox.id.clone(),
        from,
        to,
        fate,
        restart,
    })
}

/// The network that joins or leaves a pod while it runs; else why only a restart brings the pod to its networks.
fn change(
    facts: &Facts,
    policy: &Policy,
    sandbox: &Sandbox,
    line: &Line,
    pod: &BoundPod,
) -> Result<PodDisposition, &'static str> {
    let annotation = |key: &str| pod.annotations.get(key).cloned();
    if policy.restarts(&sandbox_pod(sandbox), annotation) {
        return Err("the policy or its annotation crossfade/restart asks for a restart");
    }
    if line.deleted_by.is_some() {
        return Err("its runtime sends the DEL to its network itself, past Crossfade");
    }
    if line.pod_networks.is_empty() {
        return Err("too little is known of its networks");
    }
    let (side, disposition) =
        match decide_change(&line.pod_networks, attach_of(policy, sandbox, Some(pod)), &policy.both) {
            PodChange::Join(side) => (side, PodDisposition::Joined(side)),
            PodChange::Leave => {
                let second = line.pod_networks.iter().find(|network| !network.primary);
                let side = second
                    .and_then(|second| second.side)
                    .ok_or("its second network is not one of the policy's")?;
                (side, PodDisposition::Left(side))
            }
            PodChange::Restart(reason) => return Err(reason.as_str()),
            PodChange::Keep => return Err("too little is known of its networks"),
        };
    if !facts.joining.contains(&side) {
        return Err("the network cannot join or leave a pod that runs, by its profile or the policy");
    }
    if !sandbox.sees_new_interfaces() {
        return Err("its runtime handler reads the interfaces of a sandbox only when that starts");
    }
    Ok(disposition)
}

/// The networks that a pod of this name would get now.
fn attach_of(policy: &Policy, sandbox: &Sandbox, pod: Option<&BoundPod>) -> Attach {
    let annotation = |key: &str| pod.and_then(|pod| pod.annotations.get(key).cloned());
    policy.choose(&sandbox_pod(sandbox), annotation).attach
}

fn sandbox_pod(sandbox: &Sandbox) -> Pod {
    Pod { namespace: Some(sandbox.namespace.clone()), name: Some(sandbox.name.clone()) }
}

/// The phase that a pod of this name would be attached in now.
pub fn phase_of(policy: &Policy, sandbox: &Sandbox, pod: Option<&BoundPod>) -> Phase {
    let attach = attach_of(policy, sandbox, pod);
    let primary = match attach {
        Attach::One(side) => side,
        Attach::Both => policy.both.primary(),
    };
    Phase::new(attach, primary)
}

fn fate(pod: &BoundPod, options: &MoveOptions, is_named: impl Fn(&[String]) -> bool) -> PodDisposition {
    let owner = pod.owner.as_ref().map(|owner| owner.kind.as_str());
    let asks_to_stay =
        STAY.iter().any(|(key, value)| pod.annotations.get(*key).is_some_and(|is| is == value));
    let may_disrupt = is_named(&options.disrupt);
    if pod.is_static {
        PodDisposition::Stays(StayReason::Static)
    } else if asks_to_stay && !may_disrupt {
        PodDisposition::Stays(StayReason::Undisturbed)
    } else if options.in_place {
        match pod {
            pod if !pod.restarts_always => PodDisposition::Stays(StayReason::Once),
            pod if pod.has_pre_stop && !options.skip_pre_stop => PodDisposition::Stays(StayReason::PreStop),
            _ => PodDisposition::Restarted,
        }
    } else if pod.has_empty_dir && !options.delete_empty_dir && owner != Some("DaemonSet") {
        PodDisposition::Stays(StayReason::EmptyDir)
    } else {
        match owner {
            None if is_named(&options.delete_bare) => PodDisposition::Deleted,
            None => PodDisposition::Stays(StayReason::Bare),
            Some("Job") if !may_disrupt => PodDisposition::Stays(StayReason::OfJob),
            Some(_) => PodDisposition::Evicted,
        }
    }
}

impl PodDisposition {
    /// Whether something is done to the pod.
    #[must_use]
    pub const fn is_act(self) -> bool {
        matches!(self, Self::Evicted | Self::Deleted | Self::Restarted) || self.is_live()
    }

    /// Whether the pod runs on while its networks change.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Joined(_) | Self::Left(_))
    }

    /// In one word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evict",
            Self::Deleted => "delete",
            Self::Restarted => "restart",
            Self::Joined(_) => "join",
            Self::Left(_) => "leave",
            Self::Ends => "ends",
            Self::Stays(_) => "stays",
        }
    }
}

impl Candidate {
    /// `NAMESPACE/NAME`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
pub mod tests;
