//! The same histories on the standard plugins: bridge and ptp with host-local and portmap, in real network namespaces.
//!
//! What a real plugin does in the midst of a history is its own business, so the model is weaker: it asks the kernel and
//! host-local. A lease without a record is a leak, at every step; a successful ADD has exactly the leases and interfaces of the
//! networks that the policy chose; a successful DEL leaves none; and at the end nothing is left of anything, in both families.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use lab::{
    case::invariants::{self, Leavings},
    host::deadline::until,
    standin::stub::PATIENCE,
};

use crate::history::{Attach, CONTAINERS, Call, Disk, History, Key, List, Operation, Policy, Side, Thing};
use crate::reference::{Ends, Reference, code};
use crate::stage::{CallObservation, CallOutcome, Programs, Stage, interfaces_here};
use crate::tally::Tally;

struct Real {
    stage: Stage,
    /// Only what does not depend on what plugins do: policy, agents, disk, boot.
    reference: Reference,
    /// Containers in whose netns an earlier attachment may have left its interfaces: a DEL without netns, or a kill.
    dirty: BTreeSet<u8>,
    /// Keys whose ADD succeeded, since nothing else happened to them.
    attached: BTreeMap<Key, Pod>,
}

/// The networks of an attachment.
#[derive(Debug, Clone)]
struct Pod {
    primary: Side,
    /// In the order of ADD: the owner of the default route comes last.
    sides: Vec<Side>,
}

/// What a JOIN or LEAVE does to a pod that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Nothing, with success or this code.
    Nothing(Option<u64>),
    /// It comes to an end, with the pod on these networks; the default route stays where it is.
    Joined(Side),
    Left,
    /// It may have begun and fails.
    HalfLeft,
}

/// Plays a history to its end, where the runtime deletes everything and nothing may be left.
///
/// # Errors
/// The step at which the node is not as promised, in words.
pub(crate) fn play_real(
    history: &History,
    programs: &Programs,
    boot_file: &Path,
    tally: &mut Tally,
) -> Result<()> {
    let stage = Stage::real(&history.setup, programs, boot_file)?;
    let paths = (0..CONTAINERS).map(|container| stage.netns_path(container)).collect();
    let reference = Reference::new(&history.setup, paths);
    let mut real = Real { stage, reference, dirty: BTreeSet::new(), attached: BTreeMap::new() };
    for (number, operation) in history.operations.iter().enumerate() {
        tally.step(operation.name());
        real.step(operation, tally).with_context(|| format!("operation {} ({operation:?})", number + 1))?;
    }
    real.end(tally).context("after the history, when everything is deleted")
}

impl Real {
    fn step(&mut self, operation: &Operation, tally: &mut Tally) -> Result<()> {
        if self.reference.disk == Disk::Full {
            self.stage.set_disk(Disk::Full)?;
        }
        match operation {
            Operation::Call(call) => {
                let valid = self.valid(call);
                let had = self.papers()?;
                let seen = self.stage.run(call, &valid)?;
                tally.outcome(call.name(), seen.ended);
                self.judge(call, &valid, &seen, &had).with_context(|| seen.to_string())?;
            }
            Operation::Killed { call, syscall, nth } => {
                let (valid, had) = (self.valid(call), self.papers()?);
                let seen = self.stage.run_killed(call, &valid, syscall, *nth)?;
                tally.outcome(call.name(), seen.ended);
                match seen.ended {
                    CallOutcome::Killed => self.killed(call),
                    _ => self.judge(call, &valid, &seen, &had).with_context(|| seen.to_string())?,
                }
            }
            Operation::Orphaned { .. } | Operation::Together(_) | Operation::Tear { .. } => {
                bail!("{operation:?} is not for real plugins")
            }
            other => self.change(other)?,
        }
        self.no_lease_without_record()
    }

