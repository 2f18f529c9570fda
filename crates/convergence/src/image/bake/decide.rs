//! The files that are baked: the pure decision.
//!
//! | image | the policy is given by | node.json is given by | policy | `confDir` | labels and taints |
//! |---|---|---|---|---|---|
//! | migration | options | options | of both networks | `--mode`, else private | of the options, and the usual ones of `--new` |
//! | migration | options | a file | of both networks | the file's: private or shared | the file's |
//! | migration | a file | options | the file, to the byte | `--mode`, else private | of the options, and the usual ones of its `networks.new` |
//! | migration | a file | a file | the file, to the byte | the file's: private or shared | the file's |
//! | final | no option | options | none | none | of the options |
//! | final | no option | a file | none | the file's: none | the file's |
//!
//! The nodes of a migration image register its [identity], unless their labels name one. A final image bears the one that it is given alone: without
//! a label or a taint it does without Crossfade.
//!
//! `bake` writes nothing if anything is wrong. It names everything that is, and ends with the first exit status of this table that applies:
//!
//! | wrong | in options | in a file | on the tree |
//! |---|---|---|---|
//! | an option that a final image has no use for, or one that a migration image lacks | 2 | | |
//! | settings that a node could not use | 2 | 78 | |
//! | `confDir` of another image | | 78 | |
//! | the runtime's conf directory is not known, and options name the networks | | | 3 |
//! | settings that count before those that are baked | | | 3 |

use std::collections::BTreeMap;

use serde::Serialize;
use types::api::node_keys::IMAGE;
use types::api::taint;
use types::command::problem::Problem;
use types::node::{Mode, Node};
use types::policy::{Phase, Side};
use types::profile::{Profile, Profiles};

use crate::change::obstacles::Obstacles;
use crate::failure::Failure;
use crate::image::bake::facts::BakeFacts;
use crate::image::bake::identity::ImageContent;
use crate::image::bake::registration::{self, Registration};
use crate::image::bake::sides::{self, NetworkSpecs, to_pretty_json};
use crate::image::bake::{BakeOptions, Image};
use crate::kubelet::refusals;
use crate::node::policy::secondary;

#[derive(Debug)]
pub struct BakeDecision {
    /// The policy; none in a final image.
    pub policy: Option<Vec<u8>>,
    /// node.json.
    pub node: Vec<u8>,
    /// The identity of the image, as its nodes bear it; none in a final image that was given none.
    pub image: Option<String>,
    /// What a person may want to know.
    pub notes: Vec<String>,
}

/// node.json as it is made of options; keys in the order in which a person reads them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeFile<'a> {
    version: u32,
    conf_dir: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    taints: &'a [taint::Taint],
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<ReportSpec>,
}

/// What CrossfadeReady waits for; what is left out is the default.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportSpec {
    require_all_networks: bool,
}

/// The options with which whole files are given.
const FROM_POLICY: &str = "--from-policy";
const FROM_NODE: &str = "--from-node";

/// Where settings come from, which decides the exit status of a mistake in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Options,
    File,
}

impl Origin {
    const fn from_file(file: Option<&Vec<u8>>) -> Self {
        if file.is_some() { Self::File } else { Self::Options }
    }

    /// Adds a mistake in settings of this origin; `file` is the option with which a file is given.
    fn note_unusable(self, why: impl Into<Problem>, file: &str, obstacles: &mut Obstacles) {
        let mut problem = why.into();
        match self {
            Self::Options => {
                if problem.fix.is_empty() {
                    problem.fix = "correct the option that says so, then run bake again".into();
                }
                obstacles.add_usage(problem);
            }
            Self::File => {
                if problem.place.is_empty() {
                    problem.place = format!("the file of {file}");
                }
                if problem.fix.is_empty() {
                    problem.fix = format!("correct the file of {file}, then run bake again");
                }
                obstacles.add_settings(Some(problem));
            }
        }
    }
}

