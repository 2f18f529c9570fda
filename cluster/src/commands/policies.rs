//! `policies`: what network policies mean, the same in the words of another CNI, and how they are kept and brought back.

mod answer;
pub mod backup;
mod carried;
mod convert;
mod diff;
mod given;
mod progress;
pub mod restore;

pub use answer::ConversionReport;
pub use convert::{check, convert};
pub use diff::{DiffReport, diff};
