//! The release of the distribution from which the lab's parts come.
//!
//! A machine's own packages are one set of parts. Debian's next suites have newer runtimes, so the lab can also run from one of them:
//! the same test programs, with that suite's containerd, runc and plugins, and with its libraries and loader, laid over the machine's
//! `/usr` inside the lab. glibc keeps old programs working with a newer library, so the machine's own programs go on to run there.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Selects the suite of a lab: a name of [`Suite::NEWER`]; absent, it is the machine's own.
const VARIABLE: &str = "CROSSFADE_LAB_SUITE";

/// Where apt's sources are.
const SOURCES: [&str; 2] = ["/etc/apt/sources.list", "/etc/apt/sources.list.d"];
/// The archive's keys; a source that names no other is checked with them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A set of packages that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// What the machine itself would install.
    Own,
    /// A suite of Debian, by name.
    Debian(&'static str),
}

impl fmt::Display for Suite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => out.write_str("this machine's"),
            Self::Debian(name) => write!(out, "Debian {name}"),
        }
    }
}

impl Suite {
    /// The suites with newer runtimes: containerd 1.7, and 2.x.
    pub const NEWER: [Self; 2] = [Self::Debian("trixie"), Self::Debian("forky")];

    /// The suite that this process runs from.
    ///
    /// # Errors
    /// The environment names one that is not known.
    pub fn current() -> Result<Self> {
        match std::env::var(VARIABLE) {
            Ok(name) if !name.is_empty() => Self::named(&name),
            _ => Ok(Self::Own),
        }
    }

    /// The suite of this name.
    ///
    /// # Errors
    /// It is none of [`Suite::NEWER`].
    pub fn named(name: &str) -> Result<Self> {
        let is_it = |suite: &Self| matches!(suite, Self::Debian(known) if *known == name);
        Self::NEWER
            .into_iter()
            .find(is_it)
            .with_context(|| format!("suite {name:?}: expected trixie or forky"))
    }

    /// What the names of its directories end in.
    pub(super) fn suffix(self) -> String {
        match self {
            Self::Own => String::new(),
            Self::Debian(name) => format!("-{name}"),
        }
    }

    /// A private state of apt for this suite below `dir`, with current lists; none for the machine's own, which has apt's.
    ///
    /// # Errors
    /// No source of the machine leads to Debian's archive, or the archive cannot be reached or has no such suite.
    pub(super) fn apt(self, dir: &Path) -> Result<Apt> {
        let Self::Debian(name) = self else { return Ok(Apt::default()) };
        let archive = archive()?;
        for sub in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(sub)).with_context(|| format!("creating {}", dir.display()))?;
        }
        let sources = dir.join("debian.sources");
        let text =
            format!("Types: deb\nURIs: {archive}\nSuites: {name}\nComponents: main\nSigned-By: {KEYRING}\n");
        fs::write(&sources, text).with_context(|| format!("writing {}", sources.display()))?;
        let named = |option: &str, path: &Path| ["-o".to_owned(), format!("{option}={}", path.display())];
        let mut options: Vec<String> = [
            named("Dir::Etc::sourcelist", &sources),
            named("Dir::Etc::sourceparts", Path::new("/dev/null")),
            named("Dir::State::lists", &dir.join("lists")),
            named("Dir::Cache", &dir.join("cache")),
            // Nothing counts as installed: a library of the machine is one of another suite.
            named("Dir::State::status", Path::new("/dev/null")),
        ]
        .concat();
        options.extend(["-o".to_owned(), "APT::Sandbox::User=root".to_owned()]);
        let apt = Apt { options };
        apt.run("apt-get", &["-qq", "update"], &[])
            .with_context(|| format!("asking the archive for {self}"))?;
        Ok(apt)
    }
}

/// apt, with the options that make it one suite's.
#[derive(Debug, Default)]
pub(super) struct Apt {
    options: Vec<String>,
}

impl Apt {
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(&self.options).env("LC_ALL", "C");
        command
    }

    /// Runs a command of apt for packages, and returns what it prints.
    ///
    /// # Errors
    /// It fails; the message is its own.
    pub(super) fn run(&self, program: &str, arguments: &[&str], packages: &[String]) -> Result<String> {
        let output = self.command(program).args(arguments).args(packages).output().with_context(|| {
            format!("running {program}: the lab's parts come from Debian's or Ubuntu's packages")
        })?;
        if !output.status.success() {
            bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The archive that the machine's own sources name as Debian's: the same server has the newer suites.
fn archive() -> Result<String> {
    ensure!(Path::new(KEYRING).exists(), "{KEYRING} is missing: this machine does not know Debian's archive");
    let mut files: Vec<PathBuf> = vec![SOURCES[0].into()];
    let listed = fs::read_dir(SOURCES[1]).into_iter().flatten().flatten().map(|entry| entry.path());
    files.extend(listed);
    files.sort();
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    let words: Vec<String> = texts
        .flat_map(|text| {
            text.lines()
                .filter(|line| !line.trim_start().starts_with('#'))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let uris = words.iter().flat_map(|line| line.split_whitespace());
    let mut mirrors = uris.map(|uri| uri.trim_end_matches('/')).filter(|uri| is_debian(uri));
    let archive = mirrors.next().context("no source of apt's on this machine names Debian's archive")?;
    Ok(archive.to_owned())
}

/// Whether a URI is that of Debian's main archive, whose last component is so called on every mirror.
fn is_debian(uri: &str) -> bool {
    uri.contains("://") && uri.ends_with("/debian")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_known_by_its_name_and_has_a_directory_of_its_own() {
        for (name, suffix) in
            [("trixie", Some("-trixie")), ("forky", Some("-forky")), ("sid", None), ("", None)]
        {
            let known = Suite::named(name).ok().map(Suite::suffix);
            assert_eq!(known.as_deref(), suffix, "{name:?}");
        }
        assert_eq!(Suite::Own.suffix(), "");
    }

    #[test]
    fn an_archive_is_told_by_its_last_component() {
        for (uri, is) in [
            ("http://mirror.example/debian", true),
            ("https://mirror.example/pub/debian", true),
            ("http://mirror.example/debian-security", false),
            ("[signed-by=/usr/share/debian]", false),
            ("/debian", false),
        ] {
            assert_eq!(is_debian(uri), is, "{uri}");
        }
    }
}
