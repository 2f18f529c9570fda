//! The runtime's conf directory, as runtimes read it.
//!
//! *Source*: `libcni/conf.go` (`ConfFiles`) and the CNI libraries of containerd and CRI-O: the files whose extension is `.conf`, `.conflist` or
//! `.json`, hidden ones included, sorted byte-wise; the first one counts. Sub-folders are not looked into, but a folder that is called
//! like a network adds plugins to it.

use std::path::{Path, PathBuf};

use shim::node::layout::{CONF_FILE, PLUGIN};
use types::json::raw::RawObject;
use types::profile::{Profile, Profiles};

/// What the name of a meta-plugin's conf begins with; Multus writes `00-multus.conf` or `00-multus.conflist`.
const META_PLUGIN_PREFIX: &str = "00-multus";

/// What follows the last dot of a conf's name; to the library a hidden file may have nothing before it.
const CONF_SUFFIXES: [&str; 3] = [".conf", LIST_SUFFIX, ".json"];
const LIST_SUFFIX: &str = ".conflist";

/// Whether a runtime takes a file of this name for a conf.
#[must_use]
pub fn is_conf_name(file: &str) -> bool {
    CONF_SUFFIXES.iter().any(|suffix| file.ends_with(suffix))
}

/// The content of a conf directory.
#[derive(Debug, Clone, Default)]
pub struct ConfDir {
    pub path: PathBuf,
    /// The confs, in the order in which a runtime considers them.
    pub confs: Vec<ConfFile>,
    /// Names of the directory's sub-folders.
    pub folders: Vec<String>,
    /// Names of confs that an exclusive agent (such as Cilium) has renamed.
    pub taken_away: Vec<String>,
}

/// One conf of the directory.
#[derive(Debug, Clone)]
pub struct ConfFile {
    pub file: String,
    /// The conf's content, or why Crossfade cannot read it.
    pub content: Result<Content, String>,
}

/// The part of a conf that tells networks apart.
#[derive(Debug, Clone)]
pub struct Content {
    /// The network's name; empty where the conf has none.
    pub name: String,
    /// The plugins' types, in order.
    pub types: Vec<String>,
    pub object: RawObject,
}

impl ConfDir {
    /// The confs that sort before Crossfade's, so the runtime would use them instead.
    pub fn confs_before_own(&self) -> impl Iterator<Item = &ConfFile> {
        self.confs.iter().filter(|conf| conf.file.as_bytes() < CONF_FILE.as_bytes())
    }

    /// The confs of other owners, without Crossfade's and without those of meta-plugins. The first one is the network of this node.
    pub fn foreign_confs(&self) -> impl Iterator<Item = &ConfFile> {
        self.confs.iter().filter(|conf| conf.file != CONF_FILE && !conf.is_meta_plugin())
    }
}

impl ConfFile {
    /// Whether it belongs to a plugin that delegates to the conf of a whole other network.
    #[must_use]
    pub fn is_meta_plugin(&self) -> bool {
        self.file.starts_with(META_PLUGIN_PREFIX)
    }

    /// The profile of the CNI whose conf it is: by the file's name, else by the plugins' types.
    #[must_use]
    pub fn profile<'p>(&self, profiles: &'p Profiles) -> Option<&'p Profile> {
        profiles.find_by_conf(&self.file).or_else(|| profiles.detect(&self.content.as_ref().ok()?.types))
    }

    /// The network's name, where it can be read.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.content.as_ref().ok().map(|content| content.name.as_str())
    }
}

impl Content {
    /// Reads the bytes of a conf.
    ///
    /// # Errors
    /// In words; they quote no value.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let object = RawObject::parse(bytes).map_err(|e| e.to_string())?;
        let types = types(&object)?;
        if types.is_empty() {
            return Err("it has no plugin".into());
        }
        let name = object.decode("name").map_err(|e| format!("name: {e}"))?.unwrap_or_default();
        Ok(Self { name, types, object })
    }

    /// Reads the bytes of a file of the directory. To the library, one that is called `.conflist` is a list of plugins and no single plugin.
    ///
    /// # Errors
    /// In words; they quote no value.
    pub fn parse_file(file: &str, bytes: &[u8]) -> Result<Self, String> {
        let content = Self::parse(bytes)?;
        if file.ends_with(LIST_SUFFIX) && content.object.get("plugins").is_none() {
            return Err("it has no plugin".into());
        }
        Ok(content)
    }

    /// Whether one of the conf's plugins is Crossfade's.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.types.iter().any(|plugin| plugin == PLUGIN)
    }

    /// Whether a meta-plugin's conf leads to Crossfade: by an inline delegate of the type `crossfade`, or by a default network that has the
    /// name of Crossfade's network or file.
    #[must_use]
    pub fn delegates_to_us(&self, our_name: &str) -> bool {
        let plugins: Vec<RawObject> = self.object.decode("plugins").ok().flatten().unwrap_or_default();
        std::iter::once(&self.object).chain(&plugins).any(|object| delegates_to_us(object, our_name))
    }
}