    fn change(&mut self, operation: &Operation) -> Result<()> {
        match operation {
            Operation::Flip(policy) => {
                self.stage.write_policy(policy, false)?;
                self.reference.flip(*policy);
            }
            Operation::Break(how) => {
                self.stage.break_policy(*how)?;
                self.reference.broken = true;
            }
            Operation::Mend => {
                self.stage.hurry(false)?;
                self.reference.broken = false;
            }
            Operation::Agent { side, thing, there } => self.agent(*side, *thing, *there)?,
            Operation::Disk(disk) => {
                self.stage.set_disk(*disk)?;
                self.reference.disk = *disk;
            }
            Operation::Netns { container, another } => {
                self.netns_gone(*container)?;
                if *another {
                    self.stage.make_netns(*container)?;
                }
            }
            _ => {
                self.stage.reboot()?;
                self.reference.reboot();
                (0..CONTAINERS).try_for_each(|container| self.netns_gone(container))?;
            }
        }
        Ok(())
    }

    fn agent(&mut self, side: Side, thing: Thing, there: bool) -> Result<()> {
        match thing {
            Thing::Conf => self.stage.set_conf(side, there)?,
            Thing::Binary => self.stage.set_binary(side, there)?,
            Thing::Socket => self.stage.set_socket(side, there)?,
        }
        self.reference.agent(side, thing, there);
        Ok(())
    }

    fn netns_gone(&mut self, container: u8) -> Result<()> {
        self.stage.netns_gone(container)?;
        self.dirty.remove(&container);
        self.attached.retain(|key, _| key.container != container);
        Ok(())
    }

    fn valid(&self, call: &Call) -> Vec<Key> {
        match call {
            Call::Gc { list, .. } | Call::Sweep { list, .. } => self.reference.listed(*list),
            _ => Vec::new(),
        }
    }

    fn papers(&self) -> Result<BTreeSet<Key>> {
        Ok(self.stage.papers()?.into_keys().collect())
    }

    fn killed(&mut self, call: &Call) {
        if let Some(key) = call.key() {
            self.attached.remove(&key);
            if !matches!(call, Call::Check { .. }) {
                self.dirty.insert(key.container);
            }
            if matches!(call, Call::Add { .. }) {
                self.reference.sandboxes.insert(key);
            }
        } else {
            self.attached.clear();
            self.dirty.extend(0..CONTAINERS);
        }
    }

    fn judge(
        &mut self,
        call: &Call,
        valid: &[Key],
        seen: &CallObservation,
        had: &BTreeSet<Key>,
    ) -> Result<()> {
        match call {
            Call::Add { key, annotation, .. } => self.add(*key, *annotation, seen, had),
            Call::Del { key, without_netns, .. } => self.del(*key, *without_netns, seen, had),
            Call::Join { key, annotation, .. } => self.judge_change(*key, *annotation, true, seen, had),
            Call::Leave { key, annotation, .. } => self.judge_change(*key, *annotation, false, seen, had),
            Call::Check { key, .. } if !had.contains(key) => allowed(&Ends::code(code::UNKNOWN), seen),
            Call::Check { key, .. } => {
                // portmap 1.1 fails its own CHECK where addresses are of both families.
                let sound = self.attached.contains_key(key) && self.all_binaries() && !key.has_port();
                ensure!(!sound || seen.ended == CallOutcome::Success, "a sound attachment fails its CHECK");
                Ok(())
            }
            Call::Status { .. } => {
                let broken = Ends::code(code::NOT_AVAILABLE);
                allowed(&if self.reference.broken { broken } else { broken.or(Ends::success()) }, seen)
            }
            Call::Gc { list: List::Missing, .. } if !self.reference.broken => {
                ensure!(self.papers()? == *had, "a GC without a list closed records");
                allowed(&Ends::success(), seen)
            }
            Call::Gc { .. } | Call::Sweep { .. } => {
                self.collected(matches!(call, Call::Gc { .. }), valid, seen, had)
            }
        }
    }

    fn all_binaries(&self) -> bool {
        self.reference.agents.iter().all(|agent| agent.binary)
    }

