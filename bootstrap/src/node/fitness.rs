//! Whether this node can come up right, as far as that can be told before kubelet runs. Agents need kubelet, so none is waited for.

use shim::layout::{PACKAGED_PLUGIN, PLUGIN};
use types::node::Mode;
use types::problem::Problem;

use crate::change::obstacles::Obstacles;
use crate::cli::Global;
use crate::kubelet::own;
use crate::node::facts::{ConfDirChoice, NodeFacts, NodeQuery};
use crate::node::identity::Booted;
use crate::node::paths::{PRIVATE_CONF_DIR, Root};
use crate::node::policy::file::PolicyRule;
use crate::node::{foreign, plugins, settings, switch};
use crate::runtime::config::{self, RuntimeConfig};
use crate::runtime::endpoint;
use crate::runtime::facts::RuntimeFacts;
use crate::systemd::continuation;

/// The next step for what `boot` puts in place.
const RUN_BOOT: &str = "run crossfade-bootstrap boot";

/// Everything that is not as it must be; nothing on a node that is switched off.
#[must_use]
pub fn findings(global: &Global, root: &Root) -> Vec<Problem> {
    if switch::off(root).is_some() {
        return Vec::new();
    }
    look(global, root, &mut None).findings
}

/// Everything that keeps this node from coming up right. The runtime's configuration is read once, because nobody changes it within one
/// try.
pub fn look(global: &Global, root: &Root, runtime: &mut Option<RuntimeFacts>) -> Obstacles {
    let mut way = Obstacles::default();
    way.extend(Booted::is_of_now(root).err());
    let node = match settings::load(root) {
        Ok(node) => node,
        Err(why) => {
            way.settings(Some(&why));
            return way;
        }
    };
    if own::speaks(root, &node) {
        way.extend(continuation::check(root, &node.kubelet.unit).err());
    }
    if node.conf_dir == Mode::Without {
        return way;
    }
    let known = runtime.take().unwrap_or_else(|| RuntimeFacts::configured(root, &node));
    match &known.config {
        Err(why) => way.found(why.clone()),
        Ok(None) => way.found(endpoint::unconfigured(root)),
        Ok(Some(_)) => {}
    }
    let facts = NodeFacts::gather(NodeQuery {
        global,
        settings: node,
        runtime: known,
        conf_dir: ConfDirChoice::OfAgents,
        bin_dirs: &[],
        plugin: &root.at(PACKAGED_PLUGIN),
        policy: PolicyRule::Valid,
    });
    way.settings(facts.policy.as_ref().err());
    if let Err(why) = plugins::find(root, PLUGIN, &facts.plugins.paths()) {
        way.found(Problem::new(why).fix(RUN_BOOT));
    }
    if facts.settings.conf_dir == Mode::Private {
        private(root, facts.runtime.config(), &mut way);
    } else {
        shared(&facts, &mut way);
    }
    *runtime = Some(facts.runtime).filter(|runtime| runtime.config.is_ok());
    way
}

fn private(root: &Root, config: Option<&RuntimeConfig>, way: &mut Obstacles) {
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
    let Some(config) = config else {
        return;
    };
    if let Some(unit) = &config.unit {
        way.extend(continuation::check(root, unit).err());
    }
    way.extend(config::is_told(root, config).err());
}

fn shared(facts: &NodeFacts, way: &mut Obstacles) {
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
        Ok(Some(installed)) => match &facts.confs {
            Err(why) => way.found(why.clone()),
            Ok(dir) => way.extend(facts.runtime.picks().in_the_way(dir, &installed.name)),
        },
    }
}
