//! The verdicts of the distributions' own checkers: nothing that is not overridden with a reason.

use std::process::Command;

use anyhow::Result;
use lab::build::dist;
use lab::build::preflight::{Need, trial};
use lab::host::command::run;
use libtest_mimic::Trial;

use crate::architecture::current as architecture;
use crate::release::Build;

const LINTIAN: &[&[Need]] = &[&[Need::Program("lintian")]];
const RPMLINT: &[&[Need]] = &[&[Need::Program("rpmlint")]];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("lintian_has_no_error_and_no_warning", LINTIAN, lintian),
        trial("rpmlint_has_no_error_and_no_warning", RPMLINT, rpmlint),
    ]
}

/// The overrides are in the package: `packages/lintian-overrides`.
fn lintian() -> Result<()> {
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning"]);
    silent(lintian.arg(Build::Released.file(architecture()?.deb)?))
}

/// Strict: every warning counts as an error.
fn rpmlint() -> Result<()> {
    let configuration = dist::workspace().join("packages/rpmlint.toml");
    let mut rpmlint = Command::new("rpmlint");
    rpmlint.arg("--strict").arg("--config").arg(configuration);
    silent(rpmlint.arg(Build::Released.file(architecture()?.rpm)?))
}

/// Both write what they find to stdout.
fn silent(linter: &mut Command) -> Result<()> {
    run(linter).map(drop)
}
