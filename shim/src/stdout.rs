//! The plugin's stdout, which the runtime reads one JSON document from.

use std::io::{self, Write};

/// Stdout without a buffer. If a document cannot be written, a buffer would print it together with the error that says so.
#[derive(Debug)]
pub(crate) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
