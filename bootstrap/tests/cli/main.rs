//! `crossfade-bootstrap` as a person calls it: the program itself, on trees of files that stand for a node.

mod answers;
mod arguments;
mod change;
mod doctor;
mod image;
mod node;
mod profiles;
mod root;
mod terminal;
mod tree;
mod unit;
