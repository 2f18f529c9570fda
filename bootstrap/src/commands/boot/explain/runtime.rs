//! The runtime, as its own configuration sets it up.

use std::path::PathBuf;

use convergence::node::facts::NodeFacts;
use convergence::node::settings;
use convergence::report::Page;
use convergence::runtime::facts::ConfigFact;
use serde::Serialize;
use types::node::Mode;

/// The runtime and its directories.
///
/// *Shape*: `{"name":"containerd","unit":"containerd.service","config":"/etc/containerd/config.toml","reads":"/etc/cni/net.d",
/// "confDir":"/run/crossfade/net.d","binDirs":["/opt/cni/bin"]}`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct Runtime {
    name: &'static str,
    /// Its unit; none where it is part of another program.
    unit: Option<String>,
    config: PathBuf,
    /// The conf directory of the runtime's own configuration.
    reads: PathBuf,
    /// The conf directory that the runtime is to read on this node.
    conf_dir: PathBuf,
    bin_dirs: Vec<PathBuf>,
    /// The only network that the runtime accepts (`cni_default_network`).
    #[serde(skip_serializing_if = "Option::is_none")]
    default_network: Option<String>,
    /// The template from which containerd makes a conf of its own (`conf_template`).
    #[serde(skip_serializing_if = "Option::is_none")]
    conf_template: Option<PathBuf>,
    /// Whether Crossfade's arguments for the runtime empty that template.
    #[serde(skip)]
    is_private: bool,
}

impl Runtime {
    /// None where there is no runtime with a configuration that can be read.
    pub(super) fn from_facts(NodeFacts { settings: node, runtime, .. }: &NodeFacts) -> Option<Self> {
        let ConfigFact::Read(config) = runtime.config.clone() else { return None };
        Some(Self {
            name: config.kind.as_str(),
            unit: config.unit,
            config: config.file,
            conf_dir: settings::conf_dir(node, Some(config.setup.conf_dir.clone())),
            reads: config.setup.conf_dir,
            bin_dirs: config.setup.bin_dirs,
            default_network: config.default_network,
            conf_template: config.template,
            is_private: node.conf_dir == Mode::Private,
        })
    }

    pub(super) fn render(&self, text: &mut Page) {
        let _ = writeln!(text, "runtime  {}, configured by {}", self.name, self.config.display());
        let note = match self.reads == self.conf_dir {
            true => String::new(),
            false => format!("; Crossfade makes it read {}", self.conf_dir.display()),
        };
        let _ = writeln!(text, "         reads confs in {}{note}", self.reads.display());
        let dirs: Vec<String> = self.bin_dirs.iter().map(|dir| dir.display().to_string()).collect();
        let _ = writeln!(text, "         looks for plugins in {}", dirs.join(", "));
        if let Some(network) = &self.default_network {
            let _ = writeln!(text, "         attaches pods to the network {network} only");
        }
        if let Some(template) = &self.conf_template {
            let note = if self.is_private { ", which Crossfade turns off" } else { "" };
            let _ = writeln!(text, "         writes a conf of its own from {}{note}", template.display());
        }
    }
}
