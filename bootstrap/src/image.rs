//! The commands of an image build: settings go in ([`bake`]), what must not be in an image goes out ([`seal`]), and the result is held
//! against what a boot will need ([`selftest`]).

pub(crate) mod bake;
pub(crate) mod seal;
pub(crate) mod selftest;
