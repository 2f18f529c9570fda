//! The packages of `make packages`: their contents, and their effect on images and nodes.

mod architecture;
mod contents;
mod image;
mod index;
mod linted;
mod node;
mod package_manager;
mod plugin;
mod release;
mod reproducible;

use std::process::ExitCode;

use anyhow::Result;

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        let any = [contents::trials(), linted::trials(), plugin::trials()];
        // Where the programs run, and `tests/packages` has built everything twice.
        let native = [reproducible::trials(), image::trials(), node::trials()];
        let native = native.into_iter().filter(|_| !architecture::is_foreign());
        // Built only where there is a second architecture to name.
        let both = Some(index::trials()).filter(|_| architecture::is_foreign());
        any.into_iter().chain(native).chain(both).flatten().collect()
    })
}
