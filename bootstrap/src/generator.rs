//! The systemd generator: our words come last on the command lines of kubelet and the runtime.

use crate::exit::Exit;

/// The name under which systemd calls us as a generator.
pub const NAME: &str = "crossfade-generator";

/// Whether this process was started as a generator.
#[must_use]
pub fn is_called() -> bool {
    std::env::args_os()
        .next()
        .is_some_and(|name| std::path::Path::new(&name).file_name().is_some_and(|name| name == NAME))
}

/// Generates.
#[must_use]
pub fn main() -> Exit {
    Exit::Failed
}

/// Whether the unit hands our words on.
///
/// # Errors
/// What is wrong.
pub fn check(_: &crate::places::Root, _: &str) -> Result<(), String> {
    Ok(())
}
