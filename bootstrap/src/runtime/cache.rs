//! The runtime's result cache: the attachments of now, and their plugins.
//!
//! *Source*: `libcni/api.go`, `cachedInfo`: one file `NAME-ID-IFNAME` per attachment, holding `{"kind":"cniCacheV1","containerId":..,
//! "config":BASE64,"ifName":..,"networkName":..,"netns":..,"cniArgs":[["K","V"]],"capabilityArgs":{..},"result":{..}}`, written
//! after an ADD succeeded and removed after a DEL did.

use convergence::runtime::cache::{Cache, CacheEntry, parse};

use std::io;
use std::path::{Path, PathBuf};

use shim::host::file::read_bounded;
use shim::host::trust;
use types::json::raw::RawObject;

/// Largest file of it that is read, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// One file; none for what is no attachment of a pod network.
fn read(path: &Path) -> Result<Option<CacheEntry>, String> {
    let mut file = trust::open(path).map_err(|e| e.to_string())?;
    let bytes = read_bounded(&mut file, MAX_BYTES).map_err(|e| e.to_string())?;
    let object = RawObject::parse(&bytes).map_err(|e| e.to_string())?;
    parse(&object)
}

/// Reads the cache; an absent one is empty.
///
/// # Errors
/// When the directory is not trusted or cannot be listed: what it says decides what runs as root.
pub(crate) fn gather(dir: &Path) -> io::Result<Cache> {
    match trust::check_dir(dir) {
        Err(why) if why.is_absent() => return Ok(Cache::default()),
        other => other.map_err(io::Error::other)?,
    }
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();
    let mut cache = Cache::default();
    for path in paths.into_iter().filter(|path| !path.is_dir()) {
        match read(&path) {
            Ok(Some(cached)) => cache.attachments.push(cached),
            Ok(None) => {}
            // A DEL was faster.
            Err(_) if !path.exists() => {}
            Err(why) => cache.unreadable.push((path, why)),
        }
    }
    Ok(cache)
}
