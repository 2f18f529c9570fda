//! The cost of one verb beyond its delegates: through the shim, at the least, and through Multus.

use std::time::Duration;

use anyhow::Result;

use super::Turn;
use super::call::Call;
use super::floor::Floor;
use super::report::{Cost, Report};
use super::statistics::{Pairs, Summary};

/// One verb, measured turn by turn.
pub(super) struct Verb {
    /// The bare calls, one after the other.
    pub(super) bare: Vec<Call>,
    /// The same through the shim.
    pub(super) shim: Call,
    /// The same through Multus, if there is one and it knows the verb.
    pub(super) multus: Option<Call>,
    /// The floor of the call.
    pub(super) floor: Floor,
    through_shim: Pairs,
    through_multus: Pairs,
}

impl Verb {
    pub(super) fn new(bare: Vec<Call>, shim: Call, multus: Option<Call>, floor: Floor) -> Verb {
        Verb { bare, shim, multus, floor, through_shim: Pairs::default(), through_multus: Pairs::default() }
    }

    /// Measures it once: bare and through the shim as `turn` says, then the others.
    pub(super) fn measure(&mut self, turn: Turn) -> Result<()> {
        let bare = &mut self.bare;
        let run = |call: &mut Call| turn.on_core(|| call.run());
        let all = || bare.iter_mut().map(run).sum::<Result<Duration>>();
        let (bare, _) = turn.measure(&mut self.through_shim, all, || self.shim.run())?;
        if let Some(multus) = &mut self.multus {
            turn.take(&mut self.through_multus, bare, run(multus)?);
        }
        self.floor.measure(turn)
    }

    /// Puts it into the report as `what`, and returns what it costs beyond the bare calls.
    pub(super) fn report(&self, what: &str, report: &mut Report) -> Cost {
        self.report_by(what, report, Pairs::difference)
    }

    /// The same of a verb for which the shim calls no plugin: all that it takes.
    pub(super) fn report_whole(&self, what: &str, report: &mut Report) -> Cost {
        self.report_by(what, report, Pairs::through)
    }

    fn report_by(&self, what: &str, report: &mut Report, cost: impl Fn(&Pairs) -> Summary) -> Cost {
        report.pairs(what, &self.through_shim);
        let multus = self.multus.is_some().then(|| cost(&self.through_multus));
        let cost = Cost::new(what, self.floor.whole(), cost(&self.through_shim), multus);
        report.costs.push(cost.clone());
        cost
    }
}
