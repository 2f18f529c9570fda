//! Checks of addresses, interfaces and the traffic between both networks.

pub(super) mod autodetection;
pub(super) mod cidr;
pub(super) mod dns;
pub(super) mod gateway;
pub(super) mod host_ports;
pub(super) mod masquerade;
pub(super) mod mtu;
pub(super) mod references;
pub(super) mod services;
pub(super) mod surge;
pub(super) mod tunnel;
