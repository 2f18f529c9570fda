//! `completion`: a script that completes the program's words in a shell.

use clap::CommandFactory;
use types::command::exit::Exit;

use crate::cli::exit::Failure;
use crate::cli::{Cli, Completion as CompletionArgs, complete};
use crate::print;

/// Runs the command.
///
/// # Errors
/// stdout takes no more.
pub(crate) fn completion(args: &CompletionArgs) -> Result<Exit, Failure> {
    let script = complete::script(Cli::command(), args.shell);
    print::stream(|out| out.write_all(&script))
        .map(|()| Exit::Done)
        .map_err(|e| Failure::from_problem(Exit::Failed, format!("write to stdout: {e}")))
}
