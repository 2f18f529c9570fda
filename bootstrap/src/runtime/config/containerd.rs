//! containerd's configuration: versions 1 to 3, with imports.
//!
//! *Source*: containerd's man page `containerd-config.toml(5)`; `services/server/config/config.go` of 1.6 (a plugin's section that is
//! imported replaces the whole section) and pull request 9982 of 2.0 (sections are merged).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use convergence::runtime::CniSetup;
use convergence::runtime::config::RuntimeConfig;
use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item, value};
use types::command::problem::Problem;

use super::{MAX_BYTES, RuntimeUnit, config_problem, read, tree};
use crate::host::command::{RunLimits, run};
use crate::host::root::Root;
use crate::systemd::unit::glob;

/// Where containerd looks for its configuration unless told otherwise.
const USUAL: &str = "/etc/containerd/config.toml";
/// The CRI plugin's sections, the one of 2.x first; the last is that of configuration version 1.
const SECTIONS: [&str; 3] = ["io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "cri"];
/// The section of 2.x.
const SECTION_2: &str = SECTIONS[0];
/// The part of the CRI plugin of 2.0 and newer that pulls images.
const IMAGES: &str = "io.containerd.cri.v1.images";
/// The section of the server from version 4 of the configuration on.
const GRPC_4: &str = "io.containerd.server.v1.grpc";
/// The version of Crossfade's drop-in.
const DROP_IN_VERSION: u64 = 3;
/// Defaults of every version. *Source*: `pkg/cri/config/config_unix.go`, 1.6 to 2.x.
const CONF_DIR: &str = "/etc/cni/net.d";
const BIN_DIR: &str = "/opt/cni/bin";
const MAX_CONFS: u64 = 1;
/// *Source*: containerd's man page `containerd-config.toml(5)`, `[grpc]`.
const ADDRESS: &str = "/run/containerd/containerd.sock";
/// How long a dump may take; it takes a twentieth of a second.
const DUMP_LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(10), max_bytes: MAX_BYTES };
/// Most files that imports may lead to.
const MAX_IMPORTS: usize = 64;

pub(super) fn gather(root: &Root, unit: RuntimeUnit) -> Result<RuntimeConfig, Problem> {
    let file = unit.file(USUAL);
    let program = unit.command.first().map(PathBuf::from).filter(|_| root.is_node());
    // Another program writes it when it starts; without it not even the defaults are known to count.
    if unit.unit.is_none() && !root.join(&file).exists() {
        return Err(Problem::new(format!("the runtime's configuration {}: it is not there", file.display()))
            .with_place(file.display().to_string())
            .fix("start the program that writes it once before Crossfade, or name another file in node.json, runtime.config"));
    }
    let effective = match &program {
        Some(program) => tree(&file, &dump(program, &file)?)?,
        None => merge_file(root, &file)?,
    };
    let cri = Cri::from_tree(&effective);
    let text = |key: &str| cri.cni(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let listed = cri.cni("bin_dirs").and_then(Value::as_array).into_iter().flatten();
    let mut bin_dirs: Vec<PathBuf> = listed.filter_map(Value::as_str).map(PathBuf::from).collect();
    // 2.1 and newer know the list, and refuse to start with both.
    bin_dirs.extend(text("bin_dir").map(PathBuf::from).filter(|dir| !bin_dirs.contains(dir)));
    if bin_dirs.is_empty() {
        bin_dirs.push(BIN_DIR.into());
    }
    let address = unit.flag(&["address", "a"]).map(str::to_owned);
    let address = address.or_else(|| listens_at(&effective).map(str::to_owned));
    // Inside another program it is that one's command line that says where.
    let address = address.filter(|address| !address.is_empty());
    let address = address.or_else(|| unit.unit.is_some().then(|| ADDRESS.to_owned()));
    let setup = CniSetup {
        conf_dir: text("conf_dir").unwrap_or(CONF_DIR).into(),
        bin_dirs,
        max_confs: cri.cni("max_conf_num").and_then(Value::as_u64).unwrap_or(MAX_CONFS),
        networks: Vec::new(),
    };
    Ok(RuntimeConfig {
        kind: unit.kind,
        unit: unit.unit,
        endpoint: address.map(|address| format!("unix://{address}")),
        handlers: cri.handlers(),
        program,
        file,
        setup,
        default_network: None,
        template: text("conf_template").map(PathBuf::from),
    })
}

/// Where containerd listens. *Source*: up to configuration version 3 `[grpc]`; from version 4 on (2.3) a plugin's section, to which
/// `cmd/containerd/server/config/config.go` of 2.3 moves it.
fn listens_at(tree: &Value) -> Option<&str> {
    let section = tree.get("grpc").or_else(|| tree.get("plugins")?.get(GRPC_4))?;
    section.get("address")?.as_str()
}

/// The effective configuration as containerd prints it, bounded in time and size.
///
/// # Errors
/// It cannot be run, fails, or takes too long. What it says is not repeated: it may quote a credential.
pub(crate) fn dump(program: &Path, file: &Path) -> Result<String, Problem> {
    let problem = |why: &str| {
        let (program, file) = (program.display(), file.display());
        let command = format!("{program} --config {file} config dump");
        Problem::new(format!("{command}: {why}"))
            .with_place(file.to_string())
            .fix(format!("run {command} to see more"))
    };
    let mut command = Command::new(program);
    // Named even where it is the usual one: 1.6 then says so when it cannot be read, instead of passing over it.
    if file.exists() {
        command.arg("--config").arg(file);
    }
    let answer =
        run(command.args(["config", "dump"]), DUMP_LIMITS).map_err(|why| problem(&why.to_string()))?;
    if !answer.status.success() {
        return Err(problem(&format!("it failed ({})", answer.status)));
    }
    String::from_utf8(answer.stdout).map_err(|_| problem("its answer is not UTF-8"))
}

/// The configuration with its imports, as files: for a tree that is no node, and for a containerd inside another program.
fn merge_file(root: &Root, file: &Path) -> Result<Value, Problem> {
    let mut all = Value::Object(Map::new());
    for (path, text) in files(root, file)? {
        let tree_of_file = tree(&path, &text)?;
        merge(&mut all, tree_of_file);
    }
    Ok(all)
}

/// The main file and everything it imports, in the order in which they count.
fn files(root: &Root, file: &Path) -> Result<Vec<(PathBuf, String)>, Problem> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    let mut todo = vec![file.to_path_buf()];
    while let Some(path) = todo.pop() {
        if files.iter().any(|(file_path, _)| *file_path == path) {
            continue;
        }
        if files.len() == MAX_IMPORTS {
            return Err(config_problem(file, "imports without end"));
        }
        let Some(text) = read(root, &path)? else {
            continue;
        };
        let more = patterns(&tree(&path, &text)?, &path);
        todo.extend(more.iter().rev().flat_map(|pattern| glob(root, pattern).into_iter().rev()));
        files.push((path, text));
    }
    Ok(files)
}

