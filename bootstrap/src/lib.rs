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
    // What a pod has for its node is read first, by `install` itself.
    if !matches!(command, Command::Install(_)) {
        chroot::enter(global)?;
    }
    let node = match (command, &global.host) {
        (Command::Install(_), Some(host)) => host,
        _ => &global.root,
    };
    let own = profiles::read_all(&Root::new(node)).map_err(Failure::settings)?;
    let global = &Global { profiles: Arc::new(Profiles::of_node(own)), ..global.clone() };
    let output = global.output;
    Ok(match command {
        Command::Install(wanted) => print::report(output, &install::install(global, wanted)?),
        Command::Uninstall(wanted) => print::report(output, &install::uninstall::uninstall(global, wanted)?),
        Command::Policy(verb) => policy::answer(global, verb)?,
        Command::Attachments(wanted) => print::report(output, &attachments::attachments(global, wanted)?),
        Command::Cleanup(wanted) => print::report(output, &cleanup::cleanup(global, wanted)?),
        Command::MovePods(wanted) => print::report(output, &move_pods::move_pods(global, wanted)?),
        Command::Graduate(wanted) => print::report(output, &graduate::graduate(global, wanted)?),
        Command::Status(wanted) => status::answer(global, wanted)?,
        Command::Doctor(wanted) => print::report(output, &doctor::doctor(global, wanted)),
        Command::Image(command) => match command {
            ImageCommand::Bake(wanted) => print::report(output, &bake::bake(global, wanted)?),
            ImageCommand::Selftest(wanted) => print::report(output, &selftest::selftest(global, wanted)?),
            ImageCommand::Seal(wanted) => print::report(output, &seal::seal(global, wanted)?),
            ImageCommand::Explain(_) => print::report(output, &boot::explain::explain(global)?),
        },
        Command::Unit(command) => match command {
            UnitCommand::Boot(_) => print::report(output, &boot::boot(global)?),
            UnitCommand::Gate(_) => print::report(output, &gate::gate(global)?),
            UnitCommand::Render(wanted) => print::report(output, &render::render(global, wanted)?),
            UnitCommand::Watch(wanted) => watch::watch(global, wanted)?,
            UnitCommand::Sweep(wanted) => sweep::answer(global, wanted)?,
            UnitCommand::Retract(wanted) => print::report(output, &retract::retract(global, wanted)?),
            UnitCommand::Prove(wanted) => watch::prove::prove(global, wanted)?,
            UnitCommand::Place(wanted) => print::report(output, &place::place(global, wanted)?),
        },
    })
}
