//! A rehearsal of Crossfade's addition to the runtime's command line, without changing the tree: for an image that is being built.
//!
//! Nothing is left behind, not even below /run: an image's may be on its disk. The copy, which may hold credentials, is handed to
//! containerd as a file in memory.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::sys::memfd::{MFdFlags, memfd_create};
use types::command::problem::Problem;
use types::node::RuntimeKind;

use super::{
    ContainerdDump, RuntimeInstruction, check_differences, choose, containerd, embedded_problem, tree,
};
use crate::host::root::Root;
use convergence::node::paths::{CONTAINERD_CONFIG, PRIVATE_CONF_DIR};
use convergence::runtime::config::RuntimeConfig;

/// What a rehearsal came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RehearsalResult {
    /// It would be told, so.
    Accepted(String),
    /// It cannot be asked here; why.
    NotHere(String),
}

/// Finds out how the runtime would be told in private mode, and has containerd itself read what it would be given.
///
/// # Errors
/// It could not be told, or would differ in more than its conf directory.
pub(crate) fn rehearse(root: &Root, config: &RuntimeConfig) -> Result<RehearsalResult, Problem> {
    if config.unit.is_none() {
        return Err(embedded_problem(config));
    }
    let Some(program) = &config.program else {
        return Ok(match config.kind {
            RuntimeKind::Crio => RehearsalResult::Accepted(format!(
                "by --cni-config-dir={PRIVATE_CONF_DIR}, and --cni-default-network with the name that boot gives Crossfade's network"
            )),
            RuntimeKind::Containerd => RehearsalResult::NotHere(
                "containerd's copy is proven by containerd itself, and programs of another root are not run"
                    .into(),
            ),
        });
    };
    let dump = containerd::dump(program, &config.file)?;
    let answer = ContainerdDump { program, file: &config.file, dump };
    let text = match choose(root, &answer, Path::new(PRIVATE_CONF_DIR))? {
        RuntimeInstruction::Words(words) => return Ok(RehearsalResult::Accepted(format!("by {words}"))),
        // A file at its place would be in force for every containerd that starts now; `render --runtime` proves it then.
        RuntimeInstruction::DropIn(place) => {
            return Ok(RehearsalResult::Accepted(format!("by the drop-in {}", place.display())));
        }
        RuntimeInstruction::Copy(text) => text,
    };
    let Some(after) = with_memory_file(&text, |copy| containerd::dump(program, copy))? else {
        return Ok(RehearsalResult::NotHere(
            "/proc is not mounted, through which containerd reads what it would be given".into(),
        ));
    };
    check_differences(&tree(answer.file, &answer.dump)?, &tree(Path::new(CONTAINERD_CONFIG), &after)?)?;
    Ok(RehearsalResult::Accepted(format!(
        "by --config {CONTAINERD_CONFIG}, which containerd reads as it should"
    )))
}

/// Runs `read` with the path of a file that is nowhere but in memory; none where there is no /proc to name it by.
fn with_memory_file<T>(
    text: &str,
    read: impl FnOnce(&Path) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    let failure =
        |error: std::io::Error| format!("keep a copy of containerd's configuration in memory: {error}");
    let file = memfd_create(c"containerd", MFdFlags::MFD_CLOEXEC).map_err(|error| failure(error.into()))?;
    let mut file = std::fs::File::from(file);
    file.write_all(text.as_bytes()).map_err(failure)?;
    let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
    if path.exists() { read(&path).map(Some) } else { Ok(None) }
}
