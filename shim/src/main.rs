//! The CNI plugin `crossfade`: one process per verb and sandbox.
//!
//! A container runtime calls it with `CNI_*` variables and a network configuration on stdin. The plugin writes one JSON document to stdout
//! and exits with status 0, or it writes an error document and exits with 1. Without `CNI_COMMAND`, it prints its usage.

#![cfg_attr(not(test), no_main)]
#![cfg_attr(test, expect(dead_code, reason = "a test program has an entry point of its own"))]

mod start;
mod streams;

use std::io::Write;

use shim::reply::{CniError, code};
use shim::signal::Signals;
use shim::version::Version;
use shim::{journal, serve, trust};
use start::standard;
use streams::{Stdin, Stdout};

/// Serves the call, or prints the usage, and returns the exit status.
fn run() -> i32 {
    // The runtime gets an error document after a panic too. Nothing is unwound: the record names the DELs that are owed, as after a kill.
    std::panic::set_hook(Box::new(|panic| {
        fail(&format!("internal error: {panic}"));
        std::process::exit(1);
    }));
    let vars: Vec<_> =
        std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value))).collect();
    if !vars.iter().any(|(key, _)| key == "CNI_COMMAND") {
        return about();
    }
    journal::init();
    trust::inspect_once();
    let signals = match Signals::receive() {
        Ok(signals) => signals,
        Err(error) => {
            fail(&format!("receive signals: {error}"));
            return 1;
        }
    };
    serve::serve(&vars, &mut Stdin(standard(0)), &mut stdout(), &signals).into()
}

/// Prints an error document for a failure outside of a verb. If a record exists by now, it names the DELs that are owed.
fn fail(what: &str) {
    let text = CniError::new(code::IO, what).to_json(Version::V110.as_str());
    let _ = stdout().write_all(text.as_bytes());
}

fn stdout() -> Stdout {
    Stdout(standard(1))
}

fn about() -> i32 {
    let text = format!(
        "crossfade {}: a CNI plugin that moves pods from one CNI to another.\n\
         A container runtime calls it with CNI_COMMAND set and a network configuration on stdin.\n\
         CNI versions: {}\n",
        env!("CARGO_PKG_VERSION"),
        Version::supported_text()
    );
    let _ = std::io::stderr().write_all(text.as_bytes());
    0
}
