//! The checks of the two programs: present, static, of this version, root's alone, and the very bytes that were released.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use elf::endian::AnyEndian;
use elf::{ElfStream, abi};
use nix::unistd::{getegid, geteuid};
use serde::Deserialize;
use shim::host::file::read_bounded;
use shim::host::trust::{self, Distrust};
use shim::node::layout::PACKAGED_PLUGIN;

use super::check::{Check, Fault, from_faults, skip};
use crate::host::command::{RunLimits, run};
use crate::host::root::Root;
use convergence::node::digest::sha256;
use convergence::node::paths::{BOOTSTRAP, RELEASE};

/// What this program, and so everything of its release, calls itself.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The mode that the package gives its programs.
const MODE: u32 = 0o755;
/// Largest program, and largest release file, in bytes.
const MAX_BYTES: usize = 256 << 20;
/// How long a program may take to print its version, which takes milliseconds, and how much it may print.
const LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(10), max_bytes: 64 << 10 };
/// Gives a program rights that its caller lacks. *Source*: man 7 `capabilities`.
const CAPABILITIES: &str = "security.capability";

/// The other remedy is always to install it anew.
const INSTALL: &str = "install the package whole";

/// A program of the package as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// As the node sees it.
    path: &'static str,
    /// None where it is absent.
    file: Option<ProgramFile>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ProgramFile {
    is_file: bool,
    uid: u32,
    gid: u32,
    /// It is root's, or this process's user's: a tree may be built by another user than root.
    is_ours: bool,
    mode: u32,
    has_capabilities: bool,
    /// Why its path is not to be trusted.
    distrust: Option<String>,
    sha256: Option<String>,
    image: Result<Image, String>,
    /// What it says that it is; none where it was not asked.
    version: Option<Result<String, String>>,
}

/// What a program is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Image {
    machine: u16,
    /// The loader that it needs; none where it is static.
    interpreter: Option<String>,
}

/// The release that the package is of.
///
/// *Shape*: `{"version":1,"release":"0.1.0","commit":"<hex>","files":{"/usr/bin/crossfade-bootstrap":"<sha256>"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Release {
    version: u32,
    release: String,
    files: BTreeMap<String, String>,
}

/// Everything about the programs, and the release file: none where there is none, or why it cannot be read.
#[derive(Debug)]
pub(super) struct Programs {
    all: Vec<Program>,
    release: Result<Option<Release>, String>,
}

impl Programs {
    /// Both, or, where there is no use for the plugin, the one; what is below another root is not run.
    pub(super) fn gather(root: &Root, with_plugin: bool) -> Self {
        let paths = [BOOTSTRAP, PACKAGED_PLUGIN];
        let count = if with_plugin { 2 } else { 1 };
        let all =
            paths.into_iter().take(count).map(|path| Program { path, file: ProgramFile::gather(root, path) });
        Self { all: all.collect(), release: Release::read(root) }
    }

    pub(super) fn checks(&self) -> Vec<Check> {
        let there: Vec<_> =
            self.all.iter().filter_map(|program| Some((program.path, program.file.as_ref()?))).collect();
        let names = there.iter().map(|(path, _)| *path).collect::<Vec<_>>().join(", ");
        let absent = self.all.iter().filter(|program| program.file.is_none());
        let mut present: Vec<_> =
            absent.map(|program| Fault::new(format!("{} is missing", program.path), INSTALL)).collect();
        let odd = there.iter().filter(|(_, file)| !file.is_file);
        present.extend(odd.map(|(path, _)| Fault::new(format!("{path} is no regular file"), INSTALL)));
        let mut all = from_faults("program.present", present, names.clone());
        if there.is_empty() {
            let none = ["program.static", "program.owner", "program.version", "program.release"];
            all.extend(none.into_iter().flat_map(|id| skip(id, "there is no program")));
            return all;
        }
        let each = |decide: fn(&str, &ProgramFile) -> Vec<Fault>| -> Vec<Fault> {
            there.iter().flat_map(|(path, file)| decide(path, file)).collect()
        };
        let well = format!("{names}: ELF for {}, no interpreter", std::env::consts::ARCH);
        all.extend(from_faults("program.static", each(is_static), well));
        let well = format!("{names}: root's, {MODE:04o}, nothing to raise rights");
        all.extend(from_faults("program.owner", each(owner), well));
        all.extend(self.version(&there));
        all.extend(self.check_releases(&there));
        all
    }

