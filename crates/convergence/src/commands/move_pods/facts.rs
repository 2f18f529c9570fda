//! The facts of `move-pods` about the node, gathered anew before each act: pods come and go, and people flip policies meanwhile.

use types::api::step::Step;
use types::command::problem::Problem;
use types::policy::{Policy, Side};

use crate::node::attachments::Line;
use crate::publish::pods::BoundPod;
use crate::runtime::Sandbox;

/// Everything that decides about pods.
#[derive(Debug, Default)]
pub struct Facts {
    /// The policy; none if it cannot be used, which is among the obstacles.
    pub policy: Option<Policy>,
    /// SHA-256 of the policy's bytes, in hex; empty if it cannot be used.
    pub policy_sha256: String,
    /// The policy's networks that can join and leave pods that run.
    pub joining: Vec<Side>,
    /// Why no pod of this node may be moved now.
    pub obstacles: Vec<Problem>,
    /// The step of a run that the Node bears.
    pub step: Option<Step>,
    /// What is attached, by records and inventory.
    pub lines: Vec<Line>,
    /// The sandboxes that run on a pod network.
    pub sandboxes: Vec<Sandbox>,
    /// The pods that are bound to the node.
    pub pods: Vec<BoundPod>,
}

impl Facts {
    /// The pod of this UID, as the runtime knows it.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<&BoundPod> {
        self.pods.iter().find(|pod| pod.uid_on_node() == uid)
    }

    /// The sandboxes of the pod of this UID; more than one while an earlier one ends.
    pub fn sandboxes_of<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a Sandbox> {
        self.sandboxes.iter().filter(move |sandbox| sandbox.uid == uid)
    }

    /// The attachment of a sandbox.
    #[must_use]
    pub fn line(&self, sandbox: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.container_id == sandbox)
    }
}
