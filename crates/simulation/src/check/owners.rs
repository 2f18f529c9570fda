//! R9 of workloads: a node is not done on what a silent watch has not brought.

use crate::history::History;
use crate::history::event::Flight;
use crate::history::queue::SECOND;
use crate::holder::STALE;

impl History {
    /// A workload that the run has touched, and that misses pods for longer than a watch may be silent, keeps nodes from being done.
    pub(super) fn check_owners(&mut self, flight: &Flight, index: usize) {
        let Some(run) = self.truth.record.run.clone() else { return };
        if self.truth.lease.was_forced {
            return;
        }
        let touched = &self.holders[flight.holder].touched;
        let wrong = touched.iter().find_map(|(workload, touched)| {
            let controller = &self.truth.workloads[*workload];
            let (since, most) = controller.short.filter(|(since, _)| since + STALE + SECOND < flight.sent)?;
            // A node that was taken in the same moment may have pods of workloads that the run did not know before.
            if touched.since > flight.decided_at {
                return None;
            }
            let desired = controller.status.desired.min(touched.desired);
            let lacks = most.saturating_add(run.missing_replicas(&controller.blueprint.owner)) < desired;
            let name = &self.truth.nodes[index].name;
            let owner = &controller.blueprint.owner.name;
            lacks.then(|| {
                format!("{name} counts as done or may go, and {owner} misses pods since {} s", since / SECOND)
            })
        });
        wrong.into_iter().for_each(|why| self.broken("R9", why));
    }
}
