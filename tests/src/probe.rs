//! The directed probe mesh: does every pod still reach every other one, ten times a second?
//!
//! One `lab-probe` process per pod runs inside the pod's netns. It probes every other pod of the mesh at 10 Hz over
//! UDP and over one TCP connection that is held open, and answers the probes of the others. The library speaks JSON
//! lines with it over its stdin and stdout; [`Mesh`] is the only thing a test needs.
//!
//! What counts, and how:
//!
//! - A **loss** is a probe that was sent and not answered within [`ANSWER_WITHIN_MS`], whatever came afterwards, or
//!   that the kernel refused to send. An answer counts only if it comes from the probed address and from the agent of
//!   the right pod: an address that another pod took over does not answer for it.
//! - Probes on the wire are UDP datagrams from a source port that changes every second, so that new flows are proven
//!   and not only those that a connection tracker knows, and heartbeats on a TCP connection. A connection that cannot
//!   be opened, is reset, is closed, or leaves a heartbeat unanswered is **broken**: a loss of its own, beside the
//!   heartbeats that were under way on it. It is opened again at once.
//! - **late** is a probe that was due and never sent, because this machine did not run the agent for a whole slot of
//!   100 ms. It is not a loss, and it is not hidden either. An answer that reached the socket in time counts as
//!   answered, even if the agent came to read it later.
//! - **excused** is a probe to or from a pod that was retired on purpose ([`Mesh::retire`]) while it was under way.
//!   Nothing else is ever excused.
//! - A probe belongs to the phase in which it was sent. sent = answered + lost + excused, once the mesh is at rest.
//! - An agent that dies or falls silent is an error of [`Mesh::check`] and of every later call, never a quiet gap.

use std::net::IpAddr;

pub mod agent;
mod asking;
pub(crate) mod clock;
mod echo;
mod flight;
mod held;
mod ledger;
pub mod mesh;
mod prober;
mod reactor;
pub mod report;
mod session;
mod speech;
mod wire;

pub use mesh::{Gauge, Mesh};
pub use report::{Count, Kind, Loss, Pair, PhaseReport, Progress, Report};

/// The UDP and TCP port on which every agent answers.
pub const PORT: u16 = 7117;

/// Time between two probes of one directed pair, in milliseconds.
pub const EVERY_MS: u64 = 100;

/// An answer later than this after the probe was sent, in milliseconds, is a loss.
pub const ANSWER_WITHIN_MS: u64 = 2000;

/// One directed probe beside the all-to-all ones: from `src` to one address of `dst`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Name of the probing pod.
    pub src: String,
    /// Name of the pod that is expected to answer.
    pub dst: String,
    /// The probed address, one of `dst`'s.
    pub address: IpAddr,
    /// Address of `src` to send from; the kernel chooses if absent.
    pub source: Option<IpAddr>,
}
