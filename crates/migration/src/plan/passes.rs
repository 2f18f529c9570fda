//! Which passes a cluster needs, and which of them would part pods.

use std::collections::BTreeSet;

use types::policy::Phase;

use super::Bridge;
use super::site::Site;
use crate::cni::reach;
use crate::cni::support::Strategy;
use crate::config::roll;

/// The passes of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passes {
    /// The lowest phase of a node or of something attached to one.
    pub(super) start: Phase,
    /// The phase that each pass brings all nodes to.
    pub(super) targets: Vec<Phase>,
}

/// Pods that a pass would part, unless nodes forward between both networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disconnection<'a> {
    /// The phase that the pass brings nodes to.
    pub(super) target: Phase,
    /// The phase of pods that do not reach others.
    pub(super) client: Phase,
    /// The phase of the others.
    pub(super) server: Phase,
    /// Nodes with pods of a phase that is neither the one which the pass leaves nor the one that it leads to. Empty if the pass itself parts pods.
    pub(super) nodes: Vec<&'a str>,
}

impl Passes {
    /// The passes that bring all nodes to the new network; none if no node says in which phase it is.
    pub(super) fn of(strategy: Strategy, sites: &[Site<'_>]) -> Option<Self> {
        let start = sites.iter().flat_map(Site::phases).min()?;
        let targets = reach::path(start, Phase::New, strategy == Strategy::Bridge);
        Some(Self { start, targets })
    }

    /// The phase that each pass leaves, and the one that it leads to.
    fn steps(&self) -> impl Iterator<Item = (Phase, Phase)> {
        let from = [self.start].into_iter().chain(self.targets.iter().copied());
        from.zip(self.targets.iter().copied())
    }

    /// The first pass that parts pods.
    pub(super) fn disconnection<'a>(&self, sites: &[Site<'a>]) -> Option<Disconnection<'a>> {
        self.steps().enumerate().find_map(|(index, (from, target))| {
            let others = |site: &Site<'_>| -> BTreeSet<Phase> {
                let mut phases = site.extra();
                if index == 0 {
                    // Later, the barrier between passes has brought all nodes to one phase.
                    phases.extend(site.phases());
                }
                phases.retain(|phase| *phase != from && *phase != target);
                phases
            };
            let mut living: BTreeSet<Phase> = sites.iter().flat_map(others).collect();
            living.extend([from, target]);
            let (client, server) = reach::cut(&living)?;
            let nodes = sites.iter().filter(|site| !others(site).is_empty()).map(Site::name).collect();
            let nodes = if reach::cut(&[from, target].into()).is_some() { Vec::new() } else { nodes };
            Some(Disconnection { target, client, server, nodes })
        })
    }
}

/// The bridge of the settings, as a plan has it.
pub(super) fn bridge(settings: &roll::Roll) -> Option<Bridge> {
    settings.bridge.as_ref().map(|bridge| match bridge {
        roll::Bridge::Gate(name) => Bridge::Gate(name.clone()),
        roll::Bridge::Accept(reason) => Bridge::Accepted(reason.clone()),
    })
}
