//! The programs' defences as black-box tests of the release; docs/security.md names each with the threat that it meets.
//!
//! Each file is what an attack goes through: files, state, binaries, input, environment, netns, probes, logs, the program itself, and
//! other users of the node.

mod artefact;
mod binary;
mod directories;
mod events;
mod files;
mod hostnet;
mod input;
mod process;
mod race;
mod ready;
mod secrets;
mod size;
mod strangers;
mod table;

use std::process::ExitCode;

use lab::case::{self, trials};
use libtest_mimic::Trial;

fn main() -> ExitCode {
    case::main("security", all_trials)
}

fn all_trials() -> Vec<Trial> {
    let files = [
        artefact::trials(),
        binary::trials(),
        events::trials(),
        files::trials(),
        hostnet::trials(),
        input::trials(),
        directories::trials(),
        directories::links::trials(),
        process::trials(),
        race::trials(),
        ready::trials(),
        secrets::trials(),
        size::trials(),
        strangers::trials(),
        table::trials(),
    ];
    files.into_iter().flatten().collect()
}
