//! `render --runtime`: the addition to the runtime's command line, at every start of the runtime.
//!
//! Private mode only. CRI-O has flags for its conf directory and for the network that it uses. containerd has none: it is given a copy of
//! its effective configuration in which that directory alone differs, and a template from which it would write a conf into it is empty;
//! containerd itself is asked whether that is so. containerd 2 merges what it imports key by
//! key, so where a file of version 3 imports from a volatile directory a drop-in there does it, and the command line stays as it is.
//!
//! Everything lies below /run: a boot without Crossfade has no trace of it. A copy may hold credentials of registries, as the original does:
//! it is root's alone (0600), and nothing of it is ever printed.

mod rehearse;

use std::path::{Path, PathBuf};

use convergence::change::{Act, Change, Write};
use convergence::node::glob::matches;
use convergence::node::paths::{CONTAINERD_CONFIG, PRIVATE_CONF_DIR, RUNTIME_ARGUMENTS, RUNTIME_ENV};
use convergence::runtime::config::RuntimeConfig;
use serde_json::Value;
use shim::host::file::PRIVATE;
use shim::node::layout::Layout;
use types::command::problem::Problem;
use types::node::RuntimeKind;
use types::text::names::is_name;

use super::containerd::{self, CniKey};
use super::{read, tree};
use crate::change;
use crate::host::root::Root;
use crate::node::conf::read_name;

pub(crate) use self::rehearse::{RehearsalResult, rehearse};

/// File name of Crossfade's drop-in in a directory that containerd 2 imports from; it sorts last.
pub(crate) const DROP_IN: &str = "zz-crossfade.toml";
/// Where every boot starts empty.
const VOLATILE: [&str; 2] = ["/run", "/var/run"];
/// Mode of a file that holds no secret.
const PUBLIC: u32 = 0o644;

/// What the runtime has to be told, decided from its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuntimeInstruction {
    /// These words at the end of its command line.
    Words(String),
    /// The same, and the file that they name: a whole configuration of containerd.
    Copy(String),
    /// A drop-in at this place.
    DropIn(PathBuf),
}

/// How CRI-O is told of Crossfade's conf directory.
fn crio_conf_dir() -> String {
    format!("--cni-config-dir={PRIVATE_CONF_DIR}")
}

/// What CRI-O is told: Crossfade's conf directory, and Crossfade's network's name once `boot` has chosen one. Without the name it would, when
/// it starts again, take the pods of now for garbage as soon as a conf of another name sorts first.
pub(crate) fn crio_words(root: &Root) -> Result<String, Problem> {
    let dir = crio_conf_dir();
    let name = read_name(&root.join(Layout::default().name()))?.filter(|name| is_name(name));
    Ok(name.map_or_else(|| dir.clone(), |name| format!("{dir} --cni-default-network={name}")))
}

/// Why a runtime inside another program cannot be told.
pub(crate) fn embedded_problem(config: &RuntimeConfig) -> Problem {
    let (kind, file) = (config.kind.as_str(), config.file.display());
    Problem::new(format!(
        "private mode: {kind} is started by another program, whose command line is not its own ({file} is written by that program)"
    ))
    .with_place("node.json, confDir")
    .fix("use confDir shared in node.json")
}

/// A containerd that was asked what its configuration comes to.
pub(crate) struct ContainerdDump<'a> {
    pub(crate) program: &'a Path,
    pub(crate) file: &'a Path,
    /// Its answer; it may hold credentials.
    pub(crate) dump: String,
}

/// How containerd is told: by a drop-in where it merges keys, its file is of the drop-in's version and imports from below /run; else by a
/// copy.
pub(crate) fn choose(
    root: &Root,
    answer: &ContainerdDump,
    conf_dir: &Path,
) -> Result<RuntimeInstruction, Problem> {
    let before = tree(answer.file, &answer.dump)?;
    containerd::ensure_cri(answer.file, &before)?;
    if containerd::merges_keys(&before)
        && containerd::takes_drop_in(root, answer.file)?
        && let Some(place) = drop_in_place(&containerd::imports(root, answer.file)?)
    {
        return Ok(RuntimeInstruction::DropIn(place));
    }
    containerd::derive(answer.file, &answer.dump, conf_dir).map(RuntimeInstruction::Copy)
}

/// Where a drop-in of Crossfade's would be imported from, of all that every boot empties.
fn drop_in_place(imports: &[PathBuf]) -> Option<PathBuf> {
    let covers = |pattern: &&PathBuf| {
        let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        VOLATILE.iter().any(|dir| pattern.starts_with(dir)) && matches(name, DROP_IN)
    };
    let dir = imports.iter().find(covers)?.parent()?;
    // A pattern in a directory's name would need one that exists.
    (!dir.to_string_lossy().contains(['*', '?', '['])).then(|| dir.join(DROP_IN))
}

