//! The requirements of this machine, checked before anything is built or run.
//!
//! [`check`] asks for everything and tells everything that is missing at once. A test that needs what the machine has not
//! is *not run*, and says so; where `CI` is set in the environment it fails, for what CI skipped is not read.

mod ability;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde::Serialize;

pub use ability::Ability;

use crate::build::packages;

/// One thing the lab needs of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A program of the distribution that every machine of the supported kind has.
    Program(&'static str),
    /// A part, by program and package: fetched or installed, with all its shared libraries.
    Part(&'static str, &'static str),
    /// A standard CNI plugin.
    Plugin(&'static str),
    /// A part that must be statically linked, since it runs in an image of its own.
    StaticPart(&'static str, &'static str),
    /// Something the kernel must be able to do.
    Kernel(Ability),
}

/// To build the workspace.
pub const BUILD: &[Need] = &[Need::Program("cargo"), Need::Program("cc"), Need::Program("protoc")];

/// For nodes on a fabric.
pub const NODES: &[Need] = &[
    Need::Program("nsenter"),
    Need::Program("mount"),
    Need::Program("sysctl"),
    Need::Part("ip", "iproute2"),
    Need::Part("bridge", "iproute2"),
    Need::Part("iptables", "iptables"),
    Need::StaticPart("busybox", "busybox-static"),
    Need::Kernel(Ability::Namespaces),
    Need::Kernel(Ability::Overlayfs),
    Need::Kernel(Ability::Veth),
    Need::Kernel(Ability::Bridge),
    Need::Kernel(Ability::Vxlan),
    Need::Kernel(Ability::Firewall),
];

/// For the standard plugins, on top of [`NODES`].
pub const PLUGINS: &[Need] = &[
    Need::Plugin("bridge"),
    Need::Plugin("host-local"),
    Need::Plugin("loopback"),
    Need::Plugin("portmap"),
    Need::Plugin("ptp"),
    Need::Part("conntrack", "conntrack"),
];

/// For containerd, on top of [`PLUGINS`].
pub const CONTAINERD: &[Need] = &[
    Need::Part("containerd", "containerd"),
    Need::Part("containerd-shim-runc-v2", "containerd"),
    Need::Part("ctr", "containerd"),
    Need::Part("runc", "runc"),
    Need::Kernel(Ability::Cgroups),
];

/// For podman, on top of [`PLUGINS`].
pub const PODMAN: &[Need] = &[
    Need::Part("podman", "podman"),
    Need::Part("conmon", "conmon"),
    Need::Part("runc", "runc"),
    Need::Kernel(Ability::Cgroups),
];

/// For what a CNI leaves in a firewall, on top of [`NODES`].
pub const LEAVINGS: &[Need] = &[Need::Part("nft", "nftables"), Need::Part("ipset", "ipset")];

/// For tests that break system calls.
pub const TRACE: &[Need] = &[Need::Part("strace", "strace")];

/// For machines that boot, on top of [`CONTAINERD`].
pub const BOOT: &[Need] = &[
    Need::Program("nsenter"),
    Need::Part("systemctl", "systemd"),
    Need::Part("systemd-nspawn", "systemd-container"),
    Need::Kernel(Ability::Overlayfs),
];

/// For the units without a boot.
pub const UNITS: &[Need] = &[Need::Part("systemd-analyze", "systemd"), Need::Kernel(Ability::Overlayfs)];

/// For the DNS server of a cluster, on top of [`CONTAINERD`].
pub const DNS: &[Need] = &[Need::Part("dnsmasq", "dnsmasq-base")];

/// Everything above.
pub const ALL: &[&[Need]] = &[BUILD, NODES, PLUGINS, CONTAINERD, PODMAN, LEAVINGS, TRACE, BOOT, UNITS, DNS];

/// What was found for one [`Need`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The need, as a person would say it.
    pub need: String,
    /// Whether the machine has it; none when only root can tell.
    pub present: Option<bool>,
    /// Where it is, or why it is not.
    pub detail: String,
    /// What to do about it; empty when there is nothing to do.
    pub remedy: String,
}

/// The answer of [`check`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One for each need, without repetition.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is known to be missing.
    pub fn is_complete(&self) -> bool {
        self.missing().next().is_none()
    }

    pub fn missing(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.present == Some(false))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let word = match finding.present {
                Some(true) => "ok",
                Some(false) => "MISSING",
                None => "as root",
            };
            writeln!(out, "{word:8} {:34} {}", finding.need, finding.detail)?;
        }
        if self.is_complete() {
            return writeln!(out, "nothing is missing");
        }
        writeln!(out, "\nto get what is missing:")?;
        let remedies: BTreeSet<&str> = self.missing().map(|finding| finding.remedy.as_str()).collect();
        remedies.iter().try_for_each(|remedy| writeln!(out, "  {remedy}"))
    }
}

/// Each need is looked for once in a process: many tests share them.
static KNOWN: Mutex<BTreeMap<Need, Finding>> = Mutex::new(BTreeMap::new());

/// Looks for every need, however many are missing.
pub fn check(needs: &[Need]) -> Report {
    let needs: BTreeSet<Need> = needs.iter().copied().collect();
    let mut verdicts = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let findings = needs.into_iter().map(|need| verdicts.entry(need).or_insert_with(|| find(need)).clone());
    Report { findings: findings.collect() }
}

/// `trials_of![NEEDS; module: test, ...; ...]`: the tests of modules, called `module::test`, so that a name is written once.
/// `trials_of![NEEDS; test, module::test, ...]`: tests called `test`, wherever they are.
#[macro_export]
macro_rules! trials_of {
    ($needs:expr; $($module:ident: $($test:ident),+;)+) => {
        vec![$($($crate::build::preflight::trial(
            concat!(stringify!($module), "::", stringify!($test)), $needs, $module::$test
        )),+),+]
    };
    ($needs:expr; $($test:path),+ $(,)?) => {
        vec![$($crate::build::preflight::trial(
            stringify!($test).rsplit([':', ' ']).next().unwrap_or_default(), $needs, $test
        )),+]
    };
}

