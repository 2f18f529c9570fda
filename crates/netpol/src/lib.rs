//! The meaning of network policies: which packets each pod may send and receive, by the rules of the CNI that enforces them.
//!
//! Policies of every kind are read into the same form, [`tier::Enforcement`]: ordered tiers of ordered rules, over a finite [`world::World`]
//! of parties. Two sets of policies mean the same in a world if [`verdict`] finds the same answer to every packet between its parties. The
//! world has a party for whatever the policies can tell apart, and [`world`] states what that bound leaves out.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod compare;
pub mod convert;
pub mod engines;
pub mod expression;
pub mod flows;
pub mod gather;
pub mod tier;
pub mod traffic;
pub mod verdict;
pub mod world;