pub(crate) fn changes(root: &Root, instruction: &RuntimeInstruction) -> Vec<Change> {
    let env = root.entry(RUNTIME_ENV);
    let copy = root.entry(CONTAINERD_CONFIG);
    let arguments_file = |arguments_file: &str| {
        file(
            &env,
            format!("{RUNTIME_ARGUMENTS}={arguments_file}\n"),
            PUBLIC,
            "what the runtime's command line ends with",
        )
    };
    match instruction {
        RuntimeInstruction::Words(text) => vec![arguments_file(text), removal(&copy, "not needed")],
        RuntimeInstruction::Copy(text) => vec![
            file(&copy, text.clone(), PRIVATE, "containerd's configuration with Crossfade's conf directory"),
            arguments_file(&format!("--config {CONTAINERD_CONFIG}")),
        ],
        RuntimeInstruction::DropIn(place) => vec![
            file(
                &root.entry(place),
                containerd::drop_in(Path::new(PRIVATE_CONF_DIR)),
                PUBLIC,
                "containerd imports it",
            ),
            removal(&env, "not needed"),
            removal(&copy, "not needed"),
        ],
    }
}

fn file(path: &Path, text: String, mode: u32, why: &str) -> Change {
    Change::ensure(Write { path: path.into(), bytes: text.into_bytes(), mode, nudge: false }, why)
}

fn removal(path: &Path, why: &str) -> Change {
    Change::ensure_gone(path.into(), false, why)
}

/// Asks containerd what it would make of it: it may differ from now in the conf directory and in an emptied template alone.
pub(crate) fn prove(
    root: &Root,
    answer: &ContainerdDump,
    instruction: &RuntimeInstruction,
) -> Result<(), Problem> {
    let place = match instruction {
        RuntimeInstruction::Words(_) => return Ok(()),
        RuntimeInstruction::Copy(_) => root.entry(format!("{CONTAINERD_CONFIG}.candidate")),
        RuntimeInstruction::DropIn(place) => root.entry(place),
    };
    let created_dir = (|| {
        let dir = place.parent().unwrap_or(Path::new("/"));
        match instruction {
            RuntimeInstruction::DropIn(_) => shim::host::trust::create_dir(dir, 0o755)?,
            RuntimeInstruction::Words(_) | RuntimeInstruction::Copy(_) => {
                shim::host::file::create_private_dir(dir)?
            }
        }
        Ok::<_, std::io::Error>(dir.to_path_buf())
    })();
    created_dir.map_err(|error| format!("make the directory of {}: {error}", place.display()))?;
    let result = compare(answer, instruction, &place);
    let keeps = matches!((&result, instruction), (Ok(()), RuntimeInstruction::DropIn(_)));
    if !keeps {
        change::remove(&place, false).map_err(|error| format!("remove {}: {error}", place.display()))?;
    }
    result
}

fn compare(answer: &ContainerdDump, instruction: &RuntimeInstruction, place: &Path) -> Result<(), Problem> {
    let write = |text: &str, mode| {
        shim::host::file::write_if_changed(place, text.as_bytes(), mode)
            .map_err(|error| format!("write {}: {error}", place.display()))
    };
    let dump = |from: &Path| tree(from, &containerd::dump(answer.program, from)?);
    let (before, after) = match instruction {
        RuntimeInstruction::Words(_) => return Ok(()),
        RuntimeInstruction::Copy(text) => {
            write(text, PRIVATE)?;
            (tree(answer.file, &answer.dump)?, dump(place)?)
        }
        RuntimeInstruction::DropIn(_) => {
            // One of an earlier start is in force already, and is the same.
            change::remove(place, false).map_err(|error| format!("remove {}: {error}", place.display()))?;
            let before = dump(answer.file)?;
            write(&containerd::drop_in(Path::new(PRIVATE_CONF_DIR)), PUBLIC)?;
            (before, dump(answer.file)?)
        }
    };
    check_differences(&before, &after)
}

/// A key of containerd's that Crossfade sets and another file sets otherwise.
fn conflict(what: &str, key: &str) -> Problem {
    Problem::new(format!("containerd {what}: something else decides {key}")).with_place(key).fix(format!(
        "remove {key} from the files that containerd imports, or use confDir shared in node.json"
    ))
}

