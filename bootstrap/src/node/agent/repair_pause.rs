//! The marker with which a command that removes Crossfade's conf stops the repairs of `watch`.

use std::path::PathBuf;

use shim::host::file;
use shim::node::layout::Layout;

use convergence::failure::Failure;
use convergence::node::paths::LEAVING;
use types::command::exit::Exit;

/// A file that makes `watch` stop repairing Crossfade's conf. It exists until the network's name file is gone, which ends the repair for
/// good, or until the command gives up. It is in the run directory, so the next boot removes what a killed command left.
#[derive(Debug)]
pub(crate) struct RepairPause {
    path: PathBuf,
    stays: bool,
}

impl RepairPause {
    /// Writes the marker.
    ///
    /// # Errors
    /// 1: it cannot be written.
    pub(crate) fn start(layout: &Layout) -> Result<Self, Failure> {
        let path = layout.run_dir.join(LEAVING);
        let written = file::create_private_dir(&layout.run_dir).and_then(|()| std::fs::write(&path, ""));
        written.map_err(|e| {
            Failure::new(Exit::Failed, format!("write {}: {e}", path.display())).with_place(path.display())
        })?;
        Ok(Self { path, stays: false })
    }

    /// Whether the marker outlives this command: the conf is gone, and the rest of the way follows later in this boot.
    pub(crate) const fn stay(&mut self, stays: bool) {
        self.stays = stays;
    }
}

impl Drop for RepairPause {
    fn drop(&mut self) {
        if !self.stays {
            // Of a run directory; the next boot removes it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
