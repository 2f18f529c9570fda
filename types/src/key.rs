//! Who an attachment is, and what the files that belong to it are called.

use siphasher::sip128::SipHasher13;

use crate::names::{is_name, validate_ifname};

/// Container ids up to here are file names as they are; NAME_MAX is 255 bytes, an ifname has at most 15.
const LONGEST_PLAIN_ID: usize = 200;

/// Who an attachment is: container id and ifname.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`.
    pub ifname: String,
}

impl Key {
    /// The key of (container id, ifname).
    pub fn new(container_id: impl Into<String>, ifname: impl Into<String>) -> Self {
        Self { container_id: container_id.into(), ifname: ifname.into() }
    }

    /// The file name of everything that belongs to this attachment: one component, whatever the key is.
    #[must_use]
    pub fn file_name(&self) -> String {
        let ifname = &self.ifname;
        // Those of a call were checked, those of a file that others write were not.
        let valid = validate_ifname(ifname).is_ok();
        format!("{}@{}", id_name(&self.container_id), if valid { ifname.clone() } else { hashed(ifname) })
    }
}

/// The file name of what belongs to a container, whatever its attachments: one component, and none of [`Key::file_name`].
#[must_use]
pub fn container_name(container_id: &str) -> String {
    format!("{}@", id_name(container_id))
}

/// The one of the sixteen directories of records that a container's are in: a hexadecimal digit.
#[must_use]
pub fn shard(container_id: &str) -> String {
    format!("{:x}", hash(container_id) & 0xf)
}

/// The part of a file name that stands for a container id. `~` cannot begin an id, so the two kinds never meet.
fn id_name(container_id: &str) -> String {
    if container_id.len() <= LONGEST_PLAIN_ID && is_name(container_id) {
        container_id.to_owned()
    } else {
        hashed(container_id)
    }
}

/// Stands for what cannot be a part of a file name: it is too long, or it is no name and might lead elsewhere.
fn hashed(text: &str) -> String {
    format!("~{:032x}", hash(text))
}

fn hash(text: &str) -> u128 {
    SipHasher13::new().hash(text.as_bytes()).as_u128()
}
