//! The paths of the built programs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The workspace's directory.
pub fn workspace() -> PathBuf {
    let member = Path::new(env!("CARGO_MANIFEST_DIR"));
    member.parent().unwrap_or(member).to_path_buf()
}

/// The shim as it ships: `crossfade` of `$CROSSFADE_DIST`, else of `<workspace>/target/dist`.
///
/// # Errors
/// Not built; the message says how to.
pub fn crossfade() -> Result<PathBuf> {
    shipped("crossfade")
}

/// The node's program as it ships: `crossfade-bootstrap`, found as [`crossfade`] is.
///
/// # Errors
/// Not built; the message says how to.
pub fn bootstrap() -> Result<PathBuf> {
    shipped("crossfade-bootstrap")
}

/// The operator's program as it ships: `kubectl-crossfade`, found as [`crossfade`] is.
///
/// # Errors
/// Not built; the message says how to.
pub fn kubectl() -> Result<PathBuf> {
    shipped("kubectl-crossfade")
}

/// The probing agent as it ships: `crossfade-probe`, found as [`crossfade`] is.
///
/// # Errors
/// Not built; the message says how to.
pub fn probe() -> Result<PathBuf> {
    shipped("crossfade-probe")
}

/// The packages of a release and their `SHA256SUMS`: `$CROSSFADE_PACKAGES`, else `<workspace>/target/packages`.
///
/// # Errors
/// Not built; the message says how to.
pub fn packages() -> Result<PathBuf> {
    let named = std::env::var_os("CROSSFADE_PACKAGES").map(PathBuf::from);
    let directory = named.unwrap_or_else(|| workspace().join("target/packages"));
    if !directory.join("SHA256SUMS").is_file() {
        bail!(
            "{} has no SHA256SUMS: run `make packages`, or name the directory in CROSSFADE_PACKAGES",
            directory.display()
        );
    }
    Ok(directory)
}

fn shipped(program: &str) -> Result<PathBuf> {
    let directory = match std::env::var_os("CROSSFADE_DIST") {
        Some(directory) => PathBuf::from(directory),
        None => workspace().join("target/dist"),
    };
    let path = directory.join(program);
    if !path.is_file() {
        bail!("{} is not built: run `make build`, or name its directory in CROSSFADE_DIST", path.display());
    }
    Ok(path)
}

/// A program of the lab itself, such as `lab-stub`: beside the running executable, or beside its `deps` directory.
///
/// # Errors
/// Not built; the message says how to.
pub fn lab_bin(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("path of the running executable")?;
    let candidates = own.ancestors().skip(1).take(2).map(|directory| directory.join(name));
    candidates.into_iter().find(|path| path.is_file()).with_context(|| {
        format!(
            "{name} is not beside {}: run `cargo build -p lab --bin {name}` in the same profile",
            own.display()
        )
    })
}
