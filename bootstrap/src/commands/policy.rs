//! `policy show|check|set|explain`: the policy of this node.

pub(crate) mod explain;
pub(crate) mod live;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use convergence::failure::Failure;
use convergence::node::facts::NodeFacts;
use convergence::node::policy::file::PolicyFile;
use convergence::node::policy::secondary;
use convergence::report::{Page, Report};
use serde::Serialize;
use serde_json::value::RawValue;
use shim::node::layout::Layout;
use shim::node::store::Store;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::policy::{Phase, Policy};
use types::profile::Profiles;

use crate::change::outcome::ChangeReport;
use crate::cli::{self, Global, print};
use crate::host::root::Root;
use crate::node::networks::unready::{self, UnreadyNetwork};
use crate::node::policy::{self, flip};
use crate::node::{facts, settings};
use crate::runtime::conf_reading;

/// Carries out a verb and prints its answer.
///
/// # Errors
/// Those of the verb; 3 on a node without Crossfade's plugin.
pub(crate) fn answer(global: &Global, verb: &cli::Policy) -> Result<Exit, Failure> {
    let node = facts::gather_from_files(global, settings::require(&Root::new(&global.root))?);
    require_node(&node, verb)?;
    node.dirs.require_readable()?;
    let output = global.output;
    Ok(match verb {
        cli::Policy::Show(_) => print::report(output, &show(&node)?),
        cli::Policy::Check(args) => print::report(output, &check(&node, args.file.as_deref())?),
        cli::Policy::Set(args) => print::report(output, &set(global, &node, args)?),
        cli::Policy::Explain(args) => print::report(output, &explain::explain_pod(&node, args)?),
    })
}

/// `policy show`, and `policy check` without the content.
///
/// *Shape*: `{"file":"..","phase":"old","warnings":["..."],"policy":{..}}`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct PolicyReport {
    file: PathBuf,
    phase: Phase,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<serde_json::Value>"))]
    policy: Option<Box<RawValue>>,
}

