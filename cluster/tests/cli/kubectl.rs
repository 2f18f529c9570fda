//! Through the kubectl of this machine, which finds the program as its plugin.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::run::{fixtures, run_in, stderr, stdout};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-crossfade");

/// kubectl, where the machine has one that completes plugins: 1.26 or later.
fn kubectl() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let file = std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|file| file.is_file())?;
    let output = Command::new(&file).args(["version", "--client", "-o", "json"]).output().ok()?;
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let minor = version["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse::<u32>().ok()?;
    (minor >= 26).then_some(file)
}

/// A directory with both names of the program, as an operator installs them.
fn installed() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["kubectl-crossfade", "kubectl_complete-crossfade"] {
        symlink(PROGRAM, dir.path().join(name)).expect("a link");
    }
    dir
}

fn run(kubectl: &Path, plugins: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(kubectl);
    command.args(arguments).env_clear().env("PATH", plugins).env("HOME", plugins);
    command.current_dir(fixtures().join("apart")).output().expect("kubectl runs")
}

#[test]
fn kubectl_lists_runs_and_completes_the_plugin() {
    let Some(kubectl) = kubectl() else {
        eprintln!("no kubectl from 1.26 on is here, so the plugin was not run through it");
        return;
    };
    let plugins = installed();
    let list = run(&kubectl, plugins.path(), &["plugin", "list", "--name-only"]);
    assert!(stdout(&list).lines().any(|line| line == "kubectl-crossfade"), "{}", stdout(&list));

    let check = [
        "--from",
        "calico",
        "--to",
        "antrea",
        "--strategy",
        "bridge",
        "--dumped",
        "all",
        "--snapshot",
        "cluster",
    ];
    let through = run(&kubectl, plugins.path(), &[&["crossfade", "check"], &check[..]].concat());
    let alone = run_in(&fixtures().join("apart"), &[&["check"], &check[..]].concat());
    assert_eq!(
        (through.status.code(), stdout(&through)),
        (alone.status.code(), stdout(&alone)),
        "{}",
        stderr(&through)
    );
    // The exit status is the program's as well where the answer is no.
    let refused = run(
        &kubectl,
        plugins.path(),
        &[
            "crossfade",
            "check",
            "--from",
            "calico",
            "--to",
            "flannel",
            "--dumped",
            "all",
            "--snapshot",
            "cluster",
        ],
    );
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));

    for (words, offered) in [
        (&["crossfade", "che"][..], "check"),
        (&["crossfade", "check", "--from", "cal"], "calico"),
        (&["crossfade", "check", "--strat"], "--strategy"),
    ] {
        let output = run(&kubectl, plugins.path(), &[&["__complete"], words].concat());
        let names: Vec<&str> = stdout(&output).lines().filter_map(|line| line.split('\t').next()).collect();
        assert!(names.contains(&offered), "{words:?}: {}{}", stdout(&output), stderr(&output));
    }
}

#[test]
fn a_shell_reads_the_script_that_completes_the_program() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run_in(&fixtures(), &["completion", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("kubectl-crossfade"), "{shell}");
    }
    let script = run_in(&fixtures(), &["completion", "bash"]);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("script");
    std::fs::write(&file, &script.stdout).expect("written");
    let request = "source \"$1\"; said=$(complete -p kubectl-crossfade); [[ $said =~ -F\\ ([^ ]+) ]]; \
                 COMP_WORDS=(kubectl-crossfade che); COMP_CWORD=1; \
                 \"${BASH_REMATCH[1]}\" kubectl-crossfade che kubectl-crossfade; echo \"${COMPREPLY[@]}\"";
    let output =
        Command::new("bash").args(["--norc", "-c", request, "bash"]).arg(&file).output().expect("bash runs");
    assert_eq!(stdout(&output).lines().last(), Some("check"), "{}{}", stdout(&output), stderr(&output));
}
