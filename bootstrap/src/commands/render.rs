//! `render`: what kubelet and the runtime are told on their command lines.
//!
//! For kubelet: settings and unit -> [`registration::decide`] -> one environment file, which systemd reads for kubelet's command after
//! this has run as its ExecStartPre. Equal bytes are not rewritten; where there is nothing to say the file goes.

pub mod check;
mod drop_in;
pub mod platform;

use serde::Serialize;
use types::node::Node;
use types::problem::Problem;
use types::taint::Taint;

use self::check::{Checked, Way};
pub use self::drop_in::remove as remove_drop_ins;
use self::platform::Fragment;
use crate::change::outcome::{Changed, finish};
use crate::change::{Act, Change, Write};
use crate::cli::exit::{Exit, Failure};
use crate::cli::print::{Page, Report};
use crate::cli::{Global, Render};
use crate::kubelet::found::Found;
use crate::kubelet::refusals;
use crate::kubelet::registration::{Own, Registration, decide as decide_registration, environment_file};
use crate::node::paths::{KUBELET_ENV, Root, UNFIT};
use crate::node::settings;
use crate::node::switch;
use crate::runtime::config;
use crate::systemd::unit::Unit;

/// Mode of the environment file: it holds no secret.
const MODE: u32 = 0o644;

/// What `render` reports, by what it was asked for.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Rendered {
    /// Files were written or removed.
    Changed(Changed),
    /// `--check`: there is nothing against it.
    Checked(Checked),
    /// `--print`.
    Fragment(Fragment),
}

impl Report for Rendered {
    fn human(&self) -> Page {
        match self {
            Self::Changed(changed) => changed.human(),
            Self::Checked(checked) => checked.human(),
            Self::Fragment(fragment) => fragment.human(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Changed(changed) => changed.exit(),
            Self::Checked(checked) => checked.exit(),
            Self::Fragment(fragment) => fragment.exit(),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        match self {
            Self::Changed(changed) => changed.problems(),
            Self::Checked(_) | Self::Fragment(_) => Vec::new(),
        }
    }
}

/// Renders.
///
/// # Errors
/// Bad settings; 3 with everything that `--check` found; 75 while a file is missing without which kubelet does not start.
pub fn render(global: &Global, wanted: &Render) -> Result<Rendered, Failure> {
    if wanted.runtime {
        return config::render_runtime(global).map(Rendered::Changed);
    }
    let root = Root::new(&global.root);
    if let Some(platform) = &wanted.print {
        let node = settings(&root)?;
        return platform::print(platform, &node).map(Rendered::Fragment);
    }
    if wanted.check {
        let way = if root.is_node() { Way::Loaded } else { Way::Files };
        return check::check(&root, way).map(Rendered::Checked);
    }
    let (changes, notes) = decide(&root)?;
    finish(global, changes, notes).map(Rendered::Changed)
}

/// node.json with labels and taints that kubelet takes.
fn settings(root: &Root) -> Result<Node, Failure> {
    let node = settings::load(root).map_err(Failure::settings)?;
    match refusals(&node) {
        refused if refused.is_empty() => Ok(node),
        findings => Err(Failure::all(Exit::BadSettings, findings)),
    }
}

/// What is ours to say: node.json's labels and taints where we register, and always the taint of a node whose gate gave up.
#[must_use]
pub fn own(root: &Root, node: &Node) -> Own {
    let mut own = Own::default();
    if node.kubelet.register {
        own.labels.clone_from(&node.labels);
        own.taints.clone_from(&node.taints);
    }
    if root.entry(UNFIT).symlink_metadata().is_ok()
        && !own.taints.iter().any(|taint| taint.is_same(&Taint::unfit()))
    {
        own.taints.push(Taint::unfit());
    }
    own
}

/// Whether kubelet's command line must be continued: there is something to say, or there will be when the gate gives up.
#[must_use]
pub fn speaks(root: &Root, node: &Node) -> bool {
    own(root, node) != Own::default() || node.gate.give_up_secs.is_some()
}

/// The changes, and what a person may want to know. What the environment file names is there before it.
fn decide(root: &Root) -> Result<(Vec<Change>, Vec<String>), Failure> {
    if let Some(off) = switch::off(root) {
        return Ok((remove(root, &off.to_string()), Vec::new()));
    }
    let node = settings(root)?;
    let own = own(root, &node);
    if own == Own::default() {
        let why = if node.kubelet.register {
            "node.json has no labels and no taints"
        } else {
            "node.json says kubelet.register: false"
        };
        return Ok((remove(root, why), Vec::new()));
    }
    let (found, registration) = registered(root, &node, &own)?;
    complete(&own, &found)?;
    let mut notes = registration.notes.clone();
    notes.extend(registration.conflicts.iter().cloned());
    let Some(text) = environment_file(&registration) else {
        return Ok((remove(root, "there is nothing to say"), notes));
    };
    let mut changes = match (&registration.drop_in, &found.drop_ins) {
        (Some(ours), Some(theirs)) => drop_in::write(root, theirs, ours)?,
        _ => Vec::new(),
    };
    let write = Write { path: root.entry(KUBELET_ENV), bytes: text.into_bytes(), mode: MODE, nudge: false };
    changes.push(Change::file(write, &registration.arguments.join(" ")));
    if registration.drop_in.is_none() {
        changes.extend(drop_in::remove(root, "the taints are on the command line, or there are none"));
    }
    Ok((changes, notes))
}

/// What kubelet would register without us, and what it registers with us; for whoever explains it.
///
/// # Errors
/// As [`render`], but for what is missing or broken of kubelet's own.
pub fn registration(root: &Root, node: &Node) -> Result<(Found, Registration), Failure> {
    match refusals(node) {
        refused if refused.is_empty() => registered(root, node, &own(root, node)),
        findings => Err(Failure::all(Exit::BadSettings, findings)),
    }
}

fn registered(root: &Root, node: &Node, own: &Own) -> Result<(Found, Registration), Failure> {
    let unit = Unit::load(root, &node.kubelet.unit).map_err(|why| Failure::new(Exit::Failed, why))?;
    let unit = unit.ok_or_else(|| Failure::new(Exit::No, absent(&node.kubelet.unit)))?;
    let found = Found::gather(root, &unit).map_err(|why| Failure::new(Exit::No, why))?;
    let registration = decide_registration(own, &found);
    Ok((found, registration))
}

fn absent(unit: &str) -> String {
    format!(
        "{unit}: there is no such unit; name kubelet's in node.json (kubelet.unit), or where it has none (k3s, Talos, ..) say \
         kubelet.register: false and use render --print PLATFORM"
    )
}

/// Without every source the union would lose what they say; kubelet would not start without them anyway.
fn complete(own: &Own, found: &Found) -> Result<(), Failure> {
    if own.taints.is_empty() || (found.absent.is_empty() && found.broken.is_empty()) {
        return Ok(());
    }
    let absent = found.absent.iter().map(|path| {
        format!(
            "{} is not there yet; kubelet does not start without it, and it may name taints",
            path.display()
        )
    });
    let findings: Vec<String> = absent.chain(found.broken.iter().cloned()).collect();
    Err(Failure::all(if found.broken.is_empty() { Exit::TryLater } else { Exit::Failed }, findings))
}

fn remove(root: &Root, why: &str) -> Vec<Change> {
    let path = root.entry(KUBELET_ENV);
    let file = if path.symlink_metadata().is_ok() {
        Change::remove(path, false, why)
    } else {
        Change::new(Act::Keep, path.display().to_string(), format!("not there; {why}"))
    };
    [file].into_iter().chain(drop_in::remove(root, why)).collect()
}
