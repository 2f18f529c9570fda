//! `render --check`: the checks of the registration that are possible when an image is built.

use std::path::Path;

use convergence::failure::Failure;
use convergence::kubelet::{refusals, registration};
use convergence::node::paths::{KUBELET_ENV, PACKAGED};
use convergence::report::{Page, Report};
use serde::Serialize;
use types::api::taint;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::node::Node;

use super::own_registration::{absent, own_registration, speaks};
use crate::host::root::Root;
use crate::kubelet::sources;
use crate::node::switch;
use crate::systemd::continuation::{self, Role};
use crate::systemd::unit::Unit;

/// There is nothing against it.
///
/// *Shape*: `{"arguments":["--node-labels=a=b"],"notes":[".."]}`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Checked"))]
pub(crate) struct RegistrationReport {
    arguments: Vec<String>,
    notes: Vec<String>,
}

impl RegistrationReport {
    /// What kubelet is told.
    #[must_use]
    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }
}

impl Report for RegistrationReport {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let _ = match self.arguments.as_slice() {
            [] => writeln!(text, "Crossfade adds nothing to kubelet's command line"),
            arguments => writeln!(text, "Crossfade adds to kubelet's command line: {}", arguments.join(" ")),
        };
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }
}

/// How far the way from node.json to kubelet's command line is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckDepth {
    /// To what systemd has loaded.
    Loaded,
    /// To the units' files: systemd has not read them yet, or is another one's.
    Files,
    /// Not at all: only what is said counts.
    Unasked,
}

/// Checks the labels and taints of node.json, and their way to kubelet's command line.
///
/// # Errors
/// 3 with every finding.
pub(crate) fn check(root: &Root, node: &Node, depth: CheckDepth) -> Result<RegistrationReport, Failure> {
    let mut findings: Vec<Problem> = refusals(node).into_iter().map(Problem::from).collect();
    findings.extend(node.taints.iter().filter_map(taint::doubt).map(Problem::from));
    let mut notes: Vec<String> = switch::off_switch(root).iter().map(ToString::to_string).collect();
    let mut arguments = Vec::new();
    if node.kubelet.register {
        arguments = check_registered(root, node, depth, (&mut findings, &mut notes));
    } else if !node.labels.is_empty() || !node.taints.is_empty() {
        notes.push("node.json says kubelet.register: false, so its labels and taints reach kubelet through a fragment (render --print)".into());
    }
    if findings.is_empty() {
        Ok(RegistrationReport { arguments, notes })
    } else {
        let step = "correct node.json or what the message names, then run crossfade-bootstrap unit render --check again";
        let complete = |problem: Problem| if problem.fix.is_empty() { problem.fix(step) } else { problem };
        Err(Failure::all(Exit::No, findings.into_iter().map(complete)))
    }
}

/// What node.json comes to on kubelet's command line; returns Crossfade's flags.
fn check_registered(
    root: &Root,
    node: &Node,
    depth: CheckDepth,
    (findings, notes): (&mut Vec<Problem>, &mut Vec<String>),
) -> Vec<String> {
    let own = own_registration(root, node);
    let speaks = speaks(root, node);
    let unit = match Unit::load(root, &node.kubelet.unit) {
        Ok(Some(unit)) => unit,
        Ok(None) => {
            let matters = speaks && depth != CheckDepth::Unasked;
            let problem = absent(&node.kubelet.unit);
            if matters {
                findings.push(problem)
            } else {
                notes.push(problem.into())
            }
            return Vec::new();
        }
        Err(why) => {
            findings.push(why.into());
            return Vec::new();
        }
    };
    let problems = obstacles(root, node, &unit, depth);
    if speaks {
        findings.extend(problems)
    } else {
        notes.extend(problems.into_iter().map(String::from))
    }
    notes.extend(
        unit.absent_files()
            .iter()
            .map(|file| format!("{} is not there yet; {} names it", file.display(), unit.name())),
    );
    // The generator has named what is wrong.
    let Ok(kubelet_sources) = sources::gather(root, &unit) else { return Vec::new() };
    let registration = registration::decide(&own, &kubelet_sources);
    let absent_notes = kubelet_sources.absent_notes();
    findings.extend(kubelet_sources.broken.into_iter().chain(registration.conflicts).map(Problem::from));
    notes.extend(registration.notes);
    notes.extend(absent_notes);
    registration.arguments
}

/// What keeps Crossfade's flags from kubelet's command line.
fn obstacles(root: &Root, node: &Node, unit: &Unit, depth: CheckDepth) -> Vec<Problem> {
    let mut problems = Vec::new();
    if depth == CheckDepth::Unasked {
        return problems;
    }
    problems.extend(continuation::require_installed(root).err());
    problems.extend(continuation::continuation(root, unit, Role::Kubelet).err());
    if problems.is_empty() && depth == CheckDepth::Loaded && switch::off_switch(root).is_none() {
        problems.extend(continuation::check(root, node, unit.name()).err());
    }
    if !unit.environment_files().iter().any(|file| file == Path::new(KUBELET_ENV))
        && !continuation::brings_drop_in(root, unit, Role::Kubelet)
    {
        let unit = unit.name();
        let fix = format!("install the package whole, or link its {PACKAGED} into {unit}.d");
        problems.push(
            Problem::new(format!("{unit}: no drop-in of it reads {KUBELET_ENV}")).with_place(unit).fix(fix),
        );
    }
    problems
}
