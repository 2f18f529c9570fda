//! The identity of the machine, and of its boot.
//!
//! The kernel's id identifies a boot. systemd's machine id identifies a machine, and so does the provider's instance id where cloud-init
//! writes it before `boot` runs. `boot` keeps the last identity beside the records (`/var/lib/crossfade/boot.json`), so that a node made
//! from the image of a used node recognises another machine's state.

use serde::{Deserialize, Serialize};
use types::node::Mode;

/// Version of both files.
pub const VERSION: u32 = 1;

/// A boot of a machine.
///
/// *Shape*: `{"version":1,"bootID":"5c1e..","machineID":"0123..","instanceID":"i-0abc","confDir":"private"}`; what is not known is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    pub version: u32,
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
        Ok(Mode::ALL.into_iter().find(|candidate| mode.as_deref() == Some(candidate.as_str())))
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
    pub version: u32,
    /// What kind of boot `boot` found.
    pub kind: BootKind,
    /// The kernel's id of the boot.
    #[serde(rename = "bootID")]
    pub boot_id: String,
}

impl Identity {
    /// The identity of an image that is only inspected: it has no boot yet, and matches no known machine.
    #[must_use]
    pub fn new_image() -> Self {
        Self {
            version: VERSION,
            boot_id: "BOOT-ID".into(),
            machine_id: None,
            instance_id: None,
            conf_dir: None,
        }
    }

    /// The same identity, with the mode in which `boot` prepared the node.
    #[must_use]
    pub fn with_mode(&self, mode: Mode) -> Self {
        Self { conf_dir: Some(mode), ..self.clone() }
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

    /// The bytes of the marker.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes(self)
    }
}

pub fn bytes(value: &impl Serialize) -> Vec<u8> {
    // Strings and numbers always serialise.
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
