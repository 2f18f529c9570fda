//! The two networks of a migration image, as its policy names them.

use std::path::{Path, PathBuf};

use serde::Serialize;
use shim::node::layout::CONF_FILE;
use types::command::problem::Problem;
use types::policy::{Network, Phase, Policy, Side};
use types::profile::{GENERIC, Profile, Profiles};

use crate::change::obstacles::Obstacles;
use crate::image::bake::BakeOptions;

/// The networks of options.
#[derive(Debug, Serialize)]
pub struct NetworkSpecs {
    old: NetworkSpec,
    new: NetworkSpec,
}

/// A network as a policy spells it, without the probes: `boot` adds those of its profile, of the release that is there then.
#[derive(Debug, Serialize)]
struct NetworkSpec {
    profile: String,
    conf: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cidrs: Vec<String>,
}

/// The policy; keys in the order in which a person reads them.
#[derive(Serialize)]
struct PolicyFile<'a> {
    version: u32,
    networks: &'a NetworkSpecs,
    attach: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    both: Option<BothSpec>,
    unrecorded: &'static str,
}

/// How both networks share a pod; what is left out is the policy's default.
#[derive(Serialize)]
struct BothSpec {
    primary: &'static str,
}

impl NetworkSpecs {
    /// The networks that options name; none where they do not name both.
    pub fn from_options(
        options: BakeOptions<'_>,
        conf_dir: &Path,
        profiles: &Profiles,
        obstacles: &mut Obstacles,
    ) -> Option<Self> {
        if let (Some(old), Some(new)) = (options.old, options.new)
            && old == new
            && old != GENERIC
        {
            let what =
                format!("--old and --new are both {old}: expected the CNI to leave and another one to go to");
            obstacles
                .add_usage(Problem::new(what).with_place("--new").fix("name the CNI to go to with --new"));
        }
        let mut spec = |side, name, conf, cidrs| {
            network_spec(side, name, conf, cidrs, (conf_dir, profiles, &mut *obstacles))
        };
        let old = spec(Side::Old, options.old, options.old_conf, options.old_cidrs);
        let new = spec(Side::New, options.new, options.new_conf, options.new_cidrs);
        Some(Self { old: old?, new: new? })
    }

    /// A policy of them. What was attached before Crossfade is the old network's.
    pub fn to_policy(&self, phase: Phase) -> Vec<u8> {
        let (attach, primary) = phase.meaning();
        to_pretty_json(&PolicyFile {
            version: 1,
            networks: self,
            attach: attach.as_str(),
            both: primary.map(|side| BothSpec { primary: side.as_str() }),
            unrecorded: Side::Old.as_str(),
        })
    }
}

fn network_spec(
    side: Side,
    name: Option<&str>,
    conf: &[PathBuf],
    cidrs: &[String],
    (conf_dir, profiles, obstacles): (&Path, &Profiles, &mut Obstacles),
) -> Option<NetworkSpec> {
    let Some(name) = name else {
        let what = if side == Side::Old { "leave" } else { "go to" };
        let option = format!("--{side}");
        obstacles.add_usage(
            Problem::new(format!("{option}: missing; a migration image has both networks"))
                .fix(format!("name the CNI to {what} with {option}"))
                .with_place(option),
        );
        return None;
    };
    let profile = find_profile(side, name, profiles, obstacles)?;
    let conf = match profile {
        _ if !conf.is_empty() => conf.to_vec(),
        Some(profile) => profile.conf.iter().map(|file| conf_dir.join(file)).collect(),
        None => {
            obstacles.add_usage(
                Problem::new(format!("--{side} {GENERIC}: nothing is known of it"))
                    .with_place(format!("--{side}"))
                    .fix(format!("name its conf with --{side}-conf")),
            );
            return None;
        }
    };
    Some(NetworkSpec { profile: name.to_owned(), conf, cidrs: cidrs.to_vec() })
}

/// The profile of a name, which [`GENERIC`] has none of; nothing, and a finding, where the name is not known.
pub fn find_profile<'p>(
    side: Side,
    name: &str,
    profiles: &'p Profiles,
    obstacles: &mut Obstacles,
) -> Option<Option<&'p Profile>> {
    let profile = profiles.find(name);
    if profile.is_some() || name == GENERIC {
        return Some(profile);
    }
    let fix = format!("name a known CNI, or {GENERIC} with --{side}-conf");
    obstacles.add_usage(
        Problem::new(format!("--{side}: {}", profiles.unknown_text(name)))
            .with_place(format!("--{side}"))
            .fix(fix),
    );
    None
}

/// What keeps the two networks of a policy from standing side by side.
pub fn check_together(policy: &Policy) -> Vec<Problem> {
    let mut all = Vec::new();
    let networks: Vec<(Side, &Network)> = policy.networks().collect();
    for (side, network) in &networks {
        let ours = network.conf.iter().filter(|conf| conf.file_name().is_some_and(|name| name == CONF_FILE));
        all.extend(ours.map(|conf| {
            let key = format!("networks.{side}.conf");
            let what = format!("policy: {key}: {} is Crossfade's own", conf.display());
            Problem::new(what).fix(format!("name the conf of the CNI itself in {key}")).with_place(key)
        }));
    }
    let [(_, old), (_, new)] = networks.as_slice() else {
        let missing = if policy.networks.old.is_none() { Side::Old } else { Side::New };
        let key = format!("networks.{missing}");
        let what = format!("policy: {key}: missing; a migration image has both networks");
        all.push(Problem::new(what).fix(format!("describe the network in {key}")).with_place(key));
        return all;
    };
    let shared = old.conf.iter().filter(|conf| new.conf.contains(conf));
    all.extend(shared.map(|conf| {
        Problem::new(format!("policy: {} is a conf of both networks", conf.display()))
            .with_place("networks.new.conf")
            .fix("give each network a conf of its own")
    }));
    for cidr in &old.cidrs {
        let others =
            new.cidrs.iter().filter(|other| cidr.contains(other.network()) || other.contains(cidr.network()));
        all.extend(others.map(|other| {
            let what = format!(
                "policy: networks.old.cidrs {cidr} and networks.new.cidrs {other} overlap, so a pod's address would not tell its network"
            );
            Problem::new(what).with_place("networks.new.cidrs").fix("give the new network a range of its own")
        }));
    }
    all
}

/// What a person should know of the CNIs that a policy names.
pub fn notes(policy: &Policy, profiles: &Profiles) -> Vec<String> {
    let mut notes = Vec::new();
    for (side, network) in policy.networks() {
        let profile = profiles.find(&network.profile);
        if network.probes().is_empty() && profile.is_none_or(|profile| profile.probes.is_empty()) {
            notes.push(format!(
                "nothing is known of how {} ({side}) tells that it is ready, so it counts as ready once its conf is there: give it `ready` with --from-policy",
                network.profile
            ));
        }
        if let Some(exclusive) = profile.and_then(|profile| profile.exclusive.as_ref()) {
            notes.push(format!(
                "{} ({side}) takes the conf directory for itself unless told otherwise, and renames the other network's conf: {}",
                network.profile, exclusive.setting
            ));
        }
    }
    notes
}

/// JSON as a person writes it, with an end of line.
pub fn to_pretty_json(value: &impl Serialize) -> Vec<u8> {
    // Strings, numbers, lists and maps of strings always serialise.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
