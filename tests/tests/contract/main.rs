//! The shim's contract as black-box tests: the real binary, scripted stub delegates, a real netns, our own caller.
//!
//! Each file is a topic; the names of its tests are the clauses of the contract.

mod agent;
mod check;
mod choice;
mod company;
mod concurrency;
mod crio;
mod daemons;
mod damaged;
mod del;
mod del_errors;
mod delegate_input;
mod delegates;
mod ending;
mod environment;
mod filled;
mod formats;
mod full_disk;
mod gc;
mod gc_forwarding;
mod gone;
mod inventory;
mod journal;
mod killed;
mod late;
mod limits;
mod modes;
mod mounts;
mod namespaces;
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
mod unfinished;
mod versions;

use std::process::ExitCode;

use lab::{
    case::{self, trials},
    netns,
};
use libtest_mimic::Trial;

fn main() -> ExitCode {
    case::main("contract", all_trials)
}

fn all_trials() -> Vec<Trial> {
    let files = [
        check::trials(),
        company::trials(),
        choice::trials(),
        concurrency::trials(),
        killed::trials(),
        crio::trials(),
        daemons::trials(),
        damaged::trials(),
        del::trials(),
        del_errors::trials(),
        delegates::trials(),
        ending::trials(),
        environment::trials(),
        delegate_input::trials(),
        filled::trials(),
        formats::trials(),
        full_disk::trials(),
        gc::trials(),
        gc_forwarding::trials(),
        gone::trials(),
        inventory::trials(),
        journal::trials(),
        late::trials(),
        limits::trials(),
        modes::trials(),
        namespaces::trials(),
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
        unfinished::trials(),
        versions::trials(),
    ];
    files.into_iter().flatten().collect()
}
