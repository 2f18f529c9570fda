//! `render --runtime`: writes the arguments that the runtime gets at every start in private mode.

use std::path::Path;

use types::command::problem::Problem;
use types::node::{Mode, RuntimeKind};

use crate::change::outcome::{ChangeReport, apply, finish};
use crate::cli::Global;
use crate::host::root::Root;
use crate::node::facts::{ConfDirChoice, NodeQuery};
use crate::node::settings::mode;
use crate::node::switch;
use crate::runtime::config::containerd;
use crate::runtime::config::render::{
    ContainerdDump, RuntimeInstruction, changes, choose, crio_words, embedded_problem, prove, remove,
};
use convergence::change::Change;
use convergence::failure::Failure;
use convergence::node::facts::NodeFacts;
use convergence::node::paths::PRIVATE_CONF_DIR;
use convergence::node::settings::InvalidSettings;
use types::command::exit::Exit;

/// Writes the runtime's arguments and configuration for private mode; removes them in shared mode and when Crossfade is switched off.
///
/// # Errors
/// Only in private mode, because elsewhere Crossfade must not keep the runtime from starting: bad settings, a runtime that takes no other
/// conf directory, or one whose configuration would differ in more than that. Then nothing of what was written remains, and the runtime
/// must not start.
pub(super) fn render(global: &Global) -> Result<ChangeReport, Failure> {
    let root = Root::new(&global.root);
    let settings = mode::settings(&root);
    let runtime = crate::runtime::facts::gather_configured(&root, &settings.node);
    let node = crate::node::facts::gather(NodeQuery {
        global,
        settings,
        runtime,
        conf_dir: ConfDirChoice::OfAgents,
    });
    let remove = |why: &str| remove(&root, node.runtime.config(), why);
    let unusable = node.unusable.as_ref().map(|InvalidSettings { why, mode_by, .. }| {
        let mode = node.settings.conf_dir.as_str();
        format!("{why} (the node is taken for one in mode {mode}: {mode_by})")
    });
    if let Some(off) = switch::off_switch(&root) {
        let notes = [Some(off.to_string()), unusable].into_iter().flatten();
        return Ok(let_go(global, remove("switched off"), notes.collect()));
    }
    let why = match node.settings.conf_dir {
        Mode::Private => None,
        Mode::Shared => Some("shared mode"),
        Mode::Without => Some("no plugin of Crossfade's here (confDir none)"),
    };
    if let Some(why) = why {
        return Ok(let_go(global, remove(why), unusable.into_iter().collect()));
    }
    if let Some(why) = unusable {
        return Err(Failure::settings(why));
    }
    let instruction = render_private(global, &node);
    if instruction.is_err() && !global.dry_run {
        // Half of it would be worse than nothing: without the words the gate stays shut.
        apply(&root, remove("it cannot be rendered"))?;
    }
    instruction
}

/// Removes the runtime's arguments and configuration of private mode. A removal that fails is a note, since the runtime has to start all
/// the same.
fn let_go(global: &Global, changes: Vec<Change>, mut notes: Vec<String>) -> ChangeReport {
    if global.dry_run {
        return ChangeReport::from_plan(changes, notes);
    }
    let mut done = Vec::with_capacity(changes.len());
    for change in changes {
        match apply(&Root::new(&global.root), vec![change]) {
            Ok(carried_out) => done.extend(carried_out),
            Err(failure) => notes.extend(failure.lines()),
        }
    }
    ChangeReport::from_done(done, notes)
}

fn render_private(
    global: &Global,
    NodeFacts { root, runtime, .. }: &NodeFacts,
) -> Result<ChangeReport, Failure> {
    let root = &Root::new(root);
    let refuse = |problem: Problem| Failure::from_problem(Exit::No, problem);
    if let Some(why) = runtime.problem() {
        return Err(refuse(why.clone()));
    }
    let config = runtime.config().ok_or_else(|| {
        let problem =
            Problem::new("private mode: no runtime's unit is here").with_place("node.json, runtime.unit");
        refuse(problem.fix("name it in node.json, runtime.unit"))
    })?;
    let conf_dir = Path::new(PRIVATE_CONF_DIR);
    let mut answer = None;
    let instruction = match (config.kind, &config.program) {
        _ if config.unit.is_none() => return Err(refuse(embedded_problem(config))),
        (RuntimeKind::Crio, _) => RuntimeInstruction::Words(crio_words(root).map_err(refuse)?),
        (RuntimeKind::Containerd, None) => {
            let root = global.root.display().to_string();
            let what = format!(
                "containerd's configuration is copied at every start of containerd, on the node; {root} is none"
            );
            return Err(refuse(
                Problem::new(what).with_place(root).fix("run the command on the node, without --root"),
            ));
        }
        (RuntimeKind::Containerd, Some(program)) => {
            let dump = containerd::dump(program, &config.file).map_err(refuse)?;
            let answer = answer.insert(ContainerdDump { program, file: &config.file, dump });
            choose(root, answer, conf_dir).map_err(refuse)?
        }
    };
    let changes = changes(root, &instruction);
    if let Some(answer) = answer.as_ref().filter(|_| !global.dry_run) {
        prove(root, answer, &instruction).map_err(refuse)?;
    }
    finish(global, changes, Vec::new())
}
