//! Crossfade on a node, as its package and a person would bring it there: files, then commands.

use anyhow::Result;
use serde_json::{Value, json};

use super::cluster::Host;
use super::strategy::{Arrival, Phase};
use crate::host::deadline::{LIMIT, until};
use crate::install::crossfade::POLICY;
use crate::install::package;

/// Namespace of the pods that a rule of the policy puts on the new network in every phase.
pub const SCOUTS: &str = "scouts";

/// Boots a node from an image that has Crossfade: what its units run, in their order, with the runtime between them. Returns when the
/// runtime has a network; `watch` runs from then on.
///
/// # Errors
/// What `crossfade-bootstrap` says, or the runtime.
pub fn boot(host: &mut Host, networks: &Value) -> Result<()> {
    package::bake(&host.node, &host.containerd)?;
    write_policy(host, &policy(networks))?;
    bootstrap(host, &["unit", "boot"])?;
    bootstrap(host, &["unit", "render", "--runtime"])?;
    host.containerd.start_with(&package::told_config(&host.node)?);
    host.containerd.begin()?;
    let mut watch = host.node.command(package::program());
    watch.args(["unit", "watch"]);
    host.watch = Some(host.node.background("watch", &watch)?);
    until_noticed(host)
}

/// Installs Crossfade under running pods, with a policy that changes nothing yet, and returns when the runtime has noticed.
///
/// # Errors
/// What `crossfade-bootstrap install` says.
pub fn install(host: &Host, networks: &Value) -> Result<()> {
    package::unpack(&host.node)?;
    write_policy(host, &policy(networks))?;
    install_conf(host)?;
    until_noticed(host)
}

fn until_noticed(host: &Host) -> Result<()> {
    host.containerd.until_uses("crossfade")
}

/// Once the new network's agents are there: a rule that sends scouts to it, and a conf that declares its capabilities.
///
/// # Errors
/// What `crossfade-bootstrap install` says; in private mode `watch` writes the conf.
pub fn admit_new(host: &Host, networks: &Value, arrival: Arrival) -> Result<()> {
    let mut policy = policy(networks);
    policy["rules"] = json!([{ "namespace": SCOUTS, "attach": "new" }]);
    write_policy(host, &policy)?;
    match arrival {
        Arrival::Installed => install_conf(host),
        Arrival::Booted => Ok(()),
    }
}

/// Both networks, and nothing that is not as it was.
fn policy(networks: &Value) -> Value {
    json!({ "version": 1, "networks": networks, "attach": "old", "unrecorded": "old" })
}

fn write_policy(host: &Host, policy: &Value) -> Result<()> {
    host.node.write(POLICY, serde_json::to_vec_pretty(policy)?)
}

/// As the DaemonSet does, it tries again where a busy runtime did not answer in time.
fn install_conf(host: &Host) -> Result<()> {
    let endpoint = endpoint(host);
    let install = || bootstrap(host, &["install", "--runtime-endpoint", &endpoint]);
    until("crossfade-bootstrap install", LIMIT, || match install() {
        Err(error) if format!("{error:#}").contains("no answer within") => Ok(None),
        result => result.map(Some),
    })
}

/// Flips a node's policy; new pods follow it, running ones do not notice.
///
/// # Errors
/// What `crossfade-bootstrap policy set` says.
pub fn set_phase(host: &Host, phase: Phase) -> Result<()> {
    // A lab's node lies in memory and has no reboot, so a flip that would not outlive one is what is asked for.
    bootstrap(host, &["policy", "set", "--runtime", phase.as_str()])
}

/// Takes the old network out of a node's policy, once everything is on the new one.
///
/// # Errors
/// The node cannot be written to, or what `crossfade-bootstrap policy check` says.
pub fn forget_old(host: &Host, networks: &Value) -> Result<()> {
    let policy = json!({
        "version": 1,
        "networks": { "new": networks["new"] },
        "attach": "new",
    });
    write_policy(host, &policy)?;
    bootstrap(host, &["policy", "check"])
}

/// Closes what the runtime no longer lists.
///
/// # Errors
/// What `crossfade-bootstrap unit sweep` says.
pub fn sweep(host: &Host) -> Result<()> {
    let endpoint = endpoint(host);
    bootstrap(host, &["unit", "sweep", "--runtime-endpoint", &endpoint])
}

fn bootstrap(host: &Host, arguments: &[&str]) -> Result<()> {
    package::run(&host.node, arguments).map(drop)
}

fn endpoint(host: &Host) -> String {
    format!("unix://{}", host.containerd.socket().display())
}
