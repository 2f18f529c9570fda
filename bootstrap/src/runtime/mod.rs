//! What the container runtime knows: its sandboxes, and which confs it uses.

pub mod adding;
pub mod config;
pub mod cri;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use shim::file::read_bounded;
use shim::store::Key;
use shim::sweep::Seen;

/// Largest list that we read from a file, in bytes.
const MAX_LIST_BYTES: usize = 256 << 20;

/// How a runtime is set up for CNI, as far as it tells. *Source*: `cniconfig` in the verbose status of containerd's CRI plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniSetup {
    /// Where it looks for confs.
    pub conf_dir: PathBuf,
    /// Where it looks for plugins.
    pub bin_dirs: Vec<PathBuf>,
    /// How many confs it uses; 0 is all of them.
    pub max_confs: u64,
    /// Types of the plugins that it has loaded now.
    pub loaded: Vec<String>,
}

/// The sandboxes that live.
#[derive(Debug, Clone)]
pub enum Listing {
    /// Container ids from a CRI runtime, which knows the sandboxes that it made and no others.
    Cri(BTreeSet<String>),
    /// The whole truth, from a file.
    File(Vec<Listed>),
}

/// One line of a listing in a file: `{"containerID":"..","ifname":"eth0"}`; without `ifname` all of its interfaces.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    #[serde(rename = "containerID")]
    container_id: String,
    #[serde(default)]
    ifname: Option<String>,
}

impl Listing {
    /// Reads a JSON list of [`Listed`].
    ///
    /// # Errors
    /// One line that names the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::File::open(path)
            .and_then(|mut file| read_bounded(&mut file, MAX_LIST_BYTES))
            .map_err(|e| format!("read list {}: {e}", path.display()))?;
        let listed = serde_json::from_slice(&bytes).map_err(|e| {
            format!(
                "read list {}: {e}; expected [{{\"containerID\":\"..\",\"ifname\":\"eth0\"}}]",
                path.display()
            )
        })?;
        Ok(Self::File(listed))
    }

    /// What the list says about an attachment; `by_cri` tells whether a CRI runtime made its sandbox.
    #[must_use]
    pub fn sees(&self, key: &Key, by_cri: bool) -> Seen {
        let listed = match self {
            Self::Cri(ids) => ids.contains(&key.container_id),
            Self::File(all) => all.iter().any(|listed| {
                listed.container_id == key.container_id
                    && listed.ifname.as_ref().is_none_or(|ifname| *ifname == key.ifname)
            }),
        };
        match self {
            _ if listed => Seen::Listed,
            Self::Cri(_) if !by_cri => Seen::Unasked,
            Self::Cri(_) | Self::File(_) => Seen::Missing,
        }
    }

    /// Whether a runtime answered with nothing at all.
    #[must_use]
    pub fn is_empty_answer(&self) -> bool {
        matches!(self, Self::Cri(ids) if ids.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_asked_only_about_what_it_made_and_a_file_about_everything() {
        let cri = Listing::Cri(["c1".to_owned()].into());
        let file: Listing = Listing::File(
            serde_json::from_str(r#"[{"containerID":"c1"},{"containerID":"c2","ifname":"eth0"}]"#)
                .expect("list"),
        );
        for (id, ifname, by_cri, of_cri, of_file) in [
            ("c1", "eth0", true, Seen::Listed, Seen::Listed),
            ("c1", "eth1", false, Seen::Listed, Seen::Listed),
            ("c2", "eth0", true, Seen::Missing, Seen::Listed),
            ("c2", "eth1", false, Seen::Unasked, Seen::Missing),
        ] {
            let key = Key::new(id, ifname);
            assert_eq!(cri.sees(&key, by_cri), of_cri, "{id} {ifname}");
            assert_eq!(file.sees(&key, by_cri), of_file, "{id} {ifname}");
        }
    }
}
