//! The report of a pass: the journal, status.json, the metrics' file, the Node, and systemd.

use convergence::node::paths::STATUS;
use convergence::watch::decide::WatchDecision;
use convergence::watch::observation::Observation;
use tracing::{info, warn};

use super::Watch;
use crate::node::agent::status_file;
use crate::watch::{apply, textfile};

impl Watch<'_> {
    pub(super) fn report(&mut self, facts: &Observation, mut decision: WatchDecision) {
        decision.happened.splice(0..0, std::mem::take(&mut self.pending));
        for event in &decision.happened {
            let phase = decision.document.phase.map_or("unknown", types::policy::Phase::as_str);
            if event.warning {
                warn!(event = event.reason.as_str(), phase, "{}", event.message);
            } else {
                info!(event = event.reason.as_str(), phase, "{}", event.message);
            }
        }
        let status = apply::report(&self.scope.root.join(STATUS), &status_file::bytes(&decision.document));
        if let Err(error) = status {
            warn!(event = "Failed", "write {STATUS}: {error}");
        }
        if let Some(path) = &facts.node.settings.report.textfile {
            let text = textfile::text(&decision.document, textfile::booted_secs());
            let written = apply::metrics(path, text.as_bytes());
            self.memory.unmeasured = written.err().map(|error| format!("{}: {error}", path.display()));
        }
        let news = self.reported.as_ref() != Some(&decision.report) || !decision.happened.is_empty();
        if let Some(publisher) = self.publisher.as_ref().filter(|_| news) {
            publisher.publish(&decision.report, &decision.happened);
        }
        self.status_line = format!("{}: {}", decision.report.reason.as_str(), decision.report.message);
        self.reported = Some(decision.report);
    }
}
