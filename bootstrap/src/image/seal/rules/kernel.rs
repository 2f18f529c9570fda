//! The kernel's command line, as boot loaders have it.

use super::{ContentFilter, Rule, refuse};
use convergence::node::switch::KERNEL_ARGUMENT;

pub(super) const RULES: &[Rule] = &[refuse(
    &[
        "/etc/default/grub",
        "/etc/default/grub.d/*",
        "/etc/sysconfig/grub",
        "/etc/kernel/cmdline",
        "/usr/lib/kernel/cmdline",
        "/boot/grub/grub.cfg",
        "/boot/grub2/grub.cfg",
        "/boot/grub2/grubenv",
        "/boot/efi/EFI/*/grub.cfg",
        "/boot/loader/entries/*",
        "/boot/efi/loader/entries/*",
        "/efi/loader/entries/*",
        "/boot/extlinux/extlinux.conf",
    ],
    "the off switch on the kernel's command line: every node of this image would boot without Crossfade",
    "take crossfade.disable out, and write the boot loader's configuration again (update-grub, grub2-mkconfig)",
    "docs/node.md, the off switch; man 7 kernel-command-line; systemd.io/BOOT (where entries lie)",
)
.with_filter(ContentFilter::Holding(&[KERNEL_ARGUMENT]))];
