//! The sandboxes that were there before us.
//!
//! *Shape*: `{"version":1,"attachments":[{"containerID":"..","ifname":"eth0","network":"old","conf":{..},"prevResult":{..},
//! "runtimeConfig":{..},"cniArgs":"K=V;K=V","taken":{..},"deletedBy":"runtime"}]}`, everything from `conf` on optional.
//! Whoever installs Crossfade under running pods writes it; the first DEL of an entry turns it into a record, and it is struck
//! out when that record closes. An entry whose DEL the runtime sends to the network itself is struck out without a DEL of ours
//! once its sandbox is gone ([`Deleter`]). The shim changes the file only under its lock.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::key::Key;
use crate::moment::Moment;
use crate::raw::Undecodable;

/// The file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Inventory {
    /// 1.
    pub version: u32,
    /// One per sandbox and interface.
    pub attachments: Vec<Entry>,
}

/// Who sends the DEL of an attachment that was there before us.
///
/// *Source*: CRI-O deletes with the conf that it cached at ADD, so the plugins of that conf are called and we never are.
/// containerd takes the conf that it has loaded now, which is ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Deleter {
    /// The runtime calls us, and we pass its DEL on. Where it never comes, the sweep sends one.
    #[default]
    Crossfade,
    /// The runtime, past us. A second DEL from us might come after the address has become another pod's. Where the runtime has
    /// lost the conf, it calls us after all; that DEL is served as any other.
    Runtime,
}

impl Deleter {
    fn is_crossfade(&self) -> bool {
        *self == Self::Crossfade
    }
}

/// One attachment that is not ours.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Entry {
    /// Container id of the sandbox.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// Its interface.
    pub ifname: String,
    /// The policy's network that attached it: `old` or `new`.
    pub network: String,
    /// That network's conflist as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Object"))]
    pub conf: Option<Box<RawValue>>,
    /// What its ADD answered.
    #[serde(rename = "prevResult", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Object"))]
    pub prev_result: Option<Box<RawValue>>,
    /// What the runtime passed as `runtimeConfig`; without it a plugin such as portmap takes nothing away.
    #[serde(rename = "runtimeConfig", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Object"))]
    pub runtime_config: Option<Box<RawValue>>,
    /// Its `CNI_ARGS`, for a DEL that no runtime calls.
    #[serde(rename = "cniArgs", default, skip_serializing_if = "Option::is_none")]
    pub cni_args: Option<String>,
    /// When it was listed. The sandbox is at least as old; an entry of an earlier boot has none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Moment>,
    /// Who sends its DEL; the key is left out where that is us.
    #[serde(rename = "deletedBy", default, skip_serializing_if = "Deleter::is_crossfade")]
    pub deleted_by: Deleter,
}

impl Entry {
    /// An entry that says who attached it and nothing else.
    pub fn new(key: Key, network: impl Into<String>) -> Self {
        Self {
            container_id: key.container_id,
            ifname: key.ifname,
            network: network.into(),
            conf: None,
            prev_result: None,
            runtime_config: None,
            cni_args: None,
            taken: None,
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
    /// What is wrong with them, in words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let inventory: Self = serde_json::from_slice(bytes).map_err(|e| Undecodable::from(e).to_string())?;
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
