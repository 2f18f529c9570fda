//! The first line of a record: what an ADD is about to do.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::NetnsId;
use crate::moment::Moment;

/// What an ADD is about to do. The intent holds everything that DEL and CHECK need, so that they need no policy, conf file or agent.
///
/// *Shape*: `{"version":1,"containerID":"3f..","ifname":"eth0","begun":{..},"netns":"/run/netns/..","netnsID":{..},"cniArgs":"K=V",
/// "cniPath":"/opt/cni/bin","legs":[{..}]}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        title = "Crossfade: the first line of an attachment's record",
        description = "What an ADD is about to do. The line is this object behind its checksum and a blank."
    )
)]
pub struct Intent {
    /// The format of the record: [`FORMAT`](super::FORMAT) in what this program writes.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "crate::json::version::V1", description = "Format of the record.")
    )]
    pub version: u32,
    /// `CNI_CONTAINERID`.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// `CNI_IFNAME`, the interface that the runtime asked for.
    pub ifname: String,
    /// When the ADD began.
    #[serde(rename = "begun")]
    pub began_at: Moment,
    /// `CNI_NETNS`.
    pub netns: String,
    /// The identity of that netns, which tells it from another one that is at the same path later.
    #[serde(rename = "netnsID", default, skip_serializing_if = "Option::is_none")]
    pub netns_id: Option<NetnsId>,
    /// The cookie of that netns, which tells it from a later one that was given the same inode number. It is absent in records of earlier
    /// programs and of older kernels, and if the caller may not enter a netns.
    #[serde(rename = "netnsCookie", default, skip_serializing_if = "Option::is_none")]
    pub netns_cookie: Option<u64>,
    /// `CNI_ARGS`, verbatim.
    #[serde(rename = "cniArgs", default, skip_serializing_if = "Option::is_none")]
    pub cni_args: Option<String>,
    /// `CNI_PATH`, verbatim.
    #[serde(rename = "cniPath", default, skip_serializing_if = "Option::is_none")]
    pub cni_path: Option<String>,
    /// The arguments of the route step, if the policy attaches the pod to both networks and the ADD includes that step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteStep>,
    /// The networks, in the order of ADD.
    pub legs: Vec<Leg>,
}

impl Intent {
    /// Whether the netns `found` at some path, with that cookie, is the attachment's own; none if that cannot be decided. `boot_id` is the
    /// present boot. A netns does not outlive its boot, and its inode number may be reused. If both cookies are known, they decide.
    #[must_use]
    pub fn is_its_netns(&self, id: NetnsId, cookie: Option<u64>, boot_id: Option<&str>) -> Option<bool> {
        let then = self.netns_id?;
        let another = self.netns_cookie.zip(cookie).is_some_and(|(then, now)| then != now);
        match boot_id {
            _ if then != id || another => Some(false),
            Some(boot_id) => Some(boot_id == self.began_at.boot_id),
            None => None,
        }
    }
}

/// One network of an attachment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Leg {
    /// The network's own name.
    pub network: String,
    /// The network's profile, as the policy named it.
    pub profile: String,
    /// The file that the network's conf was read from.
    #[serde(rename = "confPath", default, skip_serializing_if = "Option::is_none")]
    pub conf_path: Option<String>,
    /// The network's interface in the pod.
    pub ifname: String,
    /// Whether the runtime got this network's result as the reply to ADD.
    pub primary: bool,
    /// Whether the ADD succeeds even if this network's ADD fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tolerated: bool,
    /// Whether the node gets host routes to the network's addresses.
    #[serde(rename = "hostRoute", default, skip_serializing_if = "std::ops::Not::not")]
    pub host_route: bool,
    /// The resolved conflist.
    #[cfg_attr(feature = "schema", schemars(with = "crate::json::schema::Object"))]
    pub conf: Box<RawValue>,
    /// `runtimeConfig`, restricted to the capabilities that this network's plugins declare and that the network may see.
    #[serde(rename = "runtimeConfig", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::json::schema::Object"))]
    pub runtime_config: Option<Box<RawValue>>,
}

/// The arguments of the route step, with which DEL can undo it.
///
/// *Shape*: `{"first":"eth0","owner":"net1"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RouteStep {
    /// The interface that was attached first.
    pub first: String,
    /// The interface that owns the default route.
    pub owner: String,
}