    fn version(&self, there: &[(&str, &ProgramFile)]) -> Vec<Check> {
        const ID: &str = "program.version";
        let remedy = format!("{INSTALL}, of one release: this crossfade-bootstrap is {VERSION}");
        let answers: Vec<_> =
            there.iter().filter_map(|(path, file)| Some((*path, file.version.as_ref()?))).collect();
        if answers.is_empty() {
            return match &self.release {
                Ok(Some(release)) if release.release != VERSION => {
                    let what = format!("{RELEASE} says release {}", release.release);
                    from_faults(ID, vec![Fault::new(what, remedy)], "")
                }
                Ok(Some(_)) => from_faults(ID, Vec::new(), format!("{VERSION}, says {RELEASE}")),
                _ => skip(ID, "programs of another root, or that are not root's alone, are not run"),
            };
        }
        let wrong = answers.iter().filter_map(|(path, version)| {
            let what = match version {
                Ok(version) if version == VERSION => return None,
                Ok(version) => format!("{path} says that it is {version:?}"),
                Err(why) => format!("{path} does not say its version: {why}"),
            };
            Some(Fault::new(what, remedy.clone()))
        });
        from_faults(ID, wrong.collect(), format!("{VERSION}, as each says"))
    }

    fn check_releases(&self, there: &[(&str, &ProgramFile)]) -> Vec<Check> {
        const ID: &str = "program.release";
        let release = match &self.release {
            Ok(Some(release)) => release,
            Ok(None) => return skip(ID, format!("there is no {RELEASE} to compare with")),
            Err(why) => return from_faults(ID, vec![Fault::new(why, INSTALL)], ""),
        };
        let wrong = there.iter().filter_map(|(path, file)| {
            let what = match (release.files.get(*path), &file.sha256) {
                (Some(expected), Some(is)) if expected.eq_ignore_ascii_case(is) => return None,
                (Some(_), Some(_)) => format!("{path} is not the file of release {}", release.release),
                (Some(_), None) => format!("{path} cannot be read"),
                (None, _) => format!("{RELEASE} does not name {path}"),
            };
            Some(Fault::new(what, format!("{INSTALL}, from a source that you trust")))
        });
        from_faults(ID, wrong.collect(), format!("the bytes of release {}", release.release))
    }
}

/// A dynamic program starts only where its loader and libraries are, and the shim is run in whatever a runtime's mounts are.
fn is_static(path: &str, file: &ProgramFile) -> Vec<Fault> {
    let remedy = || format!("{INSTALL}, for {}", std::env::consts::ARCH);
    let what = match &file.image {
        Err(why) => format!("{path} is no ELF program: {why}"),
        Ok(image) if Some(image.machine) != machine() => {
            format!("{path} is for another machine (ELF machine {})", image.machine)
        }
        Ok(Image { interpreter: Some(interpreter), .. }) => {
            format!("{path} is not static: it needs {interpreter}")
        }
        Ok(_) => return Vec::new(),
    };
    vec![Fault::new(what, remedy())]
}

