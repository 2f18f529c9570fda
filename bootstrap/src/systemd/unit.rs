//! systemd units as systemd merges them: the file, its drop-ins, their environment, and the command that results.
//!
//! Pure reading, below a root: no manager is asked, so an image that is being built and a generator, which runs before units are
//! loaded, see what systemd will see. What differs between systemd's versions, and what cannot matter for a command line, is
//! left out: `DefaultEnvironment=`, templates, and most specifiers. `UnsetEnvironment=` counts for the command line as it does up to systemd 261; 262
//! takes the variables away only after it has put them into the command line.

mod environment;
mod exec;
mod order;
mod relation;
mod search;
mod syntax;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use convergence::node::glob::matches;
use shim::host::file::read_bounded;

use self::words::{Escapes, split_words};
use crate::host::root::Root;

pub(crate) use self::exec::{Command, ExecLine, Word};
pub(crate) use self::order::{Order, Step};
pub(crate) use self::relation::{Kind, Relation};
pub(crate) use self::search::{Boot, mask};

/// The drop-in that Crossfade's generator writes. A unit is always read without it: what Crossfade adds comes behind what the others say.
pub(crate) const GENERATED: &str = "zz-crossfade.conf";
/// Largest unit or environment file, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// A service, merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    name: String,
    files: Vec<PathBuf>,
    exec_start_pre: Vec<ExecLine>,
    exec_start: Vec<ExecLine>,
    passed_over: Vec<String>,
    relations: Vec<Relation>,
    environment: BTreeMap<String, String>,
    sources: BTreeMap<String, PathBuf>,
    environment_files: Vec<PathBuf>,
    absent: Vec<PathBuf>,
}

impl Unit {
    /// Loads the service `name` (`kubelet.service`); none where there is none, or it is masked.
    ///
    /// # Errors
    /// A file of it that is there and cannot be read.
    pub fn load(root: &Root, name: &str) -> Result<Option<Self>, String> {
        let Some((mut unit, merging)) = Self::merge(root, name, Boot::This)? else {
            return Ok(None);
        };
        for (source, key, value) in merging.environment {
            unit.set(key, value, &source);
        }
        // In any order of the lines, files win over `Environment=`.
        for (pattern, optional) in merging.files {
            let files = glob(root, &pattern);
            if files.is_empty() && !optional {
                unit.absent.push(pattern);
            }
            for file in files {
                for (key, value) in environment::file(&read(root, &file)?) {
                    unit.set(key, value, &file);
                }
            }
        }
        for name in merging.unset {
            match name.split_once('=') {
                Some((name, value)) if unit.environment.get(name).is_some_and(|current| current == value) => {
                    unit.environment.remove(name);
                }
                Some(_) => {}
                None => {
                    unit.environment.remove(&name);
                }
            }
        }
        Ok(Some(unit))
    }

    /// The same without any variable: their files may lie on file systems that are not mounted yet when a generator runs.
    ///
    /// # Errors
    /// As [`Unit::load`].
    pub fn outline(root: &Root, name: &str) -> Result<Option<Self>, String> {
        Self::outline_of(root, name, Boot::This)
    }

    /// The same of this boot or of the next one.
    ///
    /// # Errors
    /// As [`Unit::load`].
    pub fn outline_of(root: &Root, name: &str, boot: Boot) -> Result<Option<Self>, String> {
        Ok(Self::merge(root, name, boot)?.map(|(unit, _)| unit))
    }

    fn merge(root: &Root, name: &str, boot: Boot) -> Result<Option<(Self, UnitBuilder)>, String> {
        let Some(unit_files) = search::find(root, name, GENERATED, boot) else {
            return Ok(None);
        };
        let mut merging = UnitBuilder::default();
        let mut files = vec![unit_files.fragment];
        files.extend(unit_files.drop_ins);
        for file in &files {
            merging.take(name, file, &read(root, file)?);
        }
        let unit = Self {
            name: name.into(),
            files,
            exec_start_pre: std::mem::take(&mut merging.exec_start_pre),
            exec_start: std::mem::take(&mut merging.exec_start),
            passed_over: std::mem::take(&mut merging.passed_over),
            relations: std::mem::take(&mut merging.relations),
            environment: BTreeMap::new(),
            sources: BTreeMap::new(),
            environment_files: merging.files.iter().map(|(pattern, _)| pattern.clone()).collect(),
            absent: Vec::new(),
        };
        Ok(Some((unit, merging)))
    }

    fn set(&mut self, key: String, value: String, source: &Path) {
        self.sources.insert(key.clone(), source.into());
        self.environment.insert(key, value);
    }

    /// Its name, with `.service`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file and its drop-ins as the node sees them, in the order in which they are applied.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Every `ExecStart=` that counts; those that systemd passes over are left out.
    #[must_use]
    pub fn exec_start(&self) -> &[ExecLine] {
        &self.exec_start
    }

    /// Every `ExecStartPre=` that counts, in their order.
    #[must_use]
    pub fn exec_start_pre(&self) -> &[ExecLine] {
        &self.exec_start_pre
    }

