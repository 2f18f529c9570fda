//! The architecture whose packages are tested, and what each format calls it.

use anyhow::{Context, Result};

/// Selects another architecture than this machine's, by Debian's name.
const VARIABLE: &str = "CROSSFADE_ARCHITECTURE";

/// The names of one architecture.
#[derive(Debug)]
pub(crate) struct Architecture {
    /// Debian's, which is also the one of OCI and of the tarball.
    pub(crate) debian: &'static str,
    /// systemd's: `ConditionArchitecture=` in systemd.unit(5).
    pub(crate) systemd: &'static str,
    /// What the file name of each format ends in.
    pub(crate) deb: &'static str,
    pub(crate) rpm: &'static str,
    pub(crate) tarball: &'static str,
    pub(crate) extension: &'static str,
    /// What the directory of the packages ends in. *Source*: `tests/packages`, `tests/arm64`.
    pub(crate) suffix: &'static str,
}

const ALL: [Architecture; 2] = [
    Architecture {
        debian: "amd64",
        systemd: "x86-64",
        deb: "_amd64.deb",
        rpm: "-1.x86_64.rpm",
        tarball: "-linux-amd64.tar.gz",
        extension: "-x86-64.raw",
        suffix: "",
    },
    Architecture {
        debian: "arm64",
        systemd: "arm64",
        deb: "_arm64.deb",
        rpm: "-1.aarch64.rpm",
        tarball: "-linux-arm64.tar.gz",
        extension: "-arm64.raw",
        suffix: ".arm64",
    },
];

/// The architecture that this process tests.
///
/// # Errors
/// The environment names one without packages.
pub(crate) fn current() -> Result<&'static Architecture> {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    let chosen = if name.is_empty() { ALL[0].debian } else { name.as_str() };
    ALL.iter()
        .find(|architecture| architecture.debian == chosen)
        .with_context(|| format!("{VARIABLE}={name:?}: expected amd64 or arm64"))
}

/// Whether the programs in the packages are of another machine.
pub(crate) fn is_foreign() -> bool {
    std::env::var(VARIABLE).is_ok_and(|name| !name.is_empty() && name != ALL[0].debian)
}
