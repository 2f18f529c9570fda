//! The continuation of a unit's command: a drop-in that sorts last repeats the command verbatim with one variable behind it.
//!
//! Systemd cuts such a word at blanks and drops it when the variable is unset, so that without Crossfade's environment file the command is
//! what it was. The generator writes the drop-ins; `gate`, `render --check`, `selftest` and `explain` ask whether they do what they are for.

use std::fs;
use std::path::{Path, PathBuf};

use convergence::node::paths::{KUBELET_ARGUMENTS, PACKAGED, RUNTIME_ARGUMENTS};
use types::command::problem::Problem;
use types::node::{Mode, Node, RuntimeKind};

use crate::host::root::Root;
use crate::kubelet::own_registration;
use crate::systemd::unit::{Command, GENERATED, Unit};

/// The name under which systemd calls crossfade-bootstrap as a generator.
pub(crate) const NAME: &str = "crossfade-generator";

/// Where systemd looks for generators, first come first.
const GENERATORS: [&str; 5] = [
    "/run/systemd/system-generators",
    "/etc/systemd/system-generators",
    "/usr/local/lib/systemd/system-generators",
    "/usr/lib/systemd/system-generators",
    "/lib/systemd/system-generators",
];

/// Where systemd keeps what generators wrote.
const OUTPUT: &str = "/run/systemd/generator";

/// Where the package's drop-ins are.
const PACKAGED_UNITS: &str = "/usr/lib/systemd/system";

/// Whose command is continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Kubelet,
    Runtime(RuntimeKind),
}

impl Role {
    /// The variable with Crossfade's flags.
    #[must_use]
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Kubelet => KUBELET_ARGUMENTS,
            Self::Runtime(_) => RUNTIME_ARGUMENTS,
        }
    }

    /// The unit that it usually is.
    #[must_use]
    pub(crate) const fn usual_unit(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet.service",
            Self::Runtime(kind) => kind.unit(),
        }
    }

    /// What the program's name begins with; nothing else is known to take Crossfade's flags.
    const fn program(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::Runtime(RuntimeKind::Containerd) => "containerd",
            Self::Runtime(RuntimeKind::Crio) => "crio",
        }
    }

    fn is_its_program(self, command: &Command) -> bool {
        let by_name = |name: &str| name.starts_with(self.program());
        by_name(command.name())
            || (command.name() == "hyperkube" && command.arguments.first().is_some_and(|name| by_name(name)))
    }
}

/// Whether Crossfade has anything to add to the command line of a unit.
#[must_use]
pub(crate) fn is_needed(root: &Root, node: &Node, role: Role) -> bool {
    match role {
        Role::Kubelet => own_registration::speaks(root, node),
        Role::Runtime(_) => node.conf_dir == Mode::Private,
    }
}

/// The units whose commands are continued: those that node.json names, else the usual ones.
#[must_use]
pub(crate) fn units_of(node: &Node) -> Vec<(Role, String)> {
    let kinds = match (node.conf_dir, node.runtime.kind) {
        // It is told nothing.
        (Mode::Without, _) => Vec::new(),
        (_, Some(kind)) => vec![kind],
        (_, None) => RuntimeKind::ALL.to_vec(),
    };
    let mut units = vec![(Role::Kubelet, node.kubelet.unit.clone())];
    for kind in kinds {
        units.push((Role::Runtime(kind), node.runtime.unit.clone().unwrap_or_else(|| kind.unit().into())));
    }
    units
}

/// Where the drop-in of a unit lies, below a directory of units.
#[must_use]
pub(crate) fn output(unit: &str) -> PathBuf {
    Path::new(&format!("{unit}.d")).join(GENERATED)
}

