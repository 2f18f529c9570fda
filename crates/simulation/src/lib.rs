//! A cluster in which a run is played: scheduler, kubelets, `watch`, controllers, budgets, people, and everything that goes wrong. It drives the real
//! driver, shows it a view as old as its watches, and asks the invariants of the cluster as it is, which no run sees. Pure: a seed decides everything.
//!
//! | what | where |
//! |---|---|
//! | the cluster as it is | `truth`, built by `build` from a snapshot, or drawn by `draw` |
//! | what happens, and when | `event`, `queue`, `history` |
//! | what the cluster does by itself | `kubelet`, `watch`, `machine`, `owners`, `scheduler`, `api` |
//! | who drives the run, and what they see | `holder`, `deliver`, `lease` |
//! | what goes wrong | `fault`, `disturb` |
//! | who helps | `person` |
//! | what must hold | `check` |
//! | what many histories have in common | `summary` |
//! | how each guard is proven | `tamper` |

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod api;
mod build;
mod check;
mod deliver;
mod disturb;
mod draw;
mod event;
mod fault;
mod history;
mod holder;
mod kubelet;
mod lease;
mod machine;
mod outcome;
mod owners;
mod person;
mod port;
mod queue;
mod random;
mod replan;
mod scheduler;
mod summary;
mod tamper;
mod truth;
mod unseen;
mod watch;

pub use draw::{Choice, Scenario};
pub use fault::{Fault, Faults};
pub use history::History;
pub use outcome::{Outcome, Tally, Violation};
pub use queue::Millis;
pub use summary::{BrokenInvariant, Spread, Summary, UnendedRun};
pub use tamper::Tamper;
pub use truth::Truth;
