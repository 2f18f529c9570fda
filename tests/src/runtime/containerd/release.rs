//! The release of the lab's containerd: some behaviour differs from release to release.

use std::fmt;
use std::ops::Range;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

/// A release of containerd, as in 1.7.24; releases are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32, pub u32);

impl fmt::Display for Release {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Release {
    /// That of the lab's containerd, which is asked once.
    ///
    /// # Errors
    /// There is none, or it does not say.
    pub fn current() -> Result<Release> {
        static CURRENT: OnceLock<Release> = OnceLock::new();
        if let Some(release) = CURRENT.get() {
            return Ok(*release);
        }
        let program = crate::build::packages::part("containerd")?;
        let output = Command::new(&program).arg("--version").output();
        let output = output.with_context(|| format!("running {}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let release = Release::in_answer(&text);
        let release = release.with_context(|| format!("the version of containerd in {text:?}"))?;
        Ok(*CURRENT.get_or_init(|| release))
    }

    /// Whether it can run pods without limits (`disable_cgroup`), which 2.1 took away.
    pub fn can_do_without_cgroups(self) -> bool {
        self < Release(2, 1, 0)
    }

    /// Whether a sandbox may be gone without a DEL that succeeded, although its ADD failed and could not be undone: then the record stays
    /// until the sweep. Earlier releases keep such a sandbox, and kubelet ends it.
    ///
    /// *Source*: containerd's change b7b6b324b ("Add check for CNI plugins before tearing down pod network", 1.6.37, 1.7.23, 2.0.0), and
    /// what `RunPodSandbox` makes of a failed teardown since then.
    pub fn forgets_failed_adds(self) -> bool {
        self >= Release(1, 7, 23) || (Release(1, 6, 37)..Release(1, 7, 0)).contains(&self)
    }

    /// Whether a sandbox whose ADD never answered is stopped without any DEL. So since the same change, until a later one sends the DEL again
    /// and ignores its failure (1.7.31, 2.0.8, 2.1.7, 2.2.2).
    pub fn sends_no_del_for_unfinished_adds(self) -> bool {
        const WITHOUT: [Range<Release>; 5] = [
            Release(1, 6, 37)..Release(1, 7, 0),
            Release(1, 7, 23)..Release(1, 7, 31),
            Release(2, 0, 0)..Release(2, 0, 8),
            Release(2, 1, 0)..Release(2, 1, 7),
            Release(2, 2, 0)..Release(2, 2, 2),
        ];
        WITHOUT.iter().any(|releases| releases.contains(&self))
    }

    /// As in `containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u2`.
    fn in_answer(text: &str) -> Option<Release> {
        let version = text.split_whitespace().nth(2)?.trim_start_matches('v');
        let mut numbers = version.split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next()?.parse().ok();
        Some(Release(number()?, number()?, number()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_from_what_containerd_answers() {
        for (answer, release) in [
            ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1", Some(Release(1, 6, 20))),
            ("containerd github.com/containerd/containerd/v2 2.1.9+unknown \n", Some(Release(2, 1, 9))),
            ("containerd containerd.io v2.2.0 1c4457e", Some(Release(2, 2, 0))),
            ("containerd github.com/containerd/containerd", None),
        ] {
            assert_eq!(Release::in_answer(answer), release, "{answer}");
        }
        let forgets = |release: Release| release.forgets_failed_adds();
        assert!(!forgets(Release(1, 6, 20)) && forgets(Release(1, 6, 39)) && !forgets(Release(1, 7, 22)));
        let none = |release: Release| release.sends_no_del_for_unfinished_adds();
        assert!(none(Release(1, 7, 24)) && !none(Release(1, 7, 31)) && !none(Release(2, 1, 9)));
        assert!(Release(1, 7, 24) < Release(2, 0, 0) && Release(2, 1, 9) < Release(2, 1, 10));
    }
}
