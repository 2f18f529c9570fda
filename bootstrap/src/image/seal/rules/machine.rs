//! The identity of the machine.

use super::{ContentFilter, Rule, Verdict, remove};

const BUILDING: &str = "systemd.io/BUILDING_IMAGES, resources to reset";

pub(super) const RULES: &[Rule] = &[
    Rule {
        paths: &["/etc/machine-id"],
        only: ContentFilter::Other(&["", "uninitialized"]),
        verdict: Verdict::Empty,
        why: "this machine's id: all nodes of this image would have it, and no boot would be their first",
        source: BUILDING,
    },
    remove(
        &["/var/lib/dbus/machine-id"],
        "a copy of this machine's id",
        "dbus.freedesktop.org: man 1 dbus-uuidgen; a link to /etc/machine-id stays",
    )
    .with_filter(ContentFilter::Files),
    remove(
        &[
            "/var/lib/systemd/random-seed",
            "/boot/loader/random-seed",
            "/boot/efi/loader/random-seed",
            "/efi/loader/random-seed",
            "/var/lib/random-seed",
            "/var/lib/urandom/random-seed",
        ],
        "a seed that all nodes of this image would begin with",
        BUILDING,
    ),
    remove(&["/var/lib/systemd/credential.secret"], "the key of this machine's credentials", BUILDING),
    remove(
        &["/etc/ssh/ssh_host_*"],
        "ssh host keys: every node of this image could pretend to be any other",
        "kubernetes-sigs/image-builder: goss-image-hygiene.yaml; cloud-init and sshd-keygen make them anew",
    ),
    remove(
        &["/etc/udev/rules.d/70-persistent-net.rules"],
        "names for this machine's network cards",
        "kubernetes-sigs/image-builder: images/capi/ansible/roles/sysprep/tasks/debian.yml",
    ),
    remove(
        &[
            "/var/lib/dhcp/*.lease*",
            "/var/lib/dhclient/*.lease*",
            "/var/lib/dhcpcd/*.lease*",
            "/var/lib/NetworkManager/*.lease",
        ],
        "addresses that this machine was given",
        "awslabs/amazon-eks-ami: templates/al2023/provisioners/cleanup.sh; man 5 dhclient.leases",
    ),
    remove(
        &["/var/lib/NetworkManager/secret_key"],
        "what this machine's DHCP and IPv6 ids are made of",
        "man 8 NetworkManager.conf, on stable ids",
    ),
    remove(
        &["/var/lib/systemd/coredump/*", "/var/crash/*"],
        "memory of programs that crashed on this machine, with all that was in it",
        "kubernetes-sigs/image-builder: goss-image-hygiene.yaml",
    ),
    remove(
        &["/core", "/core.*"],
        "memory of a program that crashed on this machine, with all that was in it",
        "man 5 core",
    )
    .with_filter(ContentFilter::Files),
];
