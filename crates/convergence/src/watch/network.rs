//! The readiness of one network, and the changes that follow from it.

use types::policy::Side;
use types::profile::{Profile, Proof};
use types::status::ProofState;

use crate::change::{Act, Change};
use crate::node::agent::own_command::{OwnCommand, proof_within_secs};
use crate::node::networks::gated;
use crate::node::networks::readiness::unusable_reason;
use crate::watch::memory::AgentState;
use crate::watch::observation::{NetworkObservation, Observation};
use crate::watch::proof::{self, ProofInputs, Proofs};

/// The verdict on one network.
#[derive(Debug)]
pub struct NetworkVerdict {
    /// Whether the network is the policy's `old` or `new`.
    pub side: Side,
    /// Whether pods may get the network; else the reason.
    pub ready: Result<(), String>,
    /// How far its proof is.
    pub proof: ProofState,
    /// Why there is no proof although there should be one.
    pub unproven: Option<String>,
    /// What its proof did not find, although pods get the network.
    pub degraded: Option<String>,
    pub changes: Vec<Change>,
}

/// Judges one network; `standing` is brought up to date. Only networks that pods may get now (`needed`) are proven.
#[must_use]
pub fn judge(
    facts: &Observation,
    network: &NetworkObservation,
    agent_state: &mut AgentState,
    needed: bool,
) -> NetworkVerdict {
    let mut changes = marker(facts, network);
    let profile = facts.node.profiles.find(&network.profile);
    let allowed = profile.map_or(Proof::Probe, |profile| profile.proof);
    let proof = allowed.min(facts.node.settings.proof);
    let conf_error = network.conf.as_ref().err();
    let why = unusable_reason(conf_error, &network.missing, &network.probe_answers.all);
    let usable = why.map_or(Ok(()), |why| Err(why.clone()));
    let first = *agent_state == AgentState::default();
    if first {
        agent_state.proofs = Proofs::resume(network.proof.as_ref(), proof, network.marked);
    }
    let was_green = std::mem::replace(&mut agent_state.green, usable.is_ok());
    let agent = std::mem::replace(&mut agent_state.agent, network.agent.clone());
    if !first && usable.is_ok() && (!was_green || agent != network.agent) {
        agent_state.proofs.restart();
    }
    let mut verdict = NetworkVerdict {
        side: network.side,
        ready: usable,
        proof: ProofState::None,
        unproven: None,
        degraded: None,
        changes: Vec::new(),
    };
    if proof != Proof::Probe && needed && verdict.ready.is_ok() {
        let inputs = ProofInputs {
            strongest_proof: proof,
            was_ready: network.marked,
            has_other_network: facts.node.policy().is_some_and(|policy| policy.networks().count() > 1),
            now: facts.now,
        };
        if agent_state.proofs.step(network.proof.as_ref(), inputs) {
            changes.push(start(facts, network.side, (proof, agent_state.proofs.turn)));
        }
        verdict.degraded = agent_state.proofs.degraded_reason().map(str::to_owned);
        verdict.ready = agent_state.proofs.verdict(network.side);
        verdict.proof = agent_state.proofs.state();
        if let proof::Progress::Unavailable(why) = &agent_state.proofs.progress {
            verdict.unproven = Some(why.clone());
        }
    }
    if let (Ok(()), Ok((name, path)), false) = (&verdict.ready, &network.conf, network.marked) {
        let act = Act::Mark {
            layout: Box::new(facts.node.dirs.layout.clone()),
            name: name.clone(),
            conf: path.clone(),
        };
        changes.push(Change::new(act, name, "ready for the first time in this boot"));
    }
    verdict.changes = changes;
    verdict
}

/// The file that stands for all probes where an ADD cannot ask them.
fn marker(facts: &Observation, network: &NetworkObservation) -> Vec<Change> {
    let (dir, there) = &facts.probed;
    let path = dir.join(network.side.as_str());
    let change = match (&network.probe_answers.marker, there.contains(&network.side)) {
        (Some(Ok(())), false) => gated::marker(path, &network.profile),
        (Some(Err(why)), true) => Change::remove(path, false, why),
        // `install` writes it before the policy that waits for it.
        (None, true) if facts.node.profiles.find(&network.profile).is_some_and(Profile::needs_watch) => {
            return Vec::new();
        }
        (None, true) => Change::remove(path, false, "the policy does not wait for it"),
        _ => return Vec::new(),
    };
    vec![change]
}

fn start(facts: &Observation, side: Side, (proof, turn): (Proof, u64)) -> Change {
    let arguments =
        OwnCommand::prove(side, turn, &facts.node.dirs.conf_dir, &facts.cni.plugins.paths()).into_words();
    let unit = proof::unit(side);
    let act = Act::Start { unit: unit.clone(), arguments, within_secs: proof_within_secs(proof) };
    let what = if proof == Proof::Packet {
        "two scratch namespaces that exchange packets"
    } else {
        "a scratch namespace"
    };
    Change::new(act, unit, format!("network {side} is to attach, check and detach {what}"))
}
