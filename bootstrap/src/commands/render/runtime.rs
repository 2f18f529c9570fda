//! `render --runtime`: writes the arguments that the runtime gets at every start in private mode.

use std::path::Path;

use types::node::{Mode, Node, RuntimeKind};
use types::problem::Problem;

use crate::change::Change;
use crate::change::outcome::{Changed, carry_out, finish};
use crate::cli::Global;
use crate::cli::exit::{Exit, Failure};
use crate::node::paths::{PRIVATE_CONF_DIR, Root};
use crate::node::{mode, settings, switch};
use crate::runtime::config::render::{
    AskedContainerd, RuntimeWords, changes, choose, crio_words, embedded, prove, remove,
};
use crate::runtime::config::{RuntimeConfig, containerd};

/// Writes the runtime's arguments and configuration for private mode; removes them in shared mode and when Crossfade is switched off.
///
/// # Errors
/// Only in private mode, because elsewhere Crossfade must not keep the runtime from starting: bad settings, a runtime that takes no other
/// conf directory, or one whose configuration would differ in more than that. Then nothing of what was written remains, and the runtime
/// must not start.
pub(super) fn render(global: &Global) -> Result<Changed, Failure> {
    let root = Root::new(&global.root);
    if let Some(off) = switch::off(&root) {
        return Ok(let_go(global, remove(&root, "switched off"), vec![off.to_string()]));
    }
    let (mode, loaded) = match settings::load(&root) {
        Ok(node) => (node.conf_dir, Ok(node)),
        Err(why) => {
            let (mode, told) = mode::of_unusable(&root);
            (mode, Err(format!("{why} (the node is taken for one in mode {}: {told})", mode.as_str())))
        }
    };
    let why = match mode {
        Mode::Private => None,
        Mode::Shared => Some("shared mode"),
        Mode::Without => Some("no plugin of Crossfade's here (confDir none)"),
    };
    if let Some(why) = why {
        return Ok(let_go(global, remove(&root, why), loaded.err().into_iter().collect()));
    }
    let node = loaded.map_err(Failure::settings)?;
    let told = private(global, &root, &node);
    if told.is_err() && !global.dry_run {
        // Half of it would be worse than nothing: without the words the gate stays shut.
        carry_out(&root, remove(&root, "it cannot be rendered"))?;
    }
    told
}

/// Removes the runtime's arguments and configuration of private mode. A removal that fails is a note, since the runtime has to start all
/// the same.
fn let_go(global: &Global, changes: Vec<Change>, mut notes: Vec<String>) -> Changed {
    if global.dry_run {
        return Changed::planned(changes, notes);
    }
    let mut done = Vec::with_capacity(changes.len());
    for change in changes {
        match carry_out(&Root::new(&global.root), vec![change]) {
            Ok(one) => done.extend(one),
            Err(failure) => notes.extend(failure.lines()),
        }
    }
    Changed::applied(done, notes)
}

fn private(global: &Global, root: &Root, node: &Node) -> Result<Changed, Failure> {
    let refuse = |problem: Problem| Failure::of(Exit::No, problem);
    let config = RuntimeConfig::gather(root, node).map_err(refuse)?.ok_or_else(|| {
        let problem = Problem::new("private mode: no runtime's unit is here").at("node.json, runtime.unit");
        refuse(problem.fix("name it in node.json, runtime.unit"))
    })?;
    let conf_dir = Path::new(PRIVATE_CONF_DIR);
    let mut asked = None;
    let told = match (config.kind, &config.program) {
        _ if config.unit.is_none() => return Err(refuse(embedded(&config))),
        (RuntimeKind::Crio, _) => RuntimeWords::Words(crio_words(root).map_err(refuse)?),
        (RuntimeKind::Containerd, None) => {
            let root = global.root.display().to_string();
            let what = format!(
                "containerd's configuration is copied at every start of containerd, on the node; {root} is none"
            );
            return Err(refuse(
                Problem::new(what).at(root).fix("run the command on the node, without --root"),
            ));
        }
        (RuntimeKind::Containerd, Some(program)) => {
            let dump = containerd::dump(program, &config.file).map_err(refuse)?;
            let asked = asked.insert(AskedContainerd { program, file: &config.file, dump });
            choose(root, asked, conf_dir).map_err(refuse)?
        }
    };
    let changes = changes(root, &told);
    if let Some(asked) = asked.as_ref().filter(|_| !global.dry_run) {
        prove(root, asked, &told).map_err(refuse)?;
    }
    finish(global, changes, Vec::new())
}
