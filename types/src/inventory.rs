//! The inventory: the sandboxes from before Crossfade.
//!
//! *Shape*: `{"version":1,"attachments":[{"containerID":"..","ifname":"eth0","network":"old","conf":{..},"prevResult":{..},
//! "runtimeConfig":{..},"cniArgs":"K=V;K=V","taken":{..},"deletedBy":"runtime"}]}`, everything from `conf` on optional.
//! `install` writes the file on a node with running pods. The first DEL of an entry turns it into a record, and the entry is removed when that
//! record closes. If the runtime sends the DEL of an entry to the network itself, Crossfade removes the entry without a DEL once the sandbox is
//! gone ([`Deleter`]). The shim changes the file only under its lock.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::attachment::key::Key;
use crate::json::raw::DecodeError;
use crate::moment::Moment;

/// The inventory file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Inventory {
    /// 1.
    pub version: u32,
    /// The attachments, one per sandbox and interface.
    pub attachments: Vec<Entry>,
}

/// The receiver of the runtime's DEL for an attachment from before Crossfade.
///
/// *Source*: CRI-O deletes with the conf that it cached at ADD, so it calls the plugins of that conf and not Crossfade's. containerd uses the conf
/// that it has loaded now, which is Crossfade's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Deleter {
    /// The runtime calls Crossfade, which passes the DEL on to the network. If the runtime never does, the sweep sends a DEL.
    #[default]
    Crossfade,
    /// The runtime calls the network's own plugins. A second DEL by Crossfade could release an address that another pod has by then. If the runtime
    /// has lost the conf, it calls Crossfade after all, which serves that DEL as any other.
    Runtime,
}

impl Deleter {
    fn is_crossfade(&self) -> bool {
        *self == Self::Crossfade
    }
}

/// One attachment from before Crossfade.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Entry {
    /// Container id of the sandbox.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The interface that the runtime asked for.
    pub ifname: String,
    /// The policy's network that attached it: `old` or `new`.
    pub network: String,
    /// The conflist of that network at the time of the ADD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::json::schema::Object"))]
    pub conf: Option<Box<RawValue>>,
    /// The result of the ADD.
    #[serde(rename = "prevResult", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::json::schema::Object"))]
    pub prev_result: Option<Box<RawValue>>,
    /// The runtime's `runtimeConfig`, without which the DEL of a plugin such as portmap removes nothing.
    #[serde(rename = "runtimeConfig", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::json::schema::Object"))]
    pub runtime_config: Option<Box<RawValue>>,
    /// The attachment's `CNI_ARGS`, for a DEL that the sweep sends.
    #[serde(rename = "cniArgs", default, skip_serializing_if = "Option::is_none")]
    pub cni_args: Option<String>,
    /// When the entry was written. The sandbox is at least as old, and the sandbox of an entry from an earlier boot is gone.
    #[serde(rename = "taken", default, skip_serializing_if = "Option::is_none")]
    pub listed_at: Option<Moment>,
    /// Who serves the runtime's DEL; absent if that is Crossfade.
    #[serde(rename = "deletedBy", default, skip_serializing_if = "Deleter::is_crossfade")]
    pub deleted_by: Deleter,
}

impl Entry {
    /// An entry with its key and network alone.
    pub fn new(key: Key, network: impl Into<String>) -> Self {
        Self {
            container_id: key.container_id,
            ifname: key.ifname,
            network: network.into(),
            conf: None,
            prev_result: None,
            runtime_config: None,
            cni_args: None,
            listed_at: None,
            deleted_by: Deleter::Crossfade,
        }
    }

    /// Container id and ifname.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::new(&self.container_id, &self.ifname)
    }
}

impl Default for Inventory {
    fn default() -> Self {
        Self { version: 1, attachments: Vec::new() }
    }
}

impl Inventory {
    /// Reads an inventory's bytes.
    ///
    /// # Errors
    /// Why the inventory is invalid. The text quotes no value.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let inventory: Self = serde_json::from_slice(bytes).map_err(|e| DecodeError::from(e).to_string())?;
        if inventory.version == 1 {
            Ok(inventory)
        } else {
            Err(format!("version {}, expected 1", inventory.version))
        }
    }

    /// The entry of `key`.
    #[must_use]
    pub fn find(&self, key: &Key) -> Option<&Entry> {
        self.attachments.iter().find(|entry| entry.key() == *key)
    }
}
