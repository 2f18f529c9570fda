//! One node: its boot, its conf and kubelet's registration, installation, policy and sweep.
//!
//! Every command is one straight line: it gathers what it must know ([`node`], [`runtime`], [`kubelet`], [`systemd`]), decides (a pure
//! function whose result is a list of [`change::Change`]), has the changes carried out ([`change`]) and reports ([`cli::print`]). A dry
//! run stops before they are carried out and prints the very list that would be.

mod change;
mod cli;
mod commands;
mod doctor;
mod host;
mod image;
mod kubelet;
mod node;
mod publish;
mod runtime;
#[cfg(test)]
mod schema;
mod systemd;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;

use cli::{Command, Global, ImageCommand, UnitCommand, print};
use commands::{
    attachments, boot, cleanup, gate, generator, graduate, install, move_pods, place, policy, render,
    retract, status, sweep,
};
use convergence::failure::Failure;
use host::chroot;
use image::{bake, seal, selftest};
use node::settings::profiles;
use types::command::exit::Exit;
use types::command::usage;
use types::profile::Profiles;

pub use cli::Cli;
// The tests drive these by themselves.
pub use host::root::Root;
pub use publish::Publisher;
pub use publish::report::{Credential, Publish};
pub use systemd::unit::Unit;

/// The program: one command.
#[must_use]
pub fn main() -> ExitCode {
    if generator::is_called() {
        return generator::main().into();
    }
    let cli = match usage::parse::<Cli>(&cli::GROUPS) {
        Ok(cli) => cli,
        Err(error) => return print::usage(&error).into(),
    };
    let global = cli.global();
    run(&global, &cli.command).unwrap_or_else(|failure| print::failure(global.output, &failure)).into()
}

fn run(global: &Global, command: &Command) -> Result<Exit, Failure> {
    if let Command::Doctor(cli::Doctor { explain: Some(explanation), .. }) = command {
        return Ok(print::report(global.output, explanation));
    }
    // What a pod has for its node is read first, by `install` itself.
    if !matches!(command, Command::Install(_)) {
        chroot::enter(global)?;
    }
    let node = match (command, &global.host) {
        (Command::Install(_), Some(host)) => host,
        _ => &global.root,
    };
    let own = profiles::read_all(&Root::new(node)).map_err(Failure::settings)?;
    let global = &Global { profiles: Arc::new(Profiles::with_own(own)), ..global.clone() };
    let output = global.output;
    Ok(match command {
        Command::Install(args) => print::report(output, &install::install(global, args)?),
        Command::Uninstall(args) => print::report(output, &install::uninstall::uninstall(global, args)?),
        Command::Policy(verb) => policy::answer(global, verb)?,
        Command::Attachments(args) => attachments::answer(global, args)?,
        Command::Cleanup(args) => print::report(output, &cleanup::cleanup(global, args)?),
        Command::MovePods(args) => print::report(output, &move_pods::move_pods(global, args)?),
        Command::Graduate(args) => print::report(output, &graduate::graduate(global, args)?),
        Command::Status(args) => status::answer(global, args)?,
        Command::Doctor(args) => print::report(output, &doctor::doctor(global, args)),
        Command::Image(command) => match command {
            ImageCommand::Bake(args) => print::report(output, &bake::bake(global, args)?),
            ImageCommand::Selftest(args) => print::report(output, &selftest::selftest(global, args)?),
            ImageCommand::Seal(args) => print::report(output, &seal::seal(global, args)?),
            ImageCommand::Explain(_) => print::report(output, &boot::explain::explain(global)?),
        },
        Command::Unit(command) => match command {
            UnitCommand::Boot(_) => print::report(output, &boot::boot(global)?),
            UnitCommand::Gate(_) => print::report(output, &gate::gate(global)?),
            UnitCommand::Render(args) => print::report(output, &render::render(global, args)?),
            UnitCommand::Watch(args) => watch::watch(global, args)?,
            UnitCommand::Sweep(args) => sweep::answer(global, args)?,
            UnitCommand::Retract(args) => print::report(output, &retract::retract(global, args)?),
            UnitCommand::Prove(args) => watch::prove::prove(global, args)?,
            UnitCommand::Place(args) => print::report(output, &place::place(global, args)?),
        },
    })
}
