//! `render --print PLATFORM`: labels and taints for platforms whose kubelet Crossfade does not start, as fragments of their own settings.
//!
//! A fragment is made from node.json with the platform's own serialisation, so every value is quoted as it must be. The comments around it
//! say where it goes, in which rules that platform differs, and what it does not cover.

mod cloud;
mod cluster;
mod host;

use convergence::failure::Failure;
use convergence::report::{Page, Report};
use serde::Serialize;
use types::command::exit::Exit;
use types::node::Node;

/// A fragment of another program's settings.
///
/// *Shape*: `{"platform":"k3s","format":"yaml","file":"/etc/rancher/..","fragment":".."}`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Fragment {
    platform: &'static str,
    format: &'static str,
    /// The file that the fragment belongs to.
    file: &'static str,
    /// Comments and settings.
    fragment: String,
}

impl Report for Fragment {
    fn human(&self) -> Page {
        let mut text = Page::new();
        text.text(&self.fragment);
        text
    }
}

/// A platform for which `render --print` makes a fragment.
struct Platform {
    name: &'static str,
    format: Format,
    /// The file that the fragment belongs to.
    file: &'static str,
    /// Comments that come before the settings.
    words: &'static str,
    settings: fn(&Node) -> Result<String, String>,
}

/// How the settings, and comments among them, are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Yaml,
    Toml,
    /// Commands of a shell.
    Shell,
}

impl Format {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Toml => "toml",
            Self::Shell => "sh",
        }
    }
}

const PLATFORMS: [&Platform; 12] = [
    &host::K3S,
    &host::RKE2,
    &host::BOTTLEROCKET,
    &host::TALOS,
    &host::NODEADM,
    &cluster::CLUSTER_API,
    &cluster::KARPENTER,
    &cloud::EKSCTL,
    &cloud::MANAGED_NODEGROUP,
    &cloud::GKE,
    &cloud::AKS,
    &cluster::OPENSHIFT,
];

/// Prints for the platform of this name.
///
/// # Errors
/// Usage, with the names that there are.
pub(super) fn print(name: &str, node: &Node) -> Result<Fragment, Failure> {
    let names = || PLATFORMS.map(|platform| platform.name).join(", ");
    let platform = PLATFORMS.iter().find(|platform| platform.name == name).ok_or_else(|| {
        Failure::usage(format!("--print {name}: expected one of {}", names())).with_place("--print")
    })?;
    let settings = (platform.settings)(node)
        .map_err(|why| Failure::new(Exit::Failed, format!("--print {name}: {why}")).with_place("--print"))?;
    let mut fragment = String::new();
    if platform.format == Format::Shell {
        fragment.push_str("#!/bin/sh\n");
    }
    for line in std::iter::once(format!("For {}: {}", platform.name, platform.file).as_str())
        .chain(platform.words.lines())
    {
        fragment.push_str(format!("# {line}").trim_end());
        fragment.push('\n');
    }
    fragment.push_str(&settings);
    let format = platform.format.as_str();
    Ok(Fragment { platform: platform.name, format, file: platform.file, fragment })
}

/// A taint as the API writes it.
#[derive(Serialize)]
struct Entry<'t> {
    key: &'t str,
    #[serde(skip_serializing_if = "str::is_empty")]
    value: &'t str,
    effect: &'static str,
}

fn entries(node: &Node) -> Vec<Entry<'_>> {
    node.taints
        .iter()
        .map(|taint| Entry { key: &taint.key, value: &taint.value, effect: taint.effect.as_str() })
        .collect()
}

/// `key=value` of every label.
fn pairs(node: &Node) -> Vec<String> {
    node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// `key=value:Effect` of every taint, for programs that want the `=` also where there is no value.
fn spelt(node: &Node) -> Vec<String> {
    node.taints
        .iter()
        .map(|taint| format!("{}={}:{}", taint.key, taint.value, taint.effect.as_str()))
        .collect()
}

fn yaml(value: &impl Serialize) -> Result<String, String> {
    // One line per scalar, so that no reader has to know what folding keeps.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = serde_saphyr::to_string_with_options(value, options).map_err(|e| e.to_string())?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
