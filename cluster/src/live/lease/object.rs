//! The Lease as the API has it.

use serde_json::{Value, json};

use super::{LASTS, NAME};
use crate::live::api::path::NAMESPACE;

/// The fields of a Lease that decisions use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LeaseRecord {
    /// Who holds it; empty if there is no holder.
    pub(super) holder: String,
    /// How often it changed hands.
    pub(super) epoch: u64,
    /// When its holder acquired it, by the holder's clock.
    pub(super) acquired: String,
    /// When its holder renewed it last, by the holder's clock.
    pub(super) renewed_at: String,
}

impl LeaseRecord {
    pub(super) fn read(lease: &Value) -> Self {
        let text = |key: &str| lease["spec"][key].as_str().unwrap_or_default().to_owned();
        Self {
            holder: text("holderIdentity"),
            epoch: lease["spec"]["leaseTransitions"].as_u64().unwrap_or(0),
            acquired: text("acquireTime"),
            renewed_at: text("renewTime"),
        }
    }
}

/// A Lease that is not there yet.
pub(super) fn new_lease(holder: &str, epoch: u64, time: &str) -> Value {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": NAME, "namespace": NAMESPACE }, "spec": {},
    });
    take_over(lease, holder, epoch, time)
}

/// The same Lease in other hands. It keeps its `resourceVersion`, so that it is written only if it has not changed.
pub(super) fn take_over(lease: Value, holder: &str, epoch: u64, time: &str) -> Value {
    let mut lease = renew(lease, time);
    lease["spec"]["holderIdentity"] = holder.into();
    lease["spec"]["leaseTransitions"] = epoch.into();
    lease["spec"]["leaseDurationSeconds"] = LASTS.as_secs().into();
    lease["spec"]["acquireTime"] = time.into();
    lease
}

/// The same Lease, renewed.
pub(super) fn renew(mut lease: Value, time: &str) -> Value {
    lease["spec"]["renewTime"] = time.into();
    lease
}

/// The same Lease without a holder. Its epoch stays: the next holder raises it.
pub(super) fn release(lease: Value, time: &str) -> Value {
    let mut lease = renew(lease, time);
    lease["spec"]["holderIdentity"] = "".into();
    lease
}
