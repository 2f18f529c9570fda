//! Bytes to a valid policy.

use std::path::PathBuf;

use ipnetwork::IpNetwork;
use serde_json::value::RawValue;

use super::{
    Attach, Both, Deadlines, Gc, Network, PodAnnotation, Policy, Probe, Retired, Rule, Secondary,
    SecondaryFailure, Side,
};
use crate::fields::Fields;
use crate::names::validate_ifname;
use crate::raw::RawObject;

/// Longest deadline, in seconds: an hour, far beyond any runtime's own.
const MAX_DEADLINE_SECS: u64 = 3600;
/// Longest grace, in seconds: a year.
const MAX_GRACE_SECS: u64 = 366 * 24 * 3600;

const KEYS: [&str; 10] = [
    "version",
    "networks",
    "attach",
    "both",
    "rules",
    "podAnnotation",
    "unrecorded",
    "retired",
    "gc",
    "deadlines",
];

impl Policy {
    /// Parses and validates a policy.
    ///
    /// # Errors
    /// One line that names the key, what was expected and, where there is one, the remedy.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let object = RawObject::parse(bytes).map_err(|e| e.to_string())?;
        let fields = Fields::outermost(object, "policy", &KEYS)?;
        match fields.require::<u64>("version", "1")? {
            1 => {}
            other => {
                return Err(format!("version: expected 1, found {other}; this shim speaks version 1"));
            }
        }
        let networks = fields
            .object("networks", &["old", "new"])?
            .ok_or("networks: missing; expected an object with \"old\", \"new\" or both")?;
        let old = network(&networks, "old")?;
        let new = network(&networks, "new")?;
        let present = Present { old: old.is_some(), new: new.is_some() };
        if !present.old && !present.new {
            return Err("networks: expected \"old\", \"new\" or both, found neither".into());
        }
        let attach =
            present.attach(&fields, "attach")?.ok_or("attach: missing; expected old, new or both")?;
        let rules = rules(&fields, present)?;
        let pod_annotation = pod_annotation(&fields, present)?;
        let both = both(&fields, present)?;
        let policy = Self {
            attach,
            both,
            rules,
            pod_annotation,
            unrecorded: present.side(&fields, "unrecorded")?,
            retired: retired(&fields, present)?,
            gc: gc(&fields)?,
            deadlines: deadlines(&fields)?,
            old,
            new,
        };
        policy.refuse_second(|network| network.secondary)?;
        Ok(policy)
    }
}

/// Which networks the policy has; every key that names one is held against it.
#[derive(Clone, Copy)]
struct Present {
    old: bool,
    new: bool,
}

impl Present {
    const fn has(self, side: Side) -> bool {
        match side {
            Side::Old => self.old,
            Side::New => self.new,
        }
    }

    fn side(self, fields: &Fields, key: &str) -> Result<Option<Side>, String> {
        let Some(text) = fields.get::<String>(key, "old or new")? else {
            return Ok(None);
        };
        let side = Side::parse(&text)
            .ok_or_else(|| format!("{}: expected old or new, found {text:?}", fields.at(key)))?;
        self.need(side, &fields.at(key)).map(|()| Some(side))
    }

    fn attach(self, fields: &Fields, key: &str) -> Result<Option<Attach>, String> {
        let Some(text) = fields.get::<String>(key, "old, new or both")? else {
            return Ok(None);
        };
        self.attach_of(&text, &fields.at(key)).map(Some)
    }

    fn attach_of(self, text: &str, at: &str) -> Result<Attach, String> {
        let attach =
            Attach::parse(text).ok_or_else(|| format!("{at}: expected old, new or both, found {text:?}"))?;
        match attach {
            Attach::One(side) => self.need(side, at)?,
            Attach::Both => Side::BOTH.into_iter().try_for_each(|side| self.need(side, at))?,
        }
        Ok(attach)
    }

    fn need(self, side: Side, at: &str) -> Result<(), String> {
        if self.has(side) {
            Ok(())
        } else {
            Err(format!(
                "{at}: names the network {side}, which networks.{side} does not describe; add it there or name {}",
                side.other()
            ))
        }
    }
}

