//! A live cluster, with the operator's own credential. The only room with kube and tokio.
//!
//! [`take`] lists what checks read, page by page. A [`Session`] is a run's eyes and hands: it watches the cluster, holds the Lease, and carries out what was
//! decided, each act once.

mod act;
mod answer;
mod api_server;
mod call;
mod clock;
mod conduct;
mod connect;
mod error;
mod failure;
mod gates;
mod health;
#[cfg(test)]
mod in_tests;
mod interrupt;
mod known;
mod lease;
mod list;
mod pace;
mod path;
mod plans;
mod policies;
mod progress;
mod rights;
mod session;
mod store;
mod take;
mod told;
mod unseen;
mod warning;
mod watch;

pub use act::Outcome;
pub use conduct::{Preview, RunOptions, ask, conduct, preview, watch_status};
pub use failure::Failure;
pub use health::BlindSpot;
pub use lease::{AcquireError, HeldLease, Patience, Standing};
pub use plans::{SavedPlan, last_run, save_plan, saved_plan};
pub use policies::{
    ApplyReport, Failures, PolicyEvent, Scope, Versions, WriteOutcome, WriteReport, apply, carry_out,
    gather_policies,
};
pub use progress::Event;
pub use rights::{ACTING, Rule};
pub use session::{Session, Settings};
pub use store::{Journal, RecordOutcome, RecordedVerdict, Store, StoredRun, UnreadableRun, Verdicts};
pub use take::gather;
