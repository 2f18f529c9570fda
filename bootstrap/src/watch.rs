//! `watch`: converges, then waits; any event means "converge again".
//!
//! One round is gather ([`observe`]) -> decide ([`decide`], pure) -> apply ([`apply`]) -> report; [`reconcile`] is the loop around it. No
//! delegate runs in here: proofs ([`prove`]) and sweeps are units of their own. Pods do not depend on this program: what it
//! wrote stays when it ends, however it ends.

pub(crate) mod apply;
pub(crate) mod lock;
pub(crate) mod observe;
pub(crate) mod packets;
pub(crate) mod pod;
pub(crate) mod proof;
pub(crate) mod prove;
pub(crate) mod reconcile;
pub(crate) mod textfile;

use std::sync::mpsc::Sender;
use std::time::Duration;

use convergence::change::{Change, Write};
use convergence::failure::Failure;
use convergence::node::attachments::last_pass::Pass;
use convergence::node::paths::{STATUS, WITHOUT};
use convergence::node::settings::Settings;
use convergence::report::{Page, Report};
use convergence::watch::passes::Passes;
use convergence::watch::{decide, memory};
use serde::Serialize;
use shim::host::process::Process;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::status::Reason;

use self::observe::PriorFacts;
use crate::change::outcome::{ChangeReport, finish};
use crate::cli::{Global, Output, Watch, print};
use crate::host::events;
use crate::host::root::Root;
use crate::node::agent::status_file;
use crate::node::settings::mode;
use crate::publish::report::{Credential, Publish};
use crate::publish::{Publisher, reporter};
use crate::runtime::facts;

/// The node on which `watch` works, and how it was started.
#[derive(Debug)]
pub(crate) struct Scope {
    /// The global options of the command line.
    pub global: Global,
    /// The root of the node's files.
    pub root: Root,
    /// Whether `watch` runs in a pod.
    pub in_pod: bool,
}

impl Scope {
    /// Who tells the API server, where this node has a kubelet and node.json does not say otherwise. It is asked until there is one:
    /// what node.json says against it afterwards counts from the next start.
    ///
    /// A node.json that cannot be used is among what is to be told. The node is not reported while it is not known whether to report it,
    /// and with which credential.
    #[must_use]
    pub(crate) fn publisher(
        &self,
        settings: &Settings,
        wake: &Sender<events::WakeReason>,
    ) -> Option<Box<dyn Publish>> {
        let credential = self.credential(settings)?;
        let wake = wake.clone();
        let publisher = Publisher::start(credential, move |phase| {
            // A loop that has ended follows nothing any more.
            let _ = wake.send(events::WakeReason::Desired(phase));
        });
        match publisher {
            Ok(publisher) => Some(Box::new(publisher)),
            Err(error) => {
                tracing::warn!(error = error.to_string(), "this node is not reported to the API server");
                None
            }
        }
    }
}

impl Scope {
    /// With whose credential this node is reported.
    fn credential(&self, settings: &Settings) -> Option<Credential> {
        let is_known = ["report", "kubelet"].into_iter().all(|key| settings.understands(key));
        reporter(&self.root, &settings.node).filter(|_| is_known)
    }
}

/// Watches.
///
/// # Errors
/// 2 for options that need `--once`; 75 when another `watch` runs here.
pub(crate) fn watch(global: &Global, args: &Watch) -> Result<Exit, Failure> {
    let scope = Scope { global: global.clone(), root: Root::new(&global.root), in_pod: args.pod };
    let settings = || mode::settings(&scope.root);
    if args.once && global.dry_run {
        let settings = settings();
        return match settings.without_plugin() {
            Some(why) => run_without_settings(&scope, &why.to_string()),
            None => run_once(&scope, &settings),
        };
    }
    if global.dry_run {
        return Err(Failure::usage("--dry-run needs --once: without it watch runs until it is ended")
            .with_place("--dry-run")
            .fix("add --once"));
    }
    if global.output == Output::Json && !args.once {
        return Err(Failure::usage(
            "--output json needs --once: the watch that goes on reports in status.json",
        )
        .with_place("--output")
        .fix("add --once, or follow the report with crossfade-bootstrap status --follow --output json"));
    }
    let _lock = if args.pod { pod::turn(&scope.root)? } else { lock::hold(&scope.root)? };
    shim::host::journal::init();
    let settings = settings();
    if let Some(why) = settings.without_plugin() {
        let exit = run_without_settings(&scope, &why.to_string())?;
        // With this status its unit stays down.
        let is_unit = !args.once && !args.pod;
        return Ok(if is_unit && exit == Exit::Done { Exit::No } else { exit });
    }
    if args.once { run_once(&scope, &settings) } else { reconcile::run(&scope, settings) }
}

