//! A snapshot of a cluster, as every check reads it: slim types of API objects.
//!
//! Each type reads an object as the API server and `kubectl get -o json` write it, and ignores every field that no check needs. Written back, an
//! object has the same shape, so one reader takes API answers, dumps and snapshot files alike. Frequent kinds ([`Node`], [`Pod`]) have types.
//! Rare kinds, such as the resources of a CNI, stay JSON values ([`Object`]), and the check that needs one reads it.

mod backing;
mod config_map;
mod kind;
mod kinds;
mod meta;
mod node;
mod object;
mod owner;
mod pod;
mod pool;
mod service;
mod snapshot;

pub use backing::{CALICO_METADATA, is_backing};
pub use config_map::{CONFIG_MAPS, is_named};
pub use kind::Kind;
pub use kinds::ALL as ALL_KINDS;
pub use meta::{Labels, Meta, OwnerRef, Text};
pub use node::{Address, Condition, Node, NodeInfo, NodeSpec, NodeStatus, Resources, TUNNELS, Taint, ZONE};
pub use object::Object;
pub use owner::{Requirement, Selector, Workload, WorkloadSpec, WorkloadStatus};
pub use pod::{
    Container, Pod, PodIp, PodSpec, PodStatus, PodTemplate, Port, Requests, Toleration, Variable, Volume,
};
pub use pool::Pool;
pub use service::{
    Budget, BudgetSpec, BudgetStatus, Endpoint, EndpointSlice, Service, ServicePort, ServiceSpec,
};
pub use snapshot::{Cluster, IllegibleObject, Reading, Snapshot, is_system};
