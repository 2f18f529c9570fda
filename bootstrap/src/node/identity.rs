//! The identity of the machine, and of its boot.
//!
//! The kernel's id identifies a boot. systemd's machine id identifies a machine, and so does the provider's instance id where cloud-init
//! writes it before `boot` runs. `boot` keeps the last identity beside the records (`/var/lib/crossfade/boot.json`), so that a node made
//! from the image of a used node recognises another machine's state.

use serde::{Deserialize, Serialize};
use shim::file::read_bounded;
use shim::layout::BOOT_ID;
use types::node::Mode;
use types::problem::Problem;

use crate::node::paths::{BOOTED, IDENTITY, Root};

/// *Source*: man 5 `machine-id`.
const MACHINE_ID: &str = "/etc/machine-id";
/// The instance id of this boot, as cloud-init leaves it on tmpfs. The one below /var/lib/cloud is not read: until cloud-init has run, which
/// it need not have, a clone finds its origin's there, and would take itself for another machine one boot too late.
const INSTANCE_ID: &str = "/run/cloud-init/.instance-id";
/// Version of both files.
const VERSION: u32 = 1;
/// Longest id file, and longest file of this module, in bytes.
const MAX_BYTES: usize = 4096;

/// A boot of a machine.
///
/// *Shape*: `{"version":1,"bootID":"5c1e..","machineID":"0123..","instanceID":"i-0abc","confDir":"private"}`; what is not known is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    version: u32,
    /// The kernel's id of the boot.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// systemd's id of the machine.
    #[serde(rename = "machineID", default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// The provider's id of the instance.
    #[serde(rename = "instanceID", default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The mode that the boot was prepared in; what is no mode, as a later release may have, is not known.
    #[serde(default, with = "mode", skip_serializing_if = "Option::is_none")]
    pub conf_dir: Option<Mode>,
}

/// Reads and writes a mode by its mode in node.json.
mod mode {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Mode;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
    pub(super) fn serialize<S: Serializer>(mode: &Option<Mode>, serializer: S) -> Result<S::Ok, S::Error> {
        match mode {
            Some(mode) => serializer.serialize_str(mode.as_str()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mode>, D::Error> {
        let mode = Option::<String>::deserialize(deserializer)?;
        Ok(Mode::ALL.into_iter().find(|known| mode.as_deref() == Some(known.as_str())))
    }
}

/// What kind of boot this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BootKind {
    /// Crossfade has not prepared this machine before.
    First,
    /// It has prepared another one, which this one is an image of.
    Clone,
    /// `boot` prepared this machine in an earlier boot.
    Reboot,
    /// `boot` has already prepared this boot.
    Again,
}

/// What `boot` made of a boot; written when it is done.
///
/// *Shape*: `{"version":1,"kind":"first","bootID":"5c1e.."}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootRecord {
    version: u32,
    /// What kind of boot `boot` found.
    pub kind: BootKind,
    /// The kernel's id of the boot.
    #[serde(rename = "bootID")]
    pub boot_id: String,
}

impl Identity {
    /// The identity of an image that is only inspected: it has no boot yet, and matches no known machine.
    #[must_use]
    pub fn of_an_image() -> Self {
        Self {
            version: VERSION,
            boot_id: "BOOT-ID".into(),
            machine_id: None,
            instance_id: None,
            conf_dir: None,
        }
    }

    /// The identity of this machine in its current boot.
    ///
    /// # Errors
    /// The kernel's boot id cannot be read.
    pub fn current(root: &Root) -> Result<Self, String> {
        let boot_id =
            line(root, BOOT_ID).ok_or_else(|| format!("{BOOT_ID} cannot be read: is /proc mounted?"))?;
        let is_id = |id: &String| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        Ok(Self {
            version: VERSION,
            boot_id,
            // An image's may be empty or `uninitialized`: then it says nothing.
            machine_id: line(root, MACHINE_ID).filter(is_id),
            instance_id: line(root, INSTANCE_ID),
            conf_dir: None,
        })
    }

    /// The same identity, with the mode in which `boot` prepared the node.
    #[must_use]
    pub fn in_mode(&self, mode: Mode) -> Self {
        Self { conf_dir: Some(mode), ..self.clone() }
    }

    /// The identity that the last boot recorded; none if there is no readable record.
    #[must_use]
    pub fn recorded(root: &Root) -> Option<Self> {
        read(root, IDENTITY)
    }

