//! The further lines of a record: what happened to the attachment.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{HostRoute, PodInterface};
use crate::moment::Moment;

/// Something that happened to an attachment. `leg` is the index of a network in [`Intent::legs`](super::Intent::legs), counted from 0.
///
/// *Shape*: `{"added":{"leg":0,"result":{..}}}`, one key that names the event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        title = "Crossfade: a further line of an attachment's record",
        description = "What happened to the attachment; leg counts from 0 in the legs of the first line. The line is this object behind its \
            checksum and a blank."
    )
)]
pub enum Event {
    /// A network's ADD is about to run. The first network has no such line, because the intent implies it.
    Started {
        /// The network.
        leg: usize,
    },
    /// A network's ADD succeeded.
    Added {
        /// The network.
        leg: usize,
        /// The result of its ADD, at the version of its conf.
        #[cfg_attr(feature = "schema", schemars(with = "crate::json::schema::Object"))]
        result: Box<RawValue>,
        /// The interfaces of the result that were in the pod; none if the plugin could not read the pod's netns.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        present: Option<Vec<PodInterface>>,
    },
    /// The plugin is about to set host routes to a network's addresses.
    HostRouted {
        /// The network.
        leg: usize,
        /// The routes, one per address.
        routes: Vec<HostRoute>,
    },
    /// The plugin is about to remove the host routes to a network's addresses for good.
    HostUnrouted {
        /// The network.
        leg: usize,
    },
    /// The whole ADD succeeded.
    Attached {},
    /// A network's DEL succeeded.
    Deleted {
        /// The network.
        leg: usize,
    },
    /// A network's DEL has reached a plugin in the middle of its chain, and may have stopped there.
    Stopped {
        /// The network.
        leg: usize,
        /// The plugin at which the next DEL resumes, counted from 0 in the order of ADD.
        plugin: usize,
    },
    /// A DEL failed for the first time.
    DelFailed {
        /// The first failure, on the clock of its boot.
        #[serde(rename = "at")]
        failed_at: Moment,
    },
}
