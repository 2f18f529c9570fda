//! One object of the API, or a list of objects, read as it comes.
//!
//! Objects go to the [`Collector`] one by one, so a list of 150,000 pods is never in memory as a whole. An object that cannot be read is remembered by
//! its name, and the others are read: any tenant may write objects.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as _, Deserializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::collect::{Collector, Identity, ListMeta};
use super::prefixed::PrefixedMap;
use crate::model::Kind;

/// `apiVersion` and `kind` of an object that does not say them itself.
type TypeMeta = (String, String);

/// A part of a document: its text in JSON, however deep it is, and its value in any other format.
pub(super) trait Part: DeserializeOwned {
    /// The object that has these keys.
    fn object(parts: Vec<(String, Self)>) -> Result<Self, String>;
    /// What it says as the metadata of a list.
    fn list_meta(self) -> Result<ListMeta, String>;
    /// Hands an object to the collector.
    fn take(self, collector: &mut Collector, type_meta: Option<&TypeMeta>) -> Result<(), String>;
}

impl Part for Box<RawValue> {
    fn object(parts: Vec<(String, Self)>) -> Result<Self, String> {
        to_raw_value(&parts.into_iter().collect::<BTreeMap<_, _>>()).map_err(|e| e.to_string())
    }

    fn list_meta(self) -> Result<ListMeta, String> {
        let meta = serde_json::from_str::<Option<ListMeta>>(self.get()).map_err(|e| e.to_string())?;
        Ok(meta.unwrap_or_default())
    }

    fn take(self, collector: &mut Collector, type_meta: Option<&TypeMeta>) -> Result<(), String> {
        text(collector, self.get(), type_meta)
    }
}

impl Part for Value {
    fn object(parts: Vec<(String, Self)>) -> Result<Self, String> {
        Ok(Self::Object(parts.into_iter().collect()))
    }

    fn list_meta(self) -> Result<ListMeta, String> {
        Ok(Option::<ListMeta>::deserialize(self).map_err(|e| e.to_string())?.unwrap_or_default())
    }

    fn take(self, collector: &mut Collector, type_meta: Option<&TypeMeta>) -> Result<(), String> {
        collector.begin(None)?;
        let identity = Identity::read(&self, type_meta);
        match ListItem::<Self>::new(collector, type_meta.cloned()).deserialize(self) {
            Ok(()) => collector.name_unknown(|| identity),
            Err(e) => collector.add_illegible(identity, e.to_string())?,
        }
        Ok(())
    }
}

/// Reads one JSON document from its text.
pub(super) fn text(
    collector: &mut Collector,
    text: &str,
    type_meta: Option<&TypeMeta>,
) -> Result<(), String> {
    collector.begin(Some(text.len()))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let read = ListItem::<Box<RawValue>>::new(collector, type_meta.cloned()).deserialize(&mut json);
    let identity = || serde_json::from_str(text).ok().map(|identity: Identity| identity.or(type_meta));
    match read.and_then(|()| json.end()) {
        Ok(()) => collector.name_unknown(identity),
        Err(e) => collector.add_illegible(identity(), e.to_string())?,
    }
    Ok(())
}

/// Reads one document into the collector: an object, a list of objects, a snapshot's header, or the answer of `kubectl version`.
#[derive(Debug)]
pub(super) struct Document<'c, P> {
    collector: &'c mut Collector,
    part: PhantomData<P>,
}

/// Reads one object of a list into the collector, and whatever else is a whole document.
#[derive(Debug)]
struct ListItem<'c, P> {
    collector: &'c mut Collector,
    type_meta: Option<TypeMeta>,
    part: PhantomData<P>,
}

/// Reads one page of a list of the API server into the collector, and counts its objects.
#[derive(Debug)]
pub struct Page<'c> {
    collector: &'c mut Collector,
    api_version: &'c str,
    kind: Kind,
}

/// Reads `items` of a list into the collector, and counts them.
#[derive(Debug)]
struct ListItems<'c, P> {
    collector: &'c mut Collector,
    type_meta: Option<TypeMeta>,
    part: PhantomData<P>,
}

impl<'c, P> Document<'c, P> {
    /// A document of its own.
    pub(super) const fn new(collector: &'c mut Collector) -> Self {
        Self { collector, part: PhantomData }
    }
}

impl<'c, P> ListItem<'c, P> {
    const fn new(collector: &'c mut Collector, type_meta: Option<TypeMeta>) -> Self {
        Self { collector, type_meta, part: PhantomData }
    }
}

impl<'c, P> ListItems<'c, P> {
    /// `items` of a list that is of this version and kind, as far as it has said by now: one of `kubectl get` says `List`, and its items say what they
    /// are.
    fn new(collector: &'c mut Collector, api_version: Option<&str>, kind: Option<&str>) -> Self {
        let item = kind.and_then(|kind| kind.strip_suffix("List")).filter(|item| !item.is_empty());
        let type_meta = api_version.map(str::to_owned).zip(item.map(str::to_owned));
        Self { collector, type_meta, part: PhantomData }
    }
}

impl<'c> Page<'c> {
    /// A page of a list of this kind.
    pub const fn new(collector: &'c mut Collector, api_version: &'c str, kind: Kind) -> Self {
        Self { collector, api_version, kind }
    }
}