/// What a file imports: paths or patterns; relative ones count from the file's own directory.
fn patterns(tree: &Value, file: &Path) -> Vec<PathBuf> {
    let listed = tree.get("imports").and_then(Value::as_array).into_iter().flatten();
    let dir = file.parent().unwrap_or(Path::new("/"));
    listed.filter_map(Value::as_str).map(|pattern| dir.join(pattern)).collect()
}

/// Every pattern of the configuration's imports, those of imported files included.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn imports(root: &Root, file: &Path) -> Result<Vec<PathBuf>, Problem> {
    let files = files(root, file)?;
    let mut all = Vec::new();
    for (path, text) in &files {
        all.extend(patterns(&tree(path, text)?, path));
    }
    Ok(all)
}

/// Whether a drop-in of Crossfade's could be imported by this file: only one of version 3 or newer. containerd 2.0 to 2.2 take all files for
/// the newest version among them and would pass over the sections that the file has under their earlier names; 2.3 refuses to start.
/// *Source*: `LoadConfig` in `cmd/containerd/server/config/config.go`.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn takes_drop_in(root: &Root, file: &Path) -> Result<bool, Problem> {
    let Some(text) = read(root, file)? else { return Ok(false) };
    Ok(version(&tree(file, &text)?) >= DROP_IN_VERSION)
}

fn version(tree: &Value) -> u64 {
    tree.get("version").and_then(Value::as_u64).unwrap_or(1)
}

/// Lays `more` over `all`: from version 3 on key by key, before that by whole sections of plugins.
fn merge(all: &mut Value, more: Value) {
    let deep = version(&more).max(version(all)) >= 3;
    let (Value::Object(all), Value::Object(more)) = (all, more) else {
        return;
    };
    for (key, value) in more {
        match (all.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(sections)) if key == "plugins" && !deep => {
                old.extend(sections);
            }
            (Some(old), value) => overlay(old, value),
            (None, value) => drop(all.insert(key, value)),
        }
    }
}

fn overlay(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                match old.get_mut(&key) {
                    Some(old) => overlay(old, value),
                    None => drop(old.insert(key, value)),
                }
            }
        }
        (old, new) => *old = new,
    }
}

/// The CRI plugin's section of a configuration.
struct Cri<'a> {
    /// Its key in `plugins`; that of 1.x where there is none.
    key: &'static str,
    section: Option<&'a Value>,
}

impl<'a> Cri<'a> {
    fn from_tree(tree: &'a Value) -> Self {
        let plugins = tree.get("plugins");
        let cri_section = SECTIONS.iter().find_map(|key| Some((*key, plugins?.get(key)?)));
        let (key, section) = cri_section.map_or((SECTIONS[1], None), |(key, section)| (key, Some(section)));
        Self { key, section }
    }

