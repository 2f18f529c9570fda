//! The off switch: a file that the operator makes, or an argument on the kernel's command line. Never the absence of something.

use std::fmt;

use types::problem::Problem;

use crate::host::root::Root;
use convergence::paths::DISABLED;

/// The argument on the kernel's command line that switches Crossfade off.
pub const KERNEL_ARGUMENT: &str = "crossfade.disable";

/// What switched Crossfade off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffSwitch {
    /// The file [`DISABLED`] exists.
    File,
    /// The kernel's command line has [`KERNEL_ARGUMENT`], for example from the boot menu.
    Kernel,
}

impl OffSwitch {
    /// The switch as a problem of a command that needs Crossfade switched on.
    #[must_use]
    pub fn problem(self) -> Problem {
        match self {
            Self::File => Problem::new(format!("switched off: {DISABLED} is there"))
                .at(DISABLED)
                .fix("remove it and reboot to switch on again"),
            Self::Kernel => {
                let what = format!("switched off for this boot by the kernel argument {KERNEL_ARGUMENT}");
                Problem::new(what).at(KERNEL_ARGUMENT).fix("reboot without the argument to switch on again")
            }
        }
    }
}

/// What switched Crossfade off and how to switch it on again, in one line.
impl fmt::Display for OffSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem().fmt(f)
    }
}

/// Whether Crossfade is switched off, and by what.
///
/// Any entry at [`DISABLED`] counts, even a dangling link: an operator in an emergency must not need to know the details. A kernel
/// command line that cannot be read switches nothing off.
#[must_use]
pub fn off_switch(root: &Root) -> Option<OffSwitch> {
    if root.entry(DISABLED).symlink_metadata().is_ok() {
        return Some(OffSwitch::File);
    }
    let arguments = std::fs::read_to_string(root.at("/proc/cmdline")).unwrap_or_default();
    by_kernel(&arguments).then_some(OffSwitch::Kernel)
}

/// Whether a kernel's command line has the argument.
///
/// The argument counts with any value, as it does for the conditions of the units (man 5 `systemd.unit`, `ConditionKernelCommandLine`), so
/// that the units and this program agree.
#[must_use]
pub fn by_kernel(arguments: &str) -> bool {
    arguments.split_ascii_whitespace().any(|argument| {
        let value = argument.strip_prefix(KERNEL_ARGUMENT);
        value.is_some_and(|value| value.is_empty() || value.starts_with('='))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_the_kernel_s_command_line() {
        for (arguments, off) in [
            ("quiet crossfade.disable splash", true),
            ("crossfade.disable=1", true),
            ("crossfade.disable=0", true),
            ("crossfade.disabled", false),
            ("xcrossfade.disable", false),
            ("", false),
        ] {
            assert_eq!(by_kernel(arguments), off, "{arguments}");
        }
    }

    #[test]
    fn whatever_is_at_the_file_s_place_counts() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        assert_eq!(off_switch(&root), None);
        std::fs::create_dir_all(dir.path().join("etc/crossfade")).expect("etc");
        std::os::unix::fs::symlink("nowhere", dir.path().join("etc/crossfade/disabled")).expect("link");
        assert_eq!(off_switch(&root), Some(OffSwitch::File));
    }
}