impl<'de> DeserializeSeed<'de> for Page<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Page<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(key) = map.next_key::<String>()? {
            if key == "items" {
                let type_meta = Some((self.api_version.to_owned(), self.kind.api_name().to_owned()));
                let items = ListItems::<Box<RawValue>> {
                    collector: &mut *self.collector,
                    type_meta,
                    part: PhantomData,
                };
                count += map.next_value_seed(items)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(count)
    }
}

impl<'de, P: Part> DeserializeSeed<'de> for Document<'_, P> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, P: Part> Visitor<'de> for Document<'_, P> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of the Kubernetes API, or a list of them")
    }

    /// An empty YAML document.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { collector, .. } = self;
        let (mut api_version, mut kind) = (None::<String>, None::<String>);
        let (mut parts, mut is_list) = (Vec::<(String, P)>::new(), false);
        let mut meta = ListMeta::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "apiVersion" => api_version = Some(map.next_value()?),
                "kind" => kind = Some(map.next_value()?),
                "items" => {
                    let items = ListItems::<P>::new(collector, api_version.as_deref(), kind.as_deref());
                    map.next_value_seed(items)?;
                    is_list = true;
                }
                // The metadata of a list, which may come before its items and after them.
                "metadata" if is_list || kind.as_deref().is_some_and(|kind| kind.ends_with("List")) => {
                    meta = map.next_value::<Option<ListMeta>>()?.unwrap_or_default();
                }
                _ if is_list || kind.as_deref().is_some_and(|kind| kind.ends_with("List")) => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => parts.push((key, map.next_value::<P>()?)),
            }
        }
        if is_list {
            // It came before the kind.
            if let Some((_, early)) = parts.into_iter().find(|(key, _)| key == "metadata") {
                meta = early.list_meta().map_err(A::Error::custom)?;
            }
            let item = kind.as_deref().and_then(|kind| kind.strip_suffix("List"));
            let item = api_version.as_deref().zip(item).and_then(|(version, item)| Kind::find(version, item));
            return collector.list_ends(item, &meta).map_err(A::Error::custom);
        }
        let type_meta = api_version.zip(kind);
        P::object(parts)
            .and_then(|object| object.take(collector, type_meta.as_ref()))
            .map_err(A::Error::custom)
    }
}

impl<'de, P: Part> DeserializeSeed<'de> for ListItem<'_, P> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, P: Part> Visitor<'de> for ListItem<'_, P> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of the Kubernetes API")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { collector, type_meta, .. } = self;
        let (mut api_version, mut kind) = type_meta.unzip();
        let mut rest = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "apiVersion" => api_version = Some(map.next_value()?),
                "kind" => kind = Some(map.next_value()?),
                "items" => {
                    let items = ListItems::<P>::new(collector, api_version.as_deref(), kind.as_deref());
                    map.next_value_seed(items)?;
                }
                _ => match (&api_version, &kind) {
                    (Some(_), Some(kind)) if kind.ends_with("List") => {
                        map.next_value::<IgnoredAny>()?;
                    }
                    (Some(version), Some(kind)) if rest.is_empty() => {
                        let (version, kind) = (version.clone(), kind.clone());
                        return object(collector, &version, &kind, key, &mut map);
                    }
                    // What the object is comes later.
                    _ => {
                        rest.insert(key, map.next_value()?);
                    }
                },
            }
        }
        collector.add_document(api_version, kind, rest).map_err(A::Error::custom)
    }
}

/// Reads the rest of an object, from `key` on, whose kind is known.
fn object<'de, A: MapAccess<'de>>(
    collector: &mut Collector,
    api_version: &str,
    kind: &str,
    key: String,
    map: &mut A,
) -> Result<(), A::Error> {
    if (api_version, kind) == ("v1", "Status") {
        return Err(A::Error::custom("an answer of the API server that says why it has no objects"));
    }
    let Some(kind) = Kind::find(api_version, kind) else {
        collector.add_unknown(api_version, kind);
        map.next_value::<IgnoredAny>()?;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        return Ok(());
    };
    struct MapSource<'a, A>(String, &'a mut A);
    impl<'de, A: MapAccess<'de>> super::collect::Source<'de> for MapSource<'_, A> {
        type Error = A::Error;
        fn read_as<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
            PrefixedMap::read(self.0, self.1, seed)
        }
    }
    collector.object(api_version, kind, MapSource(key, map))
}

impl<'de, P: Part> DeserializeSeed<'de> for ListItems<'_, P> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, P: Part> Visitor<'de> for ListItems<'_, P> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    /// Go writes `null` for an empty list.
    fn visit_unit<E>(mut self) -> Result<usize, E> {
        self.note_seen();
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<usize, A::Error> {
        self.note_seen();
        self.collector.list_begins();
        let Self { collector, type_meta, .. } = self;
        let mut count = 0;
        while let Some(item) = items.next_element::<P>()? {
            item.take(collector, type_meta.as_ref()).map_err(A::Error::custom)?;
            count += 1;
        }
        Ok(count)
    }
}

impl<P> ListItems<'_, P> {
    /// A list of one kind was read, even if it is empty.
    fn note_seen(&mut self) {
        if let Some(kind) = self.type_meta.as_ref().and_then(|(version, kind)| Kind::find(version, kind)) {
            self.collector.seen_kind(kind);
        }
    }
}

impl<'de> super::collect::Source<'de> for Value {
    type Error = serde_json::Error;

    fn read_as<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, serde_json::Error> {
        seed.deserialize(self)
    }
}
