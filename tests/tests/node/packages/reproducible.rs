//! The same packages, byte for byte, wherever they are built.

use std::fs;

use anyhow::{Result, ensure};
use lab::build::preflight::trial;
use libtest_mimic::Trial;

use crate::release::{self, Build};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("packages_are_the_same_bytes_again", &[], same_bytes)]
}

/// `tests/packages` built them a second time with another umask, time zone, language, directory and moment.
fn same_bytes() -> Result<()> {
    let (released, rebuilt) = (Build::Released.directory(), Build::Again.directory());
    let names = release::files(&released)?;
    ensure!(names.len() >= 7 && names == release::files(&rebuilt)?, "{names:?}");
    let differ = |name: &&String| fs::read(released.join(name)).ok() != fs::read(rebuilt.join(name)).ok();
    let differing: Vec<_> = names.iter().filter(differ).collect();
    ensure!(differing.is_empty(), "not reproducible: {differing:?}");
    Ok(())
}
