//! Network configurations on disk: conf, conflist, sub-folder plugins, capabilities.
//!
//! A delegate is a whole network, and the shim reads its conf as the reference library does. A `.conflist` has a chain of plugins, and a `.conf` is
//! a chain of one. The plugins in `<dir>/<name>/*.conf` are appended, unless `loadOnlyInlinedPlugins` is set. The version is the highest one that
//! both the conf and Crossfade support. The resolved list is kept as one JSON text, so that a DEL can use it after the files are gone.
//!
//! *Source*: `libcni/conf.go` of the reference library, 1.3.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use types::json::raw::{RawObject, to_raw};
use types::text::names::is_name;

use crate::call::version::Version;
use crate::host::file::read_bounded;
use crate::host::trust;

/// The largest conf that Crossfade reads, in bytes.
pub const MAX_BYTES: usize = 8 << 20;

/// One network: a name and a chain of plugins.
#[derive(Debug, Clone)]
pub struct Conflist {
    /// The network's own name.
    pub name: String,
    /// The CNI version of the calls to the network's plugins.
    pub version: Version,
    /// The conf disables CHECK.
    pub disable_check: bool,
    /// The conf disables GC.
    pub disable_gc: bool,
    /// The chain, in the order of ADD; never empty.
    pub plugins: Vec<Plugin>,
    /// The whole resolved list: `{"cniVersion":..,"name":..,..,"plugins":[..]}`.
    pub raw: Box<RawValue>,
}

/// One plugin of a chain.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The file name of the plugin's binary.
    pub plugin_type: String,
    /// The plugin's conf as written, with unknown keys.
    pub object: RawObject,
}

/// Why a network's conf cannot be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// None of the files exists, or none exists yet.
    Absent(Vec<PathBuf>),
    /// The file exists, but cannot be read or is not trusted.
    Unreadable(PathBuf, String),
    /// The file is invalid: path and reason.
    Invalid(PathBuf, String),
    /// The file requires a version that Crossfade does not support: path and version.
    Version(PathBuf, String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(paths) => {
                let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                write!(f, "no conf yet at {}", shown.join(" or "))
            }
            Self::Unreadable(path, why) => write!(f, "read conf {}: {why}", path.display()),
            Self::Invalid(path, why) => write!(f, "invalid conf {}: {why}", path.display()),
            Self::Version(path, version) => write!(
                f,
                "conf {} has cniVersion {version}, supported are {}",
                path.display(),
                Version::supported_text()
            ),
        }
    }
}

impl Conflist {
    /// Loads the first of `paths` that exists.
    ///
    /// # Errors
    /// [`Unloadable`]. If a file exists but is invalid, the next one is not read.
    pub fn load(paths: &[PathBuf]) -> Result<(Self, &Path), LoadError> {
        for path in paths {
            match trust::open(path) {
                Ok(mut file) => {
                    let bytes = read_bounded(&mut file, MAX_BYTES)
                        .map_err(|e| LoadError::Unreadable(path.clone(), e.to_string()))?;
                    return Self::resolve(&bytes, path).map(|list| (list, path.as_path()));
                }
                Err(why) if why.is_absent() => {}
                Err(why) => return Err(LoadError::Unreadable(path.clone(), why.to_string())),
            }
        }
        Err(LoadError::Absent(paths.to_vec()))
    }

    fn resolve(bytes: &[u8], path: &Path) -> Result<Self, LoadError> {
        let invalid = |why: String| LoadError::Invalid(path.into(), why);
        let mut object = as_list(bytes).map_err(invalid)?;
        let only_inlined = flag(&object, "loadOnlyInlinedPlugins").map_err(invalid)?;
        if !only_inlined {
            let name: String = object.decode("name").ok().flatten().unwrap_or_default();
            let dir = path.parent().unwrap_or(Path::new("/")).join(&name);
            if is_name(&name) && dir.is_dir() {
                let mut plugins: Vec<Box<RawValue>> = object
                    .decode("plugins")
                    .map_err(|e| invalid(format!("plugins: {e}")))?
                    .unwrap_or_default();
                plugins.extend(load_folder(&dir)?);
                object.set("plugins", to_raw(&plugins));
            }
        }
        Self::from_object(object).map_err(|error| match error {
            ConflistError::Shape(why) => LoadError::Invalid(path.into(), why),
            ConflistError::Version(version) => LoadError::Version(path.into(), version),
        })
    }

