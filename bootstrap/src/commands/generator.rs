//! The systemd generator: it appends Crossfade's arguments to the command lines of kubelet and the runtime, so they take precedence.
//!
//! systemd runs generators at boot and at every daemon-reload, when it reads the units. The generator reads the same files, so the command
//! line that it extends is the one that systemd loads. It writes a drop-in that sorts last and repeats the unit's command verbatim with one
//! variable behind it. systemd splits the variable at blanks and drops it when it is unset. So without Crossfade's environment file the
//! command stays as it was.
//!
//! A generator that fails must not hold up the boot: it writes a line to the kernel's log, and the unit stays as it is. `gate` then says
//! why kubelet does not start.
//!
//! *Source*: man 7 `systemd.generator`.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use convergence::report::Page;
use types::command::exit::Exit;
use types::node::Node;

use crate::cli::print;
use crate::host::root::Root;
use crate::node::{settings, switch};
use crate::systemd::continuation::{self, NAME, output, packaged_link, units_of};
use crate::systemd::unit::Unit;

/// Whether this process was started as a generator.
#[must_use]
pub(crate) fn is_called() -> bool {
    std::env::args_os()
        .next()
        .is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == NAME))
}

/// Generates: `crossfade-generator [--root DIR] NORMAL-DIR [EARLY-DIR LATE-DIR]`.
#[must_use]
pub(crate) fn main() -> Exit {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut root = Root::default();
    if arguments.first().is_some_and(|first| first == "--root") && arguments.len() > 1 {
        root = Root::new(Path::new(&arguments[1]));
        arguments.drain(..2);
    }
    let Some(dir) = arguments.first() else {
        log(&root, "expected the directory to write to; systemd calls this program");
        return Exit::Usage;
    };
    // The initrd has units of its own; systemd reads those of the node once the root is mounted.
    if std::env::var_os("SYSTEMD_IN_INITRD").is_some_and(|value| value == "1") {
        return Exit::Done;
    }
    let GeneratorPlan { files, troubles, bad_settings } = plan(&root);
    let written = files.iter().map(|file| file.write(Path::new(dir)));
    let failed: Vec<String> = written.filter_map(Result::err).collect();
    for trouble in troubles.iter().chain(&failed) {
        log(&root, trouble);
    }
    match failed.is_empty() {
        _ if bad_settings => Exit::BadSettings,
        true => Exit::Done,
        false => Exit::Failed,
    }
}

/// One file that the generator writes.
#[derive(Debug, PartialEq, Eq)]
struct Output {
    /// The file's path below the directory that systemd named.
    path: PathBuf,
    what: OutputContent,
}

#[derive(Debug, PartialEq, Eq)]
enum OutputContent {
    Text(String),
    LinkTo(PathBuf),
}

impl Output {
    /// Writes the file. systemd made the directory empty and reads it after the generator ends, so there is nothing to replace.
    fn write(&self, dir: &Path) -> Result<(), String> {
        let path = dir.join(&self.path);
        let done = fs::create_dir_all(path.parent().unwrap_or(dir)).and_then(|()| match &self.what {
            OutputContent::Text(text) => fs::write(&path, text),
            OutputContent::LinkTo(target) => symlink(target, &path),
        });
        done.map_err(|e| format!("write {}: {e}", path.display()))
    }
}

/// The files to write, and lines for the kernel's log.
#[derive(Debug, Default, PartialEq, Eq)]
struct GeneratorPlan {
    files: Vec<Output>,
    troubles: Vec<String>,
    /// Whether node.json cannot be used.
    bad_settings: bool,
}

/// Plans the files; none on a node that is switched off.
///
/// node.json names the units. While it cannot be used, the generator extends units of the usual names all the same. A command with an unset
/// variable at its end stays as it was. A command without Crossfade's variable would start the runtime without Crossfade's arguments once
/// the file is repaired, because systemd does not run generators again by then.
fn plan(root: &Root) -> GeneratorPlan {
    let mut planned = GeneratorPlan::default();
    if switch::off_switch(root).is_some() {
        return planned;
    }
    let node = settings::load(root).unwrap_or_else(|why| {
        planned.bad_settings = true;
        planned.troubles.push(format!(
            "{why}; until it is right, only units of the usual names are prepared, and gate keeps kubelet from starting"
        ));
        Node::default()
    });
    for (role, name) in units_of(&node) {
        let unit = match Unit::outline(root, &name) {
            Ok(Some(unit)) => unit,
            Ok(None) => continue,
            Err(why) => {
                planned.troubles.push(why);
                continue;
            }
        };
        match continuation::continuation(root, &unit, role) {
            Ok(Some(text)) => {
                planned.files.push(Output { path: output(&name), what: OutputContent::Text(text) })
            }
            Ok(None) => {}
            Err(why) => {
                planned.troubles.push(why.into());
                continue;
            }
        }
        let link = packaged_link(root, &unit, role);
        planned.files.extend(link.map(|(path, target)| Output { path, what: OutputContent::LinkTo(target) }));
    }
    planned
}

/// To the kernel's log, for the journal is not there yet; elsewhere to the caller.
fn log(root: &Root, line: &str) {
    let mut page = Page::new();
    let _ = writeln!(page, "{NAME}: {line}");
    if root.is_node()
        && let Ok(mut kernel) = fs::File::options().write(true).open("/dev/kmsg")
        && kernel.write_all(format!("<4>{}", page.as_str()).as_bytes()).is_ok()
    {
        return;
    }
    print::complaint(format_args!("{NAME}: {line}"));
}

#[cfg(test)]
mod tests;
