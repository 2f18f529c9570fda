//! The identity of the machine, and of its boot.
//!
//! The kernel's id identifies a boot. systemd's machine id identifies a machine, and so does the provider's instance id where cloud-init
//! writes it before `boot` runs. `boot` keeps the last identity beside the records (`/var/lib/crossfade/boot.json`), so that a node made
//! from the image of a used node recognises another machine's state.

use convergence::node::identity::{BootRecord, Identity, VERSION};
use convergence::node::paths::{BOOTED, IDENTITY};
use shim::host::file::read_bounded;
use shim::node::layout::BOOT_ID;
use types::command::problem::Problem;

use crate::host::root::Root;

/// *Source*: man 5 `machine-id`.
const MACHINE_ID: &str = "/etc/machine-id";
/// The instance id of this boot, as cloud-init leaves it on tmpfs. The one below /var/lib/cloud is not read: until cloud-init has run, which
/// it need not have, a clone finds its origin's there, and would take itself for another machine one boot too late.
const INSTANCE_ID: &str = "/run/cloud-init/.instance-id";
/// Longest id file, and longest file of this module, in bytes.
const MAX_BYTES: usize = 4096;

fn content(root: &Root, path: &str) -> Option<Vec<u8>> {
    std::fs::File::open(root.join(path)).and_then(|mut file| read_bounded(&mut file, MAX_BYTES)).ok()
}

fn read<T: serde::de::DeserializeOwned>(root: &Root, path: &str) -> Option<T> {
    serde_json::from_slice(&content(root, path)?).ok()
}

fn line(root: &Root, path: &str) -> Option<String> {
    let text = String::from_utf8(content(root, path)?).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The identity of this machine in its current boot.
///
/// # Errors
/// The kernel's boot id cannot be read.
pub(crate) fn current(root: &Root) -> Result<Identity, String> {
    let boot_id =
        line(root, BOOT_ID).ok_or_else(|| format!("{BOOT_ID} cannot be read: is /proc mounted?"))?;
    let is_id = |id: &String| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(Identity {
        version: VERSION,
        boot_id,
        // An image's may be empty or `uninitialized`: then it says nothing.
        machine_id: line(root, MACHINE_ID).filter(is_id),
        instance_id: line(root, INSTANCE_ID),
        conf_dir: None,
    })
}

/// The identity that the last boot recorded; none if there is no readable record.
#[must_use]
pub(crate) fn read_identity(root: &Root) -> Option<Identity> {
    read(root, IDENTITY)
}

/// What the last `boot` wrote; none where there is none in this boot, as far as /run is empty at a boot.
#[must_use]
pub(crate) fn boot_record(root: &Root) -> Option<BootRecord> {
    read(root, BOOTED)
}

/// Whether `boot` has succeeded in this boot.
///
/// # Errors
/// It has not, or this boot cannot be told.
pub(crate) fn is_current(root: &Root) -> Result<(), Problem> {
    is_of(root, &current(root)?.boot_id)
}

/// The same for the boot with this id.
///
/// # Errors
/// It has not.
pub(crate) fn is_of(root: &Root, boot_id: &str) -> Result<(), Problem> {
    match boot_record(root) {
        Some(booted) if booted.boot_id == boot_id => Ok(()),
        _ => Err(Problem::new("crossfade-bootstrap unit boot has not succeeded in this boot")
            .with_place("crossfade-boot.service")
            .fix("run systemctl status crossfade-boot, which says why")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use convergence::node::identity::BootKind;
    use types::node::Mode;

    fn identity(boot: &str, machine: Option<&str>, instance: Option<&str>) -> Identity {
        Identity {
            version: VERSION,
            boot_id: boot.into(),
            machine_id: machine.map(Into::into),
            instance_id: instance.map(Into::into),
            conf_dir: None,
        }
    }

    #[test]
    fn a_clone_a_reboot_and_a_second_run_are_told_apart() {
        let now = identity("b2", Some("m"), Some("i"));
        for (before, booted, kind) in [
            (None, None, BootKind::First),
            (None, Some("b1"), BootKind::First),
            (None, Some("b2"), BootKind::Again),
            (Some(identity("b1", Some("m"), Some("i"))), None, BootKind::Reboot),
            (Some(identity("b1", Some("m"), None)), None, BootKind::Reboot),
            (Some(identity("b1", None, None)), None, BootKind::Reboot),
            (Some(identity("b1", Some("other"), Some("i"))), None, BootKind::Clone),
            (Some(identity("b1", Some("m"), Some("other"))), None, BootKind::Clone),
            (Some(identity("b1", None, Some("other"))), None, BootKind::Clone),
            (Some(identity("b2", Some("m"), Some("i"))), None, BootKind::Again),
            // An id that systemd commits in the course of the first boot is no other machine.
            (Some(identity("b2", Some("other"), None)), None, BootKind::Again),
            (Some(identity("b1", Some("other"), None)), Some("b2"), BootKind::Again),
        ] {
            let booted = booted.map(|boot| BootRecord::new(BootKind::First, boot.to_owned()));
            assert_eq!(now.kind(before.as_ref(), booted.as_ref()), kind, "{before:?} {booted:?}");
        }
        let unknown = identity("b2", None, None);
        assert_eq!(unknown.kind(Some(&identity("b1", Some("m"), Some("i"))), None), BootKind::Reboot);
    }

    #[test]
    fn what_is_no_id_says_nothing() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        assert!(current(&root).expect_err("no /proc").contains("boot_id"));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("below")).expect("directory");
            std::fs::write(path, text).expect("file");
        };
        write(BOOT_ID, "b\n");
        for (text, known) in
            [("", false), ("uninitialized\n", false), ("0123456789abcdef0123456789abcdef\n", true)]
        {
            write(MACHINE_ID, text);
            let now = current(&root).expect("identity");
            assert_eq!((now.boot_id.as_str(), now.machine_id.is_some()), ("b", known), "{text}");
            write(IDENTITY, &String::from_utf8(now.to_bytes()).expect("UTF-8"));
            assert_eq!(read_identity(&root), Some(now));
        }
        let private = current(&root).expect("identity").with_mode(Mode::Private);
        write(IDENTITY, &String::from_utf8(private.to_bytes()).expect("UTF-8"));
        assert_eq!(read_identity(&root).and_then(|before| before.conf_dir), Some(Mode::Private));
        write(IDENTITY, r#"{"version":1,"bootID":"b","confDir":"of a later release"}"#);
        assert_eq!(read_identity(&root).map(|before| before.conf_dir), Some(None), "still known");
        write(IDENTITY, "torn");
        assert_eq!(read_identity(&root), None);
        write(BOOTED, r#"{"version":1,"kind":"clone","bootID":"b"}"#);
        assert_eq!(boot_record(&root), Some(BootRecord::new(BootKind::Clone, "b".into())));
    }
}
