//! `crossfade-bootstrap`: one node.

use std::process::ExitCode;

use bootstrap::cli::exit::{Exit, Failure};
use bootstrap::cli::{Cli, Command, Global, Policy, Status, Sweep, print};
use bootstrap::commands::{
    attachments, boot, gate, generator, install, place, policy, render, retract, status, sweep,
};
use bootstrap::image::{bake, seal, selftest};
use bootstrap::node::directories::Directories;
use bootstrap::node::host;
use bootstrap::watch;
use clap::Parser;

fn main() -> ExitCode {
    if generator::is_called() {
        return generator::main().into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return print::usage(&error).into(),
    };
    let global = cli.global();
    run(&global, &cli.command).unwrap_or_else(|failure| print::failure(global.output, &failure)).into()
}

fn run(global: &Global, command: &Command) -> Result<Exit, Failure> {
    // What a pod has for its node is read first, by `install` itself.
    if !matches!(command, Command::Install(_)) {
        host::enter(global)?;
    }
    let output = global.output;
    Ok(match command {
        Command::Install(wanted) => print::report(output, &install::install(global, wanted)?),
        Command::Uninstall(wanted) => print::report(output, &install::uninstall::uninstall(global, wanted)?),
        Command::Policy(verb) => run_policy(global, verb)?,
        Command::Attachments(_) => print::report(output, &attachments::attachments(global)?),
        Command::Sweep(wanted) => run_sweep(global, wanted)?,
        Command::Status(wanted) => run_status(global, wanted)?,
        Command::Boot(_) => print::report(output, &boot::boot(global)?),
        Command::Gate(_) => print::report(output, &gate::gate(global)?),
        Command::Render(wanted) => print::report(output, &render::render(global, wanted)?),
        Command::Watch(wanted) => watch::watch(global, wanted)?,
        Command::Retract(wanted) => print::report(output, &retract::retract(global, wanted)?),
        Command::Explain(_) => print::report(output, &boot::explain::explain(global)?),
        Command::Bake(wanted) => print::report(output, &bake::bake(global, wanted)?),
        Command::Seal(wanted) => print::report(output, &seal::seal(global, wanted)?),
        Command::Selftest(wanted) => print::report(output, &selftest::selftest(global, wanted)?),
        Command::Place(wanted) => print::report(output, &place::place(global, wanted)?),
        Command::Prove(wanted) => watch::prove::prove(global, wanted)?,
    })
}

fn run_policy(global: &Global, verb: &Policy) -> Result<Exit, Failure> {
    let output = global.output;
    policy::needed(global, verb)?;
    let layout = Directories::certain(global)?.layout;
    Ok(match verb {
        Policy::Show(_) => print::report(output, &policy::show(&layout)?),
        Policy::Check(wanted) => print::report(output, &policy::check(&layout, wanted.file.as_deref())?),
        Policy::Set(wanted) => print::report(output, &policy::set(global, &layout, wanted)?),
        Policy::Explain(wanted) => print::report(output, &policy::explain::explained(&layout, wanted)?),
    })
}

fn run_sweep(global: &Global, wanted: &Sweep) -> Result<Exit, Failure> {
    match wanted.every {
        Some(every_secs) => sweep::every::run(global, wanted, every_secs),
        None => Ok(print::report(global.output, &sweep::result::pass(global, wanted)?)),
    }
}

fn run_status(global: &Global, wanted: &Status) -> Result<Exit, Failure> {
    if wanted.follow {
        return Ok(status::follow(global));
    }
    if wanted.reported {
        return Ok(print::report(global.output, &status::reported(global)));
    }
    Ok(print::report(global.output, &status::run(global, wanted)?))
}
