//! The changes that take Crossfade off a running node.

use std::path::PathBuf;

use types::command::problem::Problem;

use crate::change::{Act, Change};
use crate::node::cni::CniFacts;
use crate::node::conf::LEAVING_FILE;
use crate::node::facts::NodeFacts;
use crate::node::plugins::bin_dirs::BinDir;
use crate::node::settings::directories::OwnConfFile;
use crate::runtime::CniSetup;
use crate::runtime::answer::RuntimeAnswer;

/// Why Crossfade cannot leave yet: another owner's file has taken the place of its conf, and the runtime, which has not read that file, still
/// calls the plugin.
#[must_use]
pub fn unread_conf_problem(node: &NodeFacts) -> Option<Problem> {
    let calls_us = node.runtime.answer.setup().is_some_and(CniSetup::has_ours);
    let foreign = node.dirs.foreign_conf_problem(None).filter(|_| calls_us)?;
    let what = format!("{}, and the runtime, which has not read it, calls Crossfade's plugin", foreign.what);
    let fix = "move it away, run crossfade-bootstrap install, and uninstall then";
    Some(Problem { what, ..foreign.fix(fix) })
}

/// Decides what goes; `left` is what an uninstall that was killed has left.
#[must_use]
pub fn decide(node: &NodeFacts, cni: &CniFacts, purge: bool, leaving_file: Option<PathBuf>) -> Vec<Change> {
    let settings = &node.dirs;
    // The conf goes first: what the conf names must exist as long as a runtime may call the plugin.
    let why = match node.runtime.answer {
        RuntimeAnswer::Silent => format!(
            "the runtime calls the next conf from now on; to see when, {} lies beside it until then",
            LEAVING_FILE
        ),
        RuntimeAnswer::NotAsked
        | RuntimeAnswer::Unknown(_)
        | RuntimeAnswer::Absent(_)
        | RuntimeAnswer::Failed(_)
        | RuntimeAnswer::Setup(_) => "the runtime calls the next conf from now on".to_owned(),
    };
    let conf_file = settings.conf_file();
    let mut changes = vec![match settings.installed {
        OwnConfFile::Foreign => {
            Change::new(Act::Keep, conf_file.display().to_string(), "it is not Crossfade's")
        }
        OwnConfFile::Absent | OwnConfFile::Ours(_) | OwnConfFile::Unreadable(_) => {
            Change::ensure_gone(conf_file, true, &why)
        }
    }];
    changes
        .extend(leaving_file.map(|path| Change::remove(path, false, "left by an uninstall that was killed")));
    changes.push(Change::ensure_gone(
        settings.layout.name(),
        false,
        "the next install takes the name of the network then",
    ));
    if purge {
        changes.push(Change::ensure_gone(settings.layout.inventory(), false, "it is empty"));
        let plugins = cni.plugins.dirs.iter().map(BinDir::plugin_file);
        changes.extend(plugins.map(|path| Change::ensure_gone(path, false, "the plugin")));
    }
    changes
}
