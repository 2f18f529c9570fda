//! Runs the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program with these arguments, in a directory.
pub(crate) fn run_in(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-crossfade"));
    command.current_dir(dir).args(arguments).env_clear().output().expect("the program runs")
}

/// The directory of fixtures.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The fixtures that are clusters with arguments of `check`, in the order of their names.
pub(crate) fn clusters() -> Vec<PathBuf> {
    let dirs = std::fs::read_dir(fixtures()).expect("fixtures").map(|entry| entry.expect("entry").path());
    let mut dirs: Vec<_> = dirs.filter(|dir| dir.join("arguments").exists()).collect();
    dirs.sort();
    assert!(dirs.len() >= 15, "{dirs:?}");
    dirs
}

/// What went to stdout.
pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

/// What went to stderr.
pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}
