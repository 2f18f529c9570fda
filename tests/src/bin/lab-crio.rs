//! `lab-crio`: [`lab::crio`] behind a CRI socket, in a node of the lab. See [`lab::crio::daemon`].

use std::process::ExitCode;

use clap::Parser;
use lab::crio::daemon::{Options, serve};

fn main() -> ExitCode {
    match serve(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab-crio: {error:#}");
            ExitCode::FAILURE
        }
    }
}
