//! The shim's contract as black-box tests: the real binary, scripted stub delegates, a real netns, our own caller.
//!
//! Each file is a topic; each test's doc comment names the case of the contract it replays (D34) or the rule of the CNI
//! specification (A1.3) or the fine print (F4) it holds the shim to.

mod agent;
mod case;
mod check;
mod concurrency;
mod crio;
mod damaged;
mod del;
mod delegates;
mod environment;
mod formats;
mod gc;
mod inventory;
mod journal;
mod journald;
mod limits;
mod modes;
mod mounts;
mod policy;
mod readiness;
mod results;
mod retired;
mod rollback;
mod standard;
mod standins;
mod status;
mod streams;
mod trust;
mod versions;

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
            eprintln!("contract: {error:#}");
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
        check::trials(),
        concurrency::trials(),
        crio::trials(),
        damaged::trials(),
        del::trials(),
        delegates::trials(),
        environment::trials(),
        formats::trials(),
        gc::trials(),
        inventory::trials(),
        journal::trials(),
        limits::trials(),
        modes::trials(),
        policy::trials(),
        readiness::trials(),
        results::trials(),
        retired::trials(),
        rollback::trials(),
        standard::trials(),
        standins::trials(),
        status::trials(),
        streams::trials(),
        trust::trials(),
        versions::trials(),
    ];
    files.into_iter().flatten().collect()
}

pub(crate) fn trial(topic: &str, name: &str, test: fn() -> Result<()>) -> Trial {
    Trial::test(format!("{topic}::{name}"), move || {
        test().map_err(|error| Failed::from(format!("{error:#}{}", place(error.backtrace()))))
    })
}

/// The line of the case where an error came up, if RUST_BACKTRACE has it recorded.
fn place(backtrace: &std::backtrace::Backtrace) -> String {
    let text = backtrace.to_string();
    let lines = text.lines().filter(|line| line.contains("/contract/") && !line.contains("/case.rs"));
    lines.take(1).map(|line| format!("\n{line}")).collect()
}
