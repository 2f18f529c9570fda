//! What can go wrong between a real containerd and its plugins, told as stories.

mod failures;
mod hanging;
mod scene;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use lab::preflight::{CONTAINERD, NODES, Need, PLUGINS, trial};
use libtest_mimic::Arguments;

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];

/// Tells what happens from what hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// `trials![module: test, ...; ...]`, called `module::test`.
macro_rules! trials {
    ($($module:ident: $($test:ident),+;)+) => {
        vec![$($(trial(concat!(stringify!($module), "::", stringify!($test)), NEEDS, $module::$test)),+),+]
    };
}

fn main() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let arguments = Arguments::from_args();
    let trials = trials![
        failures:
            without_us_some_del_errors_leak,
            every_del_error_is_kept_and_retried,
            a_del_that_fails_twice_is_asked_for_again_alone,
            a_failed_add_is_undone_once;
        hanging:
            without_us_an_orphan_ends_its_add_after_the_del,
            an_orphan_ends_before_the_del,
            a_del_that_was_killed_resumes_in_its_chain;
    ];
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}