/// Whether one plugin's conf leads to Crossfade.
fn delegates_to_us(object: &RawObject, our_name: &str) -> bool {
    let delegates: Vec<RawObject> = object.decode("delegates").ok().flatten().unwrap_or_default();
    let inline = delegates
        .iter()
        .any(|object| types(object).is_ok_and(|types| types.iter().any(|plugin| plugin == PLUGIN)));
    let network: Option<String> = object.decode("clusterNetwork").ok().flatten();
    inline
        || network.is_some_and(|network| {
            network == our_name || Path::new(&network).file_name().is_some_and(|file| file == CONF_FILE)
        })
}

fn types(object: &RawObject) -> Result<Vec<String>, String> {
    let plugins: Option<Vec<RawObject>> = object.decode("plugins").map_err(|e| format!("plugins: {e}"))?;
    let single_plugin = object.get("type").map(|_| object.clone());
    let plugins = plugins.unwrap_or_else(|| single_plugin.into_iter().collect());
    let name = |plugin: &RawObject| {
        let name = plugin.decode("type").map_err(|e| format!("type: {e}"))?;
        name.ok_or_else(|| "a plugin of it has no type".to_owned())
    };
    plugins.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Content {
        let object = RawObject::parse(text.as_bytes()).expect("json");
        Content { name: "n".into(), types: types(&object).expect("types"), object }
    }

    #[test]
    fn what_sorts_before_us_is_told_byte_wise() {
        let conf = |file: &str| ConfFile { file: file.into(), content: Err(String::new()) };
        let files =
            ["!.conf", ".00-x.conflist", "0-x.conf", "00-multus.conf", "01-a.conf", "01-crossfade.conflist"];
        let after = ["01-d.conf", "05-cilium.conflist", "10-x.conf", "Z.conf", "a.conf"];
        let confs = files.iter().chain(&after).map(|file| conf(file)).collect();
        let dir = ConfDir { confs, ..ConfDir::default() };
        let before: Vec<_> = dir.confs_before_own().map(|conf| conf.file.as_str()).collect();
        assert_eq!(before, &files[..5]);
        let others: Vec<_> = dir.foreign_confs().map(|conf| conf.file.as_str()).collect();
        assert!(!others.contains(&"00-multus.conf") && !others.contains(&CONF_FILE) && others.len() == 9);
    }

    #[test]
    fn a_list_has_plugins_and_each_conf_a_name_in_text() {
        let single = r#"{"cniVersion":"1.0.0","name":"n","type":"bridge"}"#;
        let list = r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"}]}"#;
        let number = list.replace(r#""n""#, "7");
        for (file, text, is_whole) in [
            ("10-n.conf", single, true),
            ("10-n.conflist", single, false),
            ("10-n.conflist", list, true),
            ("10-n.conflist", number.as_str(), false),
            ("10-n.conf", r#"{"cniVersion":"1.0.0","name":7,"type":"bridge"}"#, false),
            ("10-n.conflist", r#"{"cniVersion":"1.0.0","name":"n","plugins":[{}]}"#, false),
        ] {
            assert_eq!(Content::parse_file(file, text.as_bytes()).is_ok(), is_whole, "{file}: {text}");
        }
    }

    #[test]
    fn a_meta_plugin_leads_to_us_by_type_name_or_file() {
        for (text, leads) in [
            (r#"{"type":"multus","delegates":[{"plugins":[{"type":"crossfade"}]}]}"#, true),
            (r#"{"type":"multus","delegates":[{"type":"crossfade"}]}"#, true),
            (r#"{"type":"multus","delegates":[{"type":"bridge"}]}"#, false),
            (r#"{"type":"multus","clusterNetwork":"net-a"}"#, true),
            (r#"{"type":"multus","clusterNetwork":"/host/etc/cni/net.d/01-crossfade.conflist"}"#, true),
            (r#"{"type":"multus","clusterNetwork":"/host/etc/cni/net.d/10-calico.conflist"}"#, false),
            (r#"{"type":"multus"}"#, false),
            (r#"{"name":"m","plugins":[{"type":"multus","clusterNetwork":"net-a"}]}"#, true),
        ] {
            assert_eq!(content(text).delegates_to_us("net-a"), leads, "{text}");
        }
        assert!(content(r#"{"plugins":[{"type":"crossfade"}]}"#).is_ours());
        assert!(!content(r#"{"plugins":[{"type":"bridge"},{"type":"portmap"}]}"#).is_ours());
    }
}
