//! Whether this node can come up right, as far as that can be told before kubelet runs. Agents need kubelet, so none is waited for.

use std::path::Path;

use shim::layout::{CONF_FILE, PLUGIN};
use shim::policy_file;
use types::node::Mode;
use types::problem::Problem;

use crate::change::obstacles::Obstacles;
use crate::cli::Global;
use crate::kubelet::own;
use crate::node::directories::Installed;
use crate::node::directories::named;
use crate::node::directories::policy_file;
use crate::node::directories::usual_dir;
use crate::node::foreign;
use crate::node::identity::Booted;
use crate::node::paths::PRIVATE_CONF_DIR;
use crate::node::paths::Root;
use crate::node::plugins;
use crate::node::plugins::configured_dirs;
use crate::node::rooted;
use crate::node::settings;
use crate::node::switch;
use crate::runtime::config;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::endpoint;
use crate::runtime::picks::Picks;
use crate::systemd::continuation;

/// Everything that is not as it must be; nothing on a node that is switched off.
#[must_use]
pub fn findings(global: &Global, root: &Root) -> Vec<Problem> {
    if switch::off(root).is_some() {
        return Vec::new();
    }
    look(global, root, &mut None).findings
}

/// Everything that is not as it must be. The runtime's configuration is read once: nobody changes it in the course of a try.
pub fn look(global: &Global, root: &Root, runtime: &mut Option<Option<RuntimeConfig>>) -> Obstacles {
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
    if runtime.is_none() {
        match RuntimeConfig::gather(root, &node) {
            Ok(config) => *runtime = Some(config),
            Err(why) => way.found(why),
        }
    }
    let config = runtime.as_ref().and_then(Option::as_ref);
    if matches!(runtime, Some(None)) {
        way.found(endpoint::unconfigured(root));
    }
    let usual = root.at(usual_dir(config));
    let installed = Installed::read(&root.inside(&usual.join(CONF_FILE)));
    let layout = named(global, installed.as_ref().ok().and_then(Option::as_ref));
    let policy = policy_file::load(&policy_file(root, &layout)).map_err(|e| e.to_string());
    way.settings(policy.as_ref().err());
    let dirs: Vec<_> = configured_dirs(&node, config).iter().map(|dir| root.at(dir)).collect();
    if let Err(why) = plugins::find(root, PLUGIN, &dirs) {
        way.found(format!("{why}; run crossfade-bootstrap boot"));
    }
    if node.conf_dir == Mode::Private {
        private(root, config, &mut way);
    } else {
        shared((root, config), &usual, &installed, &mut way);
    }
    way
}

fn private(root: &Root, config: Option<&RuntimeConfig>, way: &mut Obstacles) {
    if !root.at(PRIVATE_CONF_DIR).is_dir() {
        way.found(format!("{PRIVATE_CONF_DIR} is missing; run crossfade-bootstrap boot"));
    }
    let dir = root.at(PRIVATE_CONF_DIR);
    match foreign::look(&dir) {
        Err(error) => way.found(format!("conf dir {}: {error}", dir.display())),
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

fn shared(
    (root, config): (&Root, Option<&RuntimeConfig>),
    usual: &Path,
    installed: &Result<Option<Installed>, String>,
    way: &mut Obstacles,
) {
    match installed {
        Err(why) => way.found(why.clone()),
        Ok(None) => {
            way.found(format!(
                "Crossfade's conf {} is missing; run crossfade-bootstrap boot",
                usual.join(CONF_FILE).display()
            ));
        }
        Ok(Some(installed)) if !installed.is_ours => way.found(format!(
            "{} is not Crossfade's; move it away, then run crossfade-bootstrap boot",
            usual.join(CONF_FILE).display()
        )),
        Ok(Some(installed)) => match rooted::conf_dir(root, usual) {
            Err(error) => way.found(format!("conf dir {}: {error}", usual.display())),
            Ok(dir) => way.extend(Picks::of(config).in_the_way(&dir, &installed.name)),
        },
    }
}
