//! The objects of the API that an engine goes by, each of them once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use snapshot::model::{Kind, Text, is_backing};

use super::reference::{Reference, UnreadObject};
use super::shape;
use crate::gather::catalog::Catalog;

#[derive(Debug)]
pub(super) struct ApiObject<'a> {
    /// As the object says.
    pub(super) reference: Reference,
    /// The object; of one in which Calico stores a resource, that resource.
    pub(super) value: Cow<'a, Value>,
    /// Calico stores a resource in it.
    pub(super) is_backing: bool,
}

/// The objects of some kinds.
#[derive(Debug, Default)]
pub(super) struct Objects<'a>(BTreeMap<Kind, Vec<ApiObject<'a>>>);

impl<'a> Objects<'a> {
    /// Takes the objects of these kinds, and adds those to `unread` that are not what they say. Of several objects of one name the last one counts.
    pub(super) fn gather(
        kinds: &[Kind],
        objects: impl IntoIterator<Item = &'a Value>,
        unread: &mut Vec<UnreadObject>,
    ) -> Self {
        let mut all: BTreeMap<Kind, Vec<ApiObject<'a>>> = BTreeMap::new();
        let mut definitions = BTreeSet::new();
        for value in objects {
            let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
            let api_version = text("apiVersion");
            let Some(kind) = Kind::find(api_version, text("kind")) else { continue };
            let reference = Reference::from_object(kind, value);
            if kind == Kind::CUSTOM_RESOURCE_DEFINITION {
                definitions.insert(reference.name.clone());
            }
            if !kinds.contains(&kind) {
                continue;
            }
            match misplaced_reason(&reference) {
                Some(why) => unread.push(reference.into_unread(why)),
                None => {
                    let is_backing = is_backing(api_version);
                    let value = if is_backing { shape::resource(value) } else { Cow::Borrowed(value) };
                    all.entry(kind).or_default().push(ApiObject { reference, value, is_backing });
                }
            }
        }
        let kinds = all.into_iter().map(|(kind, kind_objects)| {
            let once = shape::deduplicate(keep_last(kind_objects));
            (kind, shape::select_enforced(kind, once, &definitions, unread))
        });
        Self(kinds.collect())
    }

    pub(super) fn all(&self, kinds: &[Kind]) -> impl Iterator<Item = &ApiObject<'a>> {
        kinds.iter().filter_map(|kind| self.0.get(kind)).flatten()
    }

    /// Reads all objects of these kinds.
    pub(super) fn read<T>(
        &self,
        kinds: &[Kind],
        unread: &mut Vec<UnreadObject>,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Catalog<T> {
        let mut catalog = Catalog::default();
        for api_object in self.all(kinds) {
            match read(&api_object.value) {
                Ok(item) => catalog.add(api_object.reference.clone(), item),
                Err(why) => unread.push(api_object.reference.clone().into_unread(why)),
            }
        }
        catalog
    }
}

/// What is wrong with where an object says that it is: readers tell a policy of one namespace from one of the cluster by it.
fn misplaced_reason(object: &Reference) -> Option<&'static str> {
    match (object.kind.is_namespaced(), object.namespace.is_empty()) {
        (true, true) => Some("metadata.namespace: expected one, for the kind is namespaced"),
        (false, false) => Some("metadata.namespace: no such field, for the kind is not namespaced"),
        (true, false) | (false, true) => None,
    }
}

/// Without those that come again later in the same shape.
fn keep_last(api_objects: Vec<ApiObject<'_>>) -> Vec<ApiObject<'_>> {
    let mut places: HashMap<(Text, Text, bool), usize> = HashMap::new();
    let mut latest: Vec<ApiObject<'_>> = Vec::new();
    for object in api_objects {
        let key = (object.reference.namespace.clone(), object.reference.name.clone(), object.is_backing);
        match places.get(&key) {
            Some(place) => latest[*place] = object,
            None => {
                places.insert(key, latest.len());
                latest.push(object);
            }
        }
    }
    latest
}
