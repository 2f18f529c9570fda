//! The gathering of a snapshot: the cluster, the policies of each engine, and what cannot be read.

mod cluster;
mod dump;
mod policies;
mod shapes;

use ::netpol::gather::{Engine, Policies, Reference, UnreadObject};
use ::snapshot::Collector;
use ::snapshot::model::Snapshot;
use serde_json::{Value, json};

/// An object of the API.
fn object(api_version: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// The same in a namespace.
fn within(namespace: &str, mut object: Value) -> Value {
    object["metadata"]["namespace"] = namespace.into();
    object
}

/// The same with a UID.
fn identified(uid: &str, mut object: Value) -> Value {
    object["metadata"]["uid"] = uid.into();
    object
}

fn snapshot(objects: &[Value]) -> Snapshot {
    let mut collector = Collector::new();
    for object in objects {
        collector.value(object.clone()).expect("an object");
    }
    collector.finish(&[])
}

fn policies(engine: Engine, objects: &[Value]) -> Policies {
    let read = Policies::read(engine, objects);
    assert_eq!(read.engine(), engine);
    read
}

fn names(all: &[Reference]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn unread_lines(unread: &[UnreadObject]) -> Vec<String> {
    let mut all: Vec<_> = unread
        .iter()
        .map(|unread_object| format!("{}: {}", unread_object.object, unread_object.why))
        .collect();
    all.sort_unstable();
    all
}
