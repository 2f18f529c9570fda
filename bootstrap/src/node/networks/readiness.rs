//! The readiness of a policy's networks to attach a pod on this node now, gathered once. `watch` follows the same over time
//! ([`crate::watch`]); a command asks here.

use std::path::{Path, PathBuf};

use shim::conflist::Unloadable;
use types::policy::{Policy, Probe, Side};

use crate::host::root::Root;
use crate::node::conf::rooted;
use crate::node::networks::probe;
use crate::node::networks::{NetworkConf, needed};
use shim::layout::PROBED;

/// One network of a policy, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkReadiness {
    /// Whether the network is the policy's `old` or `new`.
    pub side: Side,
    /// The name of the network's profile.
    pub profile: String,
    /// Whether a pod may get the network now, by the policy's `attach` or one of its rules.
    pub needed: bool,
    /// The network's own name, or why its conf cannot be loaded.
    pub conf: Result<String, ConfError>,
    /// Why plugins of the network cannot be used, one line for each.
    pub missing: Vec<String>,
    /// What its probes say: the first that does not hold, in words.
    pub probes: Result<(), String>,
    /// The file of `watch` that its pods wait for, and whether the file is there.
    pub waits_for: Option<(PathBuf, bool)>,
}

/// Why a network has no conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfError {
    /// No file of it is there yet.
    Absent(String),
    /// The file cannot be used.
    Broken(String),
}

impl NetworkReadiness {
    /// Why a pod could not get the network now; `None` if it could.
    #[must_use]
    pub fn unready_reason(&self) -> Option<String> {
        match (&self.conf, self.missing.first(), &self.probes) {
            (Err(ConfError::Absent(why) | ConfError::Broken(why)), _, _) => Some(why.clone()),
            (Ok(_), Some(why), _) => Some(why.clone()),
            (Ok(_), None, Err(why)) => Some(why.clone()),
            (Ok(_), None, Ok(())) => match &self.waits_for {
                Some((file, false)) => Some(format!("{} is missing, which watch keeps", file.display())),
                Some((_, true)) | None => None,
            },
        }
    }
}

/// Gathers the readiness of all networks of a policy, without their plugins, because the runtime's directories are not known.
#[must_use]
pub fn without_plugins(root: &Root, policy: &Policy) -> Vec<NetworkReadiness> {
    let confs = policy.networks().map(|(side, network)| NetworkConf {
        side,
        conf: rooted::conf(root, &network.conf),
        missing: Vec::new(),
    });
    gather(policy, &confs.collect::<Vec<_>>(), &root.at(PROBED))
}

/// Gathers the readiness of all networks of a policy, whose confs are `confs`. `probed` is the directory of the files that `watch` keeps.
#[must_use]
pub fn gather(policy: &Policy, confs: &[NetworkConf], probed: &Path) -> Vec<NetworkReadiness> {
    let needed = needed(policy);
    let readiness = |(side, network): (Side, &types::policy::Network)| {
        let conf = confs.iter().find(|conf| conf.side == side)?;
        let file = probed.join(side.as_str());
        let waits = network.probes().iter().any(|probe| matches!(probe, Probe::File(path) if *path == file));
        Some(NetworkReadiness {
            side,
            profile: network.profile.clone(),
            needed: needed.contains(&side),
            conf: match &conf.conf {
                Ok((conf, _)) => Ok(conf.name.clone()),
                Err(why @ Unloadable::Absent(_)) => Err(ConfError::Absent(why.to_string())),
                Err(why) => Err(ConfError::Broken(why.to_string())),
            },
            missing: conf.missing.clone(),
            probes: probe::ask(network, &file).all,
            waits_for: waits.then(|| (file.clone(), file.is_file())),
        })
    };
    policy.networks().filter_map(readiness).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_that_is_missing_is_the_reason() {
        let ready = NetworkReadiness {
            side: Side::New,
            profile: "calico".into(),
            needed: true,
            conf: Ok("n".into()),
            missing: Vec::new(),
            probes: Ok(()),
            waits_for: Some(("/run/crossfade/probe/new".into(), true)),
        };
        assert_eq!(ready.unready_reason(), None);
        let waits = NetworkReadiness { waits_for: Some(("/p".into(), false)), ..ready.clone() };
        assert_eq!(waits.unready_reason().as_deref(), Some("/p is missing, which watch keeps"));
        let red = NetworkReadiness { probes: Err("no answer".into()), ..waits };
        assert_eq!(red.unready_reason().as_deref(), Some("no answer"));
        let lacks = NetworkReadiness { missing: vec!["plugin \"x\"".into()], ..red };
        assert_eq!(lacks.unready_reason().as_deref(), Some("plugin \"x\""));
        for conf in [ConfError::Absent("why".into()), ConfError::Broken("why".into())] {
            let none = NetworkReadiness { conf: Err(conf), ..lacks.clone() };
            assert_eq!(none.unready_reason().as_deref(), Some("why"));
        }
    }
}
