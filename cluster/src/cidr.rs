//! Address ranges of both networks and of everything around them, and where they overlap. Pure.

mod claim;
mod claims;
mod free;
mod judge;
mod merged;
mod nested;
mod plan;
mod range;

pub use claim::{Claim, Usage};
pub use claims::{Claims, TUNNELS, gives_addresses, has_node_cidrs, of};
pub use free::free;
pub use judge::{Clash, clashes};
pub use merged::merged;
pub use nested::overlaps;
pub use plan::{Plan, plan};
pub use range::Range;
