//! Both-mode on the wire: two networks in one pod, by the release shim and real plugins, judged by packets.

mod attachment;
mod capture;
mod echo;
mod matrix;
mod packets;
mod remains;
mod space;
mod tables;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use lab::preflight::{NODES, Need, PLUGINS, trial};
use libtest_mimic::{Arguments, Trial};

const NEEDS: &[&[Need]] = &[NODES, PLUGINS];

/// Cases that run at once: most of their time is other programs' and waiting.
const TESTS_AT_ONCE: usize = 6;

fn main() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TESTS_AT_ONCE);
    Ok(libtest_mimic::run(&arguments, trials()).exit_code())
}

fn trials() -> Vec<Trial> {
    let cases = matrix::cases().into_iter().enumerate();
    let matrix = cases.map(|(number, case)| trial(&case.name(), NEEDS, move || case.run(&format!("m{number}"))));
    matrix.collect()
}
