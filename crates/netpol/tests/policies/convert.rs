//! Policies of Calico, converted: what is not refused means what it meant.

mod admin;
mod antrea;
mod cilium;
mod kubernetes;
mod turned;
