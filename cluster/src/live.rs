//! A live cluster, with the operator's own credential. The only room with kube and tokio.
//!
//! [`gather`] lists what checks read, page by page. A [`Session`] works for one run: it watches the cluster, holds the Lease, and carries out what was
//! decided, each act once.

mod api;
mod conduct;
mod finish;
mod interrupt;
mod lease;
mod permit;
mod policies;
mod probe;
mod rights;
mod session;
mod snapshot;
mod store;

pub(crate) use api::connect::cluster_name;
pub(crate) use conduct::{Preview, RunOptions, ask, conduct, preview, watch_status};
pub(crate) use finish::{
    Approval, BackupFiles, FinishAct, FinishInputs, FinishRequest, FinishView, apply_finish, view_finish,
};
pub use lease::{AcquireError, Patience};
pub(crate) use permit::{permit, release};
pub use policies::apply;
pub(crate) use policies::{
    ApplyReport, PolicyEvent, Scope, WriteOutcome, WriteReport, apply_steps, gather_policies,
};
pub(crate) use probe::{Occasion, ProbeOptions, Probed, preview_agents, probe, remove_agents};
pub use rights::{ACTING, MANAGING, PERMITTING, PROBING, READING_REPORTS, Rule, SEEING_DRIFT};
pub use session::calls::Outcome;
pub use session::{Session, Settings};
pub(crate) use snapshot::{Event, gather};
pub use store::Journal;
pub(crate) use store::history::{History, history};
pub(crate) use store::saved_plans::{last_run, save_plan, saved_plan};
