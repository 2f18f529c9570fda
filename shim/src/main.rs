//! The CNI plugin `crossfade`: one process per verb and sandbox.
//!
//! A container runtime calls it with `CNI_*` variables and a network configuration on stdin. The plugin writes one JSON document to stdout
//! and exits with status 0, or it writes an error document and exits with 1. Without `CNI_COMMAND`, it prints its usage.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use shim::call::reply::{CniError, code};
use shim::call::version::Version;
use shim::host::signal::Signals;
use shim::{
    call::serve,
    host::{journal, trust},
};

/// Serves the call, or prints the usage.
fn main() -> ExitCode {
    // Confs hold tokens: no core dumps, and no other process of this uid reads the memory or the environment. A delegate starts dumpable again (man 2
    // `prctl`, PR_SET_DUMPABLE), whereas it would inherit a limit on core dumps. If the kernel refuses, the process is as dumpable as any other.
    let _ = nix::sys::prctl::set_dumpable(false);
    // The runtime gets an error document after a panic too. Nothing is unwound: the record names the DELs that are owed, as after a kill.
    std::panic::set_hook(Box::new(|panic| {
        fail(&format!("internal error: {panic}"));
        std::process::exit(1);
    }));
    let vars: Vec<_> =
        std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value))).collect();
    if !vars.iter().any(|(key, _)| key == "CNI_COMMAND") {
        return print_about();
    }
    journal::init();
    trust::inspect_once();
    match call(&vars) {
        Ok(status) => status.into(),
        Err(why) => {
            fail(&why);
            ExitCode::FAILURE
        }
    }
}

/// Serves the call of these variables, and returns the exit status.
fn call(vars: &[(String, OsString)]) -> Result<u8, String> {
    let signals = Signals::receive().map_err(|error| format!("receive signals: {error}"))?;
    let mut stdout = stdout().map_err(|error| format!("open stdout: {error}"))?;
    Ok(serve::serve(vars, &mut io::stdin().lock(), &mut stdout, &signals))
}

/// Stdout without a buffer. If a document cannot be written, a buffer would print it together with the error that says so.
fn stdout() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// Prints an error document for a failure outside of a verb. If a record exists by now, it names the DELs that are owed.
fn fail(what: &str) {
    let text = CniError::new(code::IO, what).to_json(Version::V110.as_str());
    // There is no other place to report a failure to.
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

fn print_about() -> ExitCode {
    let text = format!(
        "crossfade {}: a CNI plugin that moves pods from one CNI to another.\n\
         A container runtime calls it with CNI_COMMAND set and a network configuration on stdin.\n\
         CNI versions: {}\n",
        env!("CARGO_PKG_VERSION"),
        Version::supported_text()
    );
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
