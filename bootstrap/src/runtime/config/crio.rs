//! CRI-O's configuration: the main file, then the drop-ins by name, then the command line.
//!
//! *Source*: man pages `crio.conf(5)`, `crio.conf.d(5)` and `crio(8)`; defaults from `pkg/config/config.go` of 1.28.

use convergence::runtime::CniSetup;
use std::path::{Path, PathBuf};

use serde_json::Value;
use types::command::problem::Problem;

use super::{RuntimeUnit, read, tree};
use crate::host::root::Root;
use convergence::runtime::config::RuntimeConfig;

const USUAL: &str = "/etc/crio/crio.conf";
const USUAL_DIR: &str = "/etc/crio/crio.conf.d";
const CONF_DIR: &str = "/etc/cni/net.d/";
const BIN_DIR: &str = "/opt/cni/bin/";
/// *Source*: man 5 `crio.conf`, `[crio.api]`.
const LISTEN: &str = "/var/run/crio/crio.sock";

pub(super) fn gather(root: &Root, unit: RuntimeUnit) -> Result<RuntimeConfig, Problem> {
    let file = unit.file(USUAL);
    let mut network = Network::default();
    if let Some(text) = read(root, &file)? {
        network.lay_over(&tree(&file, &text)?);
    }
    for path in drop_ins(root, Path::new(unit.flag(&["config-dir", "d"]).unwrap_or(USUAL_DIR)))? {
        if let Some(text) = read(root, &path)? {
            network.lay_over(&tree(&path, &text)?);
        }
    }
    let flag = |name: &str| unit.flag(&[name]).filter(|value| !value.is_empty());
    let conf_dir = flag("cni-config-dir").map(str::to_owned).or(network.conf_dir);
    let listed = flag("cni-plugin-dir").map(|dirs| dirs.split(',').map(str::to_owned).collect());
    let mut bin_dirs: Vec<String> = listed.or(network.bin_dirs).unwrap_or_else(|| vec![BIN_DIR.into()]);
    bin_dirs.extend(network.bin_dir.filter(|dir| !dir.is_empty()));
    let default_network = flag("cni-default-network").map(str::to_owned).or(network.default_network);
    let listen = flag("listen").map(str::to_owned).or(network.listen.filter(|path| !path.is_empty()));
    let listen = listen.unwrap_or_else(|| LISTEN.to_owned());
    let listen = listen.strip_prefix("unix://").unwrap_or(&listen);
    Ok(RuntimeConfig {
        kind: unit.kind,
        endpoint: Some(format!("unix://{listen}")),
        unit: unit.unit,
        program: None,
        file,
        setup: CniSetup {
            conf_dir: plain_path(conf_dir.as_deref().unwrap_or(CONF_DIR)),
            bin_dirs: bin_dirs.iter().map(|dir| plain_path(dir)).collect(),
            max_confs: 1,
            networks: Vec::new(),
        },
        default_network: default_network.filter(|name| !name.is_empty()),
        handlers: Vec::new(),
        template: None,
    })
}

/// Without the slash that CRI-O's own defaults end in.
fn plain_path(dir: &str) -> PathBuf {
    Path::new(dir).components().collect()
}

/// Every file of the directory and of those below it, in the order of a walk.
///
/// *Source*: `pkg/config/config.go`, `UpdateFromPath`: no file is left out for its name.
fn drop_ins(root: &Root, dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = match std::fs::read_dir(root.join(dir)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let dir = dir.display().to_string();
            return Err(Problem::new(format!("list {dir}: {error}"))
                .with_place(dir)
                .fix("make it a directory that root may list"));
        }
    };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    let mut files = Vec::new();
    for path in names.into_iter().map(|name| dir.join(name)) {
        // A link to a directory is not walked into, and cannot be read as a file either.
        match root.entry(&path).symlink_metadata() {
            Ok(meta) if meta.is_dir() => files.extend(drop_ins(root, &path)?),
            _ => files.push(path),
        }
    }
    Ok(files)
}

/// `[crio.network]`, and where it listens, as far as it was written.
#[derive(Default)]
struct Network {
    conf_dir: Option<String>,
    bin_dirs: Option<Vec<String>>,
    /// One more; the key's older spelling, still heeded.
    bin_dir: Option<String>,
    default_network: Option<String>,
    /// `listen` of `[crio.api]`.
    listen: Option<String>,
}

impl Network {
    fn lay_over(&mut self, tree: &Value) {
        let listen = tree.get("crio").and_then(|crio| crio.get("api")?.get("listen")?.as_str());
        self.listen = listen.map(str::to_owned).or(self.listen.take());
        let Some(network) = tree.get("crio").and_then(|crio| crio.get("network")) else {
            return;
        };
        let text = |key: &str| network.get(key).and_then(Value::as_str).map(str::to_owned);
        let list = |key: &str| {
            let list = network.get(key)?.as_array()?;
            Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        self.conf_dir = text("network_dir").or(self.conf_dir.take());
        self.bin_dirs = list("plugin_dirs").or(self.bin_dirs.take());
        self.bin_dir = text("plugin_dir").or(self.bin_dir.take());
        self.default_network = text("cni_default_network").or(self.default_network.take());
    }
}
