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
pub use judge::{Clash, OverlapCode, clashes};
pub use nested::overlaps;
pub use plan::{Plan, plan};
