//! `prove`: real ADDs, CHECKs and DELs of one network through the installed shim, in scratch namespaces that exchange packets.
//!
//! It runs in a unit of its own, for delegates do as they please. The shim gets a policy, records and locks of its own below
//! RUN/proof, so that nothing of it is taken for a pod; what a killed proof left is ended by the next one first, from those records.
//! The verdict goes to a file ([`super::proof::ProofResult`]); the exit status says whether there is one.

mod exchange;
mod scene;

use std::time::Duration;

use convergence::change::Write;
use convergence::failure::Failure;
use convergence::report::{Page, Report};
use convergence::watch::packets::plan::allowed_paths;
use convergence::watch::proof::ProofResult;
use serde::Serialize;
use shim::attachment::conflist::Conflist;
use shim::host::{boot, file};
use types::command::exit::Exit;
use types::command::problem::{Problem, Subject};
use types::packets::{PacketPath, Packets};
use types::policy::{Network, Side};
use types::profile::{Profiles, Proof};

use self::exchange::exchange;
use self::scene::Scene;
use super::proof::{self, answers};
use crate::change;
use crate::cli::{Global, Prove, print};
use crate::node::facts;

/// Longest reason that is kept, in bytes.
const MAX_WHY_BYTES: usize = 2048;

/// Proves one network, and leaves the verdict.
///
/// # Errors
/// When there is no verdict: bad settings, another proof that runs, no namespace to be had.
pub(crate) fn prove(global: &Global, args: &Prove) -> Result<Exit, Failure> {
    let node = facts::gather_certain(global)?;
    let (policy, layout) = (&node.require_policy()?.policy, &node.dirs.layout);
    let side = args.network;
    let network = policy.network(side).ok_or_else(|| {
        let problem = Problem::new(format!("the policy has no network {side}")).with_subject(Subject::Policy);
        let file = layout.policy_file().display().to_string();
        Failure::from_problem(Exit::BadSettings, problem.with_place(file))
    })?;
    let proof = strongest_proof(side, network, node.settings.proof, &node.profiles)?;
    let (list, _) = Conflist::load(&network.conf).map_err(|why| Failure::new(Exit::No, why))?;
    let now = boot::now().map_err(|e| Failure::new(Exit::Failed, e))?;
    let answers = answers(layout, side);
    let mut scene = Scene::set_up(layout, network, args, &answers)?;
    let plugins = list.plugins.iter().map(|plugin| plugin.plugin_type.as_str());
    let allowed =
        allowed_paths(node.settings.packets.paths.as_deref(), &network.profile, plugins, &node.profiles);
    let is_pair = proof == Proof::Packet && allowed.contains(&PacketPath::PodToPod);
    let id = format!("crossfade-proof-{side}-{}", now.boottime_ms);
    let attached = scene.attach(&id, &list, is_pair, |pods, refused| {
        (proof == Proof::Packet)
            .then(|| exchange(&node, network, (pods, refused), (&allowed, Duration::from_secs(args.timeout))))
    });
    let (packets, failed) = match attached {
        Ok(Some((packets, failed))) => (Some(packets), failed),
        Ok(None) => (None, None),
        Err(why) => (None, Some(why)),
    };
    let result = ProofResult {
        version: 1,
        network: side,
        name: list.name,
        turn: args.turn,
        boot_id: now.boot_id,
        proof,
        failed: failed.map(|why| why[..why.floor_char_boundary(MAX_WHY_BYTES)].to_owned()),
        packets,
    };
    let bytes = serde_json::to_vec(&result).unwrap_or_default();
    let write = Write { path: proof::result(layout, side), bytes, mode: file::PRIVATE, nudge: false };
    change::write(&write).map_err(|e| {
        let path = write.path.display();
        Failure::new(Exit::Failed, format!("write {path}: {e}")).with_place(path)
    })?;
    match result.failed {
        None => Ok(print::report(
            global.output,
            &ProofReport { network: result.network, proof, packets: result.packets },
        )),
        Some(why) => {
            let failure = Failure::new(Exit::No, format!("network {side}: {why}"))
                .with_place(format!("network {side}"));
            let exchanges =
                result.packets.map(|_| format!("look at {}, which has every exchange", write.path.display()));
            Err(exchanges.into_iter().fold(failure, |failure, fix| failure.fix(fix)))
        }
    }
}

/// A proof that passed.
///
/// *Shape*: `{"network":"new","by":"packet","packets":{..}}`, with `packets` null for a proof by attachment.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ProofReport {
    network: Side,
    #[serde(rename = "by")]
    proof: Proof,
    packets: Option<Packets>,
}

impl Report for ProofReport {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let how = if self.packets.is_some() {
            "scratch namespaces, and packets passed"
        } else {
            "a scratch namespace"
        };
        let _ = writeln!(text, "network {}: attached, checked and detached {how}", self.network);
        for exchange in self.packets.iter().flat_map(|packets| &packets.exchanges) {
            let from = exchange.from.map_or_else(|| "the node".into(), |from| from.to_string());
            let size = exchange.passes.map(|passes| format!(", {passes} bytes")).unwrap_or_default();
            let (path, protocol) = (exchange.path.words(), exchange.protocol.word());
            let outcome = exchange.outcome.words();
            let _ = writeln!(text, "{path}: {protocol} from {from} to {}: {outcome}{size}", exchange.to);
        }
        for note in self.packets.iter().flat_map(|packets| &packets.notes) {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }
}

/// The strongest proof that the network's profile and node.json allow. A person who asks for a proof by hand gets one, although node.json may say
/// that `watch` makes none.
///
/// A network whose CNI attaches only sandboxes of real Pods is refused: the proof's ADD would fail, or leave something that no later DEL finds.
fn strongest_proof(
    side: Side,
    network: &Network,
    requested: Proof,
    profiles: &Profiles,
) -> Result<Proof, Failure> {
    let Some(profile) = profiles.find(&network.profile) else { return Ok(Proof::Attach) };
    match (profile.proof, requested) {
        (Proof::Probe, _) => {}
        (_, Proof::Probe) => return Ok(Proof::Attach),
        (allowed, requested) => return Ok(allowed.min(requested)),
    }
    let source = profile.sources.get("proof").map_or("", String::as_str);
    let why = format!(
        "network {side}: a scratch namespace proves nothing of {}, whose readiness is told by its probes alone ({source})",
        profile.name
    );
    let fix = "look at crossfade-bootstrap status, which says what they say";
    Err(Failure::new(Exit::No, why).with_place(format!("network {side}")).fix(fix))
}
