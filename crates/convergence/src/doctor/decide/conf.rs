//! Findings about Crossfade's conf and plugin, through which the next pod comes.

use std::path::Path;

use shim::node::layout::CONF_FILE;
use types::command::problem::Problem;
use types::status::Reason;

use crate::doctor::code::Code;
use crate::doctor::decide::{is_private, networks};
use crate::doctor::facts::Facts;
use crate::doctor::finding::{Finding, word};
use crate::node::conf::confdir::ConfDir;
use crate::node::paths::PRIVATE_CONF_DIR;
use crate::node::settings::directories::InstalledConf;
use crate::publish::report::EventReason;
use crate::runtime::answer::ConfUse;

/// How many repairs within [`REPAIRS_WITHIN_SECS`] are no single events any more; `watch` itself gives up at three within a minute.
const MANY_REPAIRS: usize = 3;
const REPAIRS_WITHIN_SECS: u64 = 3600;

/// The command that puts Crossfade's conf in its place, or makes the runtime load it.
const INSTALL: &str = "crossfade-bootstrap install";

pub fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = plugin(facts).into_iter().chain(foreign(facts)).collect();
    let fights = fights(facts);
    match &facts.node.dirs.installed {
        Err(why) => findings.push(unreadable(facts, why)),
        Ok(Some(conf)) if conf.is_ours => findings.extend(installed(facts, conf)),
        Ok(Some(_)) => findings.push(missing(facts, "the file is not Crossfade's")),
        Ok(None) if is_private(facts) => findings.push(waits(facts)),
        Ok(None) => findings.push(missing(facts, "the file is not there")),
    }
    // Single repairs are news only where watch has not given up.
    if fights.is_none() {
        findings.extend(repaired(facts));
    }
    findings.extend(fights);
    findings
}

fn plugin(facts: &Facts) -> Option<Finding> {
    let why = facts.cni.plugins.check().err()?;
    let cause = "the runtime does not find Crossfade's plugin, or finds another program of that name: each ADD fails or bypasses Crossfade";
    let dirs = facts.cni.plugins.paths();
    let places = dirs.iter().map(|dir| dir.display().to_string());
    let finding = Finding::new(Code::PluginMissing, cause).with_objects(places).with_evidence([why]);
    if let Err(why) = &facts.cni.plugins.packaged {
        let finding = finding.with_evidence([format!("the package's plugin: {}", why.what)]);
        return Some(finding.with_manual_step(
            "install the package, or let the DaemonSet bring the plugin: there is none on this node to copy",
        ));
    }
    let dirs: Vec<String> = dirs.iter().map(|dir| format!(" --bin-dir {}", word(dir))).collect();
    Some(finding.run(
        format!("crossfade-bootstrap unit place{}", dirs.concat()),
        "copies the package's plugin to where the runtime looks",
    ))
}

fn unreadable(facts: &Facts, why: &Problem) -> Finding {
    let cause = "Crossfade's conf cannot be read, so it is unknown which policy and records count";
    let finding = Finding::new(Code::ConfUnreadable, cause).with_objects([facts
        .node
        .dirs
        .conf_file()
        .display()
        .to_string()]);
    finding.with_evidence([why.what.as_str()]).run(INSTALL, "writes the conf anew")
}

fn missing(facts: &Facts, why: &str) -> Finding {
    let file = facts.node.dirs.conf_file();
    let cause = "Crossfade's conf is not in the runtime's directory: new pods get the network of the conf that sorts first";
    let first = facts.cni.confs.as_ref().ok().and_then(|dir| dir.confs.first());
    let first = first.map(|conf| format!("the first conf there is {}", conf.file));
    let finding = Finding::new(Code::ConfMissing, cause).with_objects([file.display().to_string()]);
    finding
        .with_evidence([format!("{}: {why}", file.display())])
        .with_evidence(first)
        .run(INSTALL, "checks everything, and writes the conf")
}

/// Private mode: `watch` writes the conf once the networks that pods get are ready.
fn waits(facts: &Facts) -> Finding {
    let cause = "Crossfade's conf is not written yet: watch writes it once every network that pods get has been ready in this boot. Until then no pod starts";
    let finding = Finding::new(Code::ConfWaits, cause).with_objects([facts
        .node
        .dirs
        .conf_file()
        .display()
        .to_string()]);
    let why = facts.status_document().map(|report| format!("watch: {}: {}", report.reason, report.message));
    let finding = finding.with_evidence(why).with_evidence(networks::unready_networks(facts));
    if facts.status_document().is_none() {
        return finding
            .run("systemctl start crossfade-watch", "starts watch, whose work no other program does");
    }
    finding.run(
        "crossfade-bootstrap status --wait --timeout 300",
        "waits until the networks are ready, and says what is missing",
    )
}

