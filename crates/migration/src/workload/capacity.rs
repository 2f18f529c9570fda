//! The requests of pods, the capacity of nodes, and whether pods still find room when nodes are taken from them.

mod quantity;
mod request;
mod room;

pub use request::{RESOURCES, Request, Resource, tenths};
pub use room::{Place, Room, Shortage, State, barring};
