//! kubelet's configuration files: the taints of the registration, and the runtime that kubelet talks to.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use shim::host::file::read_regular;
use types::api::taint::{Taint, check};

use super::flags::values;
use crate::host::root::Root;
use crate::systemd::unit::Word;

/// Largest configuration file, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// How the name of a file in `--config-dir` ends. *Source*: `cmd/kubelet/app/server.go`, `mergeKubeletConfigurations`.
const EXTENSION: &str = "conf";

/// What one file says; none is nothing at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KubeletConfig {
    /// `registerWithTaints`.
    pub taints: Option<Vec<Taint>>,
    /// `registerNode`.
    pub registers: Option<bool>,
    /// `containerRuntimeEndpoint`; an empty one says nothing.
    pub endpoint: Option<String>,
    /// `clusterDNS`; an empty list says nothing.
    pub cluster_dns: Option<Vec<String>>,
    pub cluster_domain: Option<String>,
}

/// *Shape*: `{"kind":"KubeletConfiguration","registerWithTaints":[{"key":"k","value":"v","effect":"NoSchedule"}],..}`, as YAML or JSON.
///
/// *Source*: `kubelet/config/v1beta1/types.go`, `KubeletConfiguration`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KubeletConfiguration {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    register_with_taints: Option<Vec<Entry>>,
    #[serde(default)]
    register_node: Option<bool>,
    #[serde(default)]
    container_runtime_endpoint: Option<String>,
    #[serde(default, rename = "clusterDNS")]
    cluster_dns: Option<Vec<String>>,
    #[serde(default)]
    cluster_domain: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    effect: String,
}

/// Reads one file, as the node sees it; none where there is none.
///
/// # Errors
/// One line that names the file: it cannot be read, or kubelet would exit for it.
pub(crate) fn read(root: &Root, path: &Path) -> Result<Option<KubeletConfig>, String> {
    let in_file = |why: String| format!("{}: {why}", path.display());
    let Some(bytes) = bytes(root, path)? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes).map_err(|_| in_file("expected UTF-8".into()))?;
    parse(&text).map(Some).map_err(in_file)
}

/// The bytes of one file, as the node sees it; none where there is none.
///
/// # Errors
/// One line that names the file: it cannot be read.
pub(crate) fn bytes(root: &Root, path: &Path) -> Result<Option<Vec<u8>>, String> {
    let in_file = |e: std::io::Error| format!("{}: {e}", path.display());
    match read_regular(&root.join(path), MAX_BYTES) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).map_err(in_file),
    }
}

/// The configuration files that a command line names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Files {
    pub main: Option<PathBuf>,
    /// The files of `--config-dir` in the order in which they are merged; none where kubelet reads no such directory.
    pub drop_ins: Option<Vec<PathBuf>>,
    /// That directory, where it is named and not there.
    pub absent: Option<PathBuf>,
}

impl Files {
    /// All of them, in the order in which kubelet takes them.
    pub(crate) fn all(&self) -> impl DoubleEndedIterator<Item = &PathBuf> {
        self.main.iter().chain(self.drop_ins.iter().flatten())
    }
}

/// The configuration files that a command line names; of several flags the last counts.
#[must_use]
pub(crate) fn files(root: &Root, words: &[Word]) -> Files {
    let last = |name| values(words, name).last().map(|flag| flag.value).filter(|value| !value.is_empty());
    // Relative to kubelet's working directory, which is the root unless its unit says otherwise.
    let absolute = |value: &str| Path::new("/").join(value);
    let dir = last("config-dir").map(absolute);
    let drop_ins = dir.as_ref().and_then(|dir| drop_ins(root, dir));
    Files { main: last("config").map(absolute), absent: dir.filter(|_| drop_ins.is_none()), drop_ins }
}

/// The files of a `--config-dir` in the order in which they are merged: by their whole name, directories within taken where their
/// name stands. None where there is no such directory.
///
/// *Source*: `cmd/kubelet/app/server.go`, `mergeKubeletConfigurations`; Go's `filepath.WalkDir`.
#[must_use]
pub(crate) fn drop_ins(root: &Root, dir: &Path) -> Option<Vec<PathBuf>> {
    let mut entries: Vec<_> = fs::read_dir(root.join(dir)).ok()?.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut files = Vec::new();
    for entry in entries {
        let path = dir.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files.extend(drop_ins(root, &path).unwrap_or_default());
        } else if path.extension().is_some_and(|extension| extension == EXTENSION) {
            files.push(path);
        }
    }
    Some(files)
}

