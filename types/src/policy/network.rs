//! A network of a policy, and how to tell that it is ready.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Join, Secondary};
use crate::json::text;
use crate::profile::GENERIC;
use crate::text::names::is_name;

/// A network as the policy describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Network {
    /// The network's profile, which names its CNI.
    #[serde(default = "default_profile", deserialize_with = "profile")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")))]
    pub profile: String,
    /// Paths of the network's conf or conflist. The first file that exists counts.
    #[serde(deserialize_with = "confs")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(regex(pattern = "^/"))))]
    pub conf: Vec<PathBuf>,
    /// The network's pod address ranges, for the routes of both-mode.
    #[serde(default, deserialize_with = "cidrs", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<String>", inner(regex(pattern = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")))
    )]
    pub cidrs: Vec<IpNetwork>,
    /// All of them must hold before an ADD. If the key is absent, the probes of the profile are written here; an empty list says that
    /// there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Vec<Probe>>,
    /// Whether the network works as the second one of a pod, whose Pod status has the other network's address. Default: what the profile says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secondary: Option<Secondary>,
    /// Whether the network can join a pod that runs, and leave one. Default: what the profile says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
}

impl Network {
    /// The probes that must hold before an ADD.
    #[must_use]
    pub fn probes(&self) -> &[Probe] {
        self.ready.as_deref().unwrap_or_default()
    }
}

/// A probe, which tells whether a network is ready.
///
/// *Shape*: `{"unix": "/run/x.sock"}`, `{"file": "/run/x"}` or `{"http": "localhost:80/healthz", "headers": {"brief": "true"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Keys", into = "Keys")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Probe {
    /// A connect to this socket succeeds.
    Unix(PathBuf),
    /// A regular file exists there.
    File(PathBuf),
    /// A GET answers 2xx; asked by STATUS and `watch` only.
    Http {
        /// `HOST:PORT/PATH` as written; see [`split_target`].
        target: String,
        /// Extra request headers, in order.
        headers: Vec<(String, String)>,
    },
}

/// The keys of a probe.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        rename = "Probe",
        description = "How to tell whether a network is ready.",
        extend("oneOf" = [
            {"required": ["unix"], "not": {"required": ["headers"]}},
            {"required": ["file"], "not": {"required": ["headers"]}},
            {"required": ["http"]}
        ])
    )
)]
struct Keys {
    /// A connect to this socket succeeds.
    #[serde(
        default,
        deserialize_with = "text::deserialize_absolute",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    unix: Option<PathBuf>,
    /// A regular file exists there.
    #[serde(
        default,
        deserialize_with = "text::deserialize_absolute",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    file: Option<PathBuf>,
    /// HOST:PORT/PATH answers 2xx; not asked on ADD. localhost is 127.0.0.1 and ::1, of which one suffices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(regex(pattern = r"^(localhost|[0-9.]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}(/[^\s]*)?$"))
    )]
    http: Option<String>,
    /// Extra request headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::json::schema::Headers"))]
    headers: Option<Headers>,
}

impl TryFrom<Keys> for Probe {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        if keys.headers.is_some() && keys.http.is_none() {
            return Err(".headers: belongs to an http probe only".into());
        }
        match (keys.unix, keys.file, keys.http) {
            (Some(path), None, None) => Ok(Self::Unix(path)),
            (None, Some(path), None) => Ok(Self::File(path)),
            (None, None, Some(target)) => {
                split_target(&target).map_err(|why| format!(".http: {why}"))?;
                Ok(Self::Http { target, headers: keys.headers.unwrap_or_default().0 })
            }
            _ => Err("expected exactly one of unix, file, http".into()),
        }
    }
}

impl From<Probe> for Keys {
    fn from(probe: Probe) -> Self {
        match probe {
            Probe::Unix(path) => Self { unix: Some(path), ..Self::default() },
            Probe::File(path) => Self { file: Some(path), ..Self::default() },
            Probe::Http { target, headers } => {
                let headers = (!headers.is_empty()).then_some(Headers(headers));
                Self { http: Some(target), headers, ..Self::default() }
            }
        }
    }
}

/// Request headers in the order in which they were written.
#[derive(Default)]
struct Headers(Vec<(String, String)>);

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Headers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if !is_header(&key, &value) {
                        let why = format!(".{key}: expected a header name and a value of one line");
                        return Err(A::Error::custom(why));
                    }
                    headers.push((key, value));
                }
                Ok(Headers(headers))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Whether a header is one; what would end its line or its name is none, for it would smuggle in another.
fn is_header(key: &str, value: &str) -> bool {
    let ends_name = |c: char| c == ':' || c.is_whitespace() || c.is_control();
    !key.is_empty() && !key.contains(ends_name) && !value.contains(|c: char| c.is_control())
}

fn default_profile() -> String {
    GENERIC.into()
}

fn profile<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text::held_to(deserializer, "the name of a CNI: letters, digits, '_', '.' and '-'", is_name)
}

fn confs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    let confs = text::absolutes(deserializer)?;
    if confs.is_empty() { Err(D::Error::custom("expected at least one path, found none")) } else { Ok(confs) }
}

fn cidrs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNetwork>, D::Error> {
    struct Cidr(IpNetwork);
    impl<'de> Deserialize<'de> for Cidr {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = text::held_to(deserializer, "a CIDR", |_| true)?;
            cidr(&text).map(Self).map_err(|why| D::Error::custom(format!("{text:?}: {why}")))
        }
    }
    Ok(Vec::<Cidr>::deserialize(deserializer)?.into_iter().map(|cidr| cidr.0).collect())
}

/// A CIDR with its host bits cleared; `10.0.0.0` without a length is refused, for it would mean one address.
fn cidr(text: &str) -> Result<IpNetwork, String> {
    let network = crate::cidr::parse(text)?;
    if network.network() == network.ip() {
        Ok(network)
    } else {
        Err(format!("has host bits; expected {}/{}", network.network(), network.prefix()))
    }
}

/// The host of a probe that may be answered in either family of the loopback interface.
const LOCALHOST: &str = "localhost";

/// Takes `HOST:PORT/PATH` apart. HOST is an address, or `localhost`, which stands for 127.0.0.1 and ::1 without asking a resolver:
/// an agent listens on the one of the two that its node's family is.
///
/// # Errors
/// What was expected.
pub fn split_target(target: &str) -> Result<(Vec<SocketAddr>, &str), String> {
    let (authority, path) = target.find('/').map_or((target, "/"), |slash| target.split_at(slash));
    let wrong = || format!("{target:?}: expected HOST:PORT/PATH with an address or localhost as HOST");
    let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
    let hosts = if host == LOCALHOST {
        vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
    } else {
        vec![host.trim_matches(['[', ']']).parse().map_err(|_| wrong())?]
    };
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if path.contains(|c: char| c.is_control() || c == ' ') {
        return Err(wrong());
    }
    Ok((hosts.into_iter().map(|host| SocketAddr::new(host, port)).collect(), path))
}
