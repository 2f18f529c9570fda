//! Policies of Calico as policies of another kind, with what became of every field.
//!
//! Calico's policies are brought into one plain form ([`plain`]), from which a writer for each target makes objects. What cannot be said is left out
//! and reported, rule by rule. Whether the objects mean what the policies meant is proven afterwards, by what the evaluators say of both.

mod addresses;
pub mod admin;
pub mod antrea;
mod apart;
mod before;
mod block;
mod choose;
pub mod cilium;
mod draft;
mod fields;
mod flatten;
mod kinds;
pub mod kubernetes;
mod passing;
pub mod plain;
mod port;
pub mod report;
mod settle;
mod target;
mod turn;
mod waiver;
mod written;

pub use self::before::kept_calico_policies;
pub use self::draft::CONVERTED_FROM;
pub use self::flatten::{CalicoPolicies, flattened};
pub use self::target::Target;
pub use self::turn::{Conversion, ConversionInput, Moment, MomentKind, Packet, convert_policies};
pub use self::waiver::{StaleWaiver, Waiver, Waivers};
pub use self::written::ConvertedObjects;