    fn cni(&self, key: &str) -> Option<&'a Value> {
        self.section?.get("cni")?.get(key)
    }

    fn handlers(&self) -> Vec<(String, PathBuf)> {
        let runtimes =
            self.section.and_then(|section| section.get("containerd")?.get("runtimes")?.as_object());
        let runtime_handler = |(name, runtime): (&String, &Value)| {
            let dir = runtime.get("cni_conf_dir")?.as_str().filter(|dir| !dir.is_empty())?;
            Some((name.clone(), PathBuf::from(dir)))
        };
        runtimes.into_iter().flatten().filter_map(runtime_handler).collect()
    }
}

/// A key of the CRI plugin's CNI section that Crossfade sets in private mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CniKey {
    /// Where containerd reads confs.
    ConfDir,
    /// From what containerd makes a conf of its own, in that same directory, as soon as kubelet tells it the node's pod CIDR (CRI
    /// `UpdateRuntimeConfig`). GKE and AKS kubenet set it. *Source*: containerd's `pkg/cri/server/update_runtime_config.go`, 1.6 to 2.x.
    ConfTemplate,
}

impl CniKey {
    /// As containerd spells it.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ConfDir => "conf_dir",
            Self::ConfTemplate => "conf_template",
        }
    }

    /// Where it is in a dump, as keys from the outside in.
    #[must_use]
    pub(crate) fn path(self, dump: &Value) -> [&'static str; 4] {
        ["plugins", Cri::from_tree(dump).key, "cni", self.name()]
    }

    /// What a dump says for it; an empty text says nothing.
    #[must_use]
    pub(crate) fn value(self, dump: &Value) -> Option<&str> {
        Cri::from_tree(dump).cni(self.name()).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

/// Whether a dump is that of containerd 2 or newer, which merges what it imports key by key.
#[must_use]
pub(crate) fn merges_keys(dump: &Value) -> bool {
    Cri::from_tree(dump).key == SECTION_2
}

/// Ensures that a dump is that of a containerd which kubelet can talk to. A plugin that is switched off has no section in a dump of 1.x; one of
/// 2.x keeps it.
///
/// # Errors
/// A part of the CRI plugin is switched off.
pub(crate) fn ensure_cri(file: &Path, dump: &Value) -> Result<(), Problem> {
    let file = file.display().to_string();
    let listed = dump.get("disabled_plugins").and_then(Value::as_array).into_iter().flatten();
    let disabled = listed.filter_map(Value::as_str).find(|name| SECTIONS.contains(name) || *name == IMAGES);
    let keys = CniKey::ConfDir.path(dump);
    let (how, name) = match disabled {
        Some(name) => (format!("lists {name} in disabled_plugins"), name),
        None if keys.iter().try_fold(dump, |tree, key| tree.get(key)).is_none() => {
            (format!("has no {}", keys.join(".")), "cri")
        }
        None => return Ok(()),
    };
    let what = format!("containerd's configuration {file} {how}: its CRI plugin is switched off");
    Err(Problem::new(what).fix(format!("remove {name} from disabled_plugins in {file}")).with_place(file))
}

/// A dump with another conf directory and without a template of confs. It imports nothing: what was imported is in it already, and
/// would count once more.
///
/// # Errors
/// It is no dump of a containerd with a CRI plugin.
pub(crate) fn derive(file: &Path, dump: &str, conf_dir: &Path) -> Result<String, Problem> {
    let tree = tree(file, dump)?;
    let mut document: DocumentMut =
        dump.parse().map_err(|_| format!("the dump of {} is no TOML", file.display()))?;
    ensure_cri(file, &tree)?;
    let keys = CniKey::ConfDir.path(&tree);
    let mut set = |keys: [&str; 4], text: &str| {
        let node = keys.iter().fold(document.as_item_mut(), |node: &mut Item, key| &mut node[*key]);
        *node = value(text);
    };
    set(keys, &conf_dir.display().to_string());
    if CniKey::ConfTemplate.value(&tree).is_some() {
        set(CniKey::ConfTemplate.path(&tree), "");
    }
    document["imports"] = value(toml_edit::Array::new());
    Ok(document.to_string())
}

/// A drop-in that changes the conf directory of containerd 2, and empties its template of confs, and nothing else.
#[must_use]
pub(crate) fn drop_in(conf_dir: &Path) -> String {
    format!(
        "# Written by crossfade-bootstrap unit render --runtime at every start of the runtime; node.json decides.\n\
         version = {DROP_IN_VERSION}\n\n[plugins.'{SECTION_2}'.cni]\n  {} = '{}'\n  {} = ''\n",
        CniKey::ConfDir.name(),
        conf_dir.display(),
        CniKey::ConfTemplate.name()
    )
}

/// The keys in which two dumps differ, `imports` left out: it lists the files that were read.
#[must_use]
pub(crate) fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    collect_differences("", before, after, &mut differences);
    differences.retain(|key| key != "imports");
    differences
}

fn collect_differences(path: &str, before: &Value, after: &Value, differences: &mut Vec<String>) {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else {
        if before != after {
            differences.push(path.to_owned());
        }
        return;
    };
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    for key in keys {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (old.get(key), new.get(key)) {
            (Some(before), Some(after)) => collect_differences(&path, before, after, differences),
            _ => differences.push(path),
        }
    }
}