fn network(networks: &Fields, key: &str) -> Result<Option<Network>, String> {
    let Some(fields) = networks.object(key, &["profile", "conf", "cidrs", "ready", "secondary"])? else {
        return Ok(None);
    };
    let conf: Vec<PathBuf> = fields.require("conf", "a list of absolute paths")?;
    if conf.is_empty() || conf.iter().any(|path| !path.is_absolute()) {
        return Err(format!("{}: expected at least one path, each absolute", fields.at("conf")));
    }
    let profile = fields.get::<String>("profile", "the name of a CNI")?.unwrap_or_else(|| "generic".into());
    if !crate::names::is_name(&profile) {
        return Err(format!(
            "{}: expected letters, digits, '_', '.' and '-', found {profile:?}",
            fields.at("profile")
        ));
    }
    let cidrs = fields.get::<Vec<String>>("cidrs", "a list of CIDRs")?.unwrap_or_default();
    let cidrs = cidrs
        .iter()
        .map(|text| cidr(text).map_err(|why| format!("{}: {text:?}: {why}", fields.at("cidrs"))))
        .collect::<Result<_, _>>()?;
    let ready = fields
        .objects("ready", &["unix", "file", "http", "headers"])?
        .iter()
        .map(probe)
        .collect::<Result<_, _>>()?;
    let secondary = fields.get::<String>("secondary", Secondary::ALL_WORDS)?;
    let secondary = secondary.map(|text| {
        Secondary::parse(&text).ok_or_else(|| {
            format!("{}: expected {}, found {text:?}", fields.at("secondary"), Secondary::ALL_WORDS)
        })
    });
    Ok(Some(Network { profile, conf, cidrs, ready, secondary: secondary.transpose()? }))
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

fn probe(fields: &Fields) -> Result<Probe, String> {
    let path = |key: &str| -> Result<Option<PathBuf>, String> {
        match fields.get::<PathBuf>(key, "an absolute path")? {
            Some(path) if !path.is_absolute() => {
                Err(format!("{}: expected an absolute path, found {path:?}", fields.at(key)))
            }
            other => Ok(other),
        }
    };
    let target = fields.get::<String>("http", "HOST:PORT/PATH")?;
    let headers = fields.get::<RawObject>("headers", "an object of strings")?;
    if headers.is_some() && target.is_none() {
        return Err(format!("{}: belongs to an http probe only", fields.at("headers")));
    }
    match (path("unix")?, path("file")?, target) {
        (Some(path), None, None) => Ok(Probe::Unix(path)),
        (None, Some(path), None) => Ok(Probe::File(path)),
        (None, None, Some(target)) => {
            super::split_target(&target).map_err(|why| format!("{}: {why}", fields.at("http")))?;
            let at = fields.at("headers");
            let headers = headers.unwrap_or_default();
            let headers =
                headers.pairs().map(|(key, value)| header(key, value, &at)).collect::<Result<_, _>>()?;
            Ok(Probe::Http { target, headers })
        }
        _ => {
            Err(format!("{}: expected exactly one of unix, file, http", fields.at("").trim_end_matches('.')))
        }
    }
}

/// A request header; what would end its line or its name is refused, for it would smuggle in another.
fn header(key: &str, value: &RawValue, at: &str) -> Result<(String, String), String> {
    let value: String = serde_json::from_slice(value.get().as_bytes())
        .map_err(|_| format!("{at}.{key}: expected a string"))?;
    let bad = key.is_empty() || key.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control());
    if bad || value.contains(|c: char| c.is_control()) {
        return Err(format!("{at}.{key}: expected a header name and a value of one line"));
    }
    Ok((key.to_owned(), value))
}

