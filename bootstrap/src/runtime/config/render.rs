//! `render --runtime`: what the runtime is told on its command line, at every start of it.
//!
//! Private mode only. CRI-O has flags for its conf directory and for the network that it uses. containerd has none: it is given a copy of
//! its effective configuration in which that directory alone differs, and a template from which it would write a conf into it is empty;
//! containerd itself is asked whether that is so. containerd 2 merges what it imports key by
//! key, so where it imports from a volatile directory a drop-in there does it, and the command line stays as it is.
//!
//! Everything lies below /run: a boot without us has no trace of it. A copy may hold credentials of registries, as the original does:
//! it is root's alone (0600), and nothing of it is ever printed.

mod rehearse;

use std::path::{Path, PathBuf};

use serde_json::Value;
use shim::file::PRIVATE;
use shim::layout::Layout;
use types::names::is_name;
use types::node::{Mode, Node, RuntimeKind};

use super::containerd::{self, CniKey};
use super::{RuntimeConfig, read, tree};
use crate::change::outcome::{Changed, carry_out, finish};
use crate::change::{self, Act, Change, Write};
use crate::cli::Global;
use crate::cli::exit::{Exit, Failure};
use crate::commands::install::facts;
use crate::node::mode;
use crate::node::paths::{CONTAINERD_CONFIG, PRIVATE_CONF_DIR, RUNTIME_ENV, Root};
use crate::node::settings;
use crate::node::switch;
use crate::systemd::unit::matches;

pub use self::rehearse::{Rehearsed, rehearse};

/// The variable that the generator puts at the end of the runtime's command line.
pub const ARGUMENTS: &str = "CROSSFADE_RUNTIME_ARGS";
/// File name of our drop-in in a directory that containerd 2 imports from; it sorts last.
pub const DROP_IN: &str = "zz-crossfade.toml";
/// Where every boot starts empty.
const VOLATILE: [&str; 2] = ["/run", "/var/run"];
/// Mode of a file that holds no secret.
const PUBLIC: u32 = 0o644;

/// What the runtime has to be told, decided from its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    /// These words at the end of its command line.
    Words(String),
    /// The same, and the file that they name: a whole configuration of containerd.
    Copy(String),
    /// A drop-in at this place.
    DropIn(PathBuf),
}

/// Writes what the runtime is told in private mode; removes it in shared mode and when switched off.
///
/// # Errors
/// In private mode alone, for elsewhere nothing of ours may keep the runtime from starting: bad settings; a runtime that cannot be
/// told, or that would differ in more than its conf directory. Then nothing is left of what was written, and the runtime must not start.
pub fn render_runtime(global: &Global) -> Result<Changed, Failure> {
    let root = Root::new(&global.root);
    if let Some(off) = switch::off(&root) {
        return Ok(let_go(global, remove(&root, "switched off"), vec![off.to_string()]));
    }
    let (mode, loaded) = match settings::load(&root) {
        Ok(node) => (node.conf_dir, Ok(node)),
        Err(why) => {
            let (mode, told) = mode::of_unusable(&root);
            (mode, Err(format!("{why} (the node is taken for one in mode {}: {told})", mode.as_str())))
        }
    };
    let why = match mode {
        Mode::Private => None,
        Mode::Shared => Some("shared mode"),
        Mode::Without => Some("no plugin of ours here (confDir none)"),
    };
    if let Some(why) = why {
        return Ok(let_go(global, remove(&root, why), loaded.err().into_iter().collect()));
    }
    let node = loaded.map_err(Failure::settings)?;
    let told = private(global, &root, &node);
    if told.is_err() && !global.dry_run {
        // Half of it would be worse than nothing: without the words the gate stays shut.
        carry_out(&root, remove(&root, "it cannot be rendered"))?;
    }
    told
}

/// Carries out what takes our words away. What cannot be done is a note, since the runtime has to start all the same.
fn let_go(global: &Global, changes: Vec<Change>, mut notes: Vec<String>) -> Changed {
    if global.dry_run {
        return Changed::planned(changes, notes);
    }
    let mut done = Vec::with_capacity(changes.len());
    for change in changes {
        match carry_out(&Root::new(&global.root), vec![change]) {
            Ok(one) => done.extend(one),
            Err(failure) => notes.extend(failure.lines()),
        }
    }
    Changed::applied(done, notes)
}

fn private(global: &Global, root: &Root, node: &Node) -> Result<Changed, Failure> {
    let refuse = |why: String| Failure::new(Exit::No, why);
    let config = RuntimeConfig::gather(root, node).map_err(refuse)?.ok_or_else(|| {
        refuse("private mode: no runtime's unit is here; name it in node.json, runtime.unit".into())
    })?;
    let conf_dir = Path::new(PRIVATE_CONF_DIR);
    let mut asked = None;
    let told = match (config.kind, &config.program) {
        _ if config.unit.is_none() => return Err(refuse(embedded(&config))),
        (RuntimeKind::Crio, _) => Told::Words(crio_words(root).map_err(refuse)?),
        (RuntimeKind::Containerd, None) => {
            return Err(refuse(format!(
                "containerd's configuration is copied at every start of containerd, on the node; {} is none",
                global.root.display()
            )));
        }
        (RuntimeKind::Containerd, Some(program)) => {
            let dump = containerd::dump(program, &config.file).map_err(refuse)?;
            let asked = asked.insert(Asked { program, file: &config.file, dump });
            decide(root, asked, conf_dir).map_err(refuse)?
        }
    };
    let changes = changes(root, &told);
    if let Some(asked) = asked.as_ref().filter(|_| !global.dry_run) {
        prove(root, asked, &told).map_err(refuse)?;
    }
    finish(global, changes, Vec::new())
}

