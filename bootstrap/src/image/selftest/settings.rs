//! node.json, the policy, and the off switch.

use std::path::{Path, PathBuf};

use convergence::node::facts::NodeFacts;
use convergence::node::paths::NODE_FILE;
use convergence::node::switch::{KERNEL_ARGUMENT, OffSwitch};
use shim::node::layout::{POLICY_FILE, SETTINGS_DIRS};
use types::node::{Mode, Node};
use types::policy::Policy;

use super::check::{Check, Fault, from_faults, pass, skip};
use crate::host::root::Root;
use crate::node::switch;
use crate::systemd::unit::glob;

/// Where boot loaders keep the kernel's command line, and where it is made from.
///
/// *Source*: GNU GRUB's manual; `grub-mkconfig`; man 8 `grubby`; the Boot Loader Specification; man 8 `kernel-install`; extlinux.
const COMMAND_LINES: [&str; 12] = [
    "/etc/default/grub",
    "/etc/default/grub.d/*.cfg",
    "/etc/kernel/cmdline",
    "/usr/lib/kernel/cmdline",
    "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg",
    "/boot/grub2/grubenv",
    "/boot/loader/entries/*.conf",
    "/boot/efi/loader/entries/*.conf",
    "/efi/loader/entries/*.conf",
    "/boot/extlinux/extlinux.conf",
    "/boot/firmware/cmdline.txt",
];
/// Largest of these, in bytes; `grub.cfg` has a few thousand lines.
const MAX_BYTES: usize = 4 << 20;

/// A settings file and those that it hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    /// The one that counts, as the node sees it.
    pub(super) counts: Option<PathBuf>,
    pub(super) hidden: Vec<PathBuf>,
}

impl Places {
    fn gather(root: &Root, file: &str) -> Self {
        let mut there = root.settings_files(file);
        Self { counts: there.next(), hidden: there.collect() }
    }
}

/// Both settings files of a tree.
#[derive(Debug)]
pub(super) struct CheckedSettings<'a> {
    pub(super) node: Result<&'a Node, &'a str>,
    pub(super) policy: Result<&'a Policy, String>,
    node_places: Places,
    policy_places: Places,
}

impl<'a> CheckedSettings<'a> {
    /// Both as they were found.
    pub(super) fn from_facts(facts: &'a NodeFacts) -> Self {
        let root = &Root::new(&facts.root);
        let mut policy_places = Places::gather(root, POLICY_FILE);
        // The command line names it, or Crossfade's installed conf.
        if let Some(named) = &facts.dirs.layout_on_node.policy {
            policy_places = Places { counts: Some(named.clone()), hidden: Vec::new() };
        }
        let policy = match &policy_places.counts {
            Some(_) => facts.policy.as_ref().map(|read| &read.policy).map_err(|why| why.what.clone()),
            None => Err(format!("there is no {POLICY_FILE} in {}", SETTINGS_DIRS.join(", "))),
        };
        Self {
            node: facts.unusable.as_ref().map_or(Ok(&facts.settings), |unusable| Err(&unusable.why)),
            policy,
            node_places: Places::gather(root, NODE_FILE),
            policy_places,
        }
    }

    pub(super) fn node(&self, image: bool) -> Vec<Check> {
        const ID: &str = "settings.node";
        let file = match (&self.node, &self.node_places.counts) {
            (Err(why), _) => {
                return from_faults(ID, vec![Fault::new(*why, "mend it; docs/node.md has every key")], "");
            }
            (Ok(_), None) => return pass(ID, "there is no node.json: all defaults, shared mode"),
            (Ok(node), Some(file)) => format!("{}: {}", file.display(), mode(node.conf_dir)),
        };
        let is_shared = self.node.as_ref().is_ok_and(|node| node.conf_dir == Mode::Shared);
        if image && is_shared {
            return pass(
                ID,
                format!(
                    "{file}; an image usually has private mode, which holds pods until their network is ready"
                ),
            );
        }
        pass(ID, file)
    }

