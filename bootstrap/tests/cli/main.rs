//! `crossfade-bootstrap` as a person calls it: the program itself, on trees of files that stand for a node.

mod boot;
mod gate;
mod install;
mod node;
mod policy;
mod refusals;
mod sweep;
mod tree;
mod uninstall;
