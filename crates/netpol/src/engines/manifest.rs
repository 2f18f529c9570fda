//! The manifests of policies: the parts that readers of every kind have in common.

use std::net::IpAddr;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use snapshot::Range;
use snapshot::model::{Labels, Text};

use crate::engines::kubernetes::Block;
use crate::tier::Direction;
use crate::traffic::{SCTP, TCP, UDP};

/// An object of the API: what a reader needs of its metadata, and its spec.
#[derive(Deserialize)]
pub(crate) struct Manifest<S> {
    pub(crate) metadata: Metadata,
    pub(crate) spec: S,
}

#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) name: Text,
    #[serde(default)]
    pub(crate) namespace: Option<Text>,
    #[serde(default)]
    pub(crate) labels: Labels,
}

/// A range of addresses without some parts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlockSpec {
    cidr: Text,
    #[serde(default)]
    except: Option<Vec<Text>>,
}

/// Reads an object into its form.
///
/// # Errors
/// One line: a field that is missing, unknown or of another type.
pub(crate) fn object<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|why| why.to_string())
}

/// Reads the entries of a list.
///
/// # Errors
/// The first one, with its place before it: `KEY[3]`.
pub(crate) fn entries<T, R>(
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
/// The other one is there. Some APIs drop it in silence, and then the rule is about every peer.
pub(crate) fn peers<T>(
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
pub(crate) fn directions(names: &[Text], field: &str) -> Result<Vec<Direction>, String> {
    let to_direction = |name: &Text| {
        let candidate = Direction::ALL.into_iter().find(|direction| direction.name() == &**name);
        candidate.ok_or_else(|| format!("{field}: {name:?}: expected Ingress or Egress"))
    };
    names.iter().map(to_direction).collect()
}

/// The number of a protocol of container ports; TCP if none is named.
///
/// # Errors
/// Another protocol.
pub(crate) fn protocol(name: Option<&str>) -> Result<u8, String> {
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
pub(crate) fn last_port(first: u16, end: Option<u16>, field: &str) -> Result<u16, String> {
    let last = end.unwrap_or(first);
    if last < first { Err(format!("{field}: {last} is below the port {first}")) } else { Ok(last) }
}

/// Reads a range of addresses.
///
/// # Errors
/// What is none.
pub(crate) fn range(text: &Text) -> Result<Range, String> {
    Range::read(text).map(|(range, _)| range).map_err(|why| format!("{text:?}: {why}"))
}

/// The same, where an address is written for the range that it is alone.
///
/// # Errors
/// As [`range`].
pub(crate) fn range_or_address(text: &Text) -> Result<Range, String> {
    text.parse::<IpAddr>().map_or_else(|_| range(text), |address| Ok(Range::from_address(address)))
}

impl BlockSpec {
    /// # Errors
    /// As [`range`], with the field before it.
    pub(crate) fn read(&self) -> Result<Block, String> {
        let except = self.except.iter().flatten().map(range).collect::<Result<_, _>>();
        Ok(Block {
            range: range(&self.cidr).map_err(|why| format!(".cidr: {why}"))?,
            except: except.map_err(|why| format!(".except: {why}"))?,
        })
    }
}
