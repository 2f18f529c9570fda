//! The matrix: families x plugins x primary x owner, each an ADD, its packets, a CHECK and a DEL.
//! Nothing is left out, the pairs that mirror each other neither.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::attachment::Attachment;
use crate::packets::PacketWatch;
use crate::remains::{Leave, leave};
use crate::space::Space;
use crate::tables;
use crate::topology::{Families, Kind, Network, Side, Topology, topology};

/// One cell of the matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) kinds: [Kind; 2],
    pub(crate) families: [Families; 2],
    pub(crate) primary: Side,
    pub(crate) owner: Side,
    pub(crate) leave: Leave,
    /// Name of the secondary's interface.
    pub(crate) secondary: &'static str,
    /// The Calico network whose agents know the pod; such a network may only be the second one with a host route.
    pub(crate) followed: Option<Side>,
}

const FAMILIES: [[Families; 2]; 7] = [
    [Families::Dual, Families::Dual],
    [Families::V4, Families::V4],
    [Families::V6, Families::V6],
    [Families::V4, Families::Dual],
    [Families::Dual, Families::V4],
    [Families::V6, Families::Dual],
    [Families::Dual, Families::V6],
];

/// All cases, each with a way to end of its own; every pair of plugins sees all of these.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for old in Kind::ALL {
        for new in Kind::ALL {
            for (shift, families) in FAMILIES.into_iter().enumerate() {
                // Another role for each way to end in each choice of families.
                let mut leaves = Leave::ALL.into_iter().cycle().skip(shift);
                for (primary, owner) in
                    Side::BOTH.into_iter().flat_map(|first| Side::BOTH.map(|second| (first, second)))
                {
                    let leave = leaves.next().unwrap_or(Leave::Orderly);
                    cases.push(Case { families, primary, owner, leave, ..Case::with_kinds([old, new]) });
                }
            }
        }
    }
    cases
}

impl Case {
    /// Two networks of these kinds, old being the primary, new the owner, both dual.
    pub(crate) fn with_kinds(kinds: [Kind; 2]) -> Self {
        Self {
            kinds,
            families: [Families::Dual; 2],
            primary: Side::Old,
            owner: Side::New,
            leave: Leave::Orderly,
            secondary: "net1",
            followed: None,
        }
    }

    /// `matrix::old-ptp-v4_new-bridge-dual::primary_old::default_new::leaves_orderly`.
    pub(crate) fn name(&self) -> String {
        format!("matrix::{}::leaves_{}", self.roles(), self.leave.name())
    }

    /// `old-ptp-v4_new-bridge-dual::primary_old::default_new`.
    pub(crate) fn roles(&self) -> String {
        let side = |side: Side| {
            format!("{}-{}-{}", side.name(), self.network(side).kind.name(), self.families_of(side))
        };
        let (primary, owner) = (self.primary.name(), self.owner.name());
        format!("{}_{}::primary_{primary}::default_{owner}", side(Side::Old), side(Side::New))
    }

    pub(crate) fn network(&self, side: Side) -> Network {
        Network { side, kind: self.kinds[side as usize] }
    }

    pub(crate) fn families_of(&self, side: Side) -> Families {
        self.families[side as usize]
    }

    /// Who the default route of a family belongs to: the owner, or the other where the owner gives none.
    pub(crate) fn default_of(&self, is_ipv4: bool) -> Option<Side> {
        [self.owner, self.owner.other()].into_iter().find(|side| self.families_of(*side).has(is_ipv4))
    }

    /// Interface of a side in the pod.
    pub(crate) fn ifname(&self, side: Side) -> &'static str {
        if side == self.primary { "eth0" } else { self.secondary }
    }

    pub(crate) fn policy(&self, pod: &Attachment) -> Value {
        let network = |side| json!({"conf": [pod.conf_path(side)], "cidrs": self.network(side).cidrs()});
        let mut policy = json!({
            "version": 1,
            "networks": {"old": network(Side::Old), "new": network(Side::New)},
            "attach": "both",
            "both": {"primary": self.primary.name(), "defaultRoute": self.owner.name()},
        });
        if let Some(side) = self.followed {
            policy["networks"][side.name()]["secondary"] = json!("hostRoute");
        }
        policy
    }

    /// A pod of this case in `space`, about to be attached.
    pub(crate) fn pod(&self, topology: &Topology, id: &str, space: Space) -> Result<Attachment> {
        let pod = Attachment::new(topology, id, space)?;
        for side in Side::BOTH {
            let mut conf = self.network(side).conflist(1, self.families_of(side), &topology.leases[0]);
            if self.followed == Some(side) {
                topology.calico.follow(&mut conf, side, 1);
            }
            pod.write_conf(side, &conf)?;
        }
        pod.write_policy(&self.policy(&pod))?;
        Ok(pod)
    }

    /// The whole life of a pod.
    pub(crate) fn run(&self, id: &str) -> Result<()> {
        self.run_in(id, Space::pod(id)?)
    }

    /// The same in a netns that the test has prepared.
    pub(crate) fn run_in(&self, id: &str, space: Space) -> Result<()> {
        let topology = topology()?;
        let mut pod = self.pod(topology, id, space)?;
        let watched = PacketWatch::new(self, &pod)?;
        let reply = pod.add(topology)?;
        tables::hold(self, &pod, &reply)?;
        pod.respond()?;
        watched.all_questions(topology, &pod)?;
        as_an_agent_would(self, &pod)?;
        pod.check(topology).context("after an agent's changes")?;
        pod.be_silent()?;
        drop(watched);
        leave(self.leave, topology, pod)
    }
}

/// What agents do to pods of theirs that run: another MTU, a neighbour that is known for good.
fn as_an_agent_would(case: &Case, pod: &Attachment) -> Result<()> {
    for ifname in Side::BOTH.map(|side| case.ifname(side)) {
        pod.space.ip(&format!("link set {ifname} mtu 1400"))?;
        pod.space.ip(&format!(
            "neighbour replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev {ifname} nud permanent"
        ))?;
    }
    Ok(())
}
