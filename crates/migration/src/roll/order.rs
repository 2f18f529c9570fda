//! The order of a plan's nodes, to be asked for single ones.

use std::collections::{HashMap, HashSet};

use super::world::Node;
use crate::plan::Plan;

/// A plan, and where in it each node is. It is made once for a run: plans of large clusters are long.
#[derive(Debug)]
pub struct Order<'a> {
    /// The plan.
    pub plan: &'a Plan,
    places: HashMap<&'a str, (Place, &'a str)>,
    left_out: HashSet<&'a str>,
}

/// Where a node is in the plan; the first place comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which wave it is of, from 0.
    pub wave: usize,
    /// Which of the wave's nodes it is, from 0.
    pub index: usize,
}

impl<'a> Order<'a> {
    /// The order of a plan.
    #[must_use]
    pub fn of(plan: &'a Plan) -> Self {
        let of_wave = |(wave, of): (usize, &'a crate::plan::Wave)| {
            let place = move |(position, planned): (usize, &'a crate::plan::PlannedNode)| {
                (&*planned.name, (Place { wave, index: position }, &*planned.uid))
            };
            of.nodes.iter().enumerate().map(place)
        };
        let places = plan.waves.iter().enumerate().flat_map(of_wave).collect();
        let left_out = plan.left_out.iter().map(|out| &*out.name).collect();
        Self { plan, places, left_out }
    }

    /// Where a node is in the plan; none if it joined later, also under the name of another one.
    #[must_use]
    pub fn place(&self, name: &str, node: &Node) -> Option<Place> {
        let (place, uid) = self.places.get(name)?;
        (**uid == *node.uid).then_some(*place)
    }

    /// Whether no pass touches the node.
    #[must_use]
    pub fn leaves_out(&self, name: &str) -> bool {
        self.left_out.contains(name)
    }
}
