//! The agents of flannel (old) and Cilium (new) as far as a machine of an image sees them: what their profiles ask, and their confs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Machine;
use super::furniture::{AGENTS_DIR, Network};
use crate::standin::agent::{Answer, Conf, HttpHealth, Spec, UnixHealth, Way};

/// Has a machine run the agent of a network, with this conflist for its conf. It waits at its gate first, unless it is `open`.
///
/// # Errors
/// What the file system says.
pub fn install(machine: &Machine, network: Network, conflist: &Value, open: bool) -> Result<()> {
    let spec = Spec {
        name: network.name().to_owned(),
        conf: Some(Conf { path: conf(network), content: conflist.to_string(), way: Way::Rename }),
        ..match network {
            Network::Old => Spec::default(),
            Network::New => Spec {
                unix: Some(UnixHealth { path: "/var/run/cilium/cilium.sock".into(), answer: Answer::Ready }),
                http: Some(HttpHealth {
                    address: "127.0.0.1:9879".parse().context("an address")?,
                    answer: Answer::Ready,
                    tls: false,
                    header: Some("brief: true".into()),
                }),
                ..Spec::default()
            },
        }
    };
    let file = format!("/etc/lab/agents/{}.json", network.name());
    machine.write(&file, format!("{}\n", serde_json::to_string(&spec).context("a spec")?))?;
    let gate = if open {
        String::new()
    } else {
        format!("until [ -e {} ]; do sleep 0.02; done; ", network.gate().display())
    };
    let ready = match network {
        Network::Old => "mkdir -p /run/flannel; echo FLANNEL_MTU=1500 >/run/flannel/subnet.env; ",
        Network::New => "",
    };
    // Its stdin stays open: an agent ends with its stdin.
    let unit = format!(
        "[Unit]\nDescription=Agent of the {name} network (stand-in)\n[Service]\nExecStartPre=mkdir -p {AGENTS_DIR}\n\
         ExecStart=sh -c '{gate}{ready}(cat {file}; exec sleep infinity) | exec lab-agent'\n",
        name = network.name()
    );
    machine.unit(&network.unit(), &unit)
}

/// The file that the agent of a network writes, by its profile.
pub fn conf(network: Network) -> PathBuf {
    Path::new(AGENTS_DIR).join(match network {
        Network::Old => "10-flannel.conflist",
        Network::New => "05-cilium.conflist",
    })
}
