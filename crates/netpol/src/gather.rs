//! The policies of a snapshot: the [`world::Cluster`](super::world::Cluster) in which they are compared, and the policies of one engine.
//!
//! Nothing is left out in silence: an object that no reader takes is [`Unread`], with the reason, and all others are read. Whether a comparison
//! without it says anything is up to the caller. So is whether the snapshot has all objects of the kinds that matter, which are [`CLUSTER_KINDS`] and
//! [`Engine::kinds`]: a kind that was not read has no objects here.

mod antrea;
mod calico;
mod catalog;
mod cluster;
mod engine;
mod node;
mod objects;
mod policies;
mod reference;
mod shape;

pub use self::antrea::Antrea;
pub use self::calico::{Calico, PartialPolicy};
pub use self::catalog::Catalog;
pub use self::cluster::{CLUSTER_KINDS, cluster};
pub use self::engine::{ADMIN, Engine};
pub use self::policies::{EnginePolicies, Policies};
pub use self::reference::{Reference, UnreadObject};
