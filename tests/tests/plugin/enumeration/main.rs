//! The enumeration: the release shim is killed at, and made to fail at, every single system call it makes.
//!
//! One test per verb, mode and starting state ([`point::Situation`]). A traced run lists the calls; then every (name, which of that
//! name) is a point for a SIGKILL and for each of five errors, each in a miniature of its own ([`miniature`]), followed by what
//! a runtime does and by every invariant ([`play`]). strace injects, and does not follow children, so that only the shim is
//! hit.
//!
//! Which part of the points a run plays is [`share`]'s. `CROSSFADE_POINT='ADD both fresh fdatasync:1 ENOSPC dels'` plays one point and says what it finds.

mod delegates;
mod enumerate;
mod exceptions;
mod floors;
mod host;
mod limits;
mod miniature;
mod mode;
mod order;
mod play;
mod point;
mod share;
mod trace;

use std::process::ExitCode;

use anyhow::{Context, Result};
use lab::build::preflight::{Ability, NODES, Need, TRACE, trial};
use libtest_mimic::Arguments;
use miniature::{Programs, set_programs};

const NEEDS: &[&[Need]] = &[NODES, TRACE, &[Need::Kernel(Ability::Cgroups)]];

fn main() -> Result<ExitCode> {
    lab::host::isolate::enter()?;
    let mut arguments = Arguments::from_args();
    // One after the other: each plays its points on all cores.
    arguments.test_threads = Some(1);
    let directory = lab::host::scratch::Scratch::new("programs")?;
    if !arguments.list {
        set_programs(Programs {
            shim: directory.install(&lab::build::dist::crossfade().context("the shim")?, "crossfade")?,
            bootstrap: directory.install(&lab::build::dist::bootstrap()?, "crossfade-bootstrap")?,
            stub: directory.install(&lab::build::dist::lab_bin("lab-stub")?, "lab-stub")?,
        });
    }
    if let Some(point) = std::env::var("CROSSFADE_POINT").ok().filter(|point| !point.is_empty()) {
        return enumerate::play_point(&point);
    }
    let mut trials = lab::trials_of![
        NEEDS;
        order::record_is_durable_before_the_first_delegate,
        order::record_goes_after_the_last_delegate,
        limits::few_descriptors,
        limits::few_processes,
        limits::little_memory,
        limits::del_on_full_disks,
    ];
    for situation in point::Situation::all() {
        trials.push(trial(&situation.to_string().replace(' ', "_"), NEEDS, move || {
            enumerate::situation(situation)
        }));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    println!("{}", enumerate::table());
    Ok(conclusion.exit_code())
}