impl Report for PolicyReport {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let file = self.file.display();
        match &self.policy {
            None => {
                let _ = writeln!(text, "{file}: valid, phase {}", self.phase);
            }
            Some(policy) => {
                let _ = writeln!(text, "{file}: phase {}", self.phase);
                text.text(&format!("{}\n", policy.get().trim()));
            }
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

/// Whether Crossfade reads a policy on this node. `policy check FILE` may check another node's file, so it is always allowed.
///
/// # Errors
/// 3 on a node without Crossfade's plugin.
fn require_node(node: &NodeFacts, verb: &cli::Policy) -> Result<(), Failure> {
    match verb {
        cli::Policy::Check(args) if args.file.is_some() => Ok(()),
        cli::Policy::Check(_) | cli::Policy::Show(_) | cli::Policy::Set(_) | cli::Policy::Explain(_) => {
            node.without_plugin().map_or(Ok(()), |why| Err(Failure::all(Exit::No, [why])))
        }
    }
}

/// Prints the policy that counts.
///
/// # Errors
/// Bad settings.
fn show(node: &NodeFacts) -> Result<PolicyReport, Failure> {
    let read = node.require_policy()?;
    let text = String::from_utf8_lossy(&read.bytes).into_owned();
    Ok(PolicyReport { policy: RawValue::from_string(text).ok(), ..report(read, &node.profiles) })
}

/// Says whether a policy is valid: the one that counts, or another file, whose path is absolute.
///
/// # Errors
/// Bad settings; usage where the other file is not there.
fn check(node: &NodeFacts, file: Option<&Path>) -> Result<PolicyReport, Failure> {
    let read = match file {
        None => node.require_policy()?.clone(),
        Some(file) if !file.exists() => {
            let place = file.display();
            return Err(Failure::usage(format!("{place}: there is no such file")).with_place(place));
        }
        Some(file) => policy::load(file, &node.profiles).map_err(|why| unusable(why, file))?,
    };
    let place = read.path.clone();
    let usable = read.require_usable(&node.profiles).map_err(|why| unusable(why, &place))?;
    Ok(report(&usable, &node.profiles))
}

fn unusable(why: Problem, place: &Path) -> Failure {
    Failure::from_problem(Exit::BadSettings, why.with_place(place.display().to_string()))
}

fn report(PolicyFile { path, policy, .. }: &PolicyFile, profiles: &Profiles) -> PolicyReport {
    let (phase, warnings) = (policy.phase(), secondary::warnings(policy, profiles));
    PolicyReport { file: path.clone(), phase, warnings, policy: None }
}

/// `policy set`: flips the policy, and says whether the runtime is known to use it.
///
/// # Errors
/// As [`flip::set`]; 3 where a network of the phase is not ready, and `--require-ready` was given.
fn set(global: &Global, node: &NodeFacts, args: &cli::Set) -> Result<ChangeReport, Failure> {
    let late = late_in(node, args.phase);
    if args.require_ready {
        refuse(node, &late)?;
    }
    let set = flip::set(node, args.phase, args.runtime, global.dry_run)?;
    let set = set.with_notes(late.iter().map(UnreadyNetwork::warning).collect());
    let doubt = doubt(node).filter(|_| !global.dry_run);
    Ok(set.with_confirm_error(doubt.map(|why| {
        format!(
            "the policy is set, but it is not confirmed that new pods use Crossfade: {why}; run the command again, or run install, after \
             which the runtime reads Crossfade's conf anew"
        )
    })))
}

/// The networks of a phase that are not ready. Nothing is known of a policy that cannot be flipped, which is reported elsewhere.
fn late_in(node: &NodeFacts, phase: Phase) -> Vec<UnreadyNetwork> {
    let flipped = node.policy.as_ref().ok().and_then(|file| Policy::flip(&file.bytes, phase).ok());
    let policy = flipped.and_then(|bytes| Policy::parse(&bytes).ok());
    policy.map_or_else(Vec::new, |policy| unready::gather(node, &policy))
}

/// Refuses to flip while a network of the phase is not ready.
///
/// # Errors
/// 3, with each such network; usage for a tree, whose networks cannot be asked.
fn refuse(node: &NodeFacts, late: &[UnreadyNetwork]) -> Result<(), Failure> {
    if !Root::new(&node.root).is_node() {
        return Err(Failure::usage(
            "--require-ready: only a node can be asked whether its networks are ready",
        )
        .with_place("--require-ready")
        .fix("leave --require-ready out, or run the command on the node"));
    }
    if late.is_empty() {
        return Ok(());
    }
    let fix = "wait until crossfade-bootstrap status says that it is, or leave --require-ready out";
    Err(Failure::all(Exit::No, late.iter().map(|late| late.problem(fix))))
}

/// Why it is not certain that this node's pods come through Crossfade, where Crossfade's conf is installed and the runtime is a CRI-O that
/// runs. A record of an attachment that began after the conf was written counts as much as the plugin's mark.
fn doubt(node: &NodeFacts) -> Option<String> {
    node.runtime.crio().filter(|_| Root::new(&node.root).is_node())?;
    node.own_conf()?;
    let endpoint = node.runtime.choice.endpoint()?;
    let conf = node.dirs.conf_file();
    // One that does not run reads the conf when it starts.
    let why = conf_reading::problem(endpoint, &conf)?;
    (!attached_since(&node.dirs.layout, &conf)).then_some(why)
}

fn attached_since(layout: &Layout, conf: &Path) -> bool {
    let secs =
        |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let Ok(written) = conf_reading::written_at(conf).map(secs) else { return false };
    let records = Store::new(layout).load_all().map(|(sound, _)| sound).unwrap_or_default();
    records.iter().any(|record| record.intent.began_at.wall_secs > written)
}
