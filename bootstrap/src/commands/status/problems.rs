//! The problems that keep pods from the right network, with their fixes.

use convergence::node::agent::status_file::StatusFile;
use convergence::node::attachments::{Attachments, DamagedRecord};
use convergence::node::cni::CniFacts;
use convergence::node::facts::NodeFacts;
use convergence::node::paths::{PRIVATE_CONF_DIR, STATUS};
use convergence::node::settings::directories::{Directories, OwnConfFile};
use convergence::runtime::answer::ConfUse;
use shim::node::layout::Layout;
use types::command::problem::Problem;
use types::node::Mode;
use types::policy::Policy;

use crate::cli::Global;
use crate::host::root::Root;
use crate::node::switch;

/// The next step where Crossfade's conf is not in its place.
const INSTALL: &str = "run crossfade-bootstrap install";

/// What an earlier image has left on a node of a final one.
pub(super) fn earlier_image_problems(settings: &Directories, is_attached: bool) -> Vec<Problem> {
    let reboot = "reboot the node; boot removes what an earlier image left";
    let conf = match &settings.installed {
        OwnConfFile::Ours(_) => {
            let why = format!("Crossfade's conf {} is still there", settings.conf_file().display());
            Some(Problem::new(why).with_place(settings.conf_file().display().to_string()).fix(reboot))
        }
        OwnConfFile::Absent | OwnConfFile::Foreign => None,
        OwnConfFile::Unreadable(why) => Some(why.clone()),
    };
    let attached = is_attached.then(|| {
        Problem::new("attachments through Crossfade are left from an earlier image")
            .with_place(settings.layout.state_dir.display().to_string())
            .fix(reboot)
    });
    conf.into_iter().chain(attached).collect()
}

/// What is wrong with Crossfade's conf.
pub(super) fn conf_problems(node: &NodeFacts, cni: &CniFacts) -> Vec<Problem> {
    let file = node.dirs.conf_file();
    match &node.dirs.installed {
        OwnConfFile::Ours(conf) => obstacle_problems(node, cni, &conf.name),
        OwnConfFile::Absent if node.dirs.conf_dir.ends_with(PRIVATE_CONF_DIR.trim_start_matches('/')) => {
            let missing = Problem::new(format!("{} is not there yet", file.display()));
            vec![missing.with_place(file.display().to_string()).fix(
                "wait until the networks that the policy names are ready, for watch writes the file then; its report says what is missing",
            )]
        }
        OwnConfFile::Absent => {
            let why = format!("{} is not there", file.display());
            vec![Problem::new(why).with_place(file.display().to_string()).fix(INSTALL)]
        }
        OwnConfFile::Foreign => node.dirs.foreign_conf_problem(Some(INSTALL)).into_iter().collect(),
        OwnConfFile::Unreadable(why) => vec![why.clone()],
    }
}

/// A problem if the runtime does not use the conf, or does not answer.
pub(super) fn conf_use_problem(settings: &Directories, used: ConfUse) -> Option<Problem> {
    match used {
        ConfUse::Other(what) => {
            let file = settings.conf_file();
            let why = format!("{} is there, and the runtime does not use it: {what}", file.display());
            Some(Problem::new(why).with_place(file.display().to_string()).fix(
                "run crossfade-bootstrap install, or start watch: both make the runtime read its conf directory again",
            ))
        }
        ConfUse::Failed(why) => Some(why.into()),
        ConfUse::Ours | ConfUse::Unknown => None,
    }
}

/// What is wrong with records and with the host routes of living pods.
pub(super) fn record_problems(damaged: &[DamagedRecord], routes: Option<String>) -> Vec<Problem> {
    let damaged = damaged.iter().map(|damaged| {
        let path = damaged.path.display().to_string();
        Problem::new(format!("record {path}: {}", damaged.reason))
            .with_place(path)
            .fix("delete the record's pod: its DEL asks every network and moves the file away")
    });
    let routes = routes.map(|what| {
        Problem::new(format!("host routes are missing or left over; sweep would {what}"))
            .with_place("table 1003")
            .fix("run crossfade-bootstrap unit sweep")
    });
    damaged.chain(routes).collect()
}

/// That no `watch` runs, on a node where one has to: for a tree, or for directories that the caller named, it is not known.
pub(super) fn watch_problem(global: &Global, dirs: &Directories, read: &StatusFile) -> Option<Problem> {
    let root = Root::new(&global.root);
    if !root.is_node()
        || dirs.layout.run_dir != Layout::default().run_dir
        || switch::off_switch(&root).is_some()
    {
        return None;
    }
    let why = match read {
        // What cannot be read is a problem of its own.
        StatusFile::Fresh(_) | StatusFile::Unreadable(_) => return None,
        StatusFile::Absent => "no watch has run in this boot".to_owned(),
        StatusFile::Stale(_, why) => why.clone(),
    };
    let fix = "start watch: systemctl start crossfade-watch, or the DaemonSet's pod on this node";
    Some(Problem::new(format!("watch does not run: {why}")).with_place(STATUS).fix(fix))
}

/// DELs that are owed for longer than the policy's grace.
pub(super) fn owed_del_problem(attachments: &Attachments, policy: Option<&Policy>) -> Option<Problem> {
    let grace_secs =
        policy.map_or_else(|| types::policy::Gc::default().grace_secs, |policy| policy.gc.grace_secs);
    let overdue: Vec<_> = attachments.attachments.iter().filter(|line| line.is_overdue(grace_secs)).collect();
    let first = overdue.first()?;
    let what = format!(
        "{} DELs have been owed for longer than the grace of {grace_secs} s, the first of {} {}",
        overdue.len(),
        first.container_id,
        first.ifname
    );
    Some(
        Problem::new(what)
            .with_place(format!("attachment {} {}", first.container_id, first.ifname))
            .fix("run crossfade-bootstrap doctor, which says which network refuses them and why"),
    )
}

/// Confs that the runtime would use instead of Crossfade's.
fn obstacle_problems(node: &NodeFacts, cni: &CniFacts, name: &str) -> Vec<Problem> {
    let dir = match &cni.confs {
        Ok(dir) => dir,
        Err(why) => return vec![why.as_str().into()],
    };
    let picks = node.runtime.conf_selection();
    let mut problems = picks.obstacle_problems(dir, name);
    if !problems.is_empty() {
        problems.extend(picks.harm_of_a_restart().map(Problem::from));
    }
    // In private mode the runtime's command line names the network.
    if node.settings.conf_dir == Mode::Shared {
        problems.extend(picks.check_name(dir, name).problem());
    }
    problems
}
