//! Help, version and usage errors of the command-line parser, on stdout or stderr.

use convergence::report::Page;
use types::command::exit::Exit;
use types::command::usage;

use super::{complain, document, refusal};

/// Prints what the parser says: help and version as they are, and a complaint, which quotes the arguments, as safely as everything else.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // A reader that went away (`| head`) is no failure.
        let _ = error.print();
        return Exit::Done;
    }
    if usage::format(std::env::args_os().skip(1), &["json"]).is_some() {
        document(&refusal(vec![usage::problem(error)]));
    } else {
        let mut page = Page::new();
        page.text(&error.render().to_string());
        complain(&page);
    }
    Exit::Usage
}
