//! Machines that boot with our units under a real systemd.

mod expansion;
mod harness;
mod units;

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::Arguments;

fn main() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let arguments = Arguments::from_args();
    let mut trials = units::trials();
    trials.extend(harness::trials());
    trials.extend(expansion::trials());
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}
