//! The login file that CRI-O's configuration names: it may be anywhere.

use std::path::{Path, PathBuf};

use convergence::image::seal::finding::SealFinding;
use serde_json::Value;

use super::secret;
use super::tree::{Item, ItemKind, glob};
use crate::host::root::Root;

/// Where CRI-O's configuration is; of several files the last that has a key counts. *Source*: man 5 `crio.conf`.
const CONFIG: [&str; 3] = ["/etc/crio/crio.conf", "/usr/lib/crio/crio.conf.d/*", "/etc/crio/crio.conf.d/*"];

/// Looks into what `global_auth_file` of `[crio.image]` names, in whichever file.
#[must_use]
pub(crate) fn findings(root: &Root) -> Vec<SealFinding> {
    let configs = CONFIG.iter().flat_map(|pattern| glob(root, Path::new(pattern)));
    let named =
        configs.filter(|item| item.kind == ItemKind::File).filter_map(|item| auth_file(&item.read().ok()?));
    let items = named.filter_map(|path| Item::open(root, &path)).filter(|item| item.kind == ItemKind::File);
    items
        .filter_map(|item| {
            let keys = secret::find(&item.read().ok()?);
            let why = format!(
                "a login at a registry, which crio.conf names as global_auth_file ({}): every node of this image, and everyone who can read the image, would have it",
                keys.join(", ")
            );
            let fix = "remove it, and take global_auth_file out of crio.conf";
            (!keys.is_empty()).then(|| SealFinding::new_refusal(&item.path, why, fix))
        })
        .collect()
}

fn auth_file(config: &[u8]) -> Option<PathBuf> {
    let tree: Value = toml_edit::de::from_str(std::str::from_utf8(config).ok()?).ok()?;
    let file = tree["crio"]["image"]["global_auth_file"].as_str()?;
    file.starts_with('/').then(|| file.into())
}