    fn add(
        &mut self,
        key: Key,
        annotation: Option<Attach>,
        seen: &CallObservation,
        had: &BTreeSet<Key>,
    ) -> Result<()> {
        let choice = self.reference.choice(key, annotation);
        if let Some(refused) = self.reference.refusal_of(had.contains(&key), choice) {
            return allowed(&Ends::code(refused), seen);
        }
        // Two attachments to one network in one netns are more than ptp can bear, and what a kill left stands in the way.
        let alone = !had.iter().any(|other| other.container == key.container);
        let fresh = alone && !self.dirty.contains(&key.container);
        if seen.ended != CallOutcome::Success {
            ensure!(!fresh, "the ADD of {key} fails in a fresh netns");
            self.dirty.insert(key.container);
            return Ok(());
        }
        self.reference.sandboxes.insert(key);
        let networks = self.reference.attached_networks(choice);
        let leases: Vec<_> = self.leases_of(key)?;
        let leased: BTreeSet<&str> = leases.iter().map(|(network, _)| network.as_str()).collect();
        let expected: BTreeSet<&str> = networks.iter().map(|side| side.network()).collect();
        let left_out =
            !fresh && self.reference.policy.tolerate && !leased.is_empty() && leased.is_subset(&expected);
        ensure!(
            leased == expected || left_out,
            "{key} has leases of {leased:?}, the policy says {expected:?}"
        );
        ensure!(leases.len() == 2 * leased.len(), "one lease per family: {leases:?}");
        let primary = if choice == Attach::Both { self.reference.policy.primary } else { networks[0] };
        let sides = networks.into_iter().filter(|side| leased.contains(side.network())).collect();
        self.attached.insert(key, Pod { primary, sides });
        let interfaces = self.stage.interfaces(key.container)?;
        for (_, ifname) in &leases {
            ensure!(interfaces.contains(ifname), "{ifname} is not among {interfaces:?}");
        }
        let rules = rules_naming(&key.id())?;
        ensure!(rules.is_empty() != key.has_port(), "the mapped ports of {key} are {rules:?}");
        Ok(())
    }

    /// The pod that is joined or left has exactly the leases and interfaces of the networks that it should have then, and the others keep theirs.
    fn judge_change(
        &mut self,
        key: Key,
        annotation: Option<Attach>,
        is_join: bool,
        seen: &CallObservation,
        had: &BTreeSet<Key>,
    ) -> Result<()> {
        if !had.contains(&key) {
            let refusals = [code::UNKNOWN, code::ENVIRONMENT, code::CONFIG].map(Ends::code);
            return allowed(&refusals.into_iter().fold(Ends::default(), Ends::or), seen);
        }
        let alone = had.iter().filter(|other| other.container == key.container).count() == 1;
        let known = self.attached.get(&key).filter(|_| alone && !self.dirty.contains(&key.container));
        let Some(mut pod) = known.cloned() else {
            self.attached.remove(&key);
            self.dirty.insert(key.container);
            return Ok(());
        };
        let outcome = self.outcome(&pod, self.reference.choice(key, annotation), is_join);
        match outcome {
            Outcome::Nothing(code) => allowed(&code.map_or_else(Ends::success, Ends::code), seen)?,
            Outcome::Joined(side) => {
                allowed(&Ends::success(), seen)?;
                pod.sides.insert(0, side);
            }
            Outcome::Left => {
                allowed(&Ends::success(), seen)?;
                pod.sides.retain(|side| *side == pod.primary);
            }
            Outcome::HalfLeft => {
                ensure!(seen.ended != CallOutcome::Success, "the LEAVE of {key} cannot succeed");
                self.attached.remove(&key);
                self.dirty.insert(key.container);
                return Ok(());
            }
        }
        let leases = self.leases_of(key)?;
        let leased: BTreeSet<&str> = leases.iter().map(|(network, _)| network.as_str()).collect();
        let expected: BTreeSet<&str> = pod.sides.iter().map(|side| side.network()).collect();
        ensure!(leased == expected, "after {outcome:?}, {key} has leases of {leased:?}, not of {expected:?}");
        ensure!(leases.len() == 2 * leased.len(), "one lease per family: {leases:?}");
        let own: BTreeSet<String> = leases.into_iter().map(|(_, ifname)| ifname).collect();
        let interfaces: BTreeSet<String> = self.stage.interfaces(key.container)?.into_iter().collect();
        ensure!(own == interfaces, "after {outcome:?}, {key} has {interfaces:?}, not {own:?}");
        let rules = rules_naming(&key.id())?;
        ensure!(rules.is_empty() != key.has_port(), "the mapped ports of {key} are {rules:?}");
        self.attached.insert(key, pod);
        Ok(())
    }

