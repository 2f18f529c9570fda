//! What the environment says: the pod, its node, the other agents' hubs and the networks.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, anyhow, ensure};
use reachability::Key;
use reachability::peer::{Ranges, validate_name};

/// The variables, for a person.
pub(crate) const HELP: &str = "\
crossfade-probe: sends packets to other agents and answers theirs (kubectl crossfade probe starts it)

Environment:
  POD_NAME, POD_IPS, NODE_NAME  of this pod, by the downward API
  CROSSFADE_PROBE_ROLE          agent, or hub: an agent that also hands out targets and prints reports
  CROSSFADE_PROBE_HOST          true on the host network
  CROSSFADE_PROBE_KEY           32 hexadecimal digits, the same for all agents
  CROSSFADE_PROBE_HUBS          ADDRESS:PORT of each hub, by commas, the same order for all agents
  CROSSFADE_PROBE_PORT          the port on which agents answer
  CROSSFADE_PROBE_DENIED_PORT   in pods, another UDP port on which they answer, if a NetworkPolicy closes it
  CROSSFADE_PROBE_HUB_PORT      the port on which a hub is asked
  CROSSFADE_PROBE_NETWORKS      old=CIDR,CIDR;new=CIDR: the ranges of pods' addresses
  CROSSFADE_PROBE_ZONES         a file with a line NODE=ZONE for each node, of at most 1 MiB
  CROSSFADE_PROBE_SERVICE       cluster IPs of the agents' Service, by commas
  CROSSFADE_PROBE_DNS           cluster IPs of the cluster's DNS, by commas
";

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) pod: String,
    pub(crate) node: String,
    /// Empty where it is not known.
    pub(crate) zone: String,
    /// The primary address of each family.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) is_hub: bool,
    pub(crate) is_host: bool,
    pub(crate) key: Key,
    pub(crate) hubs: Vec<SocketAddr>,
    pub(crate) port: u16,
    /// Of a pod; `None` on the host network, which policies for pods do not select.
    pub(crate) denied_port: Option<u16>,
    pub(crate) hub_port: u16,
    pub(crate) ranges: Ranges,
    pub(crate) service: Vec<IpAddr>,
    pub(crate) dns: Vec<IpAddr>,
}

/// The most hubs, and the most addresses of a Service.
const MAX_ADDRESSES: usize = 8;
/// The largest file of zones, in bytes: as large as a ConfigMap.
const MAX_ZONES: u64 = 1 << 20;

