//! The conditions under which a node comes up with Crossfade, checked before kubelet runs. Agents need kubelet, so none is waited for.

use convergence::change::obstacles::Obstacles;
use convergence::node::cni::CniFacts;
use convergence::node::facts::NodeFacts;
use convergence::node::paths::PRIVATE_CONF_DIR;
use convergence::node::settings::Settings;
use convergence::node::settings::directories::OwnConfFile;
use convergence::runtime::facts::{ConfigFact, RuntimeFacts};
use shim::node::layout::PLUGIN;
use types::command::problem::Problem;
use types::node::Mode;

use crate::cli::Global;
use crate::host::root::Root;
use crate::kubelet::own_registration;
use crate::node::cni::{self, PluginChoice};
use crate::node::conf::foreign;
use crate::node::facts::{ConfDirChoice, NodeQuery};
use crate::node::{identity, plugins, switch};
use crate::runtime::{config, endpoint};
use crate::systemd::continuation;

/// The next step for what `boot` puts in place.
const RUN_BOOT: &str = "run crossfade-bootstrap unit boot";

/// Everything that is not as it must be; nothing on a node that is switched off.
#[must_use]
pub(crate) fn findings(global: &Global, settings: Settings, runtime: RuntimeFacts) -> Vec<Problem> {
    if switch::off_switch(&Root::new(&global.root)).is_some() {
        return Vec::new();
    }
    obstacles(global, settings, &mut Some(runtime)).findings
}

/// Everything that keeps this node from coming up right. The runtime's configuration is read once, because it does not change within one
/// try.
pub(crate) fn obstacles(
    global: &Global,
    settings: Settings,
    runtime: &mut Option<RuntimeFacts>,
) -> Obstacles {
    let (root, mut obstacles) = (&Root::new(&global.root), Obstacles::default());
    obstacles.extend(identity::is_current(root).err());
    if let Some(unusable) = &settings.unusable {
        obstacles.add_settings(Some(&unusable.why));
        return obstacles;
    }
    let node = &settings.node;
    if own_registration::speaks(root, node) {
        obstacles.extend(continuation::check(root, node, &node.kubelet.unit).err());
    }
    if node.conf_dir == Mode::Without {
        return obstacles;
    }
    let runtime_facts =
        runtime.take().unwrap_or_else(|| crate::runtime::facts::gather_configured(root, node));
    let facts = crate::node::facts::gather(NodeQuery {
        global,
        settings,
        runtime: runtime_facts,
        conf_dir: ConfDirChoice::OfAgents,
    });
    match &facts.runtime.config {
        ConfigFact::Unreadable(why) => obstacles.add(why.clone()),
        ConfigFact::NoRuntime => obstacles.add(endpoint::unconfigured_problem(root)),
        ConfigFact::Read(_) | ConfigFact::Answered(_) | ConfigFact::NotRead => {}
    }
    obstacles.add_settings(facts.policy.as_ref().err());
    let cni = cni::gather(&facts, PluginChoice::default());
    if let Err(why) = plugins::find(root, PLUGIN, &cni.plugins.paths()) {
        obstacles.add(Problem::new(why).fix(RUN_BOOT));
    }
    if facts.settings.conf_dir == Mode::Private {
        check_private(&facts, &mut obstacles);
    } else {
        check_shared(&facts, &cni, &mut obstacles);
    }
    *runtime = Some(facts.runtime).filter(|runtime| runtime.problem().is_none());
    obstacles
}

fn check_private(facts: &NodeFacts, obstacles: &mut Obstacles) {
    let root = &Root::new(&facts.root);
    if !root.join(PRIVATE_CONF_DIR).is_dir() {
        obstacles.add(
            Problem::new(format!("{PRIVATE_CONF_DIR} is missing")).with_place(PRIVATE_CONF_DIR).fix(RUN_BOOT),
        );
    }
    let dir = root.join(PRIVATE_CONF_DIR);
    match foreign::list(&dir) {
        Err(error) => {
            obstacles.add(
                Problem::new(format!("conf dir {}: {error}", dir.display()))
                    .with_place(dir.display().to_string()),
            );
        }
        Ok(entries) if !entries.is_empty() => {
            obstacles.add(convergence::node::conf::foreign::describe(&dir, &entries, &facts.profiles))
        }
        Ok(_) => {}
    }
    let Some(config) = facts.runtime.config() else {
        return;
    };
    if let Some(unit) = &config.unit {
        obstacles.extend(continuation::check(root, &facts.settings, unit).err());
    }
    obstacles.extend(config::require_configured(root, config).err());
}

fn check_shared(facts: &NodeFacts, cni: &CniFacts, obstacles: &mut Obstacles) {
    match &facts.dirs.installed {
        OwnConfFile::Unreadable(why) => obstacles.add(why.clone()),
        OwnConfFile::Absent => {
            let conf = facts.dirs.conf_file();
            let what = format!("Crossfade's conf {} is missing", conf.display());
            obstacles.add(Problem::new(what).with_place(conf.display().to_string()).fix(RUN_BOOT));
        }
        OwnConfFile::Foreign => obstacles.extend(facts.dirs.foreign_conf_problem(Some(RUN_BOOT))),
        OwnConfFile::Ours(installed) => match &cni.confs {
            Err(why) => obstacles.add(why.clone()),
            Ok(dir) => {
                obstacles.extend(facts.runtime.conf_selection().obstacle_problems(dir, &installed.name))
            }
        },
    }
}
