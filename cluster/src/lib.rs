//! `kubectl-crossfade`: the command line, the files and the live cluster around what [`migration`] decides.
//!
//! Every command is one straight line: it gathers the settings and a snapshot of the cluster ([`input`], [`live`]), decides (functions of a
//! [`migration::check::Scene`]) and reports ([`print`]).

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod commands;
mod input;
mod live;
mod print;
#[cfg(test)]
mod schema;

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use cli::complete;
use cli::exit::Failure;
use cli::options::Global;
use cli::policies::Policies;
use cli::roll::{Roll, RollCommand};
use cli::{Check, Command, Config, Plan};
use commands::{
    check, completion, config, evidence, permit, plan, policies, report, requirements, roll, simulate,
    snapshot, status, stragglers, wish,
};
use migration::roll::run::Bounds;
use migration::roll::wish::RunRequest;
use types::command::exit::Exit;
use types::command::usage;

pub use cli::Cli;
// The tests drive these by themselves.
pub use cli::access::Access;
pub use live::{
    ACTING, AcquireError, Journal, MANAGING, Outcome, PERMITTING, Patience, Rule, Session, Settings, apply,
};

/// The program: one command.
#[must_use]
pub fn main() -> ExitCode {
    let mut words = std::env::args();
    let called = words.next().unwrap_or_default();
    if Path::new(&called).file_stem().is_some_and(|name| name == complete::NAME) {
        let words: Vec<String> = words.collect();
        print::line_by_line(&complete::answer(&Cli::command(), &words));
        return Exit::Done.into();
    }
    let mut cli = match usage::parse::<Cli>(&cli::GROUPS) {
        Ok(cli) => cli,
        Err(error) => return print::usage(&error).into(),
    };
    cli.global.access.log_requests(print::request);
    let output = cli.global.output;
    run(&cli).unwrap_or_else(|failure| print::failure(output, &failure)).into()
}

fn run(cli: &Cli) -> Result<Exit, Failure> {
    let global = &cli.global;
    Ok(match &cli.command {
        Command::Check(Check::Explain(explanation)) => print::report(global.output, explanation),
        Command::Check(Check::Migration(migration)) => {
            print::report(global.output, &check::check(global, *migration)?)
        }
        Command::Check(Check::Requirements(migration)) => {
            print::report(global.output, &requirements::requirements(global, *migration)?)
        }
        Command::Check(Check::DumpScript(migration)) => requirements::dump_script(*migration)?,
        Command::Snapshot(wanted) => match snapshot::snapshot(global, wanted)? {
            Some(taken) => print::report(global.output, &taken),
            None => Exit::Done,
        },
        Command::Plan(Plan { migration, simulate: Some(histories), seed, faults, .. }) => {
            print::report(global.output, &simulate::simulate(global, *migration, *histories, *seed, *faults)?)
        }
        Command::Plan(wanted) => match plan::plan(global, wanted)? {
            Some(planned) => print::report(global.output, &planned),
            None => Exit::Done,
        },
        Command::Roll(Roll { command: Some(command), .. }) => ask_or_fix(global, command)?,
        Command::Roll(options) => print::report(global.output, &roll::roll(global, options)?),
        Command::Permit(options) => print::report(global.output, &permit::permit(global, options)?),
        Command::Status(options) => print::report(global.output, &status::status(global, options)?),
        Command::Report(wanted) => print::report(global.output, &report::report(global, wanted)?),
        Command::Evidence(wanted) => print::report(global.output, &evidence::evidence(global, wanted)?),
        Command::Policies(wanted) => about_policies(global, wanted)?,
        Command::Completion(wanted) => completion::completion(wanted)?,
        Command::Config(Config::Check) => print::report(global.output, &config::check(global)?),
    })
}

fn ask_or_fix(global: &Global, command: &RollCommand) -> Result<Exit, Failure> {
    let (reason, request) = match command {
        RollCommand::Stragglers(options) => {
            return Ok(print::report(global.output, &stragglers::stragglers(global, options)?));
        }
        RollCommand::Pause(options) => {
            let request = if options.now { RunRequest::PauseNow } else { RunRequest::Pause };
            (&options.justification, request)
        }
        RollCommand::Resume(justification) => (justification, RunRequest::Resume(Bounds::default())),
        RollCommand::Abort(options) => (&options.justification, RunRequest::Abort(options.to)),
        RollCommand::Skip(options) => {
            (&options.justification, RunRequest::Skip(options.object.as_str().into()))
        }
        RollCommand::Retry(options) => {
            (&options.justification, RunRequest::Retry(options.object.as_str().into()))
        }
        RollCommand::Rollback(options) => {
            (&options.justification, RunRequest::Rollback(options.node.as_str().into()))
        }
    };
    Ok(print::report(global.output, &wish::ask(global, &reason.reason, request)?))
}

fn about_policies(global: &Global, wanted: &Policies) -> Result<Exit, Failure> {
    Ok(match wanted {
        Policies::Check(turn) => print::report(global.output, &policies::check(global, *turn)?),
        Policies::Convert(wanted) => match policies::convert(global, wanted)? {
            Some(turned) => print::report(global.output, &turned),
            None => Exit::Done,
        },
        Policies::Diff(wanted) => print::report(global.output, &policies::diff(global, wanted)?),
        Policies::Backup(wanted) => print::report(global.output, &policies::backup::backup(global, wanted)?),
        Policies::Restore(wanted) => {
            print::report(global.output, &policies::restore::restore(global, wanted)?)
        }
    })
}