/// Decides, or finds everything that stands in the way.
///
/// # Errors
/// All findings at once; 2 when the command line is among them, else 78 when settings are, else 3.
pub fn decide(options: BakeOptions<'_>, facts: &BakeFacts) -> Result<BakeDecision, Failure> {
    let (mut obstacles, mut notes) = (Obstacles::default(), Vec::new());
    let mut policy = None;
    let new = match options.image {
        Image::Migration => {
            policy = facts.policy.clone().or_else(|| migration(options, facts, &mut obstacles));
            policy.as_deref().and_then(|bytes| {
                let origin = Origin::from_file(facts.policy.as_ref());
                check_settings(bytes, origin, &facts.profiles, (&mut obstacles, &mut notes))
            })
        }
        Image::Final => decide_last_image(options, &facts.profiles, &mut obstacles),
    };
    let content = ImageContent { release: facts.release.as_deref(), policy: policy.as_deref(), node: &[] };
    let node = match &facts.node {
        Some(node) if options.image == Image::Migration => ImageContent { node, ..content }.with_label(),
        Some(bytes) => bytes.clone(),
        None => settings(options, new, content, &mut obstacles),
    };
    let origin = Origin::from_file(facts.node.as_ref());
    fits(&node, (options.image, origin), &facts.profiles, (&mut obstacles, &mut notes));
    for path in &facts.hiding {
        let path = path.display().to_string();
        obstacles.add(
            Problem::new(format!("{path} counts before what is baked"))
                .fix(format!("remove {path}, or bake it with --from-policy or --from-node"))
                .with_place(path),
        );
    }
    if facts.is_off {
        notes.push(
            "/etc/crossfade/disabled is there, so nodes of this image come up without Crossfade".into(),
        );
    }
    obstacles.refuse()?;
    let settings = Node::parse(&node).ok();
    let both = policy.as_deref().zip(settings.as_ref());
    notes.extend(both.and_then(|(policy, node)| bridge_note(policy, node, &facts.profiles)));
    let image = settings.and_then(|node| node.labels.get(IMAGE).cloned());
    Ok(BakeDecision { policy, node, image, notes })
}

/// The policy of options.
fn migration(options: BakeOptions<'_>, facts: &BakeFacts, obstacles: &mut Obstacles) -> Option<Vec<u8>> {
    let conf_dir = match &facts.conf_dir {
        Ok(dir) => dir,
        Err(why) => {
            let fix = if why.fix.is_empty() { "name the runtime" } else { &why.fix };
            obstacles
                .add(why.clone().fix(format!("{fix}; a whole node.json (--from-node) can name it, too")));
            return None;
        }
    };
    let sides = NetworkSpecs::from_options(options, conf_dir, &facts.profiles, obstacles)?;
    Some(sides.to_policy(options.phase.unwrap_or(Phase::New)))
}

/// Holds a policy against the shim's rules and what a migration needs; returns the profile of the network to go to.
fn check_settings<'p>(
    bytes: &[u8],
    origin: Origin,
    profiles: &'p Profiles,
    (obstacles, notes): (&mut Obstacles, &mut Vec<String>),
) -> Option<&'p Profile> {
    let policy = match secondary::parse(bytes, profiles) {
        Ok(policy) => policy,
        Err(why) => {
            origin.note_unusable(format!("policy: {why}"), FROM_POLICY, obstacles);
            return None;
        }
    };
    sides::check_together(&policy)
        .into_iter()
        .for_each(|why| origin.note_unusable(why, FROM_POLICY, obstacles));
    notes.extend(sides::notes(&policy, profiles));
    policy.networks.new.as_ref().and_then(|network| profiles.find(&network.profile))
}

/// A note about nodes that forward between both networks, and report that they are ready before the old network's agent is.
fn bridge_note(policy: &[u8], node: &Node, profiles: &Profiles) -> Option<String> {
    let policy = secondary::parse(policy, profiles).ok()?;
    let is_early = policy.phase() == Phase::New && node.report.node && !node.report.require_all_networks;
    is_early.then(|| {
        "nodes of an image in phase new forward between both networks, and CrossfadeReady does not wait for the agent of the old one: --require-all-networks makes it wait".into()
    })
}