/// Handles a node without Crossfade's plugin: there is nothing to observe, and a marker keeps the unit from starting again in this boot.
fn run_without_settings(scope: &Scope, why: &str) -> Result<Exit, Failure> {
    let marker = Write { path: scope.root.join(WITHOUT), bytes: Vec::new(), mode: 0o644, nudge: false };
    let changes = vec![Change::ensure(marker, "there is nothing to watch")];
    tracing::info!(event = "Ended", "{why}");
    let changes = finish(&scope.global, changes, vec![why.to_owned()])?;
    // The supervisor that started it waits for this word.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    Ok(print::report(scope.global.output, &changes))
}

/// What one pass found and did.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Round {
    #[serde(flatten)]
    changes: ChangeReport,
    ready: bool,
    reason: Reason,
    message: String,
}

impl Report for Round {
    fn human(&self) -> Page {
        let mut text = self.changes.human();
        let _ = writeln!(text, "{}: {}", self.reason, self.message);
        text
    }

    fn exit(&self) -> Exit {
        match self.changes.exit() {
            Exit::Done if !self.ready && self.reason != Reason::SwitchedOff => Exit::No,
            exit => exit,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let not_ready = (self.exit() == Exit::No).then(|| {
            let problem =
                Problem::new(format!("{}: {}", self.reason, self.message)).with_place("the node's readiness");
            problem.fix(convergence::node::agent::status_file::NOT_READY)
        });
        self.changes.problems().into_iter().chain(not_ready).collect()
    }
}

fn run_once(scope: &Scope, settings: &Settings) -> Result<Exit, Failure> {
    let me = Process::current().map_err(|e| Failure::new(Exit::Failed, e))?;
    let before = status_file::read_of_this_boot(&scope.root.join(STATUS));
    let memory =
        memory::Memory { sweeps: Passes::never(Pass::Sweep), ..memory::Memory::from_status(before.as_ref()) };
    let runtime = facts::ask(facts::gather_configured(&scope.root, &settings.node));
    let prior = PriorFacts { settings, runtime, before: None, in_pod: scope.in_pod };
    let facts = observe::gather(&scope.global, prior, Duration::ZERO);
    let decision = decide::decide(&facts, &memory, me);
    let notes: Vec<String> = decision
        .happened
        .iter()
        .map(|event| format!("{}: {}", event.reason.as_str(), event.message))
        .collect();
    let changes = if scope.global.dry_run {
        ChangeReport::from_plan(decision.changes, notes)
    } else {
        let mut not_started = Vec::new();
        let done = apply::apply(&scope.root, decision.changes, |act| {
            not_started.extend(apply::start_unit(&scope.global, act).err());
        });
        let written = apply::report(&scope.root.join(STATUS), &status_file::bytes(&decision.document));
        let mut notes = notes;
        notes.extend(not_started);
        notes.extend(written.err().map(|e| format!("write {STATUS}: {e}")));
        ChangeReport::from_done(done, notes)
    };
    let round = Round {
        changes,
        ready: decision.report.ready,
        reason: decision.report.reason,
        message: decision.report.message,
    };
    Ok(print::report(scope.global.output, &round))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With an invalid node.json, `report.node` counts if it parses; otherwise the node is not reported.
    #[test]
    fn a_broken_node_json_is_reported_unless_it_may_say_otherwise() {
        let dir = tempfile::Builder::new().tempdir_in("/var/tmp").expect("scratch");
        for place in ["etc/crossfade", "etc/systemd/system"] {
            std::fs::create_dir_all(dir.path().join(place)).expect("directory");
        }
        let unit = "[Service]\nExecStart=/usr/bin/kubelet --kubeconfig=/k\n";
        std::fs::write(dir.path().join("etc/systemd/system/kubelet.service"), unit).expect("unit");
        let global = Global { root: dir.path().into(), ..Global::new(Output::Human) };
        let scope = Scope { root: Root::new(dir.path()), global, in_pod: false };
        for (text, has_credential) in [
            (r#"{"version": 1}"#, true),
            (r#"{"version": 1, "lables": {}}"#, true),
            (r#"{"version": 1, "report": {"node": false}}"#, false),
            (r#"{"version": 1, "lables": {}, "report": {"node": false}}"#, false),
            (r#"{"version": 1, "report": {"nodes": false}}"#, false),
            (r#"{"version": 1, "kubelet": {"kubeconfg": "/other"}}"#, false),
            (r#"{"version": 1, "report": {"node": false}"#, false),
        ] {
            std::fs::write(dir.path().join("etc/crossfade/node.json"), text).expect("node.json");
            assert_eq!(scope.credential(&mode::settings(&scope.root)).is_some(), has_credential, "{text}");
        }
    }
}
