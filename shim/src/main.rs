//! The CNI plugin `crossfade`: one process per verb and sandbox.
//!
//! Called by a container runtime with `CNI_*` variables and a network configuration on stdin. Answers with one JSON document
//! on stdout and exit status 0, or an error document and 1. A person who calls it without `CNI_COMMAND` gets its usage.

#![no_main]

mod start;

use std::io::Write;

use shim::reply::{CniError, code};
use shim::signal::Signals;
use shim::version::Version;
use shim::{journal, serve};

/// Serves the one call this process is for; its exit status.
fn run() -> i32 {
    // A panic is answered like any error. Nothing is unwound: the record says what is owed, as after a kill.
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
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            fail(&format!("install signal handlers: {error}"));
            return 1;
        }
    };
    serve::serve(&vars, &mut std::io::stdin().lock(), &mut Stdout, &signals).into()
}

/// Stdout without a buffer: a document that could not be written must not come out together with the next one, which says so.
struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(nix::unistd::write(std::io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Prints an error document for what happens outside a verb. The record, if there is one by now, keeps what is owed.
fn fail(what: &str) {
    let text = CniError::new(code::IO, what).to_json(Version::V110.as_str());
    let _ = Stdout.write_all(text.as_bytes());
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
