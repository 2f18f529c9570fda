//! The off switch: a file that the operator makes, or an argument on the kernel's command line. Never the absence of something.

use convergence::node::switch::{OffSwitch, is_off_by_kernel};

use crate::host::root::Root;
use convergence::node::paths::DISABLED;

/// Whether Crossfade is switched off, and by what.
///
/// Any entry at [`DISABLED`] counts, even a dangling link: an operator in an emergency must not need to know the details. A kernel
/// command line that cannot be read switches nothing off.
#[must_use]
pub(crate) fn off_switch(root: &Root) -> Option<OffSwitch> {
    if root.entry(DISABLED).symlink_metadata().is_ok() {
        return Some(OffSwitch::File);
    }
    let arguments = std::fs::read_to_string(root.join("/proc/cmdline")).unwrap_or_default();
    is_off_by_kernel(&arguments).then_some(OffSwitch::Kernel)
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
            assert_eq!(is_off_by_kernel(arguments), off, "{arguments}");
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