/// A final image: there is nothing to choose.
fn decide_last_image<'p>(
    options: BakeOptions<'_>,
    profiles: &'p Profiles,
    obstacles: &mut Obstacles,
) -> Option<&'p Profile> {
    let flags = [
        ("--old", options.old.is_some()),
        ("--old-conf", !options.old_conf.is_empty()),
        ("--new-conf", !options.new_conf.is_empty()),
        ("--old-cidr", !options.old_cidrs.is_empty()),
        ("--new-cidr", !options.new_cidrs.is_empty()),
        ("--phase", options.phase.is_some()),
        ("--mode", options.mode.is_some()),
        ("--require-all-networks", options.require_all_networks),
        ("--from-policy", options.has_policy_file),
    ];
    for (option, _) in flags.into_iter().filter(|(_, is_set)| *is_set) {
        let what = format!("{option}: a final image has the new network only, and no plugin of Crossfade's");
        obstacles.add_usage(
            Problem::new(what).with_place(option).fix("omit the option, or use --image migration"),
        );
    }
    options.new.and_then(|name| sides::find_profile(Side::New, name, profiles, obstacles).flatten())
}

/// node.json of options. What it is without its identity makes the identity.
fn settings(
    options: BakeOptions<'_>,
    new: Option<&Profile>,
    content: ImageContent<'_>,
    obstacles: &mut Obstacles,
) -> Vec<u8> {
    let migration = new.filter(|_| !options.bare && options.image == Image::Migration);
    let usual = migration.and_then(|profile| profile.migration.as_ref());
    let Registration { mut labels, taints } = registration::decide(options, usual, obstacles);
    let mode = match options.image {
        Image::Migration => options.mode.unwrap_or(Mode::Private),
        Image::Final => Mode::Without,
    };
    let file = |labels: &BTreeMap<String, String>| {
        let report = options.require_all_networks.then_some(ReportSpec { require_all_networks: true });
        to_pretty_json(&NodeFile { version: 1, conf_dir: mode.as_str(), labels, taints: &taints, report })
    };
    if options.image == Image::Migration && !labels.contains_key(IMAGE) {
        let identity = ImageContent { node: &file(&labels), ..content }.identity();
        labels.insert(IMAGE.to_owned(), identity);
    }
    file(&labels)
}

/// A `confDir` that belongs to the other kind of image.
fn conf_dir(expected: &str) -> Problem {
    Problem::new(format!("node.json: confDir: expected {expected}"))
        .with_place("node.json, confDir")
        .fix("set confDir in the file of --from-node, or name the other --image")
}

/// Holds a node.json against Crossfade's rules, those of kubelet, and what its image is for.
fn fits(
    bytes: &[u8],
    (image, origin): (Image, Origin),
    profiles: &Profiles,
    (obstacles, notes): (&mut Obstacles, &mut Vec<String>),
) {
    let node = match Node::parse(bytes) {
        Ok(node) => node,
        Err(why) => return origin.note_unusable(format!("node.json: {why}"), FROM_NODE, obstacles),
    };
    refusals(&node).into_iter().for_each(|why| origin.note_unusable(why, FROM_NODE, obstacles));
    node.taints
        .iter()
        .filter_map(taint::doubt)
        .for_each(|why| origin.note_unusable(why, FROM_NODE, obstacles));
    let never =
        node.taints.iter().filter_map(|taint| registration::unlifted_taint_problem(taint, image, &node));
    never.for_each(|why| origin.note_unusable(why, FROM_NODE, obstacles));
    match (image, node.conf_dir) {
        (Image::Migration, Mode::Private | Mode::Shared) | (Image::Final, Mode::Without) => {}
        (Image::Migration, Mode::Without) => {
            obstacles.add_settings(Some(conf_dir("private or shared in a migration image, found none")));
        }
        (Image::Final, Mode::Private | Mode::Shared) => {
            obstacles.add_settings(Some(conf_dir("none in a final image")));
        }
    }
    let is_empty = node.labels.is_empty() && node.taints.is_empty();
    if image == Image::Final && is_empty {
        notes.push(
            "no label and no taint: a final image without them does not need the package at all".into(),
        );
    }
    notes.extend(node.taints.iter().filter_map(|taint| registration::lifter(taint, profiles)));
    if !node.kubelet.register && !is_empty {
        notes.push("node.json says kubelet.register: false, so its labels and taints reach kubelet through a fragment (render --print)".into());
    }
}