/// How CRI-O is told of our directory.
fn crio_conf_dir() -> String {
    format!("--cni-config-dir={PRIVATE_CONF_DIR}")
}

/// What CRI-O is told: our directory, and our network's name once `boot` has chosen one. Without the name it would, when it starts
/// again, take the pods of now for garbage as soon as a conf of another name sorts first.
fn crio_words(root: &Root) -> Result<String, String> {
    let dir = crio_conf_dir();
    let name = facts::name(&root.at(Layout::default().name()))?.filter(|name| is_name(name));
    Ok(name.map_or_else(|| dir.clone(), |name| format!("{dir} --cni-default-network={name}")))
}

/// Why a runtime inside another program cannot be told.
fn embedded(config: &RuntimeConfig) -> String {
    format!(
        "private mode: {} is started by another program, whose command line is not its own ({} is written by that program): use confDir shared",
        config.kind.as_str(),
        config.file.display()
    )
}

/// A containerd that was asked what its configuration comes to.
struct Asked<'a> {
    program: &'a Path,
    file: &'a Path,
    /// Its answer; it may hold credentials.
    dump: String,
}

/// How containerd is told: by a drop-in where it merges keys and imports from below /run, else by a copy.
fn decide(root: &Root, asked: &Asked, conf_dir: &Path) -> Result<Told, String> {
    let before = tree(asked.file, &asked.dump)?;
    if containerd::merges_keys(&before)
        && let Some(place) = drop_in_place(&containerd::imports(root, asked.file)?)
    {
        return Ok(Told::DropIn(place));
    }
    containerd::derive(asked.file, &asked.dump, conf_dir).map(Told::Copy)
}

/// Where a drop-in of ours would be imported from, of all that every boot empties.
fn drop_in_place(imports: &[PathBuf]) -> Option<PathBuf> {
    let covers = |pattern: &&PathBuf| {
        let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        VOLATILE.iter().any(|dir| pattern.starts_with(dir)) && matches(name, DROP_IN)
    };
    let dir = imports.iter().find(covers)?.parent()?;
    // A pattern in a directory's name would need one that exists.
    (!dir.to_string_lossy().contains(['*', '?', '['])).then(|| dir.join(DROP_IN))
}

fn changes(root: &Root, told: &Told) -> Vec<Change> {
    let env = root.entry(RUNTIME_ENV);
    let copy = root.entry(CONTAINERD_CONFIG);
    let words = |words: &str| {
        file(&env, format!("{ARGUMENTS}={words}\n"), PUBLIC, "what the runtime's command line ends with")
    };
    match told {
        Told::Words(text) => vec![words(text), gone(&copy, "not needed")],
        Told::Copy(text) => vec![
            file(&copy, text.clone(), PRIVATE, "containerd's configuration with our conf directory"),
            words(&format!("--config {CONTAINERD_CONFIG}")),
        ],
        Told::DropIn(place) => vec![
            file(
                &root.entry(place),
                containerd::drop_in(Path::new(PRIVATE_CONF_DIR)),
                PUBLIC,
                "containerd imports it",
            ),
            gone(&env, "not needed"),
            gone(&copy, "not needed"),
        ],
    }
}

fn file(path: &Path, text: String, mode: u32, why: &str) -> Change {
    Change::file(Write { path: path.into(), bytes: text.into_bytes(), mode, nudge: false }, why)
}

fn gone(path: &Path, why: &str) -> Change {
    if path.symlink_metadata().is_ok() {
        Change::remove(path.into(), false, why)
    } else {
        Change::new(Act::Keep, path.display().to_string(), "not there, as it should be")
    }
}

/// Asks containerd what it would make of it: it may differ from now in the conf directory and in an emptied template alone.
fn prove(root: &Root, asked: &Asked, told: &Told) -> Result<(), String> {
    let place = match told {
        Told::Words(_) => return Ok(()),
        Told::Copy(_) => root.entry(format!("{CONTAINERD_CONFIG}.candidate")),
        Told::DropIn(place) => root.entry(place),
    };
    let written = (|| {
        let dir = place.parent().unwrap_or(Path::new("/"));
        match told {
            Told::DropIn(_) => shim::trust::create_dir(dir, 0o755)?,
            _ => shim::file::create_private_dir(dir)?,
        }
        Ok::<_, std::io::Error>(dir.to_path_buf())
    })();
    written.map_err(|error| format!("make the directory of {}: {error}", place.display()))?;
    let result = compare(asked, told, &place);
    let keeps = matches!((&result, told), (Ok(()), Told::DropIn(_)));
    if !keeps {
        change::remove(&place, false).map_err(|error| format!("remove {}: {error}", place.display()))?;
    }
    result
}