/// Whether two dumps differ in the conf directory, which is Crossfade's now, in the template, which is empty now, and in nothing else.
fn check_differences(before: &Value, after: &Value) -> Result<(), Problem> {
    let [conf_dir, template] = [CniKey::ConfDir, CniKey::ConfTemplate].map(|key| key.path(after).join("."));
    if CniKey::ConfDir.value(after) != Some(PRIVATE_CONF_DIR) {
        return Err(conflict(&format!("would not read {PRIVATE_CONF_DIR}"), &conf_dir));
    }
    if CniKey::ConfTemplate.value(after).is_some() {
        return Err(conflict(&format!("would write a conf of its own into {PRIVATE_CONF_DIR}"), &template));
    }
    let differs: Vec<_> = containerd::differences(before, after)
        .into_iter()
        .filter(|key| *key != conf_dir && *key != template)
        .collect();
    if differs.is_empty() {
        Ok(())
    } else {
        let differs = differs.join(", ");
        Err(Problem::new(format!(
            "containerd would be set up differently in more than its conf directory: {differs}"
        ))
        .with_place("containerd")
        .fix("report it to Crossfade's authors, and use confDir shared in node.json meanwhile"))
    }
}

/// What switching off takes: the changes that remove what the runtime is told by Crossfade, where there is something.
#[must_use]
pub(crate) fn leave(root: &Root, config: Option<&RuntimeConfig>) -> Vec<Change> {
    remove(root, config, "switched off")
        .into_iter()
        .filter(|change| !matches!(change.act, Act::Keep))
        .collect()
}

/// Removes everything that the runtime is told by Crossfade; `config` is the runtime's, where it is known.
pub(crate) fn remove(root: &Root, config: Option<&RuntimeConfig>, why: &str) -> Vec<Change> {
    let mut all = vec![removal(&root.entry(RUNTIME_ENV), why), removal(&root.entry(CONTAINERD_CONFIG), why)];
    all.extend(leftovers(root, config).iter().map(|path| removal(path, why)));
    all
}

/// Drop-ins of Crossfade's in directories that a containerd of this node imports from, rooted.
fn leftovers(root: &Root, config: Option<&RuntimeConfig>) -> Vec<PathBuf> {
    let Some(config) = config.filter(|config| config.kind == RuntimeKind::Containerd) else {
        return Vec::new();
    };
    let place = drop_in_place(&containerd::imports(root, &config.file).unwrap_or_default());
    place
        .map(|place| root.entry(place))
        .filter(|place| place.symlink_metadata().is_ok())
        .into_iter()
        .collect()
}

/// Whether the runtime is told of Crossfade's conf directory, as far as files say; for the gate.
///
/// # Errors
/// What is missing, and what to do.
pub(crate) fn require_configured(root: &Root, config: &RuntimeConfig) -> Result<(), Problem> {
    if config.setup.conf_dir == Path::new(PRIVATE_CONF_DIR) {
        return writes_nothing(config.template.as_deref());
    }
    let env = read(root, Path::new(RUNTIME_ENV))?.unwrap_or_default();
    let arguments_file = env.trim().strip_prefix(RUNTIME_ARGUMENTS).and_then(|rest| rest.strip_prefix('='));
    let is_passed = arguments_file.is_some_and(|arguments_file| match config.kind {
        // Whether it was told the name of Crossfade's network as well depends on when it started.
        RuntimeKind::Crio => arguments_file.split(' ').any(|word| word == crio_conf_dir()),
        RuntimeKind::Containerd => arguments_file == format!("--config {CONTAINERD_CONFIG}"),
    });
    if !is_passed {
        let (kind, unit) = (config.kind.as_str(), config.unit.as_deref().unwrap_or(config.kind.unit()));
        return Err(Problem::new(format!(
            "{kind} is not told of {PRIVATE_CONF_DIR}: {RUNTIME_ENV} does not say so"
        ))
        .with_place(RUNTIME_ENV)
        .fix(format!("see the journal of {unit}, whose start writes it: journalctl -u {unit}")));
    }
    if config.kind == RuntimeKind::Crio {
        return Ok(());
    }
    let copy = Path::new(CONTAINERD_CONFIG);
    let text = read(root, copy)?.ok_or_else(|| {
        Problem::new(format!("{CONTAINERD_CONFIG} is gone"))
            .with_place(CONTAINERD_CONFIG)
            .fix("restart containerd, whose start writes it")
    })?;
    writes_nothing(CniKey::ConfTemplate.value(&tree(copy, &text)?).map(Path::new))
}

/// Whether containerd leaves the private conf directory to Crossfade.
fn writes_nothing(template: Option<&Path>) -> Result<(), Problem> {
    let Some(template) = template else { return Ok(()) };
    let (template, key) = (template.display(), CniKey::ConfTemplate.name());
    Err(Problem::new(format!(
        "containerd makes a conf of its own from {template} ({key}) in {PRIVATE_CONF_DIR}"
    ))
    .with_place(template.to_string())
    .fix("restart containerd, whose start empties that key"))
}
