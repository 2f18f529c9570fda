//! The shim's defences as black-box tests of the release program; docs/security.md names each with the threat that it meets.
//!
//! Each file is what an attack goes through: files, state, binaries, input, environment, netns, probes, logs, the program itself.

mod artefact;
mod binary;
mod events;
mod files;
mod hostnet;
mod input;
mod links;
mod process;
mod race;
mod ready;
mod secrets;
mod size;
mod table;

// What the contract's cases start from.
#[path = "../contract/case.rs"]
#[expect(dead_code, reason = "the contract needs more of it")]
mod case;
#[path = "../contract/journald.rs"]
#[expect(dead_code, reason = "the contract needs more of it")]
mod journald;

use std::process::ExitCode;

use anyhow::{Context, Result};
use case::{Programs, set_programs};
use lab::netns;
use libtest_mimic::{Arguments, Failed, Trial};

/// Lists the tests of a file under their functions' own names, so that a name is written once.
macro_rules! trials {
    ($($test:ident),* $(,)?) => {
        pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
            let topic = module_path!().rsplit("::").next().unwrap_or_default();
            vec![$($crate::trial(topic, stringify!($test), $test)),*]
        }
    };
}
pub(crate) use trials;

/// More than the machine has cores: a case mostly waits for its processes.
const TESTS_AT_ONCE: usize = 6;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("security: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TESTS_AT_ONCE);
    if arguments.list {
        return Ok(libtest_mimic::run(&arguments, all_trials()).exit_code());
    }
    let programs = lab::scratch::Scratch::new("programs")?;
    let shim = lab::dist::crossfade().context("the shim")?;
    set_programs(Programs {
        shim: programs.install(&shim, "crossfade")?,
        stub: programs.install(&lab::dist::lab_bin("lab-stub")?, "lab-stub")?,
    })?;
    Ok(libtest_mimic::run(&arguments, all_trials()).exit_code())
}

fn all_trials() -> Vec<Trial> {
    let files = [
        artefact::trials(),
        binary::trials(),
        events::trials(),
        files::trials(),
        hostnet::trials(),
        input::trials(),
        links::trials(),
        process::trials(),
        race::trials(),
        ready::trials(),
        secrets::trials(),
        size::trials(),
        table::trials(),
    ];
    files.into_iter().flatten().collect()
}

pub(crate) fn trial(topic: &str, name: &str, test: fn() -> Result<()>) -> Trial {
    Trial::test(format!("{topic}::{name}"), move || {
        test().map_err(|error| Failed::from(format!("{error:#}")))
    })
}