fn compare(asked: &Asked, told: &Told, place: &Path) -> Result<(), String> {
    let write = |text: &str, mode| {
        shim::file::write_if_changed(place, text.as_bytes(), mode)
            .map_err(|error| format!("write {}: {error}", place.display()))
    };
    let dump = |from: &Path| tree(from, &containerd::dump(asked.program, from)?);
    let (before, after) = match told {
        Told::Words(_) => return Ok(()),
        Told::Copy(text) => {
            write(text, PRIVATE)?;
            (tree(asked.file, &asked.dump)?, dump(place)?)
        }
        Told::DropIn(_) => {
            // One of an earlier start is in force already, and is the same.
            change::remove(place, false).map_err(|error| format!("remove {}: {error}", place.display()))?;
            let before = dump(asked.file)?;
            write(&containerd::drop_in(Path::new(PRIVATE_CONF_DIR)), PUBLIC)?;
            (before, dump(asked.file)?)
        }
    };
    held(&before, &after)
}

/// Whether two dumps differ in the conf directory, which is ours now, in the template, which is empty now, and in nothing else.
fn held(before: &Value, after: &Value) -> Result<(), String> {
    let [conf_dir, template] = [CniKey::ConfDir, CniKey::ConfTemplate].map(|key| key.at(after).join("."));
    if CniKey::ConfDir.of(after) != Some(PRIVATE_CONF_DIR) {
        return Err(format!(
            "containerd would not read {PRIVATE_CONF_DIR}: something else decides {conf_dir}"
        ));
    }
    if CniKey::ConfTemplate.of(after).is_some() {
        return Err(format!(
            "containerd would write a conf of its own into {PRIVATE_CONF_DIR}: something else decides {template}"
        ));
    }
    let differs: Vec<_> = containerd::differences(before, after)
        .into_iter()
        .filter(|key| *key != conf_dir && *key != template)
        .collect();
    if differs.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "containerd would be set up differently in more than its conf directory: {}; please report it, and use confDir shared meanwhile",
            differs.join(", ")
        ))
    }
}

/// What switching off takes: the changes that remove what the runtime is told by us, where there is something.
#[must_use]
pub fn leave(root: &Root) -> Vec<Change> {
    remove(root, "switched off").into_iter().filter(|change| !matches!(change.act, Act::Keep)).collect()
}

/// Removes everything that the runtime is told by us.
fn remove(root: &Root, why: &str) -> Vec<Change> {
    let mut all = vec![gone(&root.entry(RUNTIME_ENV), why), gone(&root.entry(CONTAINERD_CONFIG), why)];
    all.extend(leftovers(root).iter().map(|path| gone(path, why)));
    all
}

/// Drop-ins of ours in directories that a containerd of this node imports from, rooted; whatever node.json says by now.
fn leftovers(root: &Root) -> Vec<PathBuf> {
    let config = RuntimeConfig::gather(root, &settings::load(root).unwrap_or_default()).ok().flatten();
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

/// Whether the runtime is told of our directory, as far as files say; for the gate.
///
/// # Errors
/// What is missing, and what to do.
pub fn is_told(root: &Root, config: &RuntimeConfig) -> Result<(), String> {
    if config.setup.conf_dir == Path::new(PRIVATE_CONF_DIR) {
        return writes_nothing(config.template.as_deref());
    }
    let env = read(root, Path::new(RUNTIME_ENV))?.unwrap_or_default();
    let words = env.trim().strip_prefix(ARGUMENTS).and_then(|rest| rest.strip_prefix('='));
    let is_told = words.is_some_and(|words| match config.kind {
        // Whether it was told our name as well depends on when it started.
        RuntimeKind::Crio => words.split(' ').any(|word| word == crio_conf_dir()),
        RuntimeKind::Containerd => words == format!("--config {CONTAINERD_CONFIG}"),
    });
    if !is_told {
        return Err(format!(
            "{} is not told of {PRIVATE_CONF_DIR}: {RUNTIME_ENV} does not say so; see the journal of {}, whose start writes it",
            config.kind.as_str(),
            config.unit.as_deref().unwrap_or(config.kind.unit())
        ));
    }
    if config.kind == RuntimeKind::Crio {
        return Ok(());
    }
    let copy = Path::new(CONTAINERD_CONFIG);
    let text = read(root, copy)?
        .ok_or_else(|| format!("{CONTAINERD_CONFIG} is gone: restart containerd, whose start writes it"))?;
    writes_nothing(CniKey::ConfTemplate.of(&tree(copy, &text)?).map(Path::new))
}

/// Whether containerd leaves our directory to us.
fn writes_nothing(template: Option<&Path>) -> Result<(), String> {
    let Some(template) = template else { return Ok(()) };
    Err(format!(
        "containerd makes a conf of its own from {} ({}) in {PRIVATE_CONF_DIR}: restart containerd, whose start empties that key",
        template.display(),
        CniKey::ConfTemplate.name()
    ))
}
