//! `crossfade-bootstrap` as a person calls it: the program itself, on trees of files that stand for a node.

mod answers;
mod arguments;
mod attachments;
mod bake;
mod boot;
mod doctor;
mod explain;
mod final_image;
mod gate;
mod install;
mod kubelet;
mod mode;
mod node;
mod pod;
mod policy;
mod refusals;
mod render;
mod root;
mod seal;
mod selftest;
mod sweep;
mod systemd;
mod terminal;
mod tree;
mod uninstall;
mod watch;
