//! Which pods and nodes reach each other, by packets that agents on them exchange: who probes whom, what became of the packets, and what the losses
//! mean.
//!
//! An agent runs on the host network of a node, or in a pod of one. Each agent probes others; a *hub* among them hands out the targets and adds up the
//! results. Times are milliseconds of the measuring agent's clock; no two clocks are compared.

pub mod class;
pub mod diagnosis;
pub mod dns;
pub mod frame;
pub mod key;
pub mod manifests;
pub mod measurement;
pub mod peer;
pub mod placement;
pub mod report;
pub mod roster;
pub mod sample;
pub mod stream;

pub use class::{Class, Family, Packet, Place, Target};
pub use key::Key;
pub use peer::{Kind, Peer};
pub use report::{Counts, Report, Trouble};
pub use types::policy::Phase;