fn parse(text: &str) -> Result<KubeletConfig, String> {
    // JSON is read as JSON: YAML has its own mind about tabs.
    let configuration: KubeletConfiguration = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|e| e.to_string())?
    } else {
        let documents: Vec<KubeletConfiguration> =
            serde_saphyr::from_multiple(text).map_err(|e| e.without_snippet().to_string())?;
        documents.into_iter().next().ok_or("expected a KubeletConfiguration, found nothing")?
    };
    if configuration.kind != "KubeletConfiguration" {
        return Err(format!(
            "kind: expected KubeletConfiguration, found {:?}; kubelet would exit",
            configuration.kind
        ));
    }
    let taints = configuration.register_with_taints.map(|entries| {
        let parse_document =
            |entry: Entry| check(&entry.key, entry.value.as_deref().unwrap_or_default(), &entry.effect);
        entries.into_iter().map(parse_document).collect::<Result<Vec<_>, _>>()
    });
    let taints = taints.transpose().map_err(|why| format!("registerWithTaints: {why}"))?;
    let endpoint = configuration.container_runtime_endpoint.filter(|endpoint| !endpoint.is_empty());
    Ok(KubeletConfig {
        taints,
        registers: configuration.register_node,
        endpoint,
        cluster_dns: configuration.cluster_dns.filter(|servers| !servers.is_empty()),
        cluster_domain: configuration.cluster_domain,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_alike() {
        let yaml = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nauthentication:\n  x509: {clientCAFile: /ca}\n\
                    evictionHard:\n  memory.available: 100Mi\nregisterNode: false\nregisterWithTaints:\n- key: a\n  value: \"true\"\n  effect: NoExecute\n\
                    - {key: b, effect: NoSchedule}\n";
        let json = "{\n\t\"kind\": \"KubeletConfiguration\",\n\t\"registerWithTaints\": [{\"key\": \"a\", \"value\": \"true\", \"effect\": \"NoExecute\"}, \
                    {\"key\": \"b\", \"effect\": \"NoSchedule\", \"timeAdded\": null}], \"registerNode\": false}";
        for text in [yaml, json, &format!("---\n{yaml}"), &format!("{yaml}---\nkind: Other\n")] {
            let config = parse(text).expect(text);
            let taints: Vec<String> =
                config.taints.expect("taints").iter().map(ToString::to_string).collect();
            assert_eq!(
                (taints.join(","), config.registers),
                ("a=true:NoExecute,b:NoSchedule".into(), Some(false)),
                "{text}"
            );
        }
    }

    #[test]
    fn nothing_said_is_not_an_empty_list() {
        let parse_with = |more: &str| parse(&format!("kind: KubeletConfiguration\n{more}")).expect(more);
        assert_eq!(parse_with(""), KubeletConfig::default());
        assert_eq!(parse_with("registerWithTaints: null\n").taints, None);
        assert_eq!(parse_with("registerWithTaints: []\n").taints, Some(Vec::new()));
        assert_eq!(parse_with("containerRuntimeEndpoint: ''\n").endpoint, None);
        let endpoint = parse_with("containerRuntimeEndpoint: unix:///run/c.sock\n").endpoint;
        assert_eq!(endpoint.as_deref(), Some("unix:///run/c.sock"));
    }

    #[test]
    fn what_kubelet_would_exit_for() {
        for (text, words) in [
            ("", "found nothing"),
            ("registerWithTaints: []", "kind"),
            ("kind: KubeletConfiguration\nregisterWithTaints: [{key: a, effect: Never}]", "Never"),
            ("kind: KubeletConfiguration\nregisterWithTaints: [{key: a b, effect: NoSchedule}]", "a b"),
            ("kind: [", ""),
            ("{\"kind\":", "EOF"),
        ] {
            let why = parse(text).expect_err(text);
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn files_of_a_directory_by_their_whole_name() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        assert_eq!(drop_ins(&root, Path::new("/d")), None);
        for name in ["d/20.conf", "d/100.conf", "d/15/x.conf", "d/40.yaml", "d/a.conf.bak"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("below")).expect("directory");
            fs::write(path, "").expect("file");
        }
        let drop_ins = drop_ins(&root, Path::new("/d")).expect("there");
        assert_eq!(drop_ins, ["/d/100.conf", "/d/15/x.conf", "/d/20.conf"].map(PathBuf::from));
    }
}