    /// What kind of boot `self` is after `before` and, on tmpfs and so of this boot if of any, `booted`.
    ///
    /// | before | machine or instance id | boot id | it is |
    /// |---|---|---|---|
    /// | any | any | the same | again |
    /// | none | | | first |
    /// | one | differs, and both are known | another | clone |
    /// | one | the same, or unknown | another | reboot |
    #[must_use]
    pub fn kind(&self, before: Option<&Self>, booted: Option<&BootRecord>) -> BootKind {
        let differs = |earlier: &Option<String>, now: &Option<String>| {
            earlier.as_ref().zip(now.as_ref()).is_some_and(|(earlier, now)| earlier != now)
        };
        if booted.is_some_and(|booted| booted.boot_id == self.boot_id) {
            return BootKind::Again;
        }
        match before {
            None => BootKind::First,
            Some(before) if before.boot_id == self.boot_id => BootKind::Again,
            Some(before)
                if differs(&before.machine_id, &self.machine_id)
                    || differs(&before.instance_id, &self.instance_id) =>
            {
                BootKind::Clone
            }
            Some(_) => BootKind::Reboot,
        }
    }

    /// The bytes of `/var/lib/crossfade/boot.json`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes(self)
    }
}

impl BootRecord {
    /// The marker that `boot` leaves when it succeeds.
    #[must_use]
    pub const fn new(kind: BootKind, boot_id: String) -> Self {
        Self { version: VERSION, kind, boot_id }
    }

    /// What the last `boot` wrote; none where there is none in this boot, as far as /run is empty at a boot.
    #[must_use]
    pub fn read(root: &Root) -> Option<Self> {
        read(root, BOOTED)
    }

    /// Whether `boot` has succeeded in this boot.
    ///
    /// # Errors
    /// It has not, or this boot cannot be told.
    pub fn is_current(root: &Root) -> Result<(), Problem> {
        Self::is_of(root, &Identity::current(root)?.boot_id)
    }

    /// The same for the boot with this id.
    ///
    /// # Errors
    /// It has not.
    pub fn is_of(root: &Root, boot_id: &str) -> Result<(), Problem> {
        match Self::read(root) {
            Some(booted) if booted.boot_id == boot_id => Ok(()),
            _ => Err(Problem::new("crossfade-bootstrap unit boot has not succeeded in this boot")
                .at("crossfade-boot.service")
                .fix("run systemctl status crossfade-boot, which says why")),
        }
    }

    /// The bytes of the marker.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes(self)
    }
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    // Strings and numbers always serialise.
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn content(root: &Root, path: &str) -> Option<Vec<u8>> {
    std::fs::File::open(root.at(path)).and_then(|mut file| read_bounded(&mut file, MAX_BYTES)).ok()
}

fn read<T: serde::de::DeserializeOwned>(root: &Root, path: &str) -> Option<T> {
    serde_json::from_slice(&content(root, path)?).ok()
}

fn line(root: &Root, path: &str) -> Option<String> {
    let text = String::from_utf8(content(root, path)?).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(Identity::current(&root).expect_err("no /proc").contains("boot_id"));
        let write = |path: &str, text: &str| {
            let path = root.at(path);
            std::fs::create_dir_all(path.parent().expect("below")).expect("directory");
            std::fs::write(path, text).expect("file");
        };
        write(BOOT_ID, "b\n");
        for (text, known) in
            [("", false), ("uninitialized\n", false), ("0123456789abcdef0123456789abcdef\n", true)]
        {
            write(MACHINE_ID, text);
            let now = Identity::current(&root).expect("identity");
            assert_eq!((now.boot_id.as_str(), now.machine_id.is_some()), ("b", known), "{text}");
            write(IDENTITY, &String::from_utf8(now.to_bytes()).expect("UTF-8"));
            assert_eq!(Identity::recorded(&root), Some(now));
        }
        let private = Identity::current(&root).expect("identity").in_mode(Mode::Private);
        write(IDENTITY, &String::from_utf8(private.to_bytes()).expect("UTF-8"));
        assert_eq!(Identity::recorded(&root).and_then(|before| before.conf_dir), Some(Mode::Private));
        write(IDENTITY, r#"{"version":1,"bootID":"b","confDir":"of a later release"}"#);
        assert_eq!(Identity::recorded(&root).map(|before| before.conf_dir), Some(None), "still known");
        write(IDENTITY, "torn");
        assert_eq!(Identity::recorded(&root), None);
        write(BOOTED, r#"{"version":1,"kind":"clone","bootID":"b"}"#);
        assert_eq!(BootRecord::read(&root), Some(BootRecord::new(BootKind::Clone, "b".into())));
    }
}