    pub(super) fn policy(&self) -> Vec<Check> {
        const ID: &str = "settings.policy";
        let file = self.policy_places.counts.as_deref().map(Path::display);
        match (&self.policy, file) {
            (Ok(policy), Some(file)) => pass(ID, format!("{file}: phase {}", policy.phase().as_str())),
            (Ok(policy), None) => pass(ID, format!("phase {}", policy.phase().as_str())),
            (Err(why), file) => {
                let fix = match file {
                    Some(_) => "mend it, or have crossfade-bootstrap image bake write another",
                    None => "have crossfade-bootstrap image bake write one",
                };
                from_faults(ID, vec![Fault::new(why, fix)], "")
            }
        }
    }

    /// What is baked must be what counts; on a node it may well be overruled. So may it below /run, of which an image keeps nothing: a machine that was
    /// booted of an earlier migration image has the policy there that its boot completed.
    pub(super) fn check_hidden(&self, image: bool) -> Vec<Check> {
        const ID: &str = "settings.hidden";
        let both = [(&self.node_places, NODE_FILE), (&self.policy_places, POLICY_FILE)];
        let mut checks = Vec::new();
        let mut faults = Vec::new();
        for (places, name) in both {
            let (Some(counts), Some(hidden)) = (&places.counts, places.hidden.first()) else {
                continue;
            };
            let what = format!("{} does not count, for {} does", hidden.display(), counts.display());
            if image && !counts.starts_with(SETTINGS_DIRS[1]) {
                faults.push(Fault::new(
                    what,
                    format!("leave one {name} in the image: remove {}", counts.display()),
                ));
            } else {
                checks.push(what);
            }
        }
        let well = if checks.is_empty() { "nothing hides what counts".to_owned() } else { checks.join("; ") };
        from_faults(ID, faults, well)
    }
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Private => "private mode",
        Mode::Shared => "shared mode",
        Mode::Without => "no plugin of Crossfade's",
    }
}

/// Whether something switches, or will switch, Crossfade off.
pub(super) fn switch(root: &Root) -> Vec<Check> {
    const ID: &str = "settings.switch";
    let mut faults = Vec::new();
    if let Some(off) = switch::off_switch(root) {
        let fix = match off {
            OffSwitch::File if Places::gather(root, POLICY_FILE).counts.is_none() => {
                "write /etc/crossfade/policy.json first, for without a policy the next boot holds kubelet back; then rm /etc/crossfade/disabled"
            }
            OffSwitch::File => "rm /etc/crossfade/disabled",
            OffSwitch::Kernel => "boot without it",
        };
        faults.push(Fault::new(off.to_string(), fix));
    }
    let lines = lines(root);
    faults.extend(
        lines.iter().filter(|(_, text)| convergence::node::switch::is_off_by_kernel(&unquote(text))).map(
            |(file, _)| {
                Fault::new(
                    format!("{} has the kernel argument {KERNEL_ARGUMENT}", file.display()),
                    "take it out, and have the boot loader's configuration made anew",
                )
            },
        ),
    );
    if faults.is_empty() && lines.is_empty() {
        return pass(ID, "on; no configuration of a boot loader was found");
    }
    from_faults(ID, faults, "on")
}

/// Shells and GRUB put the words of a line into quotes.
fn unquote(text: &str) -> String {
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    code.collect::<Vec<_>>().join("\n").replace(['"', '\''], " ")
}

fn lines(root: &Root) -> Vec<(PathBuf, String)> {
    let files = COMMAND_LINES.iter().flat_map(|pattern| glob(root, Path::new(pattern)));
    let read = |file: PathBuf| {
        let mut opened = std::fs::File::open(root.join(&file)).ok()?;
        let bytes = shim::host::file::read_bounded(&mut opened, MAX_BYTES).ok()?;
        Some((file, String::from_utf8_lossy(&bytes).into_owned()))
    };
    files.filter_map(read).collect()
}

/// Both settings of a final image's policy: there is none, and none is read.
pub(super) fn check_no_policy() -> Vec<Check> {
    skip("settings.policy", NO_SHIM)
}

/// Why a check is passed over where node.json says `confDir: none`.
pub(super) const NO_SHIM: &str = "node.json says confDir: none, so no pod goes through Crossfade";
