//! Runs a program inside a lab's namespaces, with the lab's parts over the machine's.
//!
//! ```text
//! lab-isolate PROGRAM [ARGUMENT...]     as root; exits with the program's status
//! ```
//!
//! For test programs that know nothing of the lab: what they leave behind, killed or not, goes with the namespaces.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    lab::host::isolate::enter()?;
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.is_empty() {
        bail!("usage: lab-isolate PROGRAM [ARGUMENT...]");
    }
    let program = words.remove(0);
    let error = Command::new(&program).args(&words).exec();
    Err(error).with_context(|| format!("run {}", program.display()))
}
