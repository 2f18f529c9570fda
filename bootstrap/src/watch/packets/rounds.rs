//! The rounds of a proof: it makes the exchanges of a plan, and repeats those that do not pass yet: a datapath may come after its agent says that it is ready.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use convergence::watch::packets::decide::decide;
use convergence::watch::packets::plan::{Party, PlannedExchange};
use types::packets::{Exchange, Outcome, PacketPath, Protocol};

use super::place::Place;
use super::{WAIT, dns, echo, ping};

/// How long exchanges with others are repeated at most, after those on this node have passed.
const WITH_OTHERS: Duration = Duration::from_secs(10);
/// How long exchanges that do not count are repeated, once everything else has passed.
const WITHOUT_NEED: Duration = Duration::from_secs(2);

/// The places of the parties, and what the DNS servers are asked.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The namespaces of the scratch attachments, one or two.
    pub pods: Vec<Place>,
    /// The name that the DNS servers are asked for.
    pub name: String,
    /// How long exchanges on this node are repeated until they pass. Agents were seen to be 5 to 15 s ahead of their datapath. *Source*:
    /// cilium/cilium issue 29405.
    pub patience: Duration,
}

/// What came of a plan.
#[derive(Debug)]
pub(crate) struct ExchangeResults {
    /// Each exchange, in the order of the plan.
    pub exchanges: Vec<Exchange>,
    /// How long it took until the last one passed of those that count on this node; `None` if one did not, or there is none.
    pub settled_after: Option<Duration>,
}

/// Whether an exchange is one between parties of this node, which has to pass.
fn is_local(path: PacketPath) -> bool {
    matches!(path, PacketPath::PodToPod | PacketPath::NodeToPod)
}

/// Makes the exchanges, then looks for the largest packets of those that passed.
#[must_use]
pub(crate) fn make(stage: &Stage, plan: &[PlannedExchange]) -> ExchangeResults {
    let started = Instant::now();
    let mut exchanges: Vec<Exchange> = plan.iter().map(blank_exchange).collect();
    let mut settled_after = None;
    loop {
        let round = Instant::now();
        retry(stage, plan, &mut exchanges);
        let missing = |exchange: &&Exchange| exchange.outcome != Outcome::Passed;
        let all = exchanges.iter().find(missing).is_none();
        let local = exchanges.iter().filter(|exchange| is_local(exchange.path)).find(missing).is_none();
        if local && settled_after.is_none() {
            settled_after = Some(started.elapsed());
        }
        let patience = match settled_after {
            None => stage.patience,
            Some(settled_after) if decide(&exchanges).failed.is_none() => settled_after + WITHOUT_NEED,
            Some(settled_after) => settled_after + stage.patience.min(WITH_OTHERS),
        };
        if all || started.elapsed() >= patience {
            break;
        }
        // What fails at once, as a send that a firewall forbids, is not tried again at once.
        thread::sleep(WAIT.saturating_sub(round.elapsed()));
    }
    measure(stage, plan, &mut exchanges);
    let settled_after = settled_after.filter(|_| exchanges.iter().any(|exchange| is_local(exchange.path)));
    ExchangeResults { exchanges, settled_after }
}

fn blank_exchange(planned: &PlannedExchange) -> Exchange {
    Exchange {
        path: planned.path,
        protocol: planned.protocol,
        from: planned.source,
        to: planned.target,
        outcome: Outcome::Silent,
        mtu: None,
        passes: None,
        announced: false,
    }
}

/// Tries each exchange once that has not passed, all at the same time.
fn retry(stage: &Stage, plan: &[PlannedExchange], exchanges: &mut [Exchange]) {
    thread::scope(|scope| {
        for (planned, exchange) in plan.iter().zip(exchanges) {
            if exchange.outcome != Outcome::Passed {
                scope.spawn(move || {
                    let (outcome, source) = attempt(stage, planned);
                    // Who refused once is there, though it may not answer each time: the kernel limits its refusals.
                    exchange.outcome = exchange.outcome.max(outcome);
                    exchange.from = exchange.from.or(source);
                });
            }
        }
    });
}

fn attempt(stage: &Stage, planned: &PlannedExchange) -> (Outcome, Option<IpAddr>) {
    let from = stage.place(planned.from);
    let outside = |port: u16| SocketAddr::new(planned.target, port);
    match (planned.protocol, planned.port) {
        (Protocol::Udp, _) => echo::udp(&stage.ends(planned)),
        (Protocol::Tcp, None) => (echo::tcp(&stage.ends(planned)), None),
        (Protocol::Tcp, Some(port)) => (echo::connect(&from, outside(port)), None),
        (Protocol::Icmp, _) => (ping::ping(&from, planned.target), None),
        (Protocol::Dns, port) => {
            (dns::ask(&from, planned.source, outside(port.unwrap_or(53)), &stage.name), None)
        }
    }
}

/// Looks for the largest packets, of all exchanges at the same time.
fn measure(stage: &Stage, plan: &[PlannedExchange], exchanges: &mut [Exchange]) {
    thread::scope(|scope| {
        for (planned, exchange) in plan.iter().zip(exchanges) {
            if exchange.outcome != Outcome::Passed {
                continue;
            }
            scope.spawn(move || {
                let measurement = match (planned.path, planned.protocol) {
                    (PacketPath::PodToPod | PacketPath::NodeToPod, Protocol::Udp) => {
                        echo::measure_largest(&stage.ends(planned))
                    }
                    (_, Protocol::Icmp) => ping::measure_largest(&stage.place(planned.from), planned.target),
                    _ => None,
                };
                if let Some((mtu, largest)) = measurement {
                    exchange.mtu = Some(mtu);
                    exchange.passes = largest.passes;
                    exchange.announced = largest.announced;
                }
            });
        }
    });
}

impl Stage {
    fn place(&self, party: Party) -> Place {
        let pod = match party {
            Party::First => self.pods.first(),
            Party::Second => self.pods.get(1),
            Party::Node | Party::Outside => None,
        };
        pod.cloned().unwrap_or(Place::Node)
    }

    fn ends(&self, planned: &PlannedExchange) -> echo::ExchangeEnds {
        echo::ExchangeEnds {
            from: self.place(planned.from),
            source: planned.source,
            to: self.place(planned.to),
            target: planned.target,
        }
    }
}