fn foreign(facts: &Facts) -> Option<Finding> {
    let entries = facts.foreign.as_ref()?;
    let cause = "another program writes confs into Crossfade's own directory, which the runtime reads";
    let finding = Finding::new(Code::ConfOfOthers, cause)
        .with_objects([PRIVATE_CONF_DIR])
        .with_evidence([entries.what.as_str()]);
    let finding =
        if entries.fix.is_empty() { finding } else { finding.with_manual_step(entries.fix.as_str()) };
    Some(finding.run("systemctl restart crossfade-watch", "removes what is not Crossfade's"))
}

/// What is wrong although Crossfade's conf is there.
fn installed(facts: &Facts, conf: &InstalledConf) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &facts.cni.confs {
        Err(why) => {
            let cause = "the conf directory cannot be listed, so it is unknown which conf the runtime uses";
            let place = facts.node.dirs.conf_dir.display().to_string();
            let finding =
                Finding::new(Code::ConfUnreadable, cause).with_objects([place]).with_evidence([why.as_str()]);
            findings.push(
                finding.run(
                    format!("ls -ld {}", word(&facts.node.dirs.conf_dir)),
                    "says whose the directory is",
                ),
            );
        }
        Ok(dir) => {
            findings.extend(not_first(facts, dir, &conf.name));
            // In private mode the runtime's command line names the network.
            if !is_private(facts) {
                let name_problem = facts.node.runtime.conf_selection().check_name(dir, &conf.name).problem();
                findings.extend(name_problem.map(|why| crio(facts, &why)));
            }
        }
    }
    if findings.is_empty()
        && let ConfUse::Other(what) = facts.node.runtime.answer.uses(&conf.name)
    {
        findings.push(not_loaded(facts, &what));
    }
    findings
}

fn not_first(facts: &Facts, dir: &ConfDir, name: &str) -> Option<Finding> {
    let picks = facts.node.runtime.conf_selection();
    let others = picks.confs_before_own(dir, name);
    let problems = picks.obstacle_problems(dir, name);
    if others.is_empty() {
        return None;
    }
    let cause = "another conf is used before Crossfade's: new pods bypass the policy, and the DELs of recorded pods may go to the wrong plugin";
    let mut finding = Finding::new(Code::ConfNotFirst, cause)
        .with_objects(others.iter().map(|conf| dir.path.join(&conf.file).display().to_string()))
        .with_evidence(problems.iter().map(|problem| problem.what.as_str()));
    for (conf, problem) in others.iter().zip(&problems) {
        let (from, to) = (dir.path.join(&conf.file), dir.path.join(sorts_behind_text(&conf.file)));
        finding = if conf.is_meta_plugin() {
            finding.with_manual_step(problem.fix.as_str())
        } else {
            finding.run(
                format!("mv {} {}", word(&from), word(&to)),
                format!("makes the conf sort after {CONF_FILE}"),
            )
        };
    }
    // An agent that writes its conf again would bring the name back.
    let profiles =
        others.iter().filter_map(|conf| conf.profile(&facts.node.profiles)?.conf_setting.as_deref());
    for setting in profiles {
        finding = finding.with_manual_step(setting);
    }
    Some(match picks.harm_of_a_restart() {
        Some(harm) => finding.with_manual_step(harm),
        None => finding,
    })
}

/// A name that sorts after Crossfade's conf.
fn sorts_behind_text(file: &str) -> String {
    format!("99-{}", file.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()))
}

fn crio(facts: &Facts, why: &Problem) -> Finding {
    let unit = facts.runtime_unit();
    let configured = facts.node.runtime.crio().and_then(|config| config.default_network.as_deref());
    let configured = configured
        .map_or_else(|| "no cni_default_network".into(), |name| format!("cni_default_network {name}"));
    Finding::from_problem(Code::CrioNetwork, why)
        .with_evidence([format!("CRI-O's configuration has {configured}")])
        .with_manual_step(why.fix.as_str())
        .run(
            format!("systemctl restart {unit}"),
            "loads that configuration; only while Crossfade's conf sorts first",
        )
}

fn not_loaded(facts: &Facts, what: &str) -> Finding {
    let cause = "Crossfade's conf is in place and first, and the runtime has not loaded it: new pods get another network, or none";
    let file = facts.node.dirs.conf_file().display().to_string();
    let finding = Finding::new(Code::ConfNotLoaded, cause)
        .with_objects([file])
        .with_evidence([format!("the runtime: {what}")]);
    if is_private(facts) {
        return finding
            .run("systemctl restart crossfade-watch", "writes the conf anew, so that the runtime loads it");
    }
    finding.run(INSTALL, "writes the conf anew, so that the runtime loads it")
}