    /// What it says about the units `kind` names; nothing takes such a word back.
    pub fn relations(&self, kind: Kind) -> impl Iterator<Item = &Relation> {
        self.relations.iter().filter(move |relation| relation.kind == kind)
    }

    /// The variables of its command: `Environment=`, then `EnvironmentFile=` as the files are now.
    #[must_use]
    pub const fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// The file that set a variable.
    #[must_use]
    pub fn source(&self, variable: &str) -> Option<&Path> {
        self.sources.get(variable).map(PathBuf::as_path)
    }

    /// The patterns of `EnvironmentFile=`, whether anything is there or not.
    #[must_use]
    pub fn environment_files(&self) -> &[PathBuf] {
        &self.environment_files
    }

    /// Files of `EnvironmentFile=` that must be there and are not; the unit will not start before they are.
    #[must_use]
    pub fn absent_files(&self) -> &[PathBuf] {
        &self.absent
    }

    /// Its one command, not expanded.
    ///
    /// # Errors
    /// It has none, or several.
    pub fn single_command(&self) -> Result<Command, String> {
        let mut commands: Vec<_> = self.exec_start.iter().flat_map(|line| line.commands().0).collect();
        let count = commands.len();
        match (commands.pop(), count) {
            (Some(command), 1) => Ok(command),
            _ => Err(format!(
                "{}: expected one command in ExecStart=, found {count}{}",
                self.name,
                self.passed_over.iter().map(|why| format!("; {why}")).collect::<String>()
            )),
        }
    }

    /// Its command as it will be started: the program, then its arguments.
    ///
    /// # Errors
    /// As [`Unit::single_command`].
    pub fn command(&self) -> Result<Vec<String>, String> {
        let words = self.single_command()?.expand(&self.name, &self.environment);
        Ok(words.into_iter().map(|word| word.text).collect())
    }
}

/// What the files of a unit have said so far.
#[derive(Default)]
struct UnitBuilder {
    exec_start_pre: Vec<ExecLine>,
    exec_start: Vec<ExecLine>,
    passed_over: Vec<String>,
    relations: Vec<Relation>,
    environment: Vec<(PathBuf, String, String)>,
    files: Vec<(PathBuf, bool)>,
    unset: Vec<String>,
}

impl UnitBuilder {
    fn take(&mut self, unit: &str, file: &Path, text: &str) {
        for assignment in syntax::parse(text) {
            if assignment.section == "Unit" {
                self.relations.extend(relation::relations(&assignment, unit, file));
            }
            if assignment.section != "Service" {
                continue;
            }
            let value = assignment.value;
            let reset = value.is_empty();
            match assignment.key.as_str() {
                "ExecStartPre" if reset => self.exec_start_pre.clear(),
                "ExecStartPre" => {
                    self.exec_start_pre.push(ExecLine { text: value, source: file.into() });
                }
                "ExecStart" if reset => self.exec_start.clear(),
                "ExecStart" => {
                    let line = ExecLine { text: value, source: file.into() };
                    let (commands, why) = line.commands();
                    self.passed_over.extend(why);
                    if !commands.is_empty() {
                        self.exec_start.push(line);
                    }
                }
                "Environment" if reset => self.environment.clear(),
                "Environment" => {
                    let pairs = environment::assignments(&exec::specify(&value, unit));
                    self.environment.extend(pairs.into_iter().map(|(key, value)| (file.into(), key, value)));
                }
                "EnvironmentFile" if reset => self.files.clear(),
                "EnvironmentFile" => {
                    let path = value.strip_prefix('-').unwrap_or(&value);
                    let absolute = PathBuf::from(exec::specify(path, unit));
                    if absolute.is_absolute() {
                        self.files.push((absolute, path != value));
                    }
                }
                "UnsetEnvironment" if reset => self.unset.clear(),
                "UnsetEnvironment" => self.unset.extend(split_words(&value, Escapes::C).unwrap_or_default()),
                _ => {}
            }
        }
    }
}

/// A file of the node; what is not UTF-8 is replaced.
fn read(root: &Root, path: &Path) -> Result<String, String> {
    let failure = |e: std::io::Error| format!("read {}: {e}", path.display());
    let mut file = std::fs::File::open(root.join(path)).map_err(failure)?;
    let bytes = read_bounded(&mut file, MAX_BYTES).map_err(failure)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The files that a pattern names, sorted, as the node sees them; `*`, `?` and `[..]` may stand in the last component.
pub(crate) fn glob(root: &Root, pattern: &Path) -> Vec<PathBuf> {
    let is_file = |path: &Path| root.chase(path).is_some_and(|real| root.join(real).is_file());
    let (Some(dir), Some(name)) = (pattern.parent(), pattern.file_name().and_then(|name| name.to_str()))
    else {
        return Vec::new();
    };
    if !name.contains(['*', '?', '[']) {
        return if is_file(pattern) { vec![pattern.into()] } else { Vec::new() };
    }
    let entries = std::fs::read_dir(root.join(dir));
    let names =
        entries.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut files: Vec<PathBuf> = names
        .filter(|candidate| matches(name, candidate) && candidate.starts_with('.') == name.starts_with('.'))
        .map(|candidate| dir.join(candidate))
        .filter(|path| is_file(path))
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests;
