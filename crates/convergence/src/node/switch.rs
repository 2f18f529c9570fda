//! The off switch: a file that the operator makes, or an argument on the kernel's command line. Never the absence of something.

use std::fmt;

use types::command::problem::Problem;

use crate::node::paths::DISABLED;

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
                .with_place(DISABLED)
                .fix("remove it and reboot to switch on again"),
            Self::Kernel => {
                let what = format!("switched off for this boot by the kernel argument {KERNEL_ARGUMENT}");
                Problem::new(what)
                    .with_place(KERNEL_ARGUMENT)
                    .fix("reboot without the argument to switch on again")
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

/// Whether a kernel's command line has the argument.
///
/// The argument counts with any value, as it does for the conditions of the units (man 5 `systemd.unit`, `ConditionKernelCommandLine`), so
/// that the units and this program agree.
#[must_use]
pub fn is_off_by_kernel(arguments: &str) -> bool {
    arguments.split_ascii_whitespace().any(|argument| {
        let value = argument.strip_prefix(KERNEL_ARGUMENT);
        value.is_some_and(|value| value.is_empty() || value.starts_with('='))
    })
}
