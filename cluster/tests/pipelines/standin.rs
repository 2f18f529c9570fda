//! Stand-ins for `kubectl`, `aws`, `kops` and the programs of a loop, which record their calls.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::pages::root;

/// Every stand-in is this program under another name.
const PROGRAM: &str = r#"#!/bin/bash
set -eu
call="$(basename "$0") $*"
echo "$call" >>"$SCRATCH/calls"
if [[ -e $SCRATCH/fail && $call == "$(cat "$SCRATCH/fail")"* ]]; then
    exit 1
fi
if [[ -e $SCRATCH/kill && $call == "$(cat "$SCRATCH/kill")"* && $PPID != "$TEST_PID" ]]; then
    rm "$SCRATCH/kill"
    kill -KILL "$PPID"
fi
case $call in
'kubectl crossfade permit '*)
    answer=$(head -n 1 "$SCRATCH/answers")
    sed -i 1d "$SCRATCH/answers"
    exit "$answer"
    ;;
'kubectl get nodes '*) cat "$SCRATCH/nodes" ;;
'kubectl get node '*) grep -q " $3\$" "$SCRATCH/nodes" && echo "node/$3" || true ;;
'kubectl delete node '*) sed -i "/ $3\$/d" "$SCRATCH/nodes" ;;
'aws autoscaling describe-auto-scaling-groups '*) cat "$SCRATCH/instances" ;;
'kops get instances '*) cat "$SCRATCH/instances" ;;
'start-node '*) echo "new-$1" ;;
esac
"#;

/// A file of `deploy/pipelines`.
pub(crate) fn pipeline(name: &str) -> PathBuf {
    root().join("deploy/pipelines").join(name)
}

/// A machine on which a pipeline runs.
pub(crate) struct Machine {
    scratch: TempDir,
}

/// How a script ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Status(i32),
    Killed,
}

impl Machine {
    /// With the answers of `permit` in their order, and files of the stand-ins: `nodes`, `instances`, `fail` and `kill` (the beginning of a call).
    pub(crate) fn new(answers: &[i32], files: &[(&str, &str)]) -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        for name in ["kubectl", "aws", "kops", "start-node", "end-node"] {
            let path = scratch.path().join(name);
            std::fs::write(&path, PROGRAM).expect("a stand-in");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        let machine = Self { scratch };
        machine.answer(answers);
        for (name, text) in files {
            machine.write(name, text);
        }
        machine
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect(name);
    }

    /// The next answers of `permit`.
    pub(crate) fn answer(&self, answers: &[i32]) {
        self.write("answers", &answers.iter().map(|answer| format!("{answer}\n")).collect::<String>());
    }

    /// Runs a command, and says how it ended and what it called.
    pub(crate) fn run(&self, program: &Path, arguments: &[&str]) -> (End, Vec<String>) {
        self.write("calls", "");
        let path = format!("{}:{}", self.scratch.path().display(), std::env::var("PATH").expect("PATH"));
        let mut command = Command::new(program);
        command.args(arguments).env("PATH", path).env("SCRATCH", self.scratch.path());
        command.env("TEST_PID", std::process::id().to_string());
        command
            .env("NODE", "n1")
            .env("KURED_NODE_ID", "n1")
            .env("REBOOT_REQUIRED", self.path("reboot-required"));
        let status = command.output().expect("the script runs").status;
        let calls = std::fs::read_to_string(self.path("calls")).expect("calls");
        let end = match status.code() {
            // What a shell reports of a child that was killed.
            Some(137) => End::Killed,
            Some(code) => End::Status(code),
            None => {
                assert_eq!(status.signal(), Some(9), "{status}");
                End::Killed
            }
        };
        (end, calls.lines().map(str::to_owned).collect())
    }
}
