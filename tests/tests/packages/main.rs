//! What `make packages` makes: what is in it, and what it does to images and nodes.

mod contents;
mod image;
mod node;
mod package_manager;
mod release;
mod reproducible;

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::Arguments;

fn main() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let arguments = Arguments::from_args();
    let mut trials = contents::trials();
    for more in [reproducible::trials(), image::trials(), node::trials()] {
        trials.extend(more);
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}
