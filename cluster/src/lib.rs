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
use cli::{Check, Command, Plan};
use commands::roll::{permit, stragglers, wish};
use commands::{
    check, completion, config, finish, plan, policies, probe, report, requirements, roll, simulate, snapshot,
    status,
};
use migration::roll::run::{Bounds, RunRequest};
use types::command::exit::Exit;
use types::command::usage;

pub use cli::Cli;
// The tests drive these by themselves.
pub use cli::access::Access;
pub use live::{
    ACTING, AcquireError, Journal, MANAGING, Outcome, PERMITTING, PROBING, Patience, READING_REPORTS, Rule,
    SEEING_DRIFT, Session, Settings, apply,
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
        Command::Check(Check::Settings) => print::report(global.output, &config::check(global)?),
        Command::Snapshot(args) => match snapshot::snapshot(global, args)? {
            Some(snapshot_report) => print::report(global.output, &snapshot_report),
            None => Exit::Done,
        },
        Command::Plan(Plan { migration, simulate: Some(histories), seed, faults, .. }) => {
            print::report(global.output, &simulate::simulate(global, *migration, *histories, *seed, *faults)?)
        }
        Command::Plan(args) => match plan::plan(global, args)? {
            Some(planned) => print::report(global.output, &planned),
            None => Exit::Done,
        },
        Command::Probe(args) => print::report(global.output, &probe::probe(global, args)?),
        Command::Roll(Roll { command: Some(command), .. }) => ask_or_fix(global, command)?,
        Command::Roll(options) => print::report(global.output, &roll::roll(global, options)?),
        Command::Permit(options) => print::report(global.output, &permit::permit(global, options)?),
        Command::Status(options) => print::report(global.output, &status::status(global, options)?),
        Command::Finish(args) => print::report(global.output, &finish::finish(global, args)?),
        Command::Report(args) => print::report(global.output, &report::report(global, args)?),
        Command::Policies(args) => run_policies(global, args)?,
        Command::Completion(args) => completion::completion(args)?,
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

fn run_policies(global: &Global, args: &Policies) -> Result<Exit, Failure> {
    Ok(match args {
        Policies::Check(turn) => print::report(global.output, &policies::check(global, *turn)?),
        Policies::Convert(args) => match policies::convert(global, args)? {
            Some(turned) => print::report(global.output, &turned),
            None => Exit::Done,
        },
        Policies::Diff(args) => print::report(global.output, &policies::diff(global, args)?),
        Policies::Observe(args) => print::report(global.output, &policies::observe::observe(global, args)?),
        Policies::Backup(args) => print::report(global.output, &policies::backup::backup(global, args)?),
        Policies::Restore(args) => print::report(global.output, &policies::restore::restore(global, args)?),
    })
}
