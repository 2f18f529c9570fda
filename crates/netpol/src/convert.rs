//! Policies of Calico as policies of another kind, with what became of every field.
//!
//! Calico's policies are brought into one plain form ([`intermediate`]), from which a writer for each target makes objects. What cannot be said is left out
//! and reported, rule by rule. Whether the objects mean what the policies meant is proven afterwards, by what the evaluators say of both.

mod conversion;
mod disjoint;
mod fields;
pub mod intermediate;
mod label_selectors;
mod lowering;
mod objects;
mod pass;
mod pod_addresses;
mod reachable_rules;
pub mod report;
mod rule_traffic;
mod waiver;
pub mod writers;

pub use self::conversion::{
    Conversion, ConversionInput, Moment, MomentKind, Packet, convert_policies, kept_calico_policies,
};
pub use self::lowering::{CalicoPolicies, flatten};
pub use self::objects::{CONVERTED_FROM, ConvertedObjects};
pub use self::waiver::{StaleWaiver, Waiver, Waivers};