    /// Reads a resolved list from a record or an inventory entry.
    ///
    /// # Errors
    /// Why the list is invalid, as text.
    pub fn from_resolved(raw: &RawValue) -> Result<Self, String> {
        let object = as_list(raw.get().as_bytes())?;
        Self::from_object(object).map_err(|error| match error {
            ConflistError::Shape(why) => why,
            ConflistError::Version(version) => format!("cniVersion {version} is not supported"),
        })
    }

    /// The capabilities of a `runtimeConfig` that at least one plugin declares. The others go to no plugin, and may hold a secret of the pod:
    /// runtimes offer all annotations, such as the last applied configuration with its environment variables.
    #[must_use]
    pub fn retain_declared(&self, mut offered: RawObject) -> RawObject {
        let declared: Vec<String> = self.plugins.iter().flat_map(Plugin::capabilities).collect();
        offered.retain(|key| declared.iter().any(|name| name == key));
        offered
    }

    fn from_object(object: RawObject) -> Result<Self, ConflistError> {
        let name: String = object
            .decode("name")
            .map_err(|e| ConflistError::Shape(format!("name: {e}")))?
            .ok_or_else(|| ConflistError::Shape("name: missing".into()))?;
        if !is_name(&name) {
            return Err(ConflistError::Shape(format!("name: invalid characters in {name:?}")));
        }
        let version = version(&object)?;
        let listed: Vec<RawObject> = object
            .decode("plugins")
            .map_err(|e| ConflistError::Shape(format!("plugins: {e}")))?
            .unwrap_or_default();
        if listed.is_empty() {
            return Err(ConflistError::Shape("plugins: expected at least one plugin, found none".into()));
        }
        let plugins = listed
            .into_iter()
            .enumerate()
            .map(|(index, object)| plugin(index, object))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name,
            version,
            disable_check: flag(&object, "disableCheck").map_err(ConflistError::Shape)?,
            disable_gc: flag(&object, "disableGC").map_err(ConflistError::Shape)?,
            plugins,
            raw: object.to_raw(),
        })
    }
}

impl Plugin {
    /// The capabilities that are declared and true. If one is declared twice, the last value counts.
    #[must_use]
    pub fn capabilities(&self) -> Vec<String> {
        let declared = self.object.decode::<RawObject>("capabilities").ok().flatten().unwrap_or_default();
        let mut on: Vec<String> = Vec::new();
        for (name, value) in declared.pairs() {
            on.retain(|earlier| earlier != name);
            if value.get() == "true" {
                on.push(name.to_owned());
            }
        }
        on
    }
}

enum ConflistError {
    Shape(String),
    Version(String),
}

/// Reads a conflist as it is, and a conf as a list of one plugin.
fn as_list(bytes: &[u8]) -> Result<RawObject, String> {
    let object = RawObject::parse(bytes).map_err(|e| e.to_string())?;
    if object.get("plugins").is_some() {
        return Ok(object);
    }
    if object.get("type").is_none() {
        return Err("expected a list with \"plugins\" or a conf with \"type\"".into());
    }
    let mut list = RawObject::default();
    for key in ["cniVersion", "name"] {
        if let Some(value) = object.get(key) {
            list.set(key, value.to_owned());
        }
    }
    list.set("plugins", to_raw(&[object]));
    Ok(list)
}

