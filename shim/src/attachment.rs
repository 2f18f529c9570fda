//! One attachment: the networks that it gets, their confs and delegates, its routes and what remains of it.

pub mod conflist;
pub mod delegate;
pub mod hostroute;
pub mod local_cleanup;
pub mod owner;
pub mod plan;
pub mod pod_interfaces;
pub mod route;
