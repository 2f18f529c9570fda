//! The key of an attachment, and the names of its files.

use siphasher::sip128::SipHasher13;

use crate::text::names::{is_name, validate_ifname};

/// The length up to which a container id is a part of a file name as it is, in bytes. NAME_MAX is 255 bytes, and an ifname has at most 15.
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
        // The ifname of a call is checked, but one in a file of another program is not.
        let valid = validate_ifname(ifname).is_ok();
        format!("{}@{}", id_name(&self.container_id), if valid { ifname.clone() } else { hash_text(ifname) })
    }
}

/// The file name of what belongs to a container, whatever its attachments: one component, and none of [`Key::file_name`].
#[must_use]
pub fn container_name(container_id: &str) -> String {
    format!("{}@", id_name(container_id))
}

/// The name of the directory that holds a container's records, one of sixteen: a hexadecimal digit.
#[must_use]
pub fn shard(container_id: &str) -> String {
    format!("{:x}", hash(container_id) & 0xf)
}

/// The names of all sixteen.
pub fn shards() -> impl Iterator<Item = String> {
    (0..16).map(|digit| format!("{digit:x}"))
}

/// The part of a file name that stands for a container id. `~` cannot begin an id, so the two kinds never meet.
fn id_name(container_id: &str) -> String {
    if container_id.len() <= LONGEST_PLAIN_ID && is_name(container_id) {
        container_id.to_owned()
    } else {
        hash_text(container_id)
    }
}

/// The replacement of a text that cannot be a part of a file name, because it is too long or is a path.
fn hash_text(text: &str) -> String {
    format!("~{:032x}", hash(text))
}

fn hash(text: &str) -> u128 {
    SipHasher13::new().hash(text.as_bytes()).as_u128()
}
