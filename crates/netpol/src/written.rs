//! How policies of every kind are written: what their readers have in common.

use std::net::IpAddr;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use snapshot::Range;
use snapshot::model::{Labels, Text};

use super::kubernetes::Block;
use super::tier::Direction;
use super::traffic::{SCTP, TCP, UDP};

/// An object of the API: what a reader needs of its metadata, and its spec.
#[derive(Deserialize)]
pub(super) struct Manifest<S> {
    pub(super) metadata: Metadata,
    pub(super) spec: S,
}

#[derive(Deserialize)]
pub(super) struct Metadata {
    pub(super) name: Text,
    #[serde(default)]
    pub(super) namespace: Option<Text>,
    #[serde(default)]
    pub(super) labels: Labels,
}

/// A range of addresses without some parts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockSpec {
    cidr: Text,
    #[serde(default)]
    except: Option<Vec<Text>>,
}

/// Reads an object into its form.
///
/// # Errors
/// One line: a field that is missing, unknown or of another type.
pub(super) fn object<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|why| why.to_string())
}

/// Reads the entries of a list.
///
/// # Errors
/// The first one, with its place before it: `KEY[3]`.
pub(super) fn entries<T, R>(
    list: impl IntoIterator<Item = T>,
    key: &str,
    read: impl Fn(T) -> Result<R, String>,
) -> Result<Vec<R>, String> {
    let to_item = |(place, entry)| read(entry).map_err(|why| format!("{key}[{place}]{why}"));
    list.into_iter().enumerate().map(to_item).collect()
}

/// Of `from` and `to` the one that a rule of this direction has, and its name.
///
/// # Errors
/// The other one is there. Some APIs drop it in silence, and then the rule is about everybody.
pub(super) fn peers<T>(
    from: Option<Vec<T>>,
    to: Option<Vec<T>>,
    way: Direction,
) -> Result<(Vec<T>, &'static str), String> {
    let (own, key, other, name) = match way {
        Direction::Ingress => (from, "from", to, "to"),
        Direction::Egress => (to, "to", from, "from"),
    };
    match other {
        Some(_) => Err(format!("{name}: no such field in a rule of this direction")),
        None => Ok((own.unwrap_or_default(), key)),
    }
}

/// Reads the directions of a list whose key is `field`.
///
/// # Errors
/// One that is no direction.
pub(super) fn directions(names: &[Text], field: &str) -> Result<Vec<Direction>, String> {
    let to_direction = |name: &Text| {
        let known = Direction::ALL.into_iter().find(|direction| direction.name() == &**name);
        known.ok_or_else(|| format!("{field}: {name:?}: expected Ingress or Egress"))
    };
    names.iter().map(to_direction).collect()
}

/// The number of a protocol of container ports; TCP if none is named.
///
/// # Errors
/// Another protocol.
pub(super) fn protocol(name: Option<&str>) -> Result<u8, String> {
    match name {
        None | Some("TCP") => Ok(TCP),
        Some("UDP") => Ok(UDP),
        Some("SCTP") => Ok(SCTP),
        Some(other) => Err(format!("protocol: {other:?}: expected TCP, UDP or SCTP")),
    }
}

/// The last port of a range that begins with `first`; `field` is the key of the last one.
///
/// # Errors
/// It is below the first one.
pub(super) fn last(first: u16, end: Option<u16>, field: &str) -> Result<u16, String> {
    let last = end.unwrap_or(first);
    if last < first { Err(format!("{field}: {last} is below the port {first}")) } else { Ok(last) }
}

/// Reads a range of addresses.
///
/// # Errors
/// What is none.
pub(super) fn range(text: &Text) -> Result<Range, String> {
    Range::read(text).map(|(range, _)| range).map_err(|why| format!("{text:?}: {why}"))
}

/// The same, where an address is written for the range that it is alone.
///
/// # Errors
/// As [`range`].
pub(super) fn range_or_address(text: &Text) -> Result<Range, String> {
    text.parse::<IpAddr>().map_or_else(|_| range(text), |address| Ok(Range::of(address)))
}

impl BlockSpec {
    /// # Errors
    /// As [`range`], with the field before it.
    pub(super) fn read(&self) -> Result<Block, String> {
        let except = self.except.iter().flatten().map(range).collect::<Result<_, _>>();
        Ok(Block {
            range: range(&self.cidr).map_err(|why| format!(".cidr: {why}"))?,
            except: except.map_err(|why| format!(".except: {why}"))?,
        })
    }
}
