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
pub use conduct::{Preview, Wanted, ask, conduct, preview, watch_status};
pub use failure::Failed;
pub use health::Blind;
pub use lease::{Held, Patience, Standing, Untaken};
pub use plans::{SavedPlan, last_run, save_plan, saved_plan};
pub use policies::{
    AllFailed, Applied, Became, PolicyEvent, Scope, Versions, Written, apply, carry_out, gather_policies,
};
pub use progress::Event;
pub use rights::{ACTING, Rule};
pub use session::{Session, Settings};
pub use store::{Journal, Recorded, RecordedVerdict, Store, Stored, Unreadable, Verdicts};
pub use take::take;
