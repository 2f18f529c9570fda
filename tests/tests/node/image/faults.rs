//! The migration image with one thing wrong in it: refused by selftest, by seal, or by the boot, with the words that say what it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, bail, ensure};
use lab::boot::Machine;
use lab::build::preflight::trial;
use lab::host::command::run_expecting;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::NEEDS;
use crate::node::{ensure_held, ensure_released, join, migrating, migration};

const POLICY: &str = "/usr/lib/crossfade/policy.json";
const NODE: &str = "/usr/lib/crossfade/node.json";
const CONTAINERD: &str = "/etc/containerd/config.toml";
const LEASES: &str = "/var/lib/cni/networks/cbr0";

/// Who looks at an image.
#[derive(Debug, Clone, Copy)]
enum Judge {
    /// `selftest --image`.
    Selftest,
    /// `seal --check`.
    Check,
    /// `seal`.
    Seal,
    /// A boot: nothing is attached, and this unit's journal says why.
    Boot(&'static str),
}

/// What a judge says of the image: its exit status, and these words. Of a boot there is no status.
type Verdict = (Judge, i32, &'static [&'static str]);

/// Nothing is wrong.
const FINE: i32 = 0;
/// The answer is no.
const NO: i32 = 3;

struct Fault {
    name: &'static str,
    make: fn(&Machine) -> Result<()>,
    verdicts: &'static [Verdict],
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "nothing_wrong",
        make: |_| Ok(()),
        verdicts: &[(Judge::Selftest, FINE, &[]), (Judge::Check, FINE, &[]), (Judge::Seal, FINE, &[])],
    },
    Fault {
        name: "a_baked_lease",
        make: |machine| machine.write(format!("{LEASES}/10.244.0.2"), "0123456789abcdef\neth0"),
        verdicts: &[
            (Judge::Selftest, FINE, &[]),
            (Judge::Check, NO, &[LEASES, "leases of this machine's pods"]),
            // The lease belongs to no pod any more: `seal` removes it, and `check` finds nothing.
            (Judge::Seal, FINE, &[]),
            (Judge::Check, FINE, &[]),
        ],
    },
    Fault {
        name: "a_baked_conf_of_a_stranger",
        make: |machine| {
            let conflist =
                json!({ "cniVersion": "1.0.0", "name": "weave", "plugins": [{ "type": "weave-net" }] });
            machine.write("/etc/cni/net.d/10-weave.conflist", conflist.to_string())
        },
        verdicts: &[
            (
                Judge::Check,
                NO,
                &["/etc/cni/net.d/10-weave.conflist", "a conf of weave that the policy does not name"],
            ),
            (Judge::Seal, NO, &["/etc/cni/net.d/10-weave.conflist"]),
        ],
    },
    Fault {
        name: "a_baked_conf_of_the_new_network",
        make: |machine| machine.write("/etc/cni/net.d/05-cilium.conflist", "{}"),
        verdicts: &[(
            Judge::Check,
            NO,
            &["05-cilium.conflist", "baked, the network counts as there before the agent is"],
        )],
    },
    Fault {
        name: "a_policy_with_an_unknown_key",
        make: |machine| edit(machine, POLICY, |policy| policy["atach"] = json!("new")),
        verdicts: &[
            (Judge::Selftest, NO, &["settings.policy", "atach", "attach"]),
            (Judge::Check, NO, &[POLICY, "atach"]),
            (Judge::Boot("crossfade-boot.service"), NO, &["atach"]),
        ],
    },
    Fault {
        name: "a_label_that_kubelet_refuses",
        make: |machine| edit(machine, NODE, |node| node["labels"] = json!({ "app.kubernetes.io/name": "x" })),
        verdicts: &[
            (Judge::Selftest, NO, &["app.kubernetes.io/name"]),
            (Judge::Boot("kubelet.service"), NO, &["app.kubernetes.io/name"]),
        ],
    },
    Fault {
        name: "a_baked_machine_id",
        make: |machine| machine.write("/etc/machine-id", "33333333333333333333333333333333\n"),
        verdicts: &[
            (Judge::Selftest, FINE, &[]),
            (Judge::Check, NO, &["/etc/machine-id", "all nodes of this image would have it"]),
            (Judge::Seal, FINE, &[]),
            (Judge::Check, FINE, &[]),
        ],
    },
    Fault {
        name: "a_plugin_that_is_setuid",
        make: |machine| mode(machine, "/usr/libexec/crossfade/crossfade", 0o4755),
        verdicts: &[
            (Judge::Selftest, NO, &["program.owner", "/usr/libexec/crossfade/crossfade has mode 4755"]),
            (Judge::Check, NO, &["/usr/libexec/crossfade/crossfade", "no file of Crossfade's is setuid"]),
            (Judge::Seal, NO, &["/usr/libexec/crossfade/crossfade"]),
        ],
    },
    Fault {
        name: "a_program_with_other_bytes",
        make: |machine| {
            let path = machine.disk("/usr/libexec/crossfade/crossfade");
            let mut bytes = fs::read(&path)?;
            bytes.push(0);
            Ok(fs::write(&path, bytes)?)
        },
        verdicts: &[(Judge::Selftest, NO, &["program.release", "is not the file of release"])],
    },
    Fault {
        name: "a_unit_that_is_not_enabled",
        make: |machine| {
            let link = "/etc/systemd/system/multi-user.target.wants/crossfade-boot.service";
            fs::remove_file(machine.disk(link)).context("disabling the unit")
        },
        verdicts: &[(Judge::Selftest, NO, &["unit.enabled", "crossfade-boot.service is disabled"])],
    },
    Fault {
        name: "a_configuration_that_the_runtime_cannot_read",
        make: |machine| machine.write(CONTAINERD, "version = 2\n[plugins\n"),
        verdicts: &[
            (Judge::Selftest, NO, &["runtime.config"]),
            (Judge::Check, NO, &["where the runtime reads confs cannot be told"]),
            (Judge::Boot("crossfade-boot.service"), NO, &[CONTAINERD]),
        ],
    },
    Fault {
        name: "a_baked_credential",
        make: |machine| {
            machine.write(
                "/etc/kubernetes/kubelet.conf",
                "apiVersion: v1\nkind: Config\nusers:\n- name: node\n  user:\n    token: abcdef.0123456789abcdef\n",
            )
        },
        verdicts: &[
            (Judge::Check, NO, &["/etc/kubernetes/kubelet.conf", "a kubeconfig with a credential"]),
            (Judge::Seal, NO, &["/etc/kubernetes/kubelet.conf"]),
        ],
    },
    Fault {
        name: "a_baked_off_switch",
        make: |machine| machine.write("/etc/crossfade/disabled", ""),
        verdicts: &[
            (Judge::Selftest, NO, &["settings.switch"]),
            (Judge::Check, NO, &["/etc/crossfade/disabled", "would boot without Crossfade"]),
        ],
    },
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = FAULTS
        .iter()
        .map(|fault| trial(&format!("an_image_with_{}", fault.name), NEEDS, || judged(fault)))
        .collect();
    trials.push(trial("an_image_of_a_machine_that_ran_is_refused", NEEDS, ran));
    trials
}

