//! Whether this node can come up right, as far as that can be told before kubelet runs. Agents need kubelet, so none is waited for.

use shim::layout::PLUGIN;
use types::node::Mode;
use types::problem::Problem;

use crate::change::obstacles::Obstacles;
use crate::cli::Global;
use crate::kubelet::own;
use crate::node::cni::{CniFacts, PluginChoice};
use crate::node::facts::{ConfDirChoice, NodeFacts, NodeQuery};
use crate::node::identity::BootRecord;
use crate::node::paths::{PRIVATE_CONF_DIR, Root};
use crate::node::settings::Settings;
use crate::node::{foreign, plugins, switch};
use crate::runtime::facts::{ConfigFact, RuntimeFacts};
use crate::runtime::{config, endpoint};
use crate::systemd::continuation;

/// The next step for what `boot` puts in place.
const RUN_BOOT: &str = "run crossfade-bootstrap boot";

/// Everything that is not as it must be; nothing on a node that is switched off.
#[must_use]
pub fn findings(global: &Global, settings: Settings, runtime: RuntimeFacts) -> Vec<Problem> {
    if switch::off(&Root::new(&global.root)).is_some() {
        return Vec::new();
    }
    look(global, settings, &mut Some(runtime)).findings
}

/// Everything that keeps this node from coming up right. The runtime's configuration is read once, because nobody changes it within one
/// try.
pub fn look(global: &Global, settings: Settings, runtime: &mut Option<RuntimeFacts>) -> Obstacles {
    let (root, mut way) = (&Root::new(&global.root), Obstacles::default());
    way.extend(BootRecord::is_of_now(root).err());
    if let Some(unusable) = &settings.unusable {
        way.settings(Some(&unusable.why));
        return way;
    }
    let node = &settings.node;
    if own::speaks(root, node) {
        way.extend(continuation::check(root, node, &node.kubelet.unit).err());
    }
    if node.conf_dir == Mode::Without {
        return way;
    }
    let known = runtime.take().unwrap_or_else(|| RuntimeFacts::configured(root, node));
    let facts =
        NodeFacts::gather(NodeQuery { global, settings, runtime: known, conf_dir: ConfDirChoice::OfAgents });
    match &facts.runtime.config {
        ConfigFact::Unreadable(why) => way.found(why.clone()),
        ConfigFact::NoRuntime => way.found(endpoint::unconfigured(root)),
        ConfigFact::Read(_) | ConfigFact::Told(_) | ConfigFact::NotRead => {}
    }
    way.settings(facts.policy.as_ref().err());
    let cni = CniFacts::gather(&facts, PluginChoice::default());
    if let Err(why) = plugins::find(root, PLUGIN, &cni.plugins.paths()) {
        way.found(Problem::new(why).fix(RUN_BOOT));
    }
    if facts.settings.conf_dir == Mode::Private {
        private(&facts, &mut way);
    } else {
        shared(&facts, &cni, &mut way);
    }
    *runtime = Some(facts.runtime).filter(|runtime| runtime.problem().is_none());
    way
}

fn private(facts: &NodeFacts, way: &mut Obstacles) {
    let root = &facts.root;
    if !root.at(PRIVATE_CONF_DIR).is_dir() {
        way.found(Problem::new(format!("{PRIVATE_CONF_DIR} is missing")).at(PRIVATE_CONF_DIR).fix(RUN_BOOT));
    }
    let dir = root.at(PRIVATE_CONF_DIR);
    match foreign::look(&dir) {
        Err(error) => {
            way.found(
                Problem::new(format!("conf dir {}: {error}", dir.display())).at(dir.display().to_string()),
            );
        }
        Ok(found) if !found.is_empty() => way.found(foreign::describe(&dir, &found)),
        Ok(_) => {}
    }
    let Some(config) = facts.runtime.config() else {
        return;
    };
    if let Some(unit) = &config.unit {
        way.extend(continuation::check(root, &facts.settings, unit).err());
    }
    way.extend(config::is_told(root, config).err());
}

fn shared(facts: &NodeFacts, cni: &CniFacts, way: &mut Obstacles) {
    let conf = facts.dirs.conf_file();
    match &facts.dirs.installed {
        Err(why) => way.found(why.clone()),
        Ok(None) => {
            let what = format!("Crossfade's conf {} is missing", conf.display());
            way.found(Problem::new(what).at(conf.display().to_string()).fix(RUN_BOOT));
        }
        Ok(Some(installed)) if !installed.is_ours => {
            let what = format!("{} is not Crossfade's", conf.display());
            let fix = format!("move it away, then {RUN_BOOT}");
            way.found(Problem::new(what).at(conf.display().to_string()).fix(fix));
        }
        Ok(Some(installed)) => match &cni.confs {
            Err(why) => way.found(why.clone()),
            Ok(dir) => way.extend(facts.runtime.picks().in_the_way(dir, &installed.name)),
        },
    }
}
