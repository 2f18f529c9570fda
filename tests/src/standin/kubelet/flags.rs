//! kubelet's command line, as far as it decides what a Node is registered with.
//!
//! *Source*: kubelet's `options.go` and `server.go`: `--node-labels` merges key by key over its repetitions, while
//! `--register-with-taints` replaces what it said before; `--config`, then `--config-dir` (its `*.conf` files by name), then the
//! command line once more over both; lists of a later layer replace those of an earlier one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a Node has from its first moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub labels: BTreeMap<String, String>,
    /// Taints as `key=value:Effect`, in kubelet's order.
    pub taints: Vec<String>,
}

/// What a command line means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The Node's name.
    pub name: String,
    pub node: Node,
    /// The runtime's socket.
    pub runtime: PathBuf,
}

impl Registration {
    /// Parses the words after the program, and reads the files that they name.
    ///
    /// # Errors
    /// What kubelet would end with.
    pub fn parse(words: &[String]) -> Result<Self> {
        let (mut labels, mut taints, mut config) = (BTreeMap::new(), None, None);
        let (mut directory, mut name) = (None, None);
        let mut runtime = "unix:///run/containerd/containerd.sock".to_owned();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--") else {
                bail!("unknown command {word:?}");
            };
            let (flag, value) = match flag.split_once('=') {
                Some((flag, value)) => (flag, value.to_owned()),
                None => (flag, words.next().cloned().unwrap_or_default()),
            };
            match flag {
                "node-labels" => labels.extend(parse_labels(&value)?),
                "register-with-taints" => taints = Some(parse_taints(&value)?),
                "config" => config = Some(PathBuf::from(value)),
                "config-dir" => directory = Some(PathBuf::from(value)),
                "hostname-override" => name = Some(value),
                "container-runtime-endpoint" => runtime = value,
                _ => {}
            }
        }
        let mut layers: Vec<PathBuf> = config.into_iter().collect();
        layers.extend(directory.map(|directory| drop_ins(&directory)).transpose()?.unwrap_or_default());
        let mut configured = Vec::new();
        for layer in layers {
            if let Some(replaced) = configured_taints(&layer)? {
                configured = replaced;
            }
        }
        let host = || fs::read_to_string("/proc/sys/kernel/hostname").context("the host's name");
        let name = name.map_or_else(host, Ok)?.trim().to_owned();
        let runtime = runtime.trim_start_matches("unix://").into();
        Ok(Self { name, node: Node { labels, taints: taints.unwrap_or(configured) }, runtime })
    }
}

/// Labels of Kubernetes' namespaces that kubelet takes beside those of its own.
///
/// *Source*: `k8s.io/kubelet/pkg/apis/well_known_labels.go`, `kubeletLabels`.
const KUBELET_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];

/// kubelet ends over a label of a Kubernetes namespace that is not in its list, with or without an API server.
fn parse_labels(text: &str) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let namespace = key.split_once('/').map_or("", |(namespace, _)| namespace);
        let within = |domain: &str| namespace == domain || namespace.ends_with(&format!(".{domain}"));
        let allowed =
            within("kubelet.kubernetes.io") || within("node.kubernetes.io") || KUBELET_LABELS.contains(&key);
        ensure!(
            allowed || !(within("kubernetes.io") || within("k8s.io")),
            "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: {key}"
        );
        ensure!(
            key.chars().chain(value.chars()).all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)),
            "invalid label {pair:?}"
        );
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

fn parse_taints(text: &str) -> Result<Vec<String>> {
    let taints = text.split(',').filter(|taint| !taint.is_empty());
    let whole = taints.map(|taint| {
        let (key, effect) = taint.rsplit_once(':').with_context(|| format!("invalid taint spec: {taint}"))?;
        whole_taint(key.split_once('=').unwrap_or((key, "")), effect)
    });
    let whole = whole.collect::<Result<Vec<_>>>()?;
    let mut seen = std::collections::BTreeSet::new();
    for taint in &whole {
        let (key, effect) = taint.rsplit_once(':').unwrap_or((taint, ""));
        let key = key.split('=').next().unwrap_or_default();
        ensure!(seen.insert((key, effect)), "duplicated taints with the same key and effect: {taint}");
    }
    Ok(whole)
}

