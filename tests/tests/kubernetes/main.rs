//! The node's side of the API server, against a real kube-apiserver with NodeRestriction (`make test-kubernetes`).
//!
//! One API server for all cases, started once; every case has Nodes of its own.

mod acting;
mod annotations;
mod credentials;
mod deploy;
mod kubelet;
mod leaving;
mod lists;
mod looking;
mod meanwhile;
mod operator;
mod outage;
mod policies;
mod publisher;
mod publishing;
mod registration;
mod second;
mod server;
mod subject;
mod tree;
mod watching;

use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use libtest_mimic::Arguments;

use server::Server;

/// More than the machine has cores: a case mostly waits.
const CASES_AT_ONCE: usize = 8;

static SERVER: OnceLock<Server> = OnceLock::new();

fn main() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(CASES_AT_ONCE);
    let trials = [
        registration::trials(),
        publishing::trials(),
        credentials::trials(),
        outage::trials(),
        watching::trials(),
        deploy::trials(),
        leaving::trials(),
        looking::trials(),
        operator::trials(),
        acting::trials(),
        annotations::trials(),
        meanwhile::trials(),
        second::trials(),
        policies::trials(),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !arguments.list {
        // It ends with the lab, whose processes all do.
        SERVER.set(Server::start()?).map_err(|_| anyhow::anyhow!("started twice"))?;
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// The API server.
fn server() -> Result<&'static Server> {
    SERVER.get().context("main starts it before it runs a case")
}