fn judged(fault: &Fault) -> Result<()> {
    let mut machine = migration()?.machine()?;
    (fault.make)(&machine)?;
    for (judge, status, words) in fault.verdicts {
        let message = match judge {
            Judge::Selftest => looked(&machine, &["image", "selftest", "--image"], *status)?,
            Judge::Check => looked(&machine, &["image", "seal", "--check"], *status)?,
            Judge::Seal => looked(&machine, &["image", "seal"], *status)?,
            Judge::Boot(unit) => booted(&mut machine, unit, words)?,
        };
        for words in *words {
            ensure!(message.contains(words), "{judge:?} does not say {words:?}:\n{message}");
        }
    }
    Ok(())
}

/// What a command says of the machine's disk from within, when it ends with this status.
fn looked(machine: &Machine, line: &[&str], status: i32) -> Result<String> {
    let line: Vec<&str> = ["crossfade-bootstrap"].into_iter().chain(line.iter().copied()).collect();
    run_expecting(&mut machine.chrooted(&line), status)
}

/// Boots, with both agents there, until the unit's journal says these words; kubelet is held, and no pod is even tried.
fn booted(machine: &mut Machine, unit: &str, words: &[&str]) -> Result<String> {
    join(machine)?;
    for network in lab::boot::furniture::Network::ALL {
        crate::node::agent(machine, network, true)?;
    }
    machine.boot()?;
    machine.until(&format!("{unit} says {words:?}"), |machine| {
        let journal = machine.journal()?;
        Ok(words.iter().all(|words| journal.says(unit, words)))
    })?;
    ensure!(machine.attempts()? == 0, "a pod was tried: {:?}", machine.events()?);
    ensure!(machine.kubelet_starts()?.is_empty(), "kubelet was let through: {:?}", machine.events()?);
    Ok(machine.journal()?.messages_of_unit(unit).join("\n"))
}

/// Records, sandboxes and identity of a machine that ran pods: nothing is removed while a person has to decide, and everything is named.
fn ran() -> Result<()> {
    let mut machine = migrating()?;
    machine.boot()?;
    ensure_held(&mut machine)?;
    ensure_released(&mut machine, 2)?;
    machine.halt()?;
    let message = looked(&machine, &["image", "seal"], NO)?;
    for words in ["attachments of this machine's pods would lose their DEL", "sandbox", "/etc/machine-id"] {
        ensure!(message.contains(words), "seal does not say {words:?}:\n{message}");
    }
    let id = machine.read("/etc/machine-id")?;
    ensure!(id.trim().len() == 32, "removed something while something is refused: machine-id {id:?}");
    Ok(())
}

fn edit(machine: &Machine, path: &str, change: fn(&mut Value)) -> Result<()> {
    let mut value: Value = serde_json::from_str(&machine.read(path)?)?;
    change(&mut value);
    if value.is_null() {
        bail!("{path} is empty");
    }
    machine.write(path, value.to_string())
}

fn mode(machine: &Machine, path: &str, mode: u32) -> Result<()> {
    fs::set_permissions(machine.disk(path), fs::Permissions::from_mode(mode)).context("a mode")
}