    /// What a JOIN or LEAVE of a pod does, of which everything is known.
    fn outcome(&self, pod: &Pod, choice: Attach, is_join: bool) -> Outcome {
        let reference = &self.reference;
        let refused = |code: u64| Outcome::Nothing(Some(code));
        if reference.broken {
            return refused(code::CONFIG);
        }
        let primary = match choice {
            Attach::One(side) => side,
            Attach::Both => reference.policy.primary,
        };
        let (second, has_both) = (primary.other(), pod.sides.len() > 1);
        let owner = if choice == Attach::Both { reference.policy.default_route } else { primary };
        if pod.primary != primary || pod.sides.last() != Some(&owner) {
            return refused(code::RESTART);
        }
        let has_binary = reference.agents[second.index()].binary;
        match (choice, has_both, is_join) {
            (Attach::Both, true, _) | (Attach::One(_), false, _) => Outcome::Nothing(None),
            (Attach::Both, false, false) | (Attach::One(_), true, true) => refused(code::CONFIG),
            (Attach::Both, false, true) if !reference.is_up(second) => refused(code::TRY_LATER),
            (Attach::Both, false, true) if !has_binary => refused(code::BINARY),
            (Attach::Both, false, true) if reference.disk != Disk::Sound => refused(code::IO),
            (Attach::Both, false, true) => Outcome::Joined(second),
            (Attach::One(_), true, false) if reference.disk == Disk::ReadOnly => refused(code::IO),
            (Attach::One(_), true, false) if reference.disk == Disk::Full || !has_binary => Outcome::HalfLeft,
            (Attach::One(_), true, false) => Outcome::Left,
        }
    }

    /// Network and ifname of the leases of one attachment, by what its record names.
    fn leases_of(&self, key: Key) -> Result<Vec<(String, String)>> {
        let records = invariants::records(&self.stage.path("state"))?;
        let legs = records
            .into_iter()
            .filter(|record| record.id == key.id() && record.ifname == key.ifname())
            .flat_map(|record| record.legs)
            .collect::<Vec<_>>();
        let leases = self.stage.leases()?.into_iter().filter(|(_, id, _)| *id == key.id());
        Ok(leases
            .map(|(network, _, ifname)| (network, ifname))
            .filter(|lease| legs.contains(lease))
            .collect())
    }

    fn del(
        &mut self,
        key: Key,
        without_netns: bool,
        seen: &CallObservation,
        had: &BTreeSet<Key>,
    ) -> Result<()> {
        if seen.ended != CallOutcome::Success {
            ensure!(had.contains(&key), "a DEL of what is not attached fails");
            ensure!(!self.all_binaries(), "a DEL fails though every plugin is there");
            self.dirty.insert(key.container);
            self.attached.remove(&key);
            return Ok(());
        }
        self.reference.sandboxes.remove(&key);
        self.attached.remove(&key);
        if without_netns && had.contains(&key) {
            self.dirty.insert(key.container);
        }
        let left: BTreeSet<Key> =
            self.papers()?.into_iter().filter(|other| other.container == key.container).collect();
        // A file system that cannot be written keeps the record of what is gone.
        if left.is_empty() || left == BTreeSet::from([key]) && self.reference.disk == Disk::ReadOnly {
            self.nothing_of(key.container)?;
            self.netns_gone(key.container)?;
        }
        Ok(())
    }

    /// Nothing of a container is attached: no lease, no mapped port, and no interface where its DEL could reach it.
    fn nothing_of(&self, container: u8) -> Result<()> {
        let id = format!("c{container}");
        let leases: Vec<_> =
            self.stage.leases()?.into_iter().filter(|(_, container_id, _)| *container_id == id).collect();
        ensure!(leases.is_empty(), "leases of {id} are left: {leases:?}");
        let rules = rules_naming(&id)?;
        ensure!(rules.is_empty(), "mapped ports of {id} are left: {rules:?}");
        let interfaces = self.stage.interfaces(container)?;
        ensure!(
            self.dirty.contains(&container) || interfaces.is_empty(),
            "in the netns of {id} is {interfaces:?}"
        );
        Ok(())
    }