/// The number of this machine in ELF; none where Crossfade is not built for it.
const fn machine() -> Option<u16> {
    if cfg!(target_arch = "x86_64") {
        Some(abi::EM_X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(abi::EM_AARCH64)
    } else {
        None
    }
}

/// A user who can write a program, or raise his rights by it, is root.
fn owner(path: &str, file: &ProgramFile) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !file.is_ours {
        let what = format!("{path} belongs to {}:{}", file.uid, file.gid);
        faults.push(Fault::new(what, format!("chown 0:0 {path}")));
    }
    if file.mode != MODE {
        let what = format!("{path} has mode {:04o}, expected {MODE:04o}", file.mode);
        faults.push(Fault::new(what, format!("chmod {MODE:04o} {path}")));
    }
    if file.has_capabilities {
        faults.push(Fault::new(
            format!("{path} has file capabilities, which give their rights to each user who runs it"),
            format!("setcap -r {path}"),
        ));
    }
    // What is said of the file itself is said above.
    if let Some(why) = file.distrust.as_ref().filter(|_| faults.is_empty()) {
        faults.push(Fault::new(why, "give it, and every directory above it, to root alone"));
    }
    faults
}

impl ProgramFile {
    fn gather(root: &Root, path: &str) -> Option<Self> {
        let rooted = root.join(path);
        let meta = root.entry(path).symlink_metadata().ok()?;
        let opened = trust::open(&rooted);
        let bytes = std::fs::File::open(&rooted).and_then(|mut file| read_bounded(&mut file, MAX_BYTES)).ok();
        let distrust = opened.err().map(|why: Distrust| why.to_string());
        // Root is not to run what others could have put there.
        let version = (root.is_node() && distrust.is_none() && meta.is_file()).then(|| ask_version(path));
        Some(Self {
            is_file: meta.is_file(),
            uid: meta.uid(),
            gid: meta.gid(),
            is_ours: [0, geteuid().as_raw()].contains(&meta.uid())
                && [0, getegid().as_raw()].contains(&meta.gid()),
            mode: meta.mode() & 0o7777,
            has_capabilities: matches!(xattr::get(&rooted, CAPABILITIES), Ok(Some(_))),
            distrust,
            sha256: bytes.as_deref().map(sha256),
            image: Image::read(&rooted),
            version,
        })
    }
}

impl Image {
    fn read(path: &Path) -> Result<Self, String> {
        let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
        let mut elf: ElfStream<AnyEndian, _> =
            ElfStream::open_stream(file).map_err(|error| error.to_string())?;
        let header = elf.segments().iter().find(|segment| segment.p_type == abi::PT_INTERP).copied();
        let interpreter = header.map(|header| {
            let bytes = elf.segment_data(&header).unwrap_or_default();
            String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
        });
        Ok(Self { machine: elf.ehdr.e_machine, interpreter })
    }
}

impl Release {
    fn read(root: &Root) -> Result<Option<Self>, String> {
        let named = |why: String| format!("{RELEASE}: {why}");
        let mut file = match trust::open(&root.join(RELEASE)) {
            Ok(file) => file,
            Err(why) if why.is_absent() => return Ok(None),
            Err(why) => return Err(named(why.to_string())),
        };
        let bytes = read_bounded(&mut file, MAX_BYTES).map_err(|error| named(error.to_string()))?;
        let read: Self = serde_json::from_slice(&bytes).map_err(|error| named(error.to_string()))?;
        match read.version {
            1 => Ok(Some(read)),
            other => Err(named(format!("version: expected 1, found {other}"))),
        }
    }
}

/// The version that a program says: the second word of `crossfade-bootstrap 0.1.0` on stdout, and of
/// `crossfade 0.1.0: a CNI plugin ..` on stderr.
fn ask_version(path: &str) -> Result<String, String> {
    let mut command = Command::new(path);
    command.env_clear();
    if path == BOOTSTRAP {
        command.arg("--version");
    }
    let answer = run(&mut command, LIMITS).map_err(|why| why.to_string())?;
    if !answer.status.success() {
        return Err(format!("it failed ({})", answer.status));
    }
    let output = answer.stdout_text() + &answer.stderr_text();
    let word = output.split_ascii_whitespace().nth(1).unwrap_or_default();
    Ok(word.trim_end_matches(':').to_owned())
}

#[cfg(test)]
mod tests;
