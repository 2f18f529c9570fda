//! `render`: Crossfade's arguments on the command lines of kubelet and the runtime.
//!
//! For kubelet: settings and unit -> `kubelet::registration::decide` -> one environment file, which systemd reads for kubelet's command after
//! this has run as its ExecStartPre. Equal bytes are not rewritten; where there is nothing to say the file goes.

pub(crate) mod platform;
mod runtime;

use convergence::change::{Change, Write};
use convergence::failure::Failure;
use convergence::kubelet::refusals;
use convergence::kubelet::registration::{OwnRegistration, environment_file};
use convergence::kubelet::sources::KubeletSources;
use convergence::node::facts::NodeFacts;
use convergence::node::paths::KUBELET_ENV;
use convergence::report::{Page, Report};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::node::Node;

use self::platform::Fragment;
use crate::change::outcome::{ChangeReport, finish};
use crate::cli::{Global, Render};
use crate::host::root::Root;
use crate::kubelet::check::{self, CheckDepth, RegistrationReport};
use crate::kubelet::drop_in;
use crate::kubelet::own_registration::{gather_registration, own_registration};
use crate::node::{facts, settings, switch};

/// Mode of the environment file: it holds no secret.
const MODE: u32 = 0o644;

/// What `render` reports, by what it was asked for.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum RenderReport {
    /// Files were written or removed.
    Changed(ChangeReport),
    /// `--check`: render would succeed.
    Checked(RegistrationReport),
    /// `--print`: a fragment for another platform.
    Fragment(Fragment),
}

impl Report for RenderReport {
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
pub(crate) fn render(global: &Global, args: &Render) -> Result<RenderReport, Failure> {
    if args.runtime {
        return runtime::render(global).map(RenderReport::Changed);
    }
    let root = Root::new(&global.root);
    if let Some(off) = switch::off_switch(&root).filter(|_| args.print.is_none() && !args.check) {
        return finish(global, remove(&root, &off.to_string()), Vec::new()).map(RenderReport::Changed);
    }
    let node = facts::gather_from_files(global, settings::require(&root)?);
    if args.check {
        let way = if root.is_node() { CheckDepth::Loaded } else { CheckDepth::Files };
        return check::check(&root, &node.settings, way).map(RenderReport::Checked);
    }
    require_accepted(&node.settings)?;
    if let Some(platform) = &args.print {
        return platform::print(platform, &node.settings).map(RenderReport::Fragment);
    }
    let (changes, notes) = plan(&node)?;
    finish(global, changes, notes).map(RenderReport::Changed)
}

/// Refuses labels and taints that kubelet would refuse.
fn require_accepted(node: &Node) -> Result<(), Failure> {
    match refusals(node) {
        refused if refused.is_empty() => Ok(()),
        findings => Err(Failure::all(Exit::BadSettings, findings)),
    }
}

/// The changes, and what a person may want to know. What the environment file names is there before it.
fn plan(NodeFacts { root, settings: node, .. }: &NodeFacts) -> Result<(Vec<Change>, Vec<String>), Failure> {
    let root = &Root::new(root);
    let own = own_registration(root, node);
    if own == OwnRegistration::default() {
        let why = if node.kubelet.register {
            "node.json has no labels and no taints"
        } else {
            "node.json says kubelet.register: false"
        };
        return Ok((remove(root, why), Vec::new()));
    }
    let (sources, registration) = gather_registration(root, node, &own)?;
    complete(&own, &sources)?;
    let mut notes = registration.notes.clone();
    notes.extend(registration.conflicts.iter().cloned());
    let Some(text) = environment_file(&registration) else {
        return Ok((remove(root, "there is nothing to say"), notes));
    };
    let mut changes = match (&registration.drop_in, &sources.drop_ins) {
        (Some(ours), Some(theirs)) => drop_in::write(root, theirs, ours)?,
        _ => Vec::new(),
    };
    let write = Write { path: root.entry(KUBELET_ENV), bytes: text.into_bytes(), mode: MODE, nudge: false };
    changes.push(Change::ensure(write, registration.arguments.join(" ")));
    if registration.drop_in.is_none() {
        changes.extend(drop_in::remove(root, "the taints are on the command line, or there are none"));
    }
    Ok((changes, notes))
}

/// Without every source the union would lose what they say; kubelet would not start without them anyway.
fn complete(own: &OwnRegistration, sources: &KubeletSources) -> Result<(), Failure> {
    if own.taints.is_empty() || (sources.absent.is_empty() && sources.broken.is_empty()) {
        return Ok(());
    }
    let absent = sources.absent.iter().map(|path| {
        let path = path.display().to_string();
        let what =
            format!("{path} is not there yet; kubelet does not start without it, and it may name taints");
        Problem::new(what)
            .fix(format!("let what writes {path} run first, then run render again"))
            .with_place(path)
    });
    let findings = absent.chain(sources.broken.iter().map(Problem::from));
    Err(Failure::all(if sources.broken.is_empty() { Exit::TryLater } else { Exit::Failed }, findings))
}

fn remove(root: &Root, why: &str) -> Vec<Change> {
    let file = Change::ensure_gone(root.entry(KUBELET_ENV), false, why);
    [file].into_iter().chain(drop_in::remove(root, why)).collect()
}
