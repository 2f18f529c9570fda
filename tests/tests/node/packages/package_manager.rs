//! The ways in which the package comes to a machine and leaves it.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::host::command;

use crate::release::Build;

/// Where packages are put on a machine.
const DIRECTORY: &str = "/root/packages";

/// A way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    Dpkg,
    Rpm,
    Tarball,
}

/// How a command of a package manager ended.
#[derive(Debug)]
pub(crate) struct PackageOutput {
    pub(crate) status: i32,
    /// Everything it printed.
    pub(crate) text: String,
}

/// Where it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the running machine.
    Node,
    /// In the root directory of the machine that is off, as an image build does.
    Image,
}

impl Manager {
    pub(crate) const ALL: [Self; 3] = [Self::Dpkg, Self::Rpm, Self::Tarball];

    /// Installs a build, or upgrades to it.
    pub(crate) fn install(self, machine: &Machine, place: Place, build: Build) -> Result<PackageOutput> {
        let brought = self.bring(machine, build)?;
        let line = match self {
            Self::Dpkg => vec!["dpkg", "--install", &brought],
            // The shell is none of rpm's database on this machine.
            Self::Rpm => vec!["rpm", "--upgrade", "--nodeps", "--oldpackage", &brought],
            Self::Tarball => vec![brought.as_str()],
        };
        run(machine, place, &[], &self.line(&line))
    }

    /// Removes the package, with these variables.
    pub(crate) fn remove(
        self,
        machine: &Machine,
        place: Place,
        variables: &[(&str, &str)],
    ) -> Result<PackageOutput> {
        // The build that was installed last is the one that removes.
        let installer = format!("{DIRECTORY}/tarball/install.sh");
        let line = match self {
            Self::Dpkg => vec!["dpkg", "--remove", "crossfade"],
            Self::Rpm => vec!["rpm", "--erase", "crossfade"],
            Self::Tarball => vec![installer.as_str(), "uninstall"],
        };
        run(machine, place, variables, &self.line(&line))
    }

    /// What it says of files that are not as they were installed; nothing when all are.
    pub(crate) fn verify(self, machine: &Machine) -> Result<String> {
        let line = match self {
            Self::Dpkg => vec!["dpkg", "--verify", "crossfade"],
            Self::Rpm => vec!["rpm", "--verify", "--nodeps", "crossfade"],
            Self::Tarball => return Ok(String::new()),
        };
        let message = run(machine, Place::Image, &[], &self.line(&line))?;
        let lines = message.text.lines().filter(|line| !line.contains("force-debian"));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }

    /// The command with what keeps Debian's rpm from telling people to use something else.
    fn line<'a>(self, line: &[&'a str]) -> Vec<&'a str> {
        let mut line = line.to_vec();
        if self == Self::Rpm {
            line.splice(1..1, ["--force-debian", "--dbpath", "/var/lib/rpm"]);
        }
        line
    }

    /// Puts a build's package on the machine's disk; where it is, or its installer.
    fn bring(self, machine: &Machine, build: Build) -> Result<String> {
        let target = machine.disk(DIRECTORY);
        let suffix = match self {
            Self::Dpkg => "_amd64.deb",
            Self::Rpm => "-1.x86_64.rpm",
            Self::Tarball => {
                command::run(Command::new("rm").arg("-rf").arg(&target))?;
                let unpacked = build.unpack(&target)?;
                std::fs::rename(unpacked, target.join("tarball")).context("the tarball's directory")?;
                return Ok(format!("{DIRECTORY}/tarball/install.sh"));
            }
        };
        let file = build.file(suffix)?;
        let name = file.file_name().context("a name")?.to_string_lossy().into_owned();
        command::run(Command::new("install").arg("-D").arg(&file).arg(target.join(&name)))?;
        Ok(Path::new(DIRECTORY).join(name).display().to_string())
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dpkg => "dpkg",
            Self::Rpm => "rpm",
            Self::Tarball => "install.sh",
        })
    }
}

impl PackageOutput {
    /// It succeeded; what it said.
    pub(crate) fn done(self) -> Result<String> {
        ensure!(self.status == 0, "status {}: {}", self.status, self.text);
        Ok(self.text)
    }

    /// It was refused, and all of these words were said.
    pub(crate) fn refused(self, words: &[&str]) -> Result<()> {
        ensure!(self.status != 0, "it was not refused: {}", self.text);
        for word in words {
            ensure!(self.text.contains(word), "not a word of {word:?}: {}", self.text);
        }
        Ok(())
    }
}

/// Runs a command to its end, however that is.
pub(crate) fn run(
    machine: &Machine,
    place: Place,
    variables: &[(&str, &str)],
    line: &[&str],
) -> Result<PackageOutput> {
    let mut command = match place {
        Place::Node => machine.command(line)?,
        Place::Image => machine.chrooted(line),
    };
    command.envs(variables.iter().copied());
    let (status, text) = command::status_and_text(&mut command)?;
    Ok(PackageOutput { status: status.unwrap_or(-1), text })
}
