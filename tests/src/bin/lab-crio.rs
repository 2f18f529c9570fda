//! `lab-crio`: [`lab::runtime::crio`] behind a CRI socket, in a node of the lab. See [`lab::runtime::crio::daemon`].

use std::process::ExitCode;

use clap::Parser;
use lab::runtime::crio::daemon::{Options, serve};

fn main() -> ExitCode {
    match serve(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab-crio: {error:#}");
            ExitCode::FAILURE
        }
    }
}
