//! Puts objects where they belong in a snapshot, slimmed.

mod bound;
mod identity;
mod projection;
mod unknown;

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Error};
use serde_json::{Map, Value};

pub(super) use self::bound::{Bound, BoundedReader};
pub(super) use self::identity::Identity;
use self::projection::Projection;
pub use self::unknown::UnknownKinds;
use super::document::Part as _;
use super::header::Header;
use crate::model::{
    ALL_KINDS, Budget, EndpointSlice, IllegibleObject, Kind, Node, Object, Pod, Pool, Reading, Service,
    Snapshot, Text, Workload,
};

/// From where one object is read.
pub(super) trait Source<'de>: Sized {
    type Error: serde::de::Error;
    /// Reads the object as a seed does.
    fn read_as<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Self::Error>;
    fn read<T: DeserializeOwned>(self) -> Result<T, Self::Error> {
        self.read_as(PhantomData)
    }
}

/// A snapshot that is being read.
#[derive(Debug, Default)]
pub struct Collector {
    snapshot: Snapshot,
    pool: Pool,
    /// Kinds of which a list or an object was read.
    seen_kinds: BTreeSet<Kind>,
    /// How much of it there may be.
    bound: Bound,
    /// Kinds of the objects in the list that is being read.
    listed: BTreeSet<Kind>,
    /// Why not all objects of a kind were read.
    incomplete: BTreeMap<Kind, String>,
    /// Objects of kinds that no check reads.
    unknown: UnknownKinds,
}

/// What the API server says of a list beside its items.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListMeta {
    r#continue: Option<String>,
    remaining_item_count: Option<i64>,
}

impl Collector {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A file of which no object may take more memory than one of the API does.
    pub(super) fn bound_reader<R>(&self, input: R) -> BoundedReader<R> {
        self.bound.wrap(input)
    }

    /// Begins an object of this many bytes; of as many as were read since the last one began, where nothing is known.
    pub(super) fn begin(&mut self, size: Option<usize>) -> Result<(), String> {
        self.bound.begin(size)
    }

    /// Remembers an object that cannot be read.
    ///
    /// # Errors
    /// It is none of the API, or has no name by which it could be looked up.
    pub(super) fn add_illegible(&mut self, identity: Option<Identity>, why: String) -> Result<(), String> {
        let Some(Identity { api_version, kind, metadata }) = identity else { return Err(why) };
        let Some(kind) = Kind::find(&api_version, &kind) else { return Err(why) };
        if metadata.name.is_empty() {
            return Err(format!("{kind}: {why}"));
        }
        self.seen_kinds.insert(kind);
        self.listed.insert(kind);
        let illegible = IllegibleObject { kind, namespace: metadata.namespace, name: metadata.name, why };
        self.snapshot.illegible.push(illegible);
        Ok(())
    }

    /// Counts an object of a kind that no check reads.
    pub(super) fn add_unknown(&mut self, api_version: &str, kind: &str) {
        self.unknown.add(api_version, kind);
    }

    /// Names the object that was read last, if nothing else is known of it.
    pub(super) fn name_unknown(&mut self, identity: impl FnOnce() -> Option<Identity>) {
        self.unknown.name(identity);
    }

    /// The objects of kinds that no check reads.
    pub fn take_unknown(&mut self) -> UnknownKinds {
        std::mem::take(&mut self.unknown)
    }

    /// A list begins, whose items may be of any kinds.
    pub(super) fn list_begins(&mut self) {
        self.listed.clear();
    }

