//! The witness of calls: a plugin at the end of both networks' chains that notes every call and does nothing else.
//!
//! It is the last of its chain, so an ADD it saw is one that every plugin before it answered; a DEL reaches it first.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::strategy::Network;
use crate::host::fabric::Overlay;
use crate::host::node::Node;
use crate::install::crossfade::BIN_DIR;
use crate::standin::stub::{Call, CallLog, Reply, Stub, StubDir};

/// Its type in a conflist.
const PLUGIN: &str = "lab-witness";

/// The witness of one node.
#[derive(Debug)]
pub struct Witness {
    log: CallLog,
}

/// One call that a network got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessedCall {
    pub network: Network,
    /// `ADD`, `DEL`, ...
    pub verb: String,
    /// Container id and ifname.
    pub attachment: (String, String),
}

/// What one network was asked, over all nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallCounts {
    pub adds: u64,
    /// DELs for attachments of its own.
    pub dels: u64,
    /// DELs for attachments that it never made: another network's, gone astray.
    pub foreign_dels: u64,
    /// Attachments of its own for which it never got a DEL.
    pub owed_dels: u64,
}

impl Witness {
    /// Puts the witness among the plugins of a node.
    ///
    /// # Errors
    /// `lab-stub` is not built, or the node cannot be written to.
    pub fn install(node: &Node) -> Result<Witness> {
        let stubs = StubDir::on(node, BIN_DIR)?;
        stubs.write(PLUGIN, &Stub::answering(Reply::pass()))?;
        Ok(Witness { log: stubs.log() })
    }

    /// The conf of an overlay on a node, with the witness at its end.
    pub fn conflist(overlay: &Overlay, node: &Node) -> Value {
        overlay.conflist_with(node.index(), &[PLUGIN])
    }

    /// Every call so far, in order.
    ///
    /// # Errors
    /// The log is unreadable, or a call was of no network of ours.
    pub fn seen(&self) -> Result<Vec<WitnessedCall>> {
        self.log.calls()?.iter().map(seen).collect()
    }
}

fn seen(call: &Call) -> Result<WitnessedCall> {
    let conf = call.conf()?;
    let name = conf["name"].as_str().unwrap_or_default();
    let network = Network::ALL.into_iter().find(|network| network.name() == name);
    Ok(WitnessedCall {
        network: network.with_context(|| format!("{} of a network called {name:?}", call.brief()))?,
        verb: call.verb().to_owned(),
        attachment: (call.var("CNI_CONTAINERID").to_owned(), call.var("CNI_IFNAME").to_owned()),
    })
}

/// Adds up calls by network.
pub fn add_up(calls: &[WitnessedCall]) -> BTreeMap<Network, CallCounts> {
    let mut sums: BTreeMap<Network, CallCounts> =
        Network::ALL.map(|network| (network, CallCounts::default())).into();
    let mut made = BTreeSet::new();
    let mut ended = BTreeSet::new();
    for call in calls {
        let counts = sums.entry(call.network).or_default();
        let key = (call.network, &call.attachment);
        match call.verb.as_str() {
            "ADD" => {
                counts.adds += 1;
                made.insert(key);
            }
            "DEL" if made.contains(&key) => {
                counts.dels += 1;
                ended.insert(key);
            }
            "DEL" => counts.foreign_dels += 1,
            _ => {}
        }
    }
    for (network, _) in made.difference(&ended) {
        sums.entry(*network).or_default().owed_dels += 1;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(network: Network, verb: &str, id: &str) -> WitnessedCall {
        WitnessedCall { network, verb: verb.to_owned(), attachment: (id.to_owned(), "eth0".to_owned()) }
    }

    #[test]
    fn a_del_counts_for_the_network_that_made_the_attachment() {
        use Network::{New, Old};
        let calls = [
            call(Old, "ADD", "a"),
            call(Old, "ADD", "b"),
            call(Old, "DEL", "a"),
            call(Old, "DEL", "a"),
            call(New, "DEL", "b"),
            call(New, "ADD", "c"),
            call(New, "CHECK", "c"),
        ];
        let sums = add_up(&calls);
        assert_eq!(sums[&Old], CallCounts { adds: 2, dels: 2, foreign_dels: 0, owed_dels: 1 });
        assert_eq!(sums[&New], CallCounts { adds: 1, dels: 0, foreign_dels: 1, owed_dels: 1 });
    }

    #[test]
    fn networks_without_calls_are_there_with_nothing() {
        let sums = add_up(&[]);
        assert_eq!(sums.len(), 2);
        assert!(sums.values().all(|counts| *counts == CallCounts::default()));
    }
}