fn load_folder(dir: &Path) -> Result<Vec<Box<RawValue>>, LoadError> {
    let unreadable = |e: std::io::Error| LoadError::Unreadable(dir.into(), e.to_string());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // The reference library also reads a file whose whole name is `.conf`.
        let named = entry.file_name().as_encoded_bytes().ends_with(b".conf");
        if named && !entry.file_type().map_err(unreadable)?.is_dir() {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    paths
        .into_iter()
        .map(|path| {
            let bytes = trust::open(&path)
                .map_err(|e| e.to_string())
                .and_then(|mut file| read_bounded(&mut file, MAX_BYTES).map_err(|e| e.to_string()))
                .map_err(|why| LoadError::Unreadable(path.clone(), why))?;
            RawObject::parse(&bytes)
                .map(|object| object.to_raw())
                .map_err(|why| LoadError::Invalid(path, why.to_string()))
        })
        .collect()
}

fn plugin(index: usize, object: RawObject) -> Result<Plugin, ConflistError> {
    let plugin_type: String = object
        .decode("type")
        .map_err(|e| ConflistError::Shape(format!("plugins[{index}].type: {e}")))?
        .ok_or_else(|| ConflistError::Shape(format!("plugins[{index}].type: missing")))?;
    // CVE-2021-20206: a type with a path separator could run any binary of the node.
    if !is_name(&plugin_type) {
        return Err(ConflistError::Shape(format!(
            "plugins[{index}].type: invalid characters in {plugin_type:?}"
        )));
    }
    Ok(Plugin { plugin_type, object })
}

/// The highest version among `cniVersion` and `cniVersions` that Crossfade supports.
fn version(object: &RawObject) -> Result<Version, ConflistError> {
    let version: Option<String> =
        object.decode("cniVersion").map_err(|e| ConflistError::Shape(format!("cniVersion: {e}")))?;
    let more: Vec<String> = object
        .decode("cniVersions")
        .map_err(|e| ConflistError::Shape(format!("cniVersions: {e}")))?
        .unwrap_or_default();
    let all: Vec<String> = version.into_iter().chain(more).filter(|text| !text.is_empty()).collect();
    if all.is_empty() {
        // An absent version means 0.1.0, whose results have no list of addresses. The addresses would be lost silently.
        return Err(ConflistError::Shape(format!(
            "cniVersion: missing; expected one of {}",
            Version::supported_text()
        )));
    }
    all.iter()
        .filter_map(|text| Version::parse(text))
        .max()
        .ok_or_else(|| ConflistError::Version(all.join(", ")))
}

/// Reads a boolean that may also be a string, as in the reference library.
fn flag(object: &RawObject, key: &str) -> Result<bool, String> {
    match object.get(key).map(RawValue::get) {
        None | Some("null" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(text) => match text.trim_matches('"').to_ascii_lowercase().as_str() {
            "true" if text.starts_with('"') => Ok(true),
            "false" if text.starts_with('"') => Ok(false),
            _ => Err(format!("{key}: expected true or false, found something else")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<Conflist, String> {
        let raw: Box<RawValue> = serde_json::from_str(text).expect("json");
        Conflist::from_resolved(&raw)
    }

    #[test]
    fn a_conf_is_a_chain_of_one() {
        let list =
            resolved(r#"{"cniVersion":"0.3.1","name":"n","type":"bridge","mtu":1.50}"#).expect("valid");
        assert_eq!((list.plugins.len(), list.name.as_str()), (1, "n"));
        assert_eq!(list.plugins[0].object.get("mtu").map(RawValue::get), Some("1.50"));
        let again = Conflist::from_resolved(&list.raw).expect("reads back");
        assert_eq!(again.raw.get(), list.raw.get());
    }

    #[test]
    fn the_highest_common_version_is_taken() {
        for (versions, expected) in [
            (r#""cniVersion":"0.4.0""#, Some(Version::V040)),
            (r#""cniVersion":"0.4.0","cniVersions":["1.0.0","9.9.9"]"#, Some(Version::V100)),
            (r#""cniVersions":["0.3.0"]"#, Some(Version::V030)),
            (r#""cniVersion":"0.2.0""#, None),
            (r#""cniVersion":"9.0.0""#, None),
            (r#""k":1"#, None),
        ] {
            let list = resolved(&format!(r#"{{{versions},"name":"n","plugins":[{{"type":"t"}}]}}"#));
            assert_eq!(list.as_ref().ok().map(|list| list.version), expected, "{versions}: {list:?}");
        }
    }

    #[test]
    fn bad_lists_say_what_is_wrong() {
        for (text, words) in [
            (r#"{"cniVersion":"1.0.0","name":"n"}"#, "\"plugins\""),
            (r#"{"cniVersion":"1.0.0","name":"n","plugins":[]}"#, "at least one"),
            (r#"{"cniVersion":"1.0.0","name":"a/b","plugins":[{"type":"t"}]}"#, "name"),
            (r#"{"cniVersion":"1.0.0","plugins":[{"type":"t"}]}"#, "name: missing"),
            (r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"../t"}]}"#, "plugins[0].type"),
            (r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"t"},{}]}"#, "plugins[1].type"),
            (
                r#"{"cniVersion":"1.0.0","name":"n","disableCheck":3,"plugins":[{"type":"t"}]}"#,
                "disableCheck",
            ),
        ] {
            let error = resolved(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn flags_may_be_strings_and_capabilities_must_be_true() {
        let list = resolved(
            r#"{"cniVersion":"1.0.0","name":"n","disableGC":"TRUE","plugins":[{"type":"t","capabilities":{"b":true,"a":true,"b":false}}]}"#,
        )
        .expect("valid");
        assert!(list.disable_gc && !list.disable_check);
        assert_eq!(list.plugins[0].capabilities(), ["a"]);
    }
}
