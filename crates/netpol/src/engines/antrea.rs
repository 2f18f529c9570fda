//! Policies of Antrea: its tiers and priorities, Pass, and its groups.
//!
//! Speaks for the releases 1.13 to 2.4, with the API `crd.antrea.io/v1beta1` and what is the same in its alpha versions. *Source*: Antrea, "Antrea
//! Network Policy CRDs"; antrea-io/antrea, `pkg/apis/crd/v1beta1`.

mod group;
mod manifest;
mod meaning;
mod object;

pub use self::group::{Group, Members, read_group};
pub use self::meaning::{Input, enforcement, mentions};
pub use self::object::{Message, Peer, Policy, Port, Rule, RuleAction, Target, Tier, read_tier};
pub use crate::engines::antrea::manifest::read_policy;
