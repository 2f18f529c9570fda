//! Reports a network's DEL that counts as done although its plugin failed: a warning, and a line in the ledger.

use types::attachment::Attachment;

use super::{DelWithoutNetns, Teardown};
use crate::attachment::delegate::FailedStep;
use crate::attachment::local_cleanup;
use crate::host::boot::{self};
use crate::node::ledger::{self, Line};

impl Teardown<'_> {
    /// Reports a DEL that counts as done because the pod's netns is gone.
    pub(super) fn account_for_missing_netns(&self, attachment: &Attachment, outlived: &DelWithoutNetns) {
        let intent = &attachment.intent;
        let leg = &intent.legs[outlived.leg];
        tracing::warn!(
            container_id = intent.container_id,
            ifname = leg.ifname,
            network = leg.network,
            netns = self.netns,
            code = outlived.error.code,
            error = outlived.error.log,
            "DEL counts as done: its delegate failed on nothing but the pod's netns, which is gone"
        );
        let leftovers =
            local_cleanup::kept_by_plugin(leg.conf.get().as_bytes(), &leg.network, outlived.plugin);
        let (removed, unknown) = match outlived.before {
            FailedStep::Released => (leftovers, Vec::new()),
            FailedStep::Unknown => (Vec::new(), leftovers),
        };
        let result = attachment.progress[outlived.leg].result.as_deref();
        let addresses = match outlived.before {
            FailedStep::Released => Vec::new(),
            FailedStep::Unknown => {
                result.map(|raw| local_cleanup::addresses(raw.get().as_bytes())).unwrap_or_default()
            }
        };
        let reason = format!(
            "the pod's netns is gone, and its delegate failed on nothing else: code {}: {}",
            outlived.error.code, outlived.error.log
        );
        let line = Line { addresses, reason, removed, unknown, ..leg_line(attachment, outlived.leg) };
        ledger::enter(self.session.layout(), &line);
    }
}

/// A line of the ledger about one network of an attachment, without anything removed or left yet.
pub(super) fn leg_line(attachment: &Attachment, leg: usize) -> Line {
    let leg = &attachment.intent.legs[leg];
    Line {
        version: 1,
        wall_secs: boot::now().map(|now| now.wall_secs).unwrap_or_default(),
        container_id: attachment.intent.container_id.clone(),
        ifname: leg.ifname.clone(),
        network: leg.network.clone(),
        addresses: Vec::new(),
        reason: String::new(),
        removed: Vec::new(),
        leftovers: Vec::new(),
        unknown: Vec::new(),
    }
}