/// Runs the tests of a program in a lab of their own, as its command line says.
///
/// # Errors
/// There is no lab.
pub fn main(trials: impl FnOnce() -> Vec<Trial>) -> Result<ExitCode> {
    crate::host::isolate::enter()?;
    Ok(libtest_mimic::run(&Arguments::from_args(), trials()).exit_code())
}

/// The same, one test after the other, whatever the command line says.
///
/// # Errors
/// There is no lab.
pub fn main_in_turn(trials: impl FnOnce() -> Vec<Trial>) -> Result<ExitCode> {
    crate::host::isolate::enter()?;
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    Ok(libtest_mimic::run(&arguments, trials()).exit_code())
}

/// A test that is not run where `needs` are missing, and fails there if `CI` is set.
pub fn trial(name: &str, needs: &[&[Need]], test: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    let needs = needs.concat();
    Trial::ignorable_test(name, move || {
        let report = check(&needs);
        if !report.is_complete() {
            let verdict = not_run(&report, std::env::var_os("CI").is_some());
            return verdict.map(Completion::ignored_with).map_err(Failed::from);
        }
        test().map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
    })
}

/// What becomes of a test on a machine that lacks something: why it is not run, or, in CI, why it fails.
fn not_run(report: &Report, in_ci: bool) -> std::result::Result<String, String> {
    let missing: Vec<String> =
        report.missing().map(|finding| format!("{} ({})", finding.need, finding.detail)).collect();
    let reason = format!("not run, this machine lacks: {}", missing.join(", "));
    if in_ci { Err(reason) } else { Ok(reason) }
}

fn find(need: Need) -> Finding {
    let (name, found, remedy) = match need {
        Need::Program(name) => (name.to_owned(), program(name).map(Some), build_remedy(name)),
        Need::Part(name, package) => (name.to_owned(), part(name).map(Some), part_remedy(package)),
        Need::Plugin(name) => {
            let program = packages::plugin(name).map(|path| Some(path.display().to_string()));
            (format!("plugin: {name}"), program, part_remedy("containernetworking-plugins"))
        }
        Need::StaticPart(name, package) => {
            let program = part(name).and_then(|path| is_static(Path::new(&path)).map(|()| Some(path)));
            (format!("{name} (static)"), program, part_remedy(package))
        }
        Need::Kernel(ability) => {
            let remedy = format!("a kernel with {}", ability.option());
            (format!("kernel: {ability}"), ability.check(), remedy)
        }
    };
    match found {
        Ok(Some(detail)) => Finding { need: name, present: Some(true), detail, remedy: String::new() },
        Ok(None) => Finding { need: name, present: None, detail: "only root can tell".to_owned(), remedy },
        Err(error) => Finding { need: name, present: Some(false), detail: format!("{error:#}"), remedy },
    }
}

fn program(name: &str) -> Result<String> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(Into::into);
    let mut candidates = std::env::split_paths(&paths).chain(more).map(|directory| directory.join(name));
    let program = candidates.find(|path| path.is_file()).context("not in PATH")?;
    Ok(program.display().to_string())
}

fn part(name: &str) -> Result<String> {
    let path = packages::part(name)?;
    let missing = packages::missing_libraries(&path)?;
    ensure!(missing.is_empty(), "{} lacks {}", path.display(), missing.join(", "));
    Ok(path.display().to_string())
}

/// A program is static when no dynamic loader is named in it.
fn is_static(path: &Path) -> Result<()> {
    let output = std::process::Command::new("ldd").arg(path).output().context("running ldd")?;
    ensure!(!output.status.success(), "{} is dynamically linked", path.display());
    Ok(())
}

fn build_remedy(name: &str) -> String {
    match name {
        "cargo" => "install Rust (see rust-version in Cargo.toml)".to_owned(),
        "cc" => "apt-get install build-essential".to_owned(),
        "protoc" => "apt-get install protobuf-compiler".to_owned(),
        _ => "apt-get install util-linux mount".to_owned(),
    }
}

fn part_remedy(package: &str) -> String {
    format!("lab-preflight fetch (or apt-get install {package})")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: &[Need] = &[
        Need::Part("no-such-runtime", "no-such-package"),
        Need::Part("no-such-monitor", "no-such-package"),
        Need::Plugin("no-such-plugin"),
        Need::Program("no-such-program"),
        Need::Program("sh"),
    ];

    #[test]
    fn everything_that_is_missing_is_told_at_once() {
        let report = check(ABSENT);
        assert!(!report.is_complete());
        let missing: Vec<&str> = report.missing().map(|finding| finding.need.as_str()).collect();
        assert_eq!(
            missing,
            ["no-such-program", "no-such-monitor", "no-such-runtime", "plugin: no-such-plugin"],
            "{report}"
        );
        let text = report.to_string();
        assert!(text.contains("apt-get install no-such-package"), "{text}");
        assert_eq!(text.matches("no-such-package").count(), 1, "one remedy for two parts: {text}");
        assert!(check(&[Need::Program("sh")]).is_complete());
    }

    #[test]
    fn what_is_not_run_says_why_and_fails_in_ci() {
        let report = check(ABSENT);
        assert!(not_run(&report, false).is_ok_and(|reason| reason.contains("no-such-plugin")));
        assert!(not_run(&report, true).is_err_and(|reason| reason.contains("no-such-runtime")));
    }
}
