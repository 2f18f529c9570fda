//! `crossfade-bootstrap`: one node.

use std::process::ExitCode;

use bootstrap::cli::exit::{Exit, Failure};
use bootstrap::cli::print;
use bootstrap::cli::{Cli, Command, Policy};
use bootstrap::commands::{
    attachments, boot, gate, generator, install, place, policy, render, retract, status, sweep,
};
use bootstrap::image::{bake, seal, selftest};
use bootstrap::node::directories::Directories;
use bootstrap::node::host;
use bootstrap::node::policy::flip;
use bootstrap::watch;
use clap::Parser;
use shim::policy_file;
use types::pod::Pod;

fn main() -> ExitCode {
    if generator::is_called() {
        return generator::main().into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return print::usage(&error).into(),
    };
    run(&cli).unwrap_or_else(|failure| print::failure(cli.global.output, &failure)).into()
}

fn run(cli: &Cli) -> Result<Exit, Failure> {
    // What a pod has for its node is read first, by `install` itself.
    if !matches!(cli.command, Command::Install(_)) {
        host::enter(&cli.global)?;
    }
    let (global, output) = (&cli.global, cli.global.output);
    Ok(match &cli.command {
        Command::Install(wanted) => print::report(output, &install::install(global, wanted)?),
        Command::Uninstall(wanted) => print::report(output, &install::uninstall::uninstall(global, wanted)?),
        Command::Sweep(wanted) => match wanted.every {
            Some(every_secs) => sweep::every::run(global, wanted, every_secs)?,
            None => print::report(output, &sweep::result::pass(global, wanted)?),
        },
        Command::Status(wanted) if wanted.follow => status::follow(global),
        Command::Status(wanted) if wanted.reported => print::report(output, &status::reported(global)),
        Command::Status(wanted) => print::report(output, &status::run(global, wanted)?),
        Command::Boot(wanted) => print::report(output, &boot::boot(global, wanted)?),
        Command::Gate(wanted) => print::report(output, &gate::gate(global, wanted)?),
        Command::Render(wanted) => print::report(output, &render::render(global, wanted)?),
        Command::Watch(wanted) => watch::watch(global, wanted)?,
        Command::Retract(wanted) => print::report(output, &retract::retract(global, wanted)?),
        Command::Explain(wanted) => print::report(output, &boot::explain::explain(global, wanted)?),
        Command::Bake(wanted) => print::report(output, &bake::bake(global, wanted)?),
        Command::Seal(wanted) => print::report(output, &seal::seal(global, wanted)?),
        Command::Selftest(wanted) => print::report(output, &selftest::selftest(global, wanted)?),
        Command::Place(wanted) => print::report(output, &place::place(global, wanted)?),
        Command::Prove(wanted) => watch::prove::prove(global, wanted)?,
        Command::Attachments => print::report(output, &attachments::attachments(global)?),
        Command::Policy(verb) => {
            policy::needed(global, verb)?;
            let layout = Directories::certain(global)?.layout;
            match verb {
                Policy::Show => print::report(output, &policy::show(&layout)?),
                Policy::Check { file } => print::report(output, &policy::check(&layout, file.as_deref())?),
                Policy::Set { phase, runtime } => {
                    let set = flip::set(&layout, *phase, *runtime, global.dry_run)?;
                    let doubt = policy::doubt(global).filter(|_| !global.dry_run);
                    let doubt = doubt.map(|why| {
                        format!("it is not confirmed that pods come through us: {why}; ask again, or run install, which has it read anew")
                    });
                    print::report(output, &set.unconfirmed(doubt))
                }
                Policy::Explain { namespace, pod, annotations } => {
                    let policy = policy_file::load(&layout.policy_file()).map_err(Failure::settings)?;
                    let pod = Pod { namespace: namespace.clone(), name: pod.clone() };
                    print::report(output, &policy::explain(&policy, &pod, annotations))
                }
            }
        }
    })
}