/// The drop-in that continues a unit's command; none where its command has Crossfade's variable already.
///
/// # Errors
/// Why it cannot be continued, and what to do.
pub(crate) fn continuation(root: &Root, unit: &Unit, role: Role) -> Result<Option<String>, Problem> {
    let variable = role.variable();
    let remedy = |why: &str| {
        let (unit, program) = (unit.name(), role.program());
        Problem::new(format!("{unit}: {why}, so nothing can be added to its command line")).with_place(unit).fix(format!(
            "write ${variable} as a word of its own where {program} reads its flags, or make its unit start {program} directly"
        ))
    };
    let command = unit.single_command().map_err(|why| {
        let what = format!("{why}, so nothing can be added to its command line");
        Problem::new(what).with_place(unit.name()).fix(format!(
            "give {} one ExecStart=, which starts {}",
            unit.name(),
            role.program()
        ))
    })?;
    let (word, braced) = (format!("${variable}"), format!("${{{variable}}}"));
    if command.arguments.contains(&word) && !command.is_verbatim() {
        return Ok(None);
    }
    if command.is_verbatim() {
        return Err(remedy("the prefix `:` keeps variables from being expanded"));
    }
    if command.arguments.iter().any(|argument| argument.contains(&braced)) {
        return Err(remedy(&format!("{braced} is one word, whatever it holds")));
    }
    if command.arguments.iter().any(|argument| argument == "--") {
        return Err(remedy("what follows `--` is no flag"));
    }
    if !role.is_its_program(&command) {
        return Err(remedy(&format!("{} is not known as {}", command.program, role.program())));
    }
    let script = fs::File::open(root.join(&command.program))
        .and_then(|mut file| shim::host::file::read_bounded(&mut std::io::Read::take(&mut file, 2), 2));
    if script.is_ok_and(|start| start == b"#!") {
        return Err(remedy(&format!("{} is a script", command.program)));
    }
    let Some(line) = unit.exec_start().first() else {
        return Err(remedy("it has no command"));
    };
    let name = line.source.file_name().unwrap_or_default();
    if line.source != unit.files()[0] && name > std::ffi::OsStr::new(GENERATED) {
        return Err(remedy(&format!("{} is read after {GENERATED}", line.source.display())));
    }
    Ok(Some(format!(
        "# Written by {NAME}: the command of {} with what crossfade-bootstrap unit render adds to it.\n[Service]\nExecStart=\nExecStart={} {word}\n",
        line.source.display(),
        line.text.trim_end()
    )))
}

/// The link that brings the package's drop-in to a unit of another name than the usual one: where it lies below a directory of units, and
/// where it leads. None where the unit needs no link.
#[must_use]
pub(crate) fn packaged_link(root: &Root, unit: &Unit, role: Role) -> Option<(PathBuf, PathBuf)> {
    let packaged = Path::new(PACKAGED_UNITS).join(format!("{}.d", role.usual_unit())).join(PACKAGED);
    let has = unit.files().iter().any(|file| file.file_name().is_some_and(|name| name == PACKAGED));
    if unit.name() == role.usual_unit() || has || !root.join(&packaged).is_file() {
        return None;
    }
    let path = Path::new(&format!("{}.d", unit.name())).join(PACKAGED);
    Some((path, packaged))
}

/// Whether Crossfade brings the package's drop-in to a unit, which then reads Crossfade's environment file.
#[must_use]
pub(crate) fn brings_drop_in(root: &Root, unit: &Unit, role: Role) -> bool {
    packaged_link(root, unit, role).is_some()
}

/// Whether the command that systemd starts hands Crossfade's flags on: the generated drop-in is there and continues what the unit says now.
/// Where it continues an older command, the unit was changed and systemd was not told; it might start either of the two.
///
/// # Errors
/// What is wrong, and what to do.
pub(crate) fn check(root: &Root, node: &Node, unit: &str) -> Result<(), Problem> {
    let role = units_of(node).into_iter().find(|(_, name)| name == unit).map(|(role, _)| role);
    let problem = |what: String| Problem::new(what).with_place(unit);
    let role = role.ok_or_else(|| problem(format!("{unit}: node.json names another unit")))?;
    let unit_on_disk =
        Unit::outline(root, unit)?.ok_or_else(|| problem(format!("{unit}: there is no such unit")))?;
    let Some(expected_content) = continuation(root, &unit_on_disk, role)? else {
        return Ok(());
    };
    let path = Path::new(OUTPUT).join(output(unit));
    match fs::read_to_string(root.join(&path)) {
        Ok(content) if content == expected_content => Ok(()),
        Ok(_) => {
            let what = format!("{} continues another command than {unit} has now", path.display());
            Err(problem(what).fix("run systemctl daemon-reload"))
        }
        Err(_) => {
            require_installed(root)?;
            let what = format!("{} is missing", path.display());
            Err(problem(what).fix(format!("run systemctl daemon-reload, which runs {NAME}")))
        }
    }
}

/// Whether systemd will find the generator.
///
/// # Errors
/// What is wrong, and what to do.
pub(crate) fn require_installed(root: &Root) -> Result<(), Problem> {
    const WHOLE: &str = "install the package whole";
    let mut places = GENERATORS.iter().map(|dir| Path::new(dir).join(NAME));
    let place = places.find(|place| root.entry(place).symlink_metadata().is_ok()).ok_or_else(|| {
        let path = format!("{}/{NAME}", GENERATORS[3]);
        let what = format!("{path} is missing, so neither kubelet nor the runtime is told anything");
        Problem::new(what).with_place(path).fix(WHOLE)
    })?;
    let usable = |meta: fs::Metadata| {
        meta.is_file() && std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o111 != 0
    };
    if root.join(&place).metadata().is_ok_and(usable) {
        return Ok(());
    }
    let place = place.display().to_string();
    Err(Problem::new(format!("{place}: expected a link to crossfade-bootstrap")).with_place(place).fix(WHOLE))
}
