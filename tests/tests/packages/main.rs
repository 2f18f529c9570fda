//! What `make packages` makes: what is in it, and what it does to images and nodes.

mod contents;
mod image;
mod node;
mod package_manager;
mod release;
mod reproducible;

use std::process::ExitCode;

use anyhow::Result;

fn main() -> Result<ExitCode> {
    lab::preflight::main(|| {
        let trials = [contents::trials(), reproducible::trials(), image::trials(), node::trials()];
        trials.into_iter().flatten().collect()
    })
}
