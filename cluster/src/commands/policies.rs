//! `policies`: what network policies mean, and the same in the words of another CNI.

mod answer;
mod convert;
mod diff;
mod given;

pub use answer::Turned;
pub use convert::{check, convert};
pub use diff::{Compared, diff};
