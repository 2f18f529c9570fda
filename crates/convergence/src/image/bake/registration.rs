//! The registration of an image's nodes: the requested labels and taints, and those that a migration usually has.

use std::collections::BTreeMap;

use types::api::taint::{self, READINESS_KEY, Taint};
use types::command::problem::Problem;
use types::node::Node;
use types::profile::{Migration, Profiles};

use crate::change::obstacles::Obstacles;
use crate::image::bake::{BakeOptions, Image};

/// Labels and taints of node.json.
#[derive(Debug, Default)]
pub struct Registration {
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
}

/// Puts together what was asked for and what is usual; a label or a taint that was asked for replaces a usual one of its key. What
/// cannot be read is a finding and left out.
pub fn decide(
    options: BakeOptions<'_>,
    usual: Option<&Migration>,
    obstacles: &mut Obstacles,
) -> Registration {
    let mut registration = Registration::default();
    let mut refuse = |option: &str, why: String| {
        obstacles.add_usage(
            Problem::new(why).with_place(option).fix(format!("correct {option}; bake --help describes it")),
        );
    };
    for text in options.labels {
        let Some((key, value)) = text.split_once('=') else {
            refuse("--label", format!("--label {text:?}: expected KEY=VALUE"));
            continue;
        };
        if registration.labels.insert(key.to_owned(), value.to_owned()).is_some_and(|before| before != value)
        {
            refuse("--label", format!("--label {key}: it is given two values; expected one"));
        }
    }
    for text in options.taints {
        match taint::parse(text) {
            Ok(taints) if !taints.is_empty() => registration.taints.extend(taints),
            Ok(_) => {
                refuse("--taint", "--taint: expected KEY=VALUE:EFFECT or KEY:EFFECT, found nothing".into())
            }
            Err(why) => refuse("--taint", format!("--taint {why}")),
        }
    }
    if options.readiness_taint {
        let contradicts = |taint: &&Taint| taint.key == READINESS_KEY && !taint.is_same(&Taint::readiness());
        if let Some(taint) = registration.taints.iter().find(contradicts) {
            let what = format!(
                "--taint {taint} and --readiness-taint: expected one taint of this key, and that the rule lifts"
            );
            obstacles.add_usage(Problem::new(what).with_place("--readiness-taint").fix("omit the --taint"));
        }
        registration.taints.retain(|taint| !taint.is_same(&Taint::readiness()));
        registration.taints.insert(0, Taint::readiness());
    }
    if let Some(Migration { label: (key, value), taint }) = usual {
        registration.labels.entry(key.clone()).or_insert_with(|| value.clone());
        let is_registered = |taint: &&Taint| {
            registration.taints.iter().any(|registered_taint| registered_taint.key == taint.key)
        };
        let missing = taint.iter().filter(|taint| !is_registered(taint)).cloned().collect::<Vec<_>>();
        registration.taints.splice(0..0, missing);
    }
    registration
}

/// Why the readiness rule would never lift its taint from a node of this image: the node would stay empty.
pub fn unlifted_taint_problem(taint: &Taint, image: Image, node: &Node) -> Option<Problem> {
    if taint.key != READINESS_KEY {
        return None;
    }
    let (why, fix) = if !taint.is_same(&Taint::readiness()) {
        ("the rule lifts the effect NoSchedule alone", "register it with the effect NoSchedule")
    } else if image == Image::Final {
        (
            "the rule waits for CrossfadeReady, which no node of a final image reports",
            "omit the taint, or use --image migration",
        )
    } else if !node.report.node {
        (
            "the rule waits for CrossfadeReady, and report.node: false keeps the node from reporting it",
            "omit the taint, or set report.node to true",
        )
    } else {
        return None;
    };
    Some(Problem::new(format!("taint {taint}: {why}")).fix(fix))
}

/// A note about who lifts a taint: a node with one that no known program lifts would stay empty.
pub fn lifter(taint: &Taint, profiles: &Profiles) -> Option<String> {
    if taint.is_same(&Taint::readiness()) {
        return Some(format!(
            "taint {taint}: the Node Readiness Controller removes it by the rule in docs/kubernetes/node-readiness-rule.yaml; apply the rule before the first node of this image comes up"
        ));
    }
    let lifts = |own: Option<&Taint>| own.is_some_and(|own| own.key == taint.key);
    let mut all = profiles.all().iter();
    let is_known = all.any(|profile| {
        lifts(profile.startup_taint.as_ref())
            || lifts(profile.migration.as_ref().and_then(|migration| migration.taint.as_ref()))
    });
    (!is_known).then(|| {
        format!("taint {taint}: no CNI that we know lifts it, nor does Crossfade; make sure that another program does, or the nodes stay empty")
    })
}
