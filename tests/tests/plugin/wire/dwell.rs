//! Pods that stay until Calico's agents have acted, several times: seconds after ADD everything works.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::attachment::Attachment;
use crate::echo::{Protocol, ask};
use crate::matrix::Case;
use crate::packets::PacketWatch;
use crate::remains::{Leave, leave};
use crate::space::Space;
use crate::tables::{self, homes};
use crate::topology::{Families, Kind, Side, Topology, topology};

/// Passes of the agents: the second would undo what was only mended after the first.
const SEVERAL: u64 = 3;

/// Every pair with a Calico, each one that is followed, every role, every choice of one and both families.
pub(crate) fn cases() -> Vec<Case> {
    use Kind::{Bridge, Calico, Ptp};
    let pairs = [
        ([Calico, Bridge], Side::Old),
        ([Calico, Ptp], Side::Old),
        ([Bridge, Calico], Side::New),
        ([Ptp, Calico], Side::New),
        ([Calico, Calico], Side::Old),
        ([Calico, Calico], Side::New),
    ];
    let mut leaves = Leave::ALL.into_iter().cycle();
    let mut cases = Vec::new();
    for (kinds, followed) in pairs {
        for (shift, families) in [Families::Dual, Families::V4, Families::V6].into_iter().enumerate() {
            // Another role for each way to end in each choice of families.
            leaves.by_ref().take(usize::from(shift > 0)).for_each(drop);
            for (primary, owner) in
                Side::BOTH.into_iter().flat_map(|first| Side::BOTH.map(|second| (first, second)))
            {
                cases.push(Case {
                    families: [families; 2],
                    primary,
                    owner,
                    leave: leaves.next().unwrap_or(Leave::Orderly),
                    followed: Some(followed),
                    ..Case::with_kinds(kinds)
                });
            }
        }
    }
    cases
}

/// `dwell::followed_old::old-calico-v4_new-bridge-v4::primary_old::default_new`.
pub(crate) fn name(case: &Case) -> String {
    format!("dwell::followed_{}::{}", case.followed.map_or("none", Side::name), case.roles())
}

/// Published, seen several times, and then everybody asks.
pub(crate) fn several_passes(case: Case, id: &str) -> Result<()> {
    let topology = topology()?;
    let mut pod = case.pod(topology, id, Space::pod(id)?)?;
    let watched = PacketWatch::new(&case, &pod)?;
    let reply = pod.add(topology)?;
    topology.calico.publish(&pod, &reply)?;
    pod.respond()?;
    topology.calico.dwell(SEVERAL)?;
    tables::hold(&case, &pod, &reply)?;
    watched.all_questions(topology, &pod).context("after several passes")?;
    pod.check(topology)?;
    known_by_the_primary(topology, &case, &pod)?;
    pod.be_silent()?;
    drop(watched);
    leave(case.leave, topology, pod)?;
    topology.calico.delete(id)
}

/// A policy of Calico's knows the pod by the primary's addresses, whatever the routes are.
fn known_by_the_primary(topology: &Topology, case: &Case, pod: &Attachment) -> Result<()> {
    let Some(followed) = case.followed else { return Ok(()) };
    let mut known = topology.calico.known_by(followed, &pod.id)?;
    let families = [true, false].into_iter();
    let mut primary: Vec<IpAddr> = families
        .flat_map(|is_ipv4| homes(case, pod, case.primary, is_ipv4).map(|home| home.address))
        .collect();
    known.sort();
    primary.sort();
    ensure!(known == primary, "a policy knows {known:?}, the primary has {primary:?}");
    Ok(())
}

/// How a node gets from the old network to the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through all four phases; each network is the second one at times.
    Double,
    /// Through those in which Calico is never the second one.
    Bridge,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Double => "double",
            Self::Bridge => "bridge",
        }
    }

    fn phases(self, followed: Side) -> &'static [&'static str] {
        match (self, followed) {
            (Self::Double, _) => &["old", "both-old", "both-new", "new"],
            (Self::Bridge, Side::Old) => &["old", "both-old", "new"],
            (Self::Bridge, Side::New) => &["old", "both-new", "new"],
        }
    }
}

/// A node that goes through its phases.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    kinds: [Kind; 2],
    followed: Side,
    way: Way,
}

/// Calico leaves, or comes, either way.
pub(crate) fn migrations() -> Vec<Migration> {
    use Kind::{Bridge, Calico, Ptp};
    let pairs = [
        ([Calico, Bridge], Side::Old),
        ([Calico, Ptp], Side::Old),
        ([Bridge, Calico], Side::New),
        ([Ptp, Calico], Side::New),
    ];
    let ways = [Way::Double, Way::Bridge].into_iter();
    ways.flat_map(|way| pairs.map(|(kinds, followed)| Migration { kinds, followed, way })).collect()
}

impl Migration {
    /// `dwell::in_every_phase::double::old-calico_new-ptp`.
    pub(crate) fn name(&self) -> String {
        let [old, new] = self.kinds.map(Kind::name);
        format!("dwell::in_every_phase::{}::old-{old}_new-{new}", self.way.name())
    }

    fn policy(&self, case: &Case, pod: &Attachment, phase: &str) -> Value {
        let mut policy = case.policy(pod);
        if !phase.starts_with("both") {
            policy["attach"] = phase.into();
        }
        if let (Way::Bridge, Some(network)) =
            (self.way, policy["networks"][self.followed.name()].as_object_mut())
        {
            // Nothing is asked of it as the second network.
            network.remove("secondary");
        }
        policy
    }
}

/// Pods of all phases side by side, seen several times after each: everybody reaches everybody, on every address.
pub(crate) fn in_every_phase(migration: Migration, id: &str) -> Result<()> {
    let topology = topology()?;
    let Migration { kinds, followed, way } = migration;
    let mut pods: Vec<Attachment> = Vec::new();
    for phase in way.phases(followed) {
        let primary = if phase.ends_with("old") { Side::Old } else { Side::New };
        let case = Case { primary, owner: primary, followed: Some(followed), ..Case::with_kinds(kinds) };
        let name = format!("{id}-{phase}");
        let mut pod = case.pod(topology, &name, Space::pod(&name)?)?;
        pod.write_policy(&migration.policy(&case, &pod, phase))?;
        let reply = pod.add(topology).with_context(|| format!("phase {phase}"))?;
        topology.calico.publish(&pod, &reply)?;
        pod.respond()?;
        pods.push(pod);
        topology.calico.dwell(SEVERAL)?;
        all_reach_all(&pods).with_context(|| format!("phase {phase}"))?;
    }
    while let Some(mut pod) = pods.pop() {
        pod.be_silent()?;
        pod.del(topology)?;
        topology.calico.delete(&pod.id)?;
        drop(pod);
        topology.calico.dwell(1)?;
        all_reach_all(&pods).context("after the last one has left")?;
    }
    Ok(())
}

fn all_reach_all(pods: &[Attachment]) -> Result<()> {
    for (asker, target) in pods.iter().flat_map(|first| pods.iter().map(move |second| (first, second))) {
        for home in target.homes().iter().filter(|_| asker.id != target.id) {
            ask(&asker.space, None, home.address, Protocol::Tcp)
                .with_context(|| format!("{} asks {} on {}", asker.id, target.id, home.ifname))?;
        }
    }
    Ok(())
}
