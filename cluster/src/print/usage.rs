//! Help, version and usage errors of the command-line parser.

use types::command::usage;

use super::{complain, refuse};
use crate::cli::options::Output;
use types::command::exit::Exit;

/// Prints help and version as they are, and a complaint in the format that the arguments ask for.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // A reader that went away (`| head`) is no failure.
        let _ = error.print();
        return Exit::Done;
    }
    let output = match usage::format(std::env::args_os().skip(1), &["json", "yaml"]) {
        Some("json") => Output::Json,
        Some(_) => Output::Yaml,
        None => {
            complain(&error.render().to_string());
            return Exit::Usage;
        }
    };
    refuse(output, vec![usage::problem(error)]);
    Exit::Usage
}