impl Settings {
    /// # Errors
    /// The first variable that is missing or not understood.
    pub(crate) fn from_environment() -> Result<Self> {
        Self::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let required = |name: &str| variable(name).with_context(|| format!("{name} is not set (--help)"));
        let optional = |name: &str| variable(name).unwrap_or_default();
        let parse_port = |name: &str, text: String| {
            let port = text.parse::<u16>().ok().filter(|port| *port != 0);
            port.with_context(|| format!("{name}={text}: expected a port"))
        };
        let required_port = |name: &str| parse_port(name, required(name)?);
        let is_host = optional("CROSSFADE_PROBE_HOST") == "true";
        let port = required_port("CROSSFADE_PROBE_PORT")?;
        let denied_port = variable("CROSSFADE_PROBE_DENIED_PORT")
            .map(|text| parse_port("CROSSFADE_PROBE_DENIED_PORT", text))
            .transpose()?;
        ensure!(
            denied_port != Some(port),
            "CROSSFADE_PROBE_DENIED_PORT={port}: expected another port than CROSSFADE_PROBE_PORT"
        );
        let addresses = list::<IpAddr>("POD_IPS", &required("POD_IPS")?)?;
        ensure!(!addresses.is_empty(), "POD_IPS is empty: expected the pod's addresses");
        let role = required("CROSSFADE_PROBE_ROLE")?;
        ensure!(
            ["agent", "hub"].contains(&role.as_str()),
            "CROSSFADE_PROBE_ROLE={role}: expected agent or hub"
        );
        let hubs = list::<SocketAddr>("CROSSFADE_PROBE_HUBS", &required("CROSSFADE_PROBE_HUBS")?)?;
        ensure!(!hubs.is_empty(), "CROSSFADE_PROBE_HUBS is empty: expected ADDRESS:PORT");
        let named = |name: &'static str| move |why: String| anyhow!("{name}: {why}");
        let node = required("NODE_NAME")?;
        let zone = match variable("CROSSFADE_PROBE_ZONES") {
            Some(path) => read_zones(&path)
                .and_then(|zones| find_zone(&zones, &node))
                .with_context(|| format!("CROSSFADE_PROBE_ZONES={path}"))?,
            None => String::new(),
        };
        Ok(Self {
            pod: required("POD_NAME")?,
            node,
            zone,
            addresses: first_of_each_family(&addresses),
            is_hub: role == "hub",
            is_host,
            key: Key::parse(&required("CROSSFADE_PROBE_KEY")?).map_err(named("CROSSFADE_PROBE_KEY"))?,
            hubs,
            port,
            denied_port: denied_port.filter(|_| !is_host),
            hub_port: required_port("CROSSFADE_PROBE_HUB_PORT")?,
            ranges: Ranges::parse(&required("CROSSFADE_PROBE_NETWORKS")?)
                .map_err(named("CROSSFADE_PROBE_NETWORKS"))?,
            service: list("CROSSFADE_PROBE_SERVICE", &optional("CROSSFADE_PROBE_SERVICE"))?,
            dns: list("CROSSFADE_PROBE_DNS", &optional("CROSSFADE_PROBE_DNS"))?,
        })
    }
}

fn list<T: std::str::FromStr>(name: &str, text: &str) -> Result<Vec<T>> {
    let words: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    ensure!(
        words.len() <= MAX_ADDRESSES,
        "{name} has {} addresses: expected at most {MAX_ADDRESSES}",
        words.len()
    );
    words
        .into_iter()
        .map(|word| word.parse().map_err(|_| anyhow!("{name}: {word:?} is no address")))
        .collect()
}

/// The content of the file of zones; empty where there is no file.
fn read_zones(path: &str) -> Result<String> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        file => file?,
    };
    let mut zones = String::new();
    file.take(MAX_ZONES + 1).read_to_string(&mut zones)?;
    ensure!(zones.len() as u64 <= MAX_ZONES, "expected at most {MAX_ZONES} bytes");
    Ok(zones)
}

/// The zone of a node by lines `NODE=ZONE`; empty where none is the node's.
fn find_zone(zones: &str, node: &str) -> Result<String> {
    let mut own_zone = "";
    for (number, line) in (1..).zip(zones.lines()).filter(|(_, line)| !line.is_empty()) {
        let (name, zone) =
            line.split_once('=').with_context(|| format!("line {number}: expected NODE=ZONE"))?;
        for text in [name, zone] {
            validate_name(text).map_err(|why| anyhow!("line {number}: {why}"))?;
        }
        if name == node {
            own_zone = zone;
        }
    }
    Ok(own_zone.to_owned())
}

