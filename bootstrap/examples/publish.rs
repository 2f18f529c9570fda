//! The publisher alone, driven by lines of JSON: for the tests against a real API server, and for looking at it by hand.
//!
//! ```text
//! publish KUBECONFIG [NODE]
//! > {"ready":true,"reason":"NetworkReady","message":"..","clears":false,"labels":{"a":"b"},"phase":"old","policySha256":"..","attached":{"old":1}}
//! > {"event":"Flipped","warning":false,"message":".."}
//! > {"events":[{"event":"Flipped","warning":false,"message":".."},{"event":"ConfWritten","warning":false,"message":".."}]}
//! > {"settle":30}
//! < settled true
//! < desired both-old
//! < withdrawn
//! ```
//!
//! Journal entries go to stderr, one per line.

use std::fmt::{Debug, Write as _};
use std::io::BufRead as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bootstrap::{Credential, Publish as _, Publisher};
use convergence::publish::registered::{AgentSelection, RegisteredLabels};
use convergence::publish::report::{NodeEvent, NodeReport};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use types::api::observed::NodeObservation;

/// Everything that is logged, to stderr: what a library logs too, so that a secret in it would be seen.
struct Lines;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // A String takes whatever is written.
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut line);
        eprintln!("{}", line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn main() -> anyhow::Result<()> {
    tracing::subscriber::set_global_default(Lines)?;
    let mut arguments = std::env::args().skip(1);
    let kubeconfig = arguments.next().ok_or_else(|| anyhow::anyhow!("usage: publish KUBECONFIG [NODE]"))?;
    let credential = Credential { kubeconfig: kubeconfig.into(), node_name: arguments.next() };
    let before = Mutex::new(None);
    let publisher = Publisher::start(credential, move |desired| {
        let value = desired.map(|desired| desired.value);
        let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
        match &value {
            // It is for another policy now, which is not printed.
            same if *same == *before => {}
            Some(value) => println!("desired {value}"),
            None => println!("withdrawn "),
        }
        *before = value;
    })?;
    let mut last = None;
    for line in std::io::stdin().lock().lines() {
        let order: Value = serde_json::from_str(&line?)?;
        if let Some(seconds) = order["settle"].as_u64() {
            println!("settled {}", publisher.settle(Duration::from_secs(seconds)));
        } else if let Some(events) = order["events"].as_array() {
            let happened = events.iter().map(happened).collect::<anyhow::Result<Vec<NodeEvent>>>()?;
            publisher.publish(known(&last)?, &happened);
        } else if order["event"].is_string() {
            publisher.publish(known(&last)?, &[happened(&order)?]);
        } else {
            let report = report(&order)?;
            publisher.publish(&report, &[]);
            last = Some(report);
        }
    }
    Ok(())
}

fn known(last: &Option<NodeReport>) -> anyhow::Result<&NodeReport> {
    last.as_ref().ok_or_else(|| anyhow::anyhow!("an event comes with a report"))
}

fn happened(order: &Value) -> anyhow::Result<NodeEvent> {
    Ok(NodeEvent {
        reason: serde_json::from_value(order["event"].clone())?,
        warning: order["warning"] == true,
        message: text(&order["message"]),
    })
}

fn report(order: &Value) -> anyhow::Result<NodeReport> {
    Ok(NodeReport {
        ready: order["ready"] == true,
        reason: serde_json::from_value(order["reason"].clone())?,
        message: text(&order["message"]),
        // The keys of the annotation are among those of the line.
        observed: NodeObservation {
            boot_id: shim::host::boot::boot_id()?.to_owned(),
            ..serde_json::from_value(order.clone())?
        },
        clears_network_unavailable: order["clears"] == true,
        registered: RegisteredLabels {
            labels: serde_json::from_value(order["labels"].clone()).unwrap_or_default(),
            agents: order["agents"]
                .as_array()
                .into_iter()
                .flatten()
                .map(agent)
                .collect::<anyhow::Result<_>>()?,
        },
    })
}

fn agent(order: &Value) -> anyhow::Result<AgentSelection> {
    Ok(AgentSelection {
        label: text(&order["label"]),
        containers: serde_json::from_value(order["containers"].clone())?,
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