fn whole_taint((key, value): (&str, &str), effect: &str) -> Result<String> {
    ensure!(
        matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute"),
        "invalid taint effect: {effect:?}"
    );
    Ok(format!("{key}={value}:{effect}"))
}

fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    Ok(files)
}

/// The taints of a config file, which the lab writes as JSON; none when it does not name any.
fn configured_taints(file: &Path) -> Result<Option<Vec<String>>> {
    let text =
        fs::read(file).with_context(|| format!("failed to load kubelet config file {}", file.display()))?;
    let config: Value =
        serde_json::from_slice(&text).with_context(|| format!("parsing {}", file.display()))?;
    ensure!(config["kind"] == "KubeletConfiguration", "{}: no KubeletConfiguration", file.display());
    let Some(list) = config["registerWithTaints"].as_array() else {
        return Ok(None);
    };
    let word = |taint: &Value, field: &str| taint[field].as_str().unwrap_or_default().to_owned();
    let taints = list
        .iter()
        .map(|taint| whole_taint((&word(taint, "key"), &word(taint, "value")), &word(taint, "effect")));
    taints.collect::<Result<_>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Node> {
        let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        words.push("--hostname-override=n".to_owned());
        Registration::parse(&words).map(|registration| registration.node)
    }

    #[test]
    fn labels_merge_and_taints_replace() -> Result<()> {
        let node = parsed(&[
            "--node-labels=a=1,b=2",
            "--register-with-taints=x=y:NoSchedule",
            "--node-labels",
            "b=3,c",
            "--register-with-taints=z:NoExecute",
            "--v=2",
        ])?;
        let labels: Vec<(&str, &str)> =
            node.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(labels, [("a", "1"), ("b", "3"), ("c", "")]);
        assert_eq!(node.taints, ["z=:NoExecute"]);
        assert_eq!(
            parsed(&["--register-with-taints=x:NoExecute", "--register-with-taints="])?.taints,
            [""; 0]
        );
        Ok(())
    }

    #[test]
    fn what_kubelet_ends_over() {
        for words in [
            &["--node-labels=app.kubernetes.io/name=x"][..],
            &["--node-labels=k8s.io/x=x"],
            &["--node-labels=a=\"b\""],
            &["--register-with-taints=x"],
            &["--register-with-taints=x:Never"],
            &["--register-with-taints=x:NoExecute,x=y:NoExecute"],
            &["--node-labels=a=b --v=2", "stray"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
        assert!(parsed(&["--node-labels=node.kubernetes.io/x=y,io.cilium/k=v"]).is_ok());
    }

    #[test]
    fn the_command_line_wins_over_files_and_a_later_file_over_an_earlier_one() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let config = |name: &str, taints: &[&str]| -> Result<String> {
            let path = directory.path().join(name);
            fs::write(&path, crate::boot::furniture::kubelet_config(taints).to_string())?;
            Ok(path.display().to_string())
        };
        let first = format!("--config={}", config("config.yaml", &["a=1:NoSchedule"])?);
        assert_eq!(parsed(&[&first])?.taints, ["a=1:NoSchedule"]);
        config("00-a.conf", &["b:NoExecute"])?;
        config("50-b.conf", &[])?;
        let drop_ins = format!("--config-dir={}", directory.path().display());
        assert_eq!(
            parsed(&[&drop_ins, &first])?.taints,
            ["b=:NoExecute"],
            "a file without the list keeps it"
        );
        let flag = "--register-with-taints=c:NoExecute";
        assert_eq!(parsed(&[flag, &drop_ins, &first])?.taints, ["c=:NoExecute"]);
        Ok(())
    }
}
