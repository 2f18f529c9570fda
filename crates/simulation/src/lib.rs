//! A cluster in which a run is played: scheduler, kubelets, `watch`, controllers, budgets, people, and everything that goes wrong. It drives the real
//! driver, shows it a view as old as its watches, and asks the invariants of the cluster as it is, which no run sees. Pure: a seed decides everything.
//!
//! | what | where |
//! |---|---|
//! | the cluster as it is | `cluster::truth`, built by `cluster::build` from a snapshot, or drawn by `draw` |
//! | what happens, and when | `history`, with its `event`s and their `queue` |
//! | what the cluster does by itself | the rest of `cluster` |
//! | who drives the run, and what they see | `holder`, with its `lease` and the `delivery` of watches |
//! | what goes wrong | `disturb`, by each `fault` |
//! | who replaces nodes | `pipeline` |
//! | who helps | `person` |
//! | what must hold | `check` |
//! | what many histories have in common | `history::summary` |
//! | how each guard is proven | `tamper` |

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod check;
mod cluster;
mod disturb;
mod draw;
mod history;
mod holder;
mod person;
mod pipeline;
mod tamper;

pub use cluster::truth::Truth;
pub use disturb::fault::{
    CallFault, Fault, Faults, GateFault, HolderFault, MachineFault, NodeFault, ObjectFault, PersonFault,
    PipelineFault,
};
pub use draw::{Choice, Scenario};
pub use history::History;
pub use history::outcome::{Outcome, Tally, Violation};
pub use history::queue::Millis;
pub use history::summary::{BrokenInvariant, Spread, Summary, UnendedRun};
pub use tamper::Tamper;
