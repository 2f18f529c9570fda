//! The state of an instance that cloud-init keeps.

use super::{Rule, remove};

const CLEAN: &str = "canonical/cloud-init: cloudinit/cmd/clean.py; awslabs/amazon-eks-ami: templates/al2023/provisioners/cleanup.sh";

pub(super) const RULES: &[Rule] = &[
    remove(
        &["/var/lib/cloud/instance", "/var/lib/cloud/instances", "/var/lib/cloud/data", "/var/lib/cloud/sem"],
        "this instance's data: cloud-init would take a node for one that it has set up, with this one's user data",
        CLEAN,
    ),
    remove(
        &["/var/log/cloud-init.log", "/var/log/cloud-init-output.log"],
        "logs of this instance's first boot, with what its scripts printed",
        CLEAN,
    ),
];
