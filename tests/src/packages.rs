//! Real parts from the distribution's packages.

use std::path::PathBuf;

/// Where unpacked parts are.
pub fn cache_dir() -> PathBuf {
    match std::env::var_os("CROSSFADE_LAB_PARTS") {
        Some(directory) => PathBuf::from(directory),
        None => crate::dist::workspace().join("target/lab-parts"),
    }
}