fn both(fields: &Fields, present: Present) -> Result<Both, String> {
    const DEFAULT_IFNAME: &str = "net1";
    let known = ["primary", "secondaryIfname", "defaultRoute", "secondaryFailure"];
    let Some(both) = fields.object("both", &known)? else {
        return Ok(Both {
            primary: Side::Old,
            secondary_ifname: DEFAULT_IFNAME.into(),
            default_route: Side::Old,
            secondary_failure: SecondaryFailure::Fail,
        });
    };
    let primary = present.side(&both, "primary")?.unwrap_or(Side::Old);
    let default_route = present.side(&both, "defaultRoute")?.unwrap_or(primary);
    let secondary_ifname =
        both.get::<String>("secondaryIfname", "an interface name")?.unwrap_or_else(|| DEFAULT_IFNAME.into());
    validate_ifname(&secondary_ifname).map_err(|why| format!("both.secondaryIfname: {why}"))?;
    if secondary_ifname == "lo" {
        return Err("both.secondaryIfname: lo is the loopback interface; expected another name".into());
    }
    let secondary_failure = match both.get::<String>("secondaryFailure", "fail or tolerate")?.as_deref() {
        None | Some("fail") => SecondaryFailure::Fail,
        Some("tolerate") => SecondaryFailure::Tolerate,
        Some(other) => {
            return Err(format!("both.secondaryFailure: expected fail or tolerate, found {other:?}"));
        }
    };
    if secondary_failure == SecondaryFailure::Tolerate && primary != default_route {
        return Err(format!(
            "both.secondaryFailure: tolerate requires the primary to own the default route; set defaultRoute to {primary}"
        ));
    }
    Ok(Both { primary, secondary_ifname, default_route, secondary_failure })
}

fn rules(fields: &Fields, present: Present) -> Result<Vec<Rule>, String> {
    fields
        .objects("rules", &["namespace", "pod", "attach"])?
        .iter()
        .map(|rule| {
            Ok(Rule {
                namespace: rule.get("namespace", "a glob")?,
                pod: rule.get("pod", "a glob")?,
                attach: present
                    .attach(rule, "attach")?
                    .ok_or_else(|| format!("{}: missing; expected old, new or both", rule.at("attach")))?,
            })
        })
        .collect()
}

fn pod_annotation(fields: &Fields, present: Present) -> Result<Option<PodAnnotation>, String> {
    let Some(annotation) = fields.object("podAnnotation", &["key", "allow"])? else {
        return Ok(None);
    };
    let key: String = annotation.require("key", "an annotation key")?;
    if key.is_empty() {
        return Err("podAnnotation.key: expected an annotation key, found an empty string".into());
    }
    let allow = annotation
        .require::<Vec<String>>("allow", "a list of old, new, both")?
        .iter()
        .map(|text| present.attach_of(text, "podAnnotation.allow"))
        .collect::<Result<_, _>>()?;
    Ok(Some(PodAnnotation { key, allow }))
}

fn retired(fields: &Fields, present: Present) -> Result<Vec<Retired>, String> {
    let mut all: Vec<Retired> = Vec::new();
    for entry in fields.objects("retired", &["network", "forceAfterSeconds"])? {
        let network = present
            .side(&entry, "network")?
            .ok_or_else(|| format!("{}: missing; expected old or new", entry.at("network")))?;
        if all.iter().any(|earlier| earlier.network == network) {
            return Err(format!("{}: {network} is retired twice; expected it once", entry.at("network")));
        }
        let force_after_secs = entry
            .integer("forceAfterSeconds", 0..=MAX_GRACE_SECS)?
            .ok_or_else(|| format!("{}: missing; expected seconds", entry.at("forceAfterSeconds")))?;
        all.push(Retired { network, force_after_secs });
    }
    Ok(all)
}

fn gc(fields: &Fields) -> Result<Gc, String> {
    let mut gc = Gc { grace_secs: 600, forward: true };
    if let Some(written) = fields.object("gc", &["graceSeconds", "forward"])? {
        gc.grace_secs = written.integer("graceSeconds", 0..=MAX_GRACE_SECS)?.unwrap_or(gc.grace_secs);
        gc.forward = written.get("forward", "true or false")?.unwrap_or(gc.forward);
    }
    Ok(gc)
}

fn deadlines(fields: &Fields) -> Result<Deadlines, String> {
    let known = ["addSeconds", "delSeconds", "checkSeconds", "statusMillis", "gcSeconds"];
    let mut all = Deadlines::default();
    if let Some(written) = fields.object("deadlines", &known)? {
        let secs = |key: &str, default: u64| {
            written.integer(key, 1..=MAX_DEADLINE_SECS).map(|value| value.unwrap_or(default))
        };
        all.add_secs = secs("addSeconds", all.add_secs)?;
        all.del_secs = secs("delSeconds", all.del_secs)?;
        all.check_secs = secs("checkSeconds", all.check_secs)?;
        all.gc_secs = secs("gcSeconds", all.gc_secs)?;
        all.status_millis =
            written.integer("statusMillis", 1..=MAX_DEADLINE_SECS * 1000)?.unwrap_or(all.status_millis);
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
