//! The same packages, byte for byte, wherever they are built.

use std::fs;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;

use crate::release::{self, Build};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        &[];
        packages_are_the_same_bytes_again,
    ]
}

/// `tests/packages` built them a second time with another umask, time zone, language, directory and moment.
fn packages_are_the_same_bytes_again() -> Result<()> {
    let (released, rebuilt) = (Build::Released.directory(), Build::Again.directory());
    let names = release::files(&released)?;
    ensure!(names.len() >= 7 && names == release::files(&rebuilt)?, "{names:?}");
    let differ = |name: &&String| fs::read(released.join(name)).ok() != fs::read(rebuilt.join(name)).ok();
    let differing: Vec<_> = names.iter().filter(differ).collect();
    ensure!(differing.is_empty(), "not reproducible: {differing:?}");
    Ok(())
}