    /// The list that was read last goes on elsewhere, if this is what it says of itself. `kind` is that of its items, where the list says it.
    pub(super) fn list_ends(&mut self, kind: Option<Kind>, meta: &ListMeta) -> Result<(), String> {
        let remaining = meta.remaining_item_count.filter(|count| *count != 0);
        if meta.r#continue.as_deref().is_none_or(str::is_empty) && remaining.is_none() {
            return Ok(());
        }
        let more = remaining.map_or_else(String::new, |count| format!(", and that {count} objects remain"));
        let why = format!("a list is a part of a longer one: it says `continue`{more}");
        let kinds: BTreeSet<Kind> = kind.into_iter().chain(std::mem::take(&mut self.listed)).collect();
        if kinds.is_empty() {
            return Err(format!("{why}; nothing in it says of which kind"));
        }
        for kind in kinds {
            self.incomplete.entry(kind).or_insert_with(|| why.clone());
        }
        Ok(())
    }

    /// Remembers that a list of this kind was read.
    pub fn seen_kind(&mut self, kind: Kind) {
        self.seen_kinds.insert(kind);
    }

    /// Drops all objects of a kind, to read them anew.
    pub fn forget(&mut self, kind: Kind) {
        let Self { snapshot, .. } = self;
        snapshot.illegible.retain(|illegible| illegible.kind != kind);
        match kind {
            Kind::NODE => snapshot.nodes.clear(),
            Kind::POD => snapshot.pods.clear(),
            Kind::POD_DISRUPTION_BUDGET => snapshot.budgets.clear(),
            Kind::SERVICE => snapshot.services.clear(),
            Kind::ENDPOINT_SLICE => snapshot.endpoint_slices.clear(),
            _ => {
                snapshot.workloads.remove(&kind);
                snapshot.objects.remove(&kind);
            }
        }
    }

    /// What is known of a kind, from its reader.
    pub fn reading(&mut self, kind: Kind, reading: Reading) {
        self.snapshot.readings.insert(kind, reading);
    }

    /// What is known of the cluster itself.
    pub const fn cluster(&mut self) -> &mut crate::model::Cluster {
        &mut self.snapshot.cluster
    }

    /// Namespace and name of each ConfigMap that a DaemonSet mounts which was read by now.
    pub fn mounted_config_maps(&self) -> impl Iterator<Item = (Text, Text)> {
        self.snapshot.mounted_config_maps().map(|(namespace, name)| (namespace.clone(), name.clone()))
    }

    /// Takes a header: it knows how each kind was read.
    pub fn header(&mut self, header: Header) {
        let Header { cluster, kinds, illegible, .. } = header;
        self.snapshot.illegible.extend(illegible);
        let identity = &mut self.snapshot.cluster;
        identity.uid = cluster.uid.or(identity.uid.take());
        identity.version = cluster.version.or(identity.version.take());
        identity.taken_at = cluster.taken_at.or(identity.taken_at.take());
        self.snapshot.readings.extend(kinds);
    }

    /// Takes an object of a known kind.
    pub(super) fn object<'de, S: Source<'de>>(
        &mut self,
        api_version: &str,
        kind: Kind,
        source: S,
    ) -> Result<(), S::Error> {
        self.seen_kinds.insert(kind);
        self.listed.insert(kind);
        let Self { snapshot, pool, .. } = self;
        match kind {
            Kind::NODE => {
                let mut node: Node = check_named(source.read()?, Node::check_names)?;
                pool.node(&mut node);
                snapshot.nodes.push(node);
            }
            Kind::POD => {
                let mut pod: Pod = check_named(source.read()?, |pod: &Pod| pod.metadata.check_names())?;
                pool.pod(&mut pod);
                snapshot.pods.push(pod);
            }
            Kind::POD_DISRUPTION_BUDGET => {
                snapshot
                    .budgets
                    .push(check_named(source.read()?, |budget: &Budget| budget.metadata.check_names())?);
            }
            Kind::SERVICE => {
                snapshot
                    .services
                    .push(check_named(source.read()?, |service: &Service| service.metadata.check_names())?);
            }
            Kind::ENDPOINT_SLICE => {
                let slice = check_named(source.read()?, |endpoint_slice: &EndpointSlice| {
                    endpoint_slice.metadata.check_names()
                })?;
                snapshot.endpoint_slices.push(slice);
            }
            Kind::DEPLOYMENT | Kind::DAEMON_SET | Kind::STATEFUL_SET | Kind::REPLICA_SET | Kind::JOB => {
                let mut workload =
                    check_named(source.read()?, |item: &Workload| item.metadata.check_names())?;
                pool.workload(&mut workload);
                snapshot.workloads.entry(kind).or_default().push(workload);
            }
            _ => {
                let mut all: Map<String, Value> = source.read_as(Projection::for_kind(kind))?;
                self.bound.keep();
                all.insert("apiVersion".into(), api_version.into());
                all.insert("kind".into(), kind.api_name().into());
                if let Some(object) = Object::new(kind, Value::Object(all)) {
                    let object = check_named(object, Object::check_name)?;
                    snapshot.objects.entry(kind).or_default().push(object);
                }
            }
        }
        Ok(())
    }

    /// Takes a document of which every key was read: what it is came last, or it is no object of the API.
    pub(super) fn add_document(
        &mut self,
        api_version: Option<String>,
        kind: Option<String>,
        rest: Map<String, Value>,
    ) -> Result<(), String> {
        let value = Value::Object(rest);
        if value.get("crossfade").is_some() {
            return Header::read(value).map(|header| self.header(header));
        }
        if let Some(version) = value.pointer("/serverVersion/gitVersion").and_then(Value::as_str) {
            self.snapshot.cluster.version = Some(version.to_owned());
            return Ok(());
        }
        let (Some(api_version), Some(kind)) = (api_version, kind) else {
            // A list has nothing but its items, and an empty document nothing at all.
            let is_list = value.get("metadata").is_none_or(|meta| meta.get("name").is_none());
            let wrong =
                "an object without apiVersion and kind: expected what kubectl get -o json or -o yaml writes";
            return if is_list { Ok(()) } else { Err(wrong.to_owned()) };
        };
        if kind.ends_with("List") {
            return Ok(());
        }
        let Some(kind) = Kind::find(&api_version, &kind) else {
            self.add_unknown(&api_version, &kind);
            return Ok(());
        };
        let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.object(&api_version, kind, value).map_err(|e| format!("{kind} {name}: {e}"))
    }

    /// Takes a document that was read as a value, as one of YAML is.
    ///
    /// # Errors
    /// Why it is no object of the API.
    pub fn value(&mut self, value: Value) -> Result<(), String> {
        value.take(self, None)
    }

    /// The snapshot. `dumped` names the kinds that the files have completely, though no object of them may be there.
    #[must_use]
    pub fn finish(self, dumped: &[Kind]) -> Snapshot {
        let Self { mut snapshot, mut seen_kinds, incomplete, .. } = self;
        seen_kinds.extend(dumped);
        for kind in seen_kinds {
            snapshot.readings.entry(kind).or_insert(Reading::Read);
        }
        let unserved = unserved_kinds(&snapshot);
        for kind in unserved {
            snapshot.readings.entry(kind).or_insert(Reading::NotServed);
        }
        let twice = snapshot.sort().into_iter().map(|(kind, name)| {
            (kind, format!("{name} is in the files twice, and both say different things"))
        });
        for (kind, why) in twice.chain(incomplete) {
            snapshot.readings.insert(kind, Reading::Incomplete(why));
        }
        snapshot
    }
}

/// An object whose names could be: commands that an operator pastes into a shell have them.
fn check_named<T, E: Error>(object: T, check: impl Fn(&T) -> Result<(), &'static str>) -> Result<T, E> {
    check(&object).map_err(E::custom)?;
    Ok(object)
}

/// The custom kinds for which the cluster has no CustomResourceDefinition, where these were dumped.
fn unserved_kinds(snapshot: &Snapshot) -> Vec<Kind> {
    if !snapshot.knows(Kind::CUSTOM_RESOURCE_DEFINITION) {
        return Vec::new();
    }
    let served: BTreeSet<&str> =
        snapshot.objects(Kind::CUSTOM_RESOURCE_DEFINITION).iter().map(Object::name).collect();
    let is_served = |kind: Kind| {
        let mut names = kind.served_by().iter().map(|(group, _)| format!("{}.{group}", kind.plural_name()));
        names.any(|name| served.contains(name.as_str()))
    };
    ALL_KINDS.iter().map(|row| row.kind).filter(|kind| kind.is_custom() && !is_served(*kind)).collect()
}

#[cfg(test)]
mod tests;
