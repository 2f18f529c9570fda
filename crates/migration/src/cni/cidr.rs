//! Address ranges of both networks and of everything around them, and where they overlap.

mod claim;
mod claims;
mod free;
mod judge;
mod nested;
mod plan;

pub use claim::{Claim, Usage};
pub(super) use claims::subject;
pub use claims::{Claims, gather};
pub use free::free;
pub(crate) use judge::{
    CIDR_OVERLAP_BLOCK, CIDR_OVERLAP_CLOSED_POOL, CIDR_OVERLAP_EXTERNAL, CIDR_OVERLAP_NODES,
    CIDR_OVERLAP_OWN_BLOCK, CIDR_OVERLAP_POOL, CIDR_OVERLAP_RESERVED, CIDR_OVERLAP_SERVICES,
    CIDR_SAME_ON_NODE,
};
pub use judge::{Clash, clashes};
pub use nested::overlaps;
pub use plan::{Plan, plan};
