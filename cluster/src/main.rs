//! `kubectl-crossfade`: one cluster.

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use cluster::cli::complete;
use cluster::cli::exit::{Exit, Failure};
use cluster::cli::options::Global;
use cluster::cli::policies::Policies;
use cluster::cli::{Check, Cli, Command, Config};
use cluster::commands::{
    check, completion, config, plan, policies, requirements, roll, simulate, snapshot, status, stragglers,
    wish,
};
use cluster::print;
use migration::roll::run::Bounds;
use migration::roll::wish::RunRequest;

fn main() -> ExitCode {
    let mut words = std::env::args();
    let called = words.next().unwrap_or_default();
    if Path::new(&called).file_stem().is_some_and(|name| name == complete::NAME) {
        let words: Vec<String> = words.collect();
        print::line_by_line(&complete::answer(&Cli::command(), &words));
        return Exit::Done.into();
    }
    let mut cli = match Cli::try_parse() {
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
        Command::Requirements(wanted) => match requirements::requirements(global, wanted)? {
            Some(required) => print::report(global.output, &required),
            None => Exit::Done,
        },
        Command::Snapshot(wanted) => match snapshot::snapshot(global, wanted)? {
            Some(taken) => print::report(global.output, &taken),
            None => Exit::Done,
        },
        Command::Plan(wanted) => match plan::plan(global, wanted)? {
            Some(planned) => print::report(global.output, &planned),
            None => Exit::Done,
        },
        Command::Simulate(wanted) => print::report(global.output, &simulate::simulate(global, wanted)?),
        Command::Roll(wanted) => print::report(global.output, &roll::roll(global, wanted)?),
        Command::Status(wanted) => print::report(global.output, &status::status(global, wanted)?),
        Command::Stragglers(wanted) => print::report(global.output, &stragglers::stragglers(global, wanted)?),
        Command::Pause(wanted) => {
            let what = if wanted.now { RunRequest::PauseNow } else { RunRequest::Pause };
            ask(global, &wanted.justification.reason, what)?
        }
        Command::Resume(because) => ask(global, &because.reason, RunRequest::Resume(Bounds::default()))?,
        Command::Abort(wanted) => ask(global, &wanted.justification.reason, RunRequest::Abort(wanted.to))?,
        Command::Skip(one) => {
            ask(global, &one.justification.reason, RunRequest::Skip(one.object.as_str().into()))?
        }
        Command::Retry(one) => {
            ask(global, &one.justification.reason, RunRequest::Retry(one.object.as_str().into()))?
        }
        Command::Rollback(one) => {
            ask(global, &one.justification.reason, RunRequest::Rollback(one.node.as_str().into()))?
        }
        Command::Policies(wanted) => about_policies(global, wanted)?,
        Command::Completion(wanted) => completion::completion(wanted)?,
        Command::Config(Config::Check) => print::report(global.output, &config::check(global)?),
    })
}

fn ask(global: &Global, reason: &str, what: RunRequest) -> Result<Exit, Failure> {
    Ok(print::report(global.output, &wish::ask(global, reason, what)?))
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
