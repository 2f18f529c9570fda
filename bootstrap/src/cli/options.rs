//! Options that several commands share. A command offers those that it uses, and no others.
//!
//! Each group is flattened into the commands that use it, under one heading. [`Global`] is what all commands get: the values of the groups
//! that a command offers, and the defaults of the others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use shim::node::layout::CONF_DIR;
use types::profile::Profiles;

use super::Endpoint;

/// The heading of options that several commands share.
pub(super) const COMMON: &str = "Common options";

/// How a command prints its answer. Every command has it, and it may also stand before the command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The format of the answer on stdout.
    #[arg(short = 'o', long, global = true, value_enum, default_value_t = Output::Human, help_heading = COMMON)]
    pub output: Output,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people; they may change with every release.
    Human,
    /// One JSON document with a version, for programs.
    Json,
}

/// Where the runtime reads confs.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ConfDir {
    /// The directory from which the runtime reads CNI confs [default: the directory that the runtime's configuration names, else /etc/cni/net.d].
    #[arg(long, value_name = "DIR", value_parser = absolute_path_parser(), help_heading = COMMON)]
    pub conf_dir: Option<PathBuf>,
}

/// Where Crossfade keeps what it knows about attachments.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct StateDirs {
    /// The directory with attachment records and the inventory [default: the directory that Crossfade's conf names, else
    /// /var/lib/crossfade].
    #[arg(long, value_name = "DIR", value_parser = absolute_path_parser(), help_heading = COMMON)]
    pub state_dir: Option<PathBuf>,
    /// The directory with locks and markers of the current boot [default: the directory that Crossfade's conf names, else /run/crossfade].
    #[arg(long, value_name = "DIR", value_parser = absolute_path_parser(), help_heading = COMMON)]
    pub run_dir: Option<PathBuf>,
}

/// Which policy.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct PolicyFile {
    /// The policy file [default: the file that Crossfade's conf names, else the first policy.json in /etc/crossfade, /run/crossfade and
    /// /usr/lib/crossfade].
    #[arg(long, value_name = "FILE", value_parser = absolute_path_parser(), help_heading = COMMON)]
    pub policy: Option<PathBuf>,
}

/// One installation of Crossfade: the runtime's conf directory, and what Crossfade's conf there may name.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Installation {
    #[command(flatten)]
    conf: ConfDir,
    #[command(flatten)]
    state: StateDirs,
    #[command(flatten)]
    policy: PolicyFile,
}

/// A tree instead of this machine.
#[derive(Debug, Clone, Args)]
pub(super) struct Tree {
    /// Work on the node image that is mounted at DIR, and not on this machine.
    #[arg(long, value_name = "DIR", default_value = "/", value_parser = tree(), help_heading = COMMON)]
    pub root: PathBuf,
}

/// The same for commands that are meant for a node that runs; the tests of this repository use it.
#[derive(Debug, Clone, Args)]
pub(super) struct HiddenTree {
    /// Work on the node image that is mounted at DIR, and not on this machine.
    #[arg(long, value_name = "DIR", default_value = "/", value_parser = tree(), help_heading = COMMON, hide = true)]
    pub root: PathBuf,
}

/// A node that a pod has mounted.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Host {
    /// Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other
    /// path is a path on the node.
    #[arg(long, value_name = "DIR", value_parser = absolute_path_parser(), conflicts_with = "root", help_heading = COMMON)]
    pub host: Option<PathBuf>,
}

/// A node that runs, for commands that change nothing unless `--apply` is given.
#[derive(Debug, Clone, Args)]
pub struct InService {
    /// The runtime.
    #[command(flatten)]
    pub runtime: Endpoint,
    #[command(flatten)]
    installation: Installation,
    #[command(flatten)]
    tree: HiddenTree,
    #[command(flatten)]
    host: Host,
}

impl InService {
    /// The shared options of a command that was told to `apply`, or was not.
    pub(super) fn global(&self, all: Global, apply: bool) -> Global {
        let mut all = all.installation(&self.installation).root(&self.tree.root).host(&self.host);
        all.dry_run = !apply;
        all
    }
}

/// A dry run.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct DryRun {
    /// Print the changes that the command would make, and change nothing.
    #[arg(long, help_heading = COMMON)]
    pub dry_run: bool,
}

/// The values of all shared options, as every command gets them.
#[derive(Debug, Clone)]
pub struct Global {
    /// The runtime's conf directory.
    pub conf_dir: PathBuf,
    /// Where records and inventory lie, if named.
    pub state_dir: Option<PathBuf>,
    /// Where locks and markers lie, if named.
    pub run_dir: Option<PathBuf>,
    /// The policy, if named.
    pub policy: Option<PathBuf>,
    /// How to print.
    pub output: Output,
    /// Change nothing.
    pub dry_run: bool,
    /// A tree instead of this machine; `/` is the machine itself.
    pub root: PathBuf,
    /// The node's root directory, where a pod has it mounted.
    pub host: Option<PathBuf>,
    /// The profiles that count: the built-in ones until the node's own are read.
    pub profiles: Arc<Profiles>,
}

impl Global {
    /// The values of a command that offers no shared option but `--output`.
    #[must_use]
    pub fn new(output: Output) -> Self {
        Self {
            conf_dir: CONF_DIR.into(),
            state_dir: None,
            run_dir: None,
            policy: None,
            output,
            dry_run: false,
            root: "/".into(),
            host: None,
            profiles: Arc::clone(Profiles::built_in()),
        }
    }

    pub(super) fn installation(self, group: &Installation) -> Self {
        self.conf_dir(&group.conf).state(&group.state).policy(&group.policy)
    }

    pub(super) fn conf_dir(mut self, group: &ConfDir) -> Self {
        if let Some(dir) = &group.conf_dir {
            self.conf_dir.clone_from(dir);
        }
        self
    }

    pub(super) fn state(mut self, group: &StateDirs) -> Self {
        self.state_dir.clone_from(&group.state_dir);
        self.run_dir.clone_from(&group.run_dir);
        self
    }

    pub(super) fn policy(mut self, group: &PolicyFile) -> Self {
        self.policy.clone_from(&group.policy);
        self
    }

    pub(super) fn root(mut self, root: &Path) -> Self {
        self.root = root.into();
        self
    }

    pub(super) fn host(mut self, group: &Host) -> Self {
        self.host.clone_from(&group.host);
        self
    }

    pub(super) const fn dry_run(mut self, group: &DryRun) -> Self {
        self.dry_run = group.dry_run;
        self
    }
}

/// A path. A relative one starts at the working directory.
pub(super) fn absolute_path_parser() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute)
}

/// A directory that exists.
pub(super) fn directory() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| require_existing(&path))
}

/// The top of a tree: [`directory`] without a link or `..` that leads to it by a detour.
fn tree() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        require_existing(&path).map_err(|why| format!("{why}; name the directory where the image is mounted"))
    })
}

fn require_existing(path: &Path) -> Result<PathBuf, String> {
    let path = std::path::absolute(path).map_err(|e| e.to_string())?;
    let meta = path.metadata().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such directory".to_owned(),
        _ => e.to_string(),
    })?;
    if !meta.is_dir() {
        return Err("expected a directory, and a file is there".to_owned());
    }
    let climbs = path.components().any(|part| part == std::path::Component::ParentDir);
    if climbs { path.canonicalize().map_err(|e| e.to_string()) } else { Ok(path) }
}
