//! Command lines that are built, read back by the parser of the command line.

use std::path::PathBuf;

use clap::Parser;
use types::policy::Side;

use super::*;
use crate::cli::{Cli, Command, UnitCommand};
use crate::node::agent::own_command;

const PROGRAM: &str = "crossfade-bootstrap";

fn parse(words: impl IntoIterator<Item = OsString>) -> Cli {
    let line: Vec<OsString> = [PROGRAM.into()].into_iter().chain(words).collect();
    Cli::try_parse_from(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

/// Options that no test leaves end_of_options their defaults.
fn global() -> Global {
    let options =
        ["--root", "/usr", "--state-dir", "/s", "--run-dir", "/run/r", "--policy", "/p", "--conf-dir", "/c"];
    parse(["attachments"].into_iter().chain(options).map(OsString::from)).global()
}

fn dirs() -> Vec<PathBuf> {
    vec!["/b1".into(), "/b 2".into()]
}

/// What systemd runs, read back.
fn in_unit(command: OwnCommand) -> Cli {
    let line = transient_unit("u", 9, Path::new("/usr/bin/own"), &global(), &command.into_words());
    let end_of_options = line.iter().position(|word| word == "--").expect("an end of systemd-run's options");
    assert!(
        line[..end_of_options].contains(&"--unit=u".into())
            && line[..end_of_options].contains(&"RuntimeMaxSec=9".into())
    );
    assert_eq!(line[end_of_options + 1], "/usr/bin/own");
    let cli = parse(line[end_of_options + 2..].iter().cloned());
    let (parsed, expected) = (cli.global(), global());
    assert_eq!(parsed.root, expected.root);
    if !matches!(cli.command, Command::Unit(UnitCommand::Place(_))) {
        assert_eq!(
            (&parsed.state_dir, &parsed.run_dir, &parsed.policy),
            (&expected.state_dir, &expected.run_dir, &expected.policy)
        );
    }
    cli
}

#[test]
fn a_proof() {
    let cli = in_unit(OwnCommand::prove(Side::New, 7, Path::new("/conf"), &dirs()));
    let conf_dir = cli.global().conf_dir;
    let Command::Unit(UnitCommand::Prove(prove)) = cli.command else { panic!("{:?}", cli.command) };
    assert_eq!((prove.network, prove.turn, prove.bin_dirs), (Side::New, 7, dirs()));
    assert_eq!(conf_dir, Path::new("/conf"));
}

#[test]
fn a_pass_for_watch() {
    for endpoint in [Some("unix:///run/c.sock"), None] {
        let cli = in_unit(OwnCommand::sweep(3, endpoint, Path::new("/conf"), &dirs()));
        let conf_dir = cli.global().conf_dir;
        let Command::Unit(UnitCommand::Sweep(sweep)) = cli.command else { panic!("{:?}", cli.command) };
        assert_eq!((sweep.turn, sweep.bin_dirs, sweep.every), (Some(3), dirs(), None));
        assert_eq!(sweep.runtime.runtime_endpoint.as_deref(), endpoint);
        assert_eq!(conf_dir, Path::new("/conf"));
    }
}

#[test]
fn a_pass_that_moves_pods() {
    for endpoint in [Some("unix:///run/c.sock"), None] {
        let cli = in_unit(OwnCommand::move_pods(3, endpoint, Path::new("/conf")));
        let conf_dir = cli.global().conf_dir;
        let Command::MovePods(arguments) = cli.command else { panic!("{:?}", cli.command) };
        assert!(arguments.apply && arguments.no_restart && !arguments.now, "it breaks nothing");
        assert_eq!((arguments.turn, arguments.node.runtime.runtime_endpoint.as_deref()), (Some(3), endpoint));
        assert_eq!(conf_dir, Path::new("/conf"));
    }
}

#[test]
fn the_plugin_s_places() {
    let cli = in_unit(OwnCommand::place(&dirs()));
    let Command::Unit(UnitCommand::Place(place)) = cli.command else { panic!("{:?}", cli.command) };
    assert_eq!(place.bin_dirs, dirs());
}

#[test]
fn a_pass_of_a_pod_is_told_everything_but_to_go_on_and_where_the_node_is() {
    let line = "unit sweep --host /host --every 9 --conf-dir /c --state-dir /s --run-dir /r --policy /p --listed /l --bin-dir /b \
                --runtime-endpoint /e --dry-run --output json";
    let cli = parse(line.split_ascii_whitespace().map(OsString::from));
    let Command::Unit(UnitCommand::Sweep(sweep)) = &cli.command else { panic!("{:?}", cli.command) };
    let built = parse(own_command::pass(&cli.global(), sweep).into_arguments());
    let Command::Unit(UnitCommand::Sweep(pass)) = &built.command else { panic!("{:?}", built.command) };
    assert_eq!((pass.every, built.global().host), (None, None));
    assert_eq!((&pass.listed, &pass.bin_dirs), (&sweep.listed, &sweep.bin_dirs));
    assert_eq!(pass.runtime.runtime_endpoint, sweep.runtime.runtime_endpoint);
    let directories = |global: &Global| {
        [&Some(global.conf_dir.clone()), &global.state_dir, &global.run_dir, &global.policy].map(Clone::clone)
    };
    assert_eq!(directories(&built.global()), directories(&cli.global()));
    assert_eq!((built.global().dry_run, built.global().output), (true, Output::Json));
}
