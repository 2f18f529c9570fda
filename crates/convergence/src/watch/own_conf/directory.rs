//! The directory of Crossfade's conf: the files in the way there, and their writers.

use shim::node::layout::{CONF_FILE, PLUGIN};
use types::node::RuntimeKind;
use types::status::Reason;

use crate::node::conf::confdir::{ConfDir, Content};
use crate::runtime::conf_selection::NetworkNameCheck;
use crate::watch::memory::Memory;
use crate::watch::observation::Observation;
use crate::watch::own_conf::OwnConfDecision;

/// Notices that the directory is another one of the same name, and that the runtime that had lost it was restarted.
pub fn directory(facts: &Observation, memory: &mut Memory, decided: &mut OwnConfDecision) {
    if memory
        .dir_path
        .replace(facts.node.dirs.conf_dir.clone())
        .is_some_and(|path| path != facts.node.dirs.conf_dir)
    {
        (memory.dir, memory.dir_missing, memory.settled_conf) = (None, None, None);
    }
    if let Some(id) = &facts.dir_id {
        let other =
            memory.dir.as_ref().is_some_and(|previous_id| previous_id != id) || memory.dir_missing.is_some();
        if memory.dir.is_some() && other {
            memory.lost_by = Some(facts.life.clone().unwrap_or_default());
            // The new directory never had the conf, so no other program removed it.
            memory.settled_conf = None;
        }
        memory.dir = Some(id.clone());
        memory.dir_missing = None;
    }
    // A runtime makes its socket when it starts.
    if memory.lost_by.is_some() && facts.life.is_some() && memory.lost_by != facts.life {
        memory.lost_by = None;
    }
    if memory.lost_by.is_some() {
        let dir = facts.node.dirs.conf_dir.display();
        let why = match facts.node.runtime.kind() {
            Some(RuntimeKind::Crio) if facts.node.runtime.conf_selection().harm_of_a_restart().is_some() => {
                format!(
                    "{dir} was replaced, and CRI-O does not notice: restart CRI-O once Crossfade's conf is the first one there, else it sends the DEL of \
                 every pod that lives"
                )
            }
            Some(RuntimeKind::Crio) => {
                format!("{dir} was replaced, and CRI-O does not notice: restart CRI-O (its pods run on)")
            }
            Some(RuntimeKind::Containerd) | None => format!(
                "{dir} was replaced, and containerd before 2.1 does not notice: restart the runtime (its pods run on)"
            ),
        };
        decided.standing.push((Reason::RuntimeRestartNeeded, why));
    }
}

/// Finds files that the runtime would use instead of Crossfade's conf, and files that agents left.
pub fn note_obstacles(facts: &Observation, memory: &Memory, decided: &mut OwnConfDecision) {
    let dir = match &facts.cni.confs {
        Ok(dir) => dir,
        Err(why) => {
            decided.standing.push((Reason::ConfNotFirst, why.clone()));
            return;
        }
    };
    if !facts.foreign.is_empty() {
        // This pass removes these files, so the operator need not rename them.
        return;
    }
    let name = facts.node.name.as_ref().ok().and_then(Option::as_deref);
    let name = name.or(memory.good.as_ref().map(|conf| conf.name.as_str())).unwrap_or_default();
    let before = facts.node.runtime.conf_selection().confs_before_own(dir, name);
    let before: Vec<&str> = before.iter().map(|conf| conf.file.as_str()).collect();
    if !before.is_empty() {
        let mut why = format!(
            "{} in {} sorts before {CONF_FILE}, so the runtime uses it instead: rename it to something later",
            before.join(", "),
            dir.path.display()
        );
        if let Some(harm) = facts.node.runtime.conf_selection().harm_of_a_restart() {
            why = format!("{why}; {harm}");
        }
        decided.standing.push((Reason::ConfNotFirst, why));
    }
    // In private mode the runtime's command line names the network; without Crossfade's conf there is no network to name.
    if !facts.is_private() && !name.is_empty() {
        match facts.node.runtime.conf_selection().check_name(dir, name) {
            NetworkNameCheck::Right => {}
            NetworkNameCheck::Other(why) => decided.standing.push((Reason::ConfNotFirst, why.into())),
            NetworkNameCheck::Unset(why) => decided.findings.push(why.into()),
        }
    }
    for conf in dir.foreign_confs().filter(|conf| conf.content.as_ref().is_ok_and(Content::is_ours)) {
        decided
            .findings
            .push(format!("{} has a plugin {PLUGIN}, too: remove it, there must be one", conf.file));
    }
    for file in stale_confs(dir) {
        decided.findings.push(format!(
            "{} is Crossfade's conf as an agent renamed it: remove it, for agents read such files, too",
            dir.path.join(file).display()
        ));
    }
}

fn stale_confs(dir: &ConfDir) -> impl Iterator<Item = &String> {
    dir.taken_away.iter().filter(|file| file.starts_with(CONF_FILE))
}

/// Who takes Crossfade's conf away, as far as `watch` can tell, and which setting ends that.
pub fn last_writer(facts: &Observation) -> String {
    let moved_away = facts.cni.confs.iter().flat_map(|dir| &dir.taken_away);
    let own_conf_copies: Vec<&String> = moved_away.filter(|file| file.starts_with(CONF_FILE)).collect();
    let profiles = facts.node.profiles.all().iter();
    let exclusive = profiles.filter_map(|profile| Some((profile, profile.exclusive.as_ref()?)));
    for (profile, exclusive) in exclusive {
        if own_conf_copies.iter().any(|file| file.ends_with(&exclusive.suffix)) {
            return format!("{} ({})", profile.name, exclusive.setting);
        }
    }
    "an unknown program (see who writes into this directory)".into()
}
