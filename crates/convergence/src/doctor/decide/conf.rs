//! Findings about Crossfade's conf and plugin, through which the next pod comes.

use std::path::Path;

use shim::node::layout::CONF_FILE;
use types::command::problem::Problem;
use types::status::Reason;

use crate::doctor::decide::{is_private, networks};
use crate::doctor::facts::Facts;
use crate::doctor::finding::{Finding, word};
use crate::doctor::rule::{Rule, Severity, Symptom};
use crate::node::conf::confdir::ConfDir;
use crate::node::paths::PRIVATE_CONF_DIR;
use crate::node::settings::directories::{InstalledConf, OwnConfFile};
use crate::publish::report::EventReason;
use crate::runtime::answer::ConfUse;

pub const RULES: &[&Rule] = &[
    &PLUGIN_MISSING,
    &CONF_WAITS,
    &CONF_MISSING,
    &CONF_UNREADABLE,
    &CONF_NOT_FIRST,
    &CONF_NOT_LOADED,
    &CONF_OF_OTHERS,
    &CRIO_NETWORK,
    &SEVERAL_CONFS,
    &AGENT_TAKES_CONF,
    &CONF_REPAIRED,
];

/// How many repairs within [`REPAIRS_WITHIN_SECS`] are no single events any more; `watch` itself gives up at three within a minute.
const MANY_REPAIRS: usize = 3;
const REPAIRS_WITHIN_SECS: u64 = 3600;

/// The command that puts Crossfade's conf in its place, or makes the runtime load it.
const INSTALL: &str = "crossfade-bootstrap install";

pub fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        [plugin(facts), foreign(facts), several_confs(facts)].into_iter().flatten().collect();
    let fights = fights(facts);
    match &facts.node.dirs.installed {
        OwnConfFile::Unreadable(why) => findings.push(unreadable(facts, why)),
        OwnConfFile::Ours(conf) => findings.extend(installed(facts, conf)),
        OwnConfFile::Foreign => findings.push(missing(facts, "the file is not Crossfade's")),
        OwnConfFile::Absent if is_private(facts) => findings.push(waits(facts)),
        OwnConfFile::Absent => findings.push(missing(facts, "the file is not there")),
    }
    // Single repairs are news only where watch has not given up.
    if fights.is_none() {
        findings.extend(repaired(facts));
    }
    findings.extend(fights);
    findings
}

const PLUGIN_MISSING: Rule = Severity::Error.rule(
    Symptom::PodsDoNotStart,
    "plugin-missing",
    "Crossfade's plugin is not where the runtime looks for plugins, or another program is there under its name.\n\n\
     A tool may have replaced `/opt/cni/bin` as a whole.",
    "the runtime does not find Crossfade's plugin, or finds another program of that name: each ADD fails or bypasses Crossfade",
    "`watch` copies the plugin again within a minute; the command of the finding does it at once.",
);

