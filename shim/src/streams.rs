//! The plugin's stdin and stdout: the runtime writes one JSON document to it, and reads one from it.
//!
//! Neither has a buffer. A call reads stdin once, to its end. If a document cannot be written to stdout, a buffer would print it together with the error
//! that says so.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

/// Stdin.
#[derive(Debug)]
pub(crate) struct Stdin(pub(crate) BorrowedFd<'static>);

impl Read for Stdin {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        Ok(nix::unistd::read(self.0, bytes)?)
    }
}

/// Stdout.
#[derive(Debug)]
pub(crate) struct Stdout(pub(crate) BorrowedFd<'static>);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
