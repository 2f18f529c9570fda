//! Changes carried out: the executor, and what it needs. The changes themselves are data ([`convergence::change`]).

mod executor;
mod files;
mod inside;
pub mod inventory;
pub mod journal;
pub mod outcome;
mod settle;
#[cfg(test)]
pub(crate) mod shape;

pub use self::executor::{ChangeHandler, DefaultHandler, Executor};
pub use self::files::{OPEN_DIR, read_with_mode, remove, write};
pub use self::settle::settle;