fn plugin(facts: &Facts) -> Option<Finding> {
    let why = facts.cni.plugins.check().err()?;
    let dirs = facts.cni.plugins.paths();
    let places = dirs.iter().map(|dir| dir.display().to_string());
    let finding = Finding::new(&PLUGIN_MISSING).with_objects(places).with_evidence([why]);
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

const CONF_UNREADABLE: Rule = Severity::Error.rule(
    Symptom::WrongNetwork,
    "conf-unreadable",
    "Crossfade's conf, or the directory of confs, cannot be read, or another user than root could change it.",
    "Crossfade's conf cannot be read, so it is unknown which policy and records count",
    "`crossfade-bootstrap install` writes the conf anew. `ls -ld` says whose the directory is.",
);

fn unreadable(facts: &Facts, why: &Problem) -> Finding {
    let finding =
        Finding::new(&CONF_UNREADABLE).with_objects([facts.node.dirs.conf_file().display().to_string()]);
    finding.with_evidence([why.what.as_str()]).run(INSTALL, "writes the conf anew")
}

const CONF_MISSING: Rule = Severity::Error.rule(
    Symptom::WrongNetwork,
    "conf-missing",
    "The directory that the runtime reads does not have Crossfade's conf.",
    "Crossfade's conf is not in the runtime's directory: new pods get the network of the conf that sorts first",
    "`crossfade-bootstrap install --dry-run` says what stands in the way of the conf, and `install` writes it. Another owner's file under its name has to be moved away first.",
);

fn missing(facts: &Facts, why: &str) -> Finding {
    let file = facts.node.dirs.conf_file();
    let first = facts.cni.confs.as_ref().ok().and_then(|dir| dir.confs.first());
    let first = first.map(|conf| format!("the first conf there is {}", conf.file));
    let finding = Finding::new(&CONF_MISSING)
        .with_objects([file.display().to_string()])
        .with_evidence([format!("{}: {why}", file.display())])
        .with_evidence(first);
    // install refuses to write over another owner's file.
    let foreign = facts.node.dirs.foreign_conf_problem(None);
    let finding = foreign.into_iter().fold(finding, |finding, problem| {
        finding.with_manual_step(format!("{}: {}", problem.what, problem.fix))
    });
    finding.run(INSTALL, "checks everything, and writes the conf")
}

const CONF_WAITS: Rule = Severity::Error.rule(
    Symptom::PodsDoNotStart,
    "conf-waits",
    "In private mode, a network that pods get has not been ready in this boot.",
    "Crossfade's conf is not written yet: watch writes it once every network that pods get has been ready in this boot. Until then no pod starts",
    "The `seen` lines say which network lacks what. Without `watch`, no program writes the conf.",
);

/// Private mode: `watch` writes the conf once the networks that pods get are ready.
fn waits(facts: &Facts) -> Finding {
    let finding = Finding::new(&CONF_WAITS).with_objects([facts.node.dirs.conf_file().display().to_string()]);
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

const CONF_OF_OTHERS: Rule = Severity::Error.rule(
    Symptom::WrongNetwork,
    "conf-of-others",
    "In private mode, another program writes into /run/crossfade/net.d.\n\n\
     `watch` removes such files each time.",
    "another program writes confs into Crossfade's own directory, which the runtime reads",
    "`10-containerd-net.conflist` comes from containerd's `conf_template`: restart containerd, whose start empties that key.",
);

fn foreign(facts: &Facts) -> Option<Finding> {
    let entries = facts.foreign.as_ref()?;
    let finding =
        Finding::new(&CONF_OF_OTHERS).with_objects([PRIVATE_CONF_DIR]).with_evidence([entries.what.as_str()]);
    let finding =
        if entries.fix.is_empty() { finding } else { finding.with_manual_step(entries.fix.as_str()) };
    Some(finding.run("systemctl restart crossfade-watch", "removes what is not Crossfade's"))
}

/// What is wrong although Crossfade's conf is there.
fn installed(facts: &Facts, conf: &InstalledConf) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &facts.cni.confs {
        Err(why) => {
            let place = facts.node.dirs.conf_dir.display().to_string();
            let finding = Finding::new(&CONF_UNREADABLE)
                .cause("the conf directory cannot be listed, so it is unknown which conf the runtime uses")
                .with_objects([place])
                .with_evidence([why.as_str()]);
            let command = format!("ls -ld {}", word(&facts.node.dirs.conf_dir));
            findings.push(finding.run(command, "says whose the directory is"));
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

const CONF_NOT_FIRST: Rule = Severity::Error.rule(
    Symptom::WrongNetwork,
    "conf-not-first",
    "Another conf sorts before `01-crossfade.conflist`, so the runtime uses that one.\n\n\
     A broken conf that sorts first stops every pod of a node with containerd. A meta-plugin such as Multus may sort first if it delegates to Crossfade.",
    "another conf is used before Crossfade's: new pods bypass the policy, and the DELs of recorded pods may go to the wrong plugin",
    "Rename the file with the command of the finding, then find out who wrote it.",
);

fn not_first(facts: &Facts, dir: &ConfDir, name: &str) -> Option<Finding> {
    let picks = facts.node.runtime.conf_selection();
    let others = picks.confs_before_own(dir, name);
    let problems = picks.obstacle_problems(dir, name);
    if others.is_empty() {
        return None;
    }
    let mut finding = Finding::new(&CONF_NOT_FIRST)
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

const CRIO_NETWORK: Rule = Severity::Error.rule(
    Symptom::WrongNetwork,
    "crio-network",
    "CRI-O is not told which network to use, or another one than Crossfade's.",
    "without a name, a restart of CRI-O while another conf sorts first costs every pod its network",
    "Name Crossfade's network in CRI-O's configuration ([CRI-O](watch.md#cri-o)). Restart CRI-O only while Crossfade's conf sorts first.",
);

fn crio(facts: &Facts, why: &Problem) -> Finding {
    let unit = facts.runtime_unit();
    let configured = facts.node.runtime.crio().and_then(|config| config.default_network.as_deref());
    let configured = configured
        .map_or_else(|| "no cni_default_network".into(), |name| format!("cni_default_network {name}"));
    Finding::from_problem(&CRIO_NETWORK, why)
        .cause(why.what.as_str())
        .with_evidence([format!("CRI-O's configuration has {configured}")])
        .with_manual_step(why.fix.as_str())
        .run(
            format!("systemctl restart {unit}"),
            "loads that configuration; only while Crossfade's conf sorts first",
        )
}

const CONF_NOT_LOADED: Rule = Severity::Error.rule(
    Symptom::WrongNetwork,
    "conf-not-loaded",
    "The runtime has loaded another conf than Crossfade's, or none.\n\n\
     containerd 1.6 ignores a file that was only moved into the directory.",
    "Crossfade's conf is in place and first, and the runtime has not loaded it: new pods get another network, or none",
    "The command of the finding writes the conf anew, so that the runtime loads it.",
);

fn not_loaded(facts: &Facts, what: &str) -> Finding {
    let file = facts.node.dirs.conf_file().display().to_string();
    let finding =
        Finding::new(&CONF_NOT_LOADED).with_objects([file]).with_evidence([format!("the runtime: {what}")]);
    if is_private(facts) {
        return finding
            .run("systemctl restart crossfade-watch", "writes the conf anew, so that the runtime loads it");
    }
    finding.run(INSTALL, "writes the conf anew, so that the runtime loads it")
}

const SEVERAL_CONFS: Rule = Severity::Error.rule(
    Symptom::WrongNetwork,
    "several-confs",
    "The runtime uses several confs for each pod: `max_conf_num` is not 1.",
    "the runtime attaches each pod by several confs at once, so pods get a network beside Crossfade's",
    "Set `max_conf_num = 1` in the runtime's configuration, and restart the runtime: pods keep running.",
);

fn several_confs(facts: &Facts) -> Option<Finding> {
    let setup = facts.node.runtime.answer.setup()?;
    if setup.max_confs == 1 {
        return None;
    }
    let count = if setup.max_confs == 0 { "all confs".into() } else { format!("{} confs", setup.max_confs) };
    let finding = Finding::new(&SEVERAL_CONFS).with_objects(["max_conf_num of the runtime's configuration"]);
    let finding = finding.with_evidence([format!("the runtime uses {count} (max_conf_num)")]);
    let finding = finding.with_manual_step("set max_conf_num = 1 in the runtime's configuration");
    Some(finding.run(
        format!("systemctl restart {}", facts.runtime_unit()),
        "loads that configuration; pods keep running",
    ))
}

const AGENT_TAKES_CONF: Rule = Severity::Error.rule(
    Symptom::AgentFights,
    "agent-takes-conf",
    "An agent has renamed confs, or `watch` has stopped repairing Crossfade's conf (`ConfContended`).",
    "an agent takes the conf directory for itself and renames the confs of others; watch does not fight it, because each rename lets pods bypass Crossfade",
    "Change the agent's setting first; for Cilium this is `cni.exclusive=false`. Then remove the renamed files, and run `install`. In [private mode](node.md#private-and-shared-mode) the agent's directory does not matter.",
);

/// An agent that takes the directory for itself: `watch` has given up, or the agent's traces are there.
fn fights(facts: &Facts) -> Option<Finding> {
    let contended = facts.status_document().filter(|report| report.reason == Reason::ConfContended);
    let files = facts.cni.confs.as_ref().ok().map(|dir| dir.taken_away.as_slice()).unwrap_or_default();
    if contended.is_none() && files.is_empty() {
        return None;
    }
    let dir = &facts.node.dirs.conf_dir;
    let finding = Finding::new(&AGENT_TAKES_CONF)
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

const CONF_REPAIRED: Rule = Severity::Warning.rule(
    Symptom::AgentFights,
    "conf-repaired",
    "`watch` has repaired Crossfade's conf three times or more within an hour.",
    "another program removes or replaces Crossfade's conf again and again; between that and the repair, new pods bypass Crossfade",
    "Find what removes the file at times: a cron job, a configuration management, an agent's restart. The journal has the time of each repair.",
);

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
    let finding =
        Finding::new(&CONF_REPAIRED).with_objects([facts.node.dirs.conf_file().display().to_string()]);
    let finding = finding
        .with_evidence([format!("{} repairs within the last hour", repairs.len())])
        .with_evidence(last);
    Some(finding.run(
        "journalctl --boot EVENT=ConfRepaired",
        "has the time of each repair; find what runs at these times, and let it leave the conf alone",
    ))
}
