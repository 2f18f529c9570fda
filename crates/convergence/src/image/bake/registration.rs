//! The registration of an image's nodes: the requested labels and taints, and those that a migration usually has.

use std::collections::BTreeMap;

use types::api::taint::{self, Taint};
use types::command::problem::Problem;
use types::profile::{Migration, Profiles};

use crate::change::obstacles::Obstacles;
use crate::image::bake::BakeOptions;

/// Labels and taints of node.json.
#[derive(Debug, Default)]
pub struct Registration {
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
}

/// Puts together what was asked for and what is usual; a label or a taint that was asked for replaces a usual one of its key. What
/// cannot be read is a finding and left out.
pub fn decide(wanted: BakeOptions<'_>, usual: Option<&Migration>, obstacles: &mut Obstacles) -> Registration {
    let mut registration = Registration::default();
    let mut refuse = |option: &str, why: String| {
        obstacles.add_usage(
            Problem::new(why).at(option).fix(format!("correct {option}; bake --help describes it")),
        );
    };
    for text in wanted.labels {
        let Some((key, value)) = text.split_once('=') else {
            refuse("--label", format!("--label {text:?}: expected KEY=VALUE"));
            continue;
        };
        if registration.labels.insert(key.to_owned(), value.to_owned()).is_some_and(|before| before != value)
        {
            refuse("--label", format!("--label {key}: it is given two values; expected one"));
        }
    }
    for text in wanted.taints {
        match taint::parse(text) {
            Ok(taints) if !taints.is_empty() => registration.taints.extend(taints),
            Ok(_) => {
                refuse("--taint", "--taint: expected KEY=VALUE:EFFECT or KEY:EFFECT, found nothing".into())
            }
            Err(why) => refuse("--taint", format!("--taint {why}")),
        }
    }
    if let Some(Migration { label: (key, value), taint }) = usual {
        registration.labels.entry(key.clone()).or_insert_with(|| value.clone());
        let given = |taint: &&Taint| registration.taints.iter().any(|known| known.key == taint.key);
        let missing = taint.iter().filter(|taint| !given(taint)).cloned().collect::<Vec<_>>();
        registration.taints.splice(0..0, missing);
    }
    registration
}

/// A warning about a taint that no known program lifts: a node with it would stay empty.
pub fn lifter(taint: &Taint, profiles: &Profiles) -> Option<String> {
    let lifts = |own: Option<&Taint>| own.is_some_and(|own| own.key == taint.key);
    let mut all = profiles.all().iter();
    let is_known = all.any(|profile| {
        lifts(profile.startup_taint.as_ref())
            || lifts(profile.migration.as_ref().and_then(|migration| migration.taint.as_ref()))
    });
    (!is_known).then(|| {
        format!("taint {taint}: no CNI that we know lifts it, nor do we; see that somebody does, or the nodes stay empty")
    })
}