/// An agent that takes the directory for itself: `watch` has given up, or the agent's traces are there.
fn fights(facts: &Facts) -> Option<Finding> {
    let contended = facts.status_document().filter(|report| report.reason == Reason::ConfContended);
    let files = facts.cni.confs.as_ref().ok().map(|dir| dir.taken_away.as_slice()).unwrap_or_default();
    if contended.is_none() && files.is_empty() {
        return None;
    }
    let dir = &facts.node.dirs.conf_dir;
    let cause = "an agent takes the conf directory for itself and renames the confs of others; watch does not fight it, because each rename lets pods bypass Crossfade";
    let finding = Finding::new(Code::AgentTakesConf, cause)
        .with_objects([dir.display().to_string()])
        .with_evidence(contended.map(|report| format!("watch: {}", report.message)))
        .with_evidence(files.iter().map(|file| format!("{file} is there, which an agent has renamed")));
    let profiles = &facts.node.profiles;
    let by_file = files.iter().find_map(|file| profiles.all().iter().find(|profile| profile.takes(file)));
    let by_policy =
        || facts.networks.iter().find_map(|network| profiles.find(&network.profile)?.exclusive.as_ref());
    let exclusive = by_file.and_then(|profile| profile.exclusive.as_ref()).or_else(by_policy);
    let setting =
        exclusive.map_or("let the agent leave the confs of others alone", |option| option.setting.as_str());
    let finding = files
        .iter()
        .fold(finding.with_manual_step(setting), |finding, file| given_back(facts, dir, file, finding));
    Some(finding.run(INSTALL, "puts Crossfade's conf back"))
}

/// What becomes of a conf that an agent has renamed, after the agent's setting: that of a network of the policy comes back, Crossfade's stale
/// one goes, and a file without a known owner is for the operator.
fn given_back(facts: &Facts, dir: &Path, file: &str, finding: Finding) -> Finding {
    let suffixes = facts.node.profiles.all().iter().filter_map(|profile| profile.exclusive.as_ref());
    let before = suffixes.filter_map(|exclusive| file.strip_suffix(exclusive.suffix.as_str())).next();
    let (moved_path, before) = (dir.join(file), before.unwrap_or(file));
    let is_network = |network: &types::policy::Network| network.conf.contains(&dir.join(before));
    let of_policy =
        facts.node.policy().is_some_and(|policy| policy.networks().any(|(_, network)| is_network(network)));
    let is_back = facts.cni.confs.as_ref().is_ok_and(|dir| dir.confs.iter().any(|conf| conf.file == before));
    if of_policy && !is_back {
        let command = format!("mv --no-clobber {} {}", word(&moved_path), word(&dir.join(before)));
        finding.run(command, "gives a network of the policy its conf back")
    } else if of_policy {
        finding.run(
            format!("rm {}", word(&moved_path)),
            "removes a stale copy: the network's conf is there again",
        )
    } else if before == CONF_FILE {
        finding.run(
            format!("rm {}", word(&moved_path)),
            "removes Crossfade's conf of then, which agents may read",
        )
    } else {
        finding.with_manual_step(format!(
            "rename or remove {}, which no network of the policy names",
            moved_path.display()
        ))
    }
}

fn repaired(facts: &Facts) -> Option<Finding> {
    let since = facts.now.wall_secs.saturating_sub(REPAIRS_WITHIN_SECS);
    let is_repair = |entry: &&crate::doctor::journal::Entry| {
        entry.event == EventReason::ConfRepaired.as_str() && entry.wall_secs() >= since
    };
    let repairs: Vec<_> = facts.journal.read()?.iter().filter(is_repair).collect();
    if repairs.len() < MANY_REPAIRS {
        return None;
    }
    let last = repairs.last().map(|entry| format!("journal, the last: {}", entry.message));
    let cause = "another program removes or replaces Crossfade's conf again and again; between that and the repair, new pods bypass Crossfade";
    let finding = Finding::new(Code::ConfRepaired, cause).with_objects([facts
        .node
        .dirs
        .conf_file()
        .display()
        .to_string()]);
    let finding = finding
        .with_evidence([format!("{} repairs within the last hour", repairs.len())])
        .with_evidence(last);
    Some(finding.run(
        "journalctl --boot EVENT=ConfRepaired",
        "has the time of each repair; find what runs at these times, and let it leave the conf alone",
    ))
}