    fn collected(
        &mut self,
        is_gc: bool,
        valid: &[Key],
        seen: &CallObservation,
        had: &BTreeSet<Key>,
    ) -> Result<()> {
        let papers = self.papers()?;
        if self.reference.broken {
            ensure!(papers == *had, "without a policy nothing is collected");
            return allowed(&Ends::code(if is_gc { code::CONFIG } else { code::BAD_SETTINGS }), seen);
        }
        let closed: Vec<Key> = had.difference(&papers).copied().collect();
        let wrong: Vec<&Key> = closed.iter().filter(|key| valid.contains(key)).collect();
        ensure!(wrong.is_empty(), "listed, and closed all the same: {wrong:?}");
        for key in had.iter().filter(|key| !valid.contains(key)) {
            // Whether it is there or half gone, the test does not rely on it any more.
            self.attached.remove(key);
            self.dirty.insert(key.container);
        }
        for key in closed {
            ensure!(self.leases_of(key)?.is_empty(), "{key} was closed and has leases");
        }
        let up = Side::BOTH.iter().all(|side| self.reference.is_up(*side)) || is_gc;
        if self.reference.policy.no_grace
            && self.all_binaries()
            && up
            && self.reference.disk != Disk::ReadOnly
        {
            let left: Vec<&Key> = papers.iter().filter(|key| !valid.contains(key)).collect();
            ensure!(left.is_empty(), "neither listed nor closed: {left:?}");
        }
        Ok(())
    }

    /// At every step: what host-local holds is on record, so that a DEL or a sweep will give it back.
    fn no_lease_without_record(&self) -> Result<()> {
        let records = invariants::records(&self.stage.path("state"))?;
        for (network, id, ifname) in self.stage.leases()? {
            let covered = records.iter().any(|record| {
                record.id == id && record.legs.iter().any(|leg| *leg == (network.clone(), ifname.clone()))
            });
            ensure!(covered, "N1: the lease of {id} {ifname} at {network} is on no record: {records:?}");
        }
        Ok(())
    }

    fn end(&mut self, tally: &mut Tally) -> Result<()> {
        self.change(&Operation::Disk(Disk::Sound))?;
        for side in Side::BOTH {
            for thing in [Thing::Conf, Thing::Binary, Thing::Socket] {
                self.agent(side, thing, true)?;
            }
        }
        self.change(&Operation::Flip(Policy::everything_new()))?;
        for key in Key::all() {
            let call = Call::Del { key, without_netns: false, faults: Vec::new() };
            self.step(&Operation::Call(call), tally).with_context(|| format!("the last DEL of {key}"))?;
        }
        let sweep = Call::Sweep { list: List::Empty, faults: Vec::new() };
        self.step(&Operation::Call(sweep), tally)?;
        for container in 0..CONTAINERS {
            self.nothing_of(container)?;
            self.netns_gone(container)?;
        }
        let veths = || -> Result<Vec<String>> {
            Ok(interfaces_here()?.into_iter().filter(|name| name != "br0").collect())
        };
        // What a DEL without netns had to leave goes with the netns, which the kernel takes down in its own time.
        until("the end of every host end", PATIENCE, || Ok(veths()?.is_empty().then_some(())))
            .with_context(|| format!("left are {:?}", veths()))?;
        let (state, run) = (self.stage.path("state"), self.stage.path("run"));
        let mut findings = invariants::orphans(&invariants::records(&state)?, &BTreeSet::new());
        let left = Leavings::gather(&self.stage.path("absent"), &state, &run)?;
        findings.extend(left.with_processes(self.stage.processes()).findings());
        invariants::hold(&findings)
    }
}

fn allowed(ends: &Ends, seen: &CallObservation) -> Result<()> {
    ensure!(ends.allow(seen.ended), "ended with {:?}, allowed is {ends:?}", seen.ended);
    Ok(())
}

/// Rules of port mappings that name this container, in both families.
fn rules_naming(id: &str) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for program in ["iptables-save", "ip6tables-save"] {
        let output =
            Command::new(program).args(["-t", "nat"]).output().with_context(|| format!("run {program}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let of_it = |line: &&str| line.contains(&format!("id: \\\"{id}\\\""));
        lines.extend(text.lines().filter(of_it).map(|line| format!("{program}: {line}")));
    }
    Ok(lines)
}
