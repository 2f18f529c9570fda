//! The node's side of the API server, against a real kube-apiserver with NodeRestriction (`make test-kubernetes`).
//!
//! One API server for all cases, started once; every case has Nodes of its own.

mod cluster;
mod kubelet;
mod lists;
mod node;
mod publisher;
mod server;
mod subject;
mod tree;

use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use libtest_mimic::Arguments;

use server::Server;

/// More than the machine has cores: a case mostly waits.
const CASES_AT_ONCE: usize = 8;

static SERVER: OnceLock<Server> = OnceLock::new();

fn main() -> Result<ExitCode> {
    lab::host::isolate::enter()?;
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(CASES_AT_ONCE);
    let trials = [
        node::registration::trials(),
        node::publishing::trials(),
        node::credentials::trials(),
        node::outage::trials(),
        node::watching::trials(),
        cluster::deploy::trials(),
        node::leaving::trials(),
        node::looking::trials(),
        cluster::operator::trials(),
        cluster::acting::trials(),
        node::annotations::trials(),
        node::meanwhile::trials(),
        node::second::trials(),
        cluster::policies::trials(),
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