fn first_of_each_family(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first = |is_wanted: fn(&IpAddr) -> bool| addresses.iter().copied().find(is_wanted);
    let first_address = addresses.first().copied();
    let other = first(if first_address.is_some_and(|address| address.is_ipv6()) {
        IpAddr::is_ipv4
    } else {
        IpAddr::is_ipv6
    });
    first_address.into_iter().chain(other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(changes: &[(&str, &str)]) -> Result<Settings> {
        Settings::read(|name| {
            let usual = match name {
                "POD_NAME" => "probe-x",
                "NODE_NAME" => "n1",
                "POD_IPS" => "10.244.1.2,fd00::2",
                "CROSSFADE_PROBE_ROLE" => "agent",
                "CROSSFADE_PROBE_KEY" => "000102030405060708090a0b0c0d0e0f",
                "CROSSFADE_PROBE_HUBS" => "192.0.2.1:9798",
                "CROSSFADE_PROBE_PORT" => "9797",
                "CROSSFADE_PROBE_HUB_PORT" => "9798",
                "CROSSFADE_PROBE_NETWORKS" => "old=10.244.0.0/16",
                _ => "",
            };
            let changed = changes.iter().find(|(changed, _)| *changed == name).map(|(_, value)| *value);
            Some(changed.unwrap_or(usual).to_owned()).filter(|value| !value.is_empty())
        })
    }

    #[test]
    fn the_first_address_of_each_family_is_probed() {
        for (text, addresses) in [
            ("10.244.1.2,fd00::2", &["10.244.1.2", "fd00::2"][..]),
            ("fd00::2,10.244.1.2,10.244.1.3", &["fd00::2", "10.244.1.2"]),
            ("10.244.1.2", &["10.244.1.2"]),
        ] {
            let read = settings(&[("POD_IPS", text)]).expect(text).addresses;
            assert_eq!(read.iter().map(ToString::to_string).collect::<Vec<_>>(), addresses, "{text}");
        }
    }

    #[test]
    fn only_pods_have_a_port_that_a_policy_closes() {
        let denied_port = |host| {
            let changes = [("CROSSFADE_PROBE_DENIED_PORT", "9799"), ("CROSSFADE_PROBE_HOST", host)];
            settings(&changes).expect("settings").denied_port
        };
        assert_eq!((denied_port(""), denied_port("true")), (Some(9799), None));
    }

    #[test]
    fn the_zone_is_that_of_the_node_in_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("zones");
        let name = path.to_str().expect("a path");
        let zone = || settings(&[("CROSSFADE_PROBE_ZONES", name)]).map(|settings| settings.zone);
        assert_eq!(zone().expect("no file"), "");
        let largest = "n2=b\n".repeat(MAX_ZONES as usize / 5);
        for (text, expected) in
            [("n1=a\nn2=b\n", "a"), ("\nn2=b\nn1=a", "a"), ("n10=a\n", ""), ("n1=\n", ""), (&largest, "")]
        {
            std::fs::write(&path, text).expect("written");
            assert_eq!(zone().expect("a zone"), expected, "{text:.20}");
        }
        for (text, named) in [
            ("n1\n", "line 1: expected NODE=ZONE"),
            ("n2=b\nn1=a b\n", "line 2: "),
            ("n/1=a\n", "line 1: "),
            (&format!("{largest}n2=b\n"), "1048576 bytes"),
        ] {
            std::fs::write(&path, text).expect("written");
            let why = format!("{:#}", zone().expect_err(named));
            assert!(why.contains(name) && why.contains(named), "{why}");
        }
    }

    #[test]
    fn a_variable_that_is_not_understood_is_named() {
        for (name, value) in [
            ("POD_IPS", "10.244.1"),
            ("CROSSFADE_PROBE_ROLE", "master"),
            ("CROSSFADE_PROBE_KEY", "secret"),
            ("CROSSFADE_PROBE_HUBS", ""),
            ("CROSSFADE_PROBE_HUBS", "192.0.2.1"),
            ("CROSSFADE_PROBE_PORT", "0"),
            ("CROSSFADE_PROBE_DENIED_PORT", "x"),
            ("CROSSFADE_PROBE_DENIED_PORT", "9797"),
            ("CROSSFADE_PROBE_NETWORKS", "10.0.0.0/8"),
            ("CROSSFADE_PROBE_DNS", "kube-dns"),
        ] {
            let why = format!("{:#}", settings(&[(name, value)]).expect_err(name));
            assert!(why.contains(name), "{name}={value}: {why}");
            assert!(value != "secret" || !why.contains(value), "a key is never printed: {why}");
        }
    }
}
