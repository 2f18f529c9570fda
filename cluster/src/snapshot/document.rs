//! One object of the API, or a list of objects, read as it comes.
//!
//! Objects go to the [`Collector`] one by one, so a list of 150,000 pods is never in memory as a whole.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as _, Deserializer};
use serde_json::{Map, Value};

use super::collect::{Collector, ListMeta};
use super::prefixed::Prefixed;
use crate::model::Kind;

/// Reads one document into the collector: an object, a list of objects, a snapshot's header, or the answer of `kubectl version`.
#[derive(Debug)]
pub struct Document<'c> {
    collector: &'c mut Collector,
    /// `apiVersion` and `kind` of an object in a list that says them once for all.
    is: Option<(String, String)>,
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
struct ListOf<'c> {
    collector: &'c mut Collector,
    is: Option<(String, String)>,
}

impl<'c> Document<'c> {
    /// A document of its own.
    pub const fn new(collector: &'c mut Collector) -> Self {
        Self { collector, is: None }
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
                let is = Some((self.api_version.to_owned(), self.kind.api_name().to_owned()));
                count += map.next_value_seed(ListOf { collector: &mut *self.collector, is })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(count)
    }
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of the Kubernetes API, or a list of them")
    }

    /// An empty YAML document.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { collector, is } = self;
        let (mut api_version, mut kind) = is.unzip();
        let mut rest = Map::new();
        let mut meta = ListMeta::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "apiVersion" => api_version = Some(map.next_value()?),
                "kind" => kind = Some(map.next_value()?),
                "items" => {
                    // A list of `kubectl get` says `List`, and its items say what they are.
                    let of = kind
                        .as_deref()
                        .and_then(|kind| kind.strip_suffix("List"))
                        .filter(|of| !of.is_empty());
                    let is = api_version.clone().zip(of.map(str::to_owned));
                    map.next_value_seed(ListOf { collector, is })?;
                }
                _ => match (&api_version, &kind) {
                    // A list's metadata comes before its items where the API server wrote it.
                    (Some(_), Some(kind)) if kind.ends_with("List") && key == "metadata" => {
                        meta = map.next_value::<Option<ListMeta>>()?.unwrap_or_default();
                    }
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
        if let Some(of) = kind.as_deref().and_then(|kind| kind.strip_suffix("List")) {
            if let Some(early) = rest.remove("metadata") {
                meta = Option::<ListMeta>::deserialize(early).map_err(A::Error::custom)?.unwrap_or_default();
            }
            let of = api_version.as_deref().and_then(|version| Kind::of(version, of));
            collector.list_ends(of, &meta).map_err(A::Error::custom)?;
        }
        collector.whole(api_version, kind, rest).map_err(A::Error::custom)
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
    let Some(kind) = Kind::of(api_version, kind) else {
        map.next_value::<IgnoredAny>()?;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        return Ok(());
    };
    struct Rest<'a, A>(String, &'a mut A);
    impl<'de, A: MapAccess<'de>> super::collect::Source<'de> for Rest<'_, A> {
        type Error = A::Error;
        fn read<T: DeserializeOwned>(self) -> Result<T, A::Error> {
            Prefixed::read(self.0, self.1)
        }
    }
    collector.object(api_version, kind, Rest(key, map))
}

impl<'de> DeserializeSeed<'de> for ListOf<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ListOf<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    /// Go writes `null` for an empty list.
    fn visit_unit<E>(mut self) -> Result<usize, E> {
        self.seen();
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<usize, A::Error> {
        self.seen();
        self.collector.list_begins();
        let Self { collector, is } = self;
        let mut count = 0;
        while items.next_element_seed(Document { collector, is: is.clone() })?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

impl ListOf<'_> {
    /// A list of one kind was read, even if it is empty.
    fn seen(&mut self) {
        if let Some(kind) = self.is.as_ref().and_then(|(version, kind)| Kind::of(version, kind)) {
            self.collector.seen_kind(kind);
        }
    }
}

impl super::collect::Source<'_> for Value {
    type Error = serde_json::Error;

    fn read<T: DeserializeOwned>(self) -> Result<T, serde_json::Error> {
        T::deserialize(self)
    }
}
