//! Pods and their owners, as checks need them: a pod's owner, its possible nodes, its requests.

mod agent;
pub mod capacity;
mod evict;
mod group;
mod karpenter;
mod place;
mod plain;
mod pool;
mod release;
mod removal;
mod request;
mod start;

pub use agent::{Agent, agents, look_alikes};
pub use evict::{asks_to_stay, has_empty_dir, is_bound_to_node, is_dns, is_movable, is_ready};
pub use group::{Group, Owner, groups, owner};
pub use karpenter::{Karpenter, Voluntary, budget_patch, budgets_hold, pool_patch};
pub use place::{Place, Refusal, label_command, tolerates, tolerates_everything, toleration_patch};
pub use plain::{
    NetworkRanges, describe_images, has_left, image, is_final, is_plain, lives_in, reported_now,
};
pub use pool::{
    AKS_POOL, CAPI_ANNOTATIONS, CAPI_MACHINE, EKS_NODE_GROUP, FutureNodes, GARDENER_POOL, GKE_POOL,
    KARPENTER_POOL, Platform, Provisioner, STARTUP_TAINTS, cluster_of, futures, platform, pool_in, pool_of,
    provisioner, takes_back,
};
pub use release::{Version, image_tag, release, tag, version};
pub use removal::{OUTDATED, SCHEDULED, going_mark, marks_going};
pub use request::Requests;
pub use start::{OWN_TAINTS, START_TAINT_CILIUM, is_startup, startup_taints};
