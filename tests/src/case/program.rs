//! A test program of cases: the programs that they run, and how the cases are listed and run.

use std::{path::PathBuf, process::ExitCode, sync::OnceLock};

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::host::scratch::Scratch;

/// The programs under test and of the lab, installed once before any thread is started.
#[derive(Debug)]
pub struct Programs {
    pub shim: PathBuf,
    /// `lab-stub`.
    pub stub: PathBuf,
}

static PROGRAMS: OnceLock<Programs> = OnceLock::new();

/// Names the programs for every case to come.
///
/// # Errors
/// When they are named already.
pub fn set_programs(programs: Programs) -> Result<()> {
    PROGRAMS.set(programs).map_err(|_| anyhow::anyhow!("the programs are already named"))
}

pub(super) fn programs() -> &'static Programs {
    PROGRAMS.get().expect("main names the programs before it runs a case")
}

/// More than the machine has cores: a case mostly waits for its processes.
const CASES_AT_ONCE: usize = 6;
/// Exit code of a test program with a failed test, as the standard harness has it.
const FAILED: i32 = 101;

/// Lists the cases of a file under their functions' own names, so that a name is written once.
#[macro_export]
macro_rules! trials {
    ($($test:ident),* $(,)?) => {
        pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
            let topic = module_path!().rsplit("::").next().unwrap_or_default();
            vec![$($crate::case::trial(topic, stringify!($test), $test)),*]
        }
    };
}

/// Runs the cases of the test program `name` in a lab of their own, as its command line says.
pub fn main(name: &str, cases: fn() -> Vec<Trial>) -> ExitCode {
    run(cases).unwrap_or_else(|error| {
        eprintln!("{name}: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(cases: fn() -> Vec<Trial>) -> Result<ExitCode> {
    crate::host::isolate::enter()?;
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(CASES_AT_ONCE);
    if arguments.list {
        return Ok(libtest_mimic::run(&arguments, cases()).exit_code());
    }
    let installed = Scratch::new("programs")?;
    let shim = crate::build::dist::crossfade().context("the shim")?;
    set_programs(Programs {
        shim: installed.install(&shim, "crossfade")?,
        stub: installed.install(&crate::build::dist::lab_bin("lab-stub")?, "lab-stub")?,
    })?;
    Ok(libtest_mimic::run(&arguments, cases()).exit_code())
}

/// With this variable set the first case that fails ends the program: a caller that only asks whether one fails need not wait
/// for the others.
const FAIL_FAST: &str = "CROSSFADE_FAIL_FAST";

/// One case, called `topic::name`.
pub fn trial(topic: &str, name: &str, test: fn() -> Result<()>) -> Trial {
    let name = format!("{topic}::{name}");
    Trial::test(name.clone(), move || {
        test().map_err(|error| {
            let why = format!("{error:#}{}", place(error.backtrace()));
            if std::env::var_os(FAIL_FAST).is_some() {
                println!("{name} failed: {why}");
                std::process::exit(FAILED);
            }
            Failed::from(why)
        })
    })
}

/// The line of the case where an error came up, if RUST_BACKTRACE has it recorded.
fn place(backtrace: &std::backtrace::Backtrace) -> String {
    let text = backtrace.to_string();
    let lines = text.lines().filter(|line| line.contains("/tests/tests/"));
    lines.take(1).map(|line| format!("\n{line}")).collect()
}
