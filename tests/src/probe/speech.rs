//! The JSON lines between the library and one agent.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::report::{Count, Kind};

/// A numbered order to an agent; the agent answers each with [`Event::Done`] or [`Event::Refused`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Number of the order, unique within the agent's life.
    pub(crate) id: u64,
    #[serde(flatten)]
    pub(crate) action: Action,
}

/// Orders for an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub(crate) enum Action {
    /// Probe one more address, from the next slot on.
    Peer {
        /// The pod that must answer.
        dst: String,
        /// The probed address.
        address: IpAddr,
        /// The address to send from; the kernel chooses if absent.
        source: Option<IpAddr>,
    },
    /// Probe no address of this pod any more; what is under way to it is excused.
    Forget {
        /// The pod.
        dst: String,
    },
    /// Send probes.
    Run,
    /// Send no probes; done when none is under way.
    Pause,
    /// Count what is sent from now on in this phase.
    Phase {
        /// Its number, as the library counts them.
        index: usize,
    },
    /// Hold every answer back for so long, in milliseconds.
    Hold {
        /// 0: answer at once, as usual.
        ms: u64,
    },
    /// Reset every connection that others hold open to this agent.
    Reset,
    /// Probe no pod any more; what is under way is excused. Go on answering until stdin ends.
    Leave,
}

/// What an agent says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Event {
    /// It answers probes on every address of its netns.
    Ready,
    /// An order is carried out; everything that happened before it has been said.
    Done {
        /// The order's number.
        id: u64,
    },
    /// An order cannot be carried out.
    Refused {
        /// The order's number.
        id: u64,
        error: String,
    },
    /// What was counted since the last time, for one destination in one phase.
    Count {
        /// The phase in which the probes were sent.
        phase: usize,
        /// The probed pod.
        dst: String,
        /// The increments.
        #[serde(flatten)]
        tally: Tally,
    },
    Loss(LossEvent),
    /// Said every five slots at least.
    Alive {
        /// The longest time since the last such line for which the agent was not run although it had something to do.
        stall_ms: u64,
    },
}

/// Counts for one destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Datagrams.
    pub(crate) udp: Count,
    /// Heartbeats.
    pub(crate) tcp: Count,
    /// Connections that broke or could not be opened.
    pub(crate) broken: u64,
}

/// What carries a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A datagram.
    Udp,
    /// The held-open connection.
    Tcp,
}

impl From<Carrier> for Kind {
    fn from(carrier: Carrier) -> Self {
        match carrier {
            Carrier::Udp => Self::Udp,
            Carrier::Tcp => Self::Tcp,
        }
    }
}

impl Tally {
    /// The count of one carrier's probes.
    pub(crate) fn count(&mut self, carrier: Carrier) -> &mut Count {
        match carrier {
            Carrier::Udp => &mut self.udp,
            Carrier::Tcp => &mut self.tcp,
        }
    }
}

/// A loss as the agent knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LossEvent {
    /// The phase in which the probe was sent.
    pub(crate) phase: usize,
    /// Milliseconds since the Unix epoch at sending.
    pub(crate) wall_ms: u64,
    /// `CLOCK_MONOTONIC` at sending.
    pub(crate) monotonic_ns: u64,
    /// The probed pod.
    pub(crate) dst: String,
    /// The probed address.
    pub(crate) address: IpAddr,
    /// What was lost.
    pub(crate) kind: Kind,
    /// Its sequence number.
    pub(crate) seq: u64,
    /// What is known about why.
    pub(crate) cause: String,
}
