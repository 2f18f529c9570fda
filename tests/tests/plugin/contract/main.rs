//! The shim's contract as black-box tests: the real binary, scripted stub delegates, a real netns, our own caller.
//!
//! Each file is a topic; the names of its tests are the clauses of the contract.

mod attach;
mod detach;
mod input;
mod state;
mod trouble;

use std::process::ExitCode;

use lab::{
    case::{self, trials},
    host::netns,
};
use libtest_mimic::Trial;

fn main() -> ExitCode {
    case::main("contract", all_trials)
}

fn all_trials() -> Vec<Trial> {
    let files = [
        state::check::trials(),
        detach::company::trials(),
        attach::choice::trials(),
        trouble::concurrency::trials(),
        trouble::killed::trials(),
        input::crio::trials(),
        trouble::daemons::trials(),
        trouble::damaged::trials(),
        detach::del::trials(),
        detach::del_errors::trials(),
        attach::delegates::trials(),
        attach::ending::trials(),
        attach::join::trials(),
        input::environment::trials(),
        input::delegate_input::trials(),
        trouble::filled::trials(),
        input::formats::trials(),
        trouble::full_disk::trials(),
        detach::gc::trials(),
        detach::gc_forwarding::trials(),
        detach::gone::trials(),
        input::inventory::trials(),
        state::journal::trials(),
        detach::late::trials(),
        detach::leave::trials(),
        input::limits::trials(),
        attach::modes::trials(),
        attach::namespaces::trials(),
        attach::policy::trials(),
        state::readiness::trials(),
        attach::results::trials(),
        detach::retired::trials(),
        attach::rollback::trials(),
        attach::standard::trials(),
        attach::standins::trials(),
        state::status::trials(),
        input::streams::trials(),
        input::trust::trials(),
        trouble::unfinished::trials(),
        input::versions::trials(),
    ];
    files.into_iter().flatten().collect()
}
