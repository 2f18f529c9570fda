//! Pods that do not exist yet, for what policies say of them.

use std::collections::{BTreeMap, BTreeSet};

use snapshot::model::{Labels, Text};

use super::build::{Cluster, Traits};
use crate::expression::{ACCOUNT_NAME, Expression, LabelOwner, NAMESPACE_NAME, Test};
use crate::world::mention::Mentions;

/// Of a condition with more alternatives, the first ones get pods.
const ALTERNATIVES: usize = 32;
/// A value that no policy names.
const OTHER: &str = "crossfade-other";
/// The name of a namespace that does not exist yet.
const NEW: &str = "crossfade-new";

/// A simple condition and whether it is to be true.
type Literal<'e> = (&'e Expression, bool);

/// The pods that do not exist yet, without an address: none of them twice.
pub(super) fn pods(cluster: &Cluster, mentions: &Mentions) -> BTreeSet<Traits> {
    let mut imagined = BTreeSet::new();
    let new = namespace(cluster, NEW, &Labels::new());
    for existing in
        cluster.namespaces.iter().map(|namespace| traits(&namespace.name, &namespace.labels)).chain([new])
    {
        imagined.insert(existing);
    }
    for (scope, condition) in &mentions.conditions {
        for way in condition.alternatives(ALTERNATIVES) {
            imagined.extend(
                places(cluster, scope.as_ref(), &way)
                    .into_iter()
                    .filter_map(|place| imagine_pod(place, &way)),
            );
            for missed in 0..way.len() {
                let mut near = way.clone();
                near[missed].1 = !near[missed].1;
                imagined.extend(
                    places(cluster, scope.as_ref(), &near)
                        .into_iter()
                        .filter_map(|place| imagine_pod(place, &near)),
                );
            }
        }
    }
    imagined
}

fn traits(namespace: &Text, labels: &Labels) -> Traits {
    let mut labels = labels.clone();
    // The API server sets it on every namespace.
    labels.insert(NAMESPACE_NAME.into(), namespace.clone());
    let account_labels = Labels::from([(ACCOUNT_NAME.into(), "default".into())]);
    Traits { namespace: namespace.clone(), namespace_labels: labels, account_labels, ..Traits::default() }
}

/// A namespace that may not exist yet.
fn namespace(cluster: &Cluster, base_name: &str, labels: &Labels) -> Traits {
    let is_used = |name: &str| cluster.namespaces.iter().any(|namespace| *namespace.name == *name);
    let mut name = base_name.to_owned();
    while is_used(&name) {
        name.push_str("-x");
    }
    traits(&name.into(), labels)
}

/// The namespaces in which a pod is imagined: the one in which the condition is asked; else the first existing one for which what is said of
/// namespaces is true, and one that does not exist yet, with the labels for it.
fn places(cluster: &Cluster, scope: Option<&Text>, way: &[Literal<'_>]) -> Vec<Traits> {
    let existing = |name: &str| cluster.namespaces.iter().find(|namespace| *namespace.name == *name);
    if let Some(scope) = scope {
        let labels = existing(scope).map(|namespace| namespace.labels.clone()).unwrap_or_default();
        return vec![traits(scope, &labels)];
    }
    let all = cluster.namespaces.iter().map(|namespace| traits(&namespace.name, &namespace.labels));
    let mut place_traits: Vec<Traits> = all.filter(|place| fits_or_is_silent(place, way)).take(1).collect();
    let within = way.iter().find_map(|(literal, is)| match literal {
        Expression::Within(name) if *is => Some(name.clone()),
        Expression::Always
        | Expression::Has(..)
        | Expression::In(..)
        | Expression::Like(..)
        | Expression::Within(_)
        | Expression::Not(_)
        | Expression::And(_)
        | Expression::Or(_) => None,
    });
    let mut new = match &within {
        Some(name) if existing(name).is_none() => traits(name, &Labels::new()),
        Some(_) => return place_traits,
        None => namespace(cluster, NEW, &Labels::new()),
    };
    if add_labels(&mut new.namespace_labels, LabelOwner::Namespace, way) {
        if let Some(name) = new.namespace_labels.get(NAMESPACE_NAME) {
            new.namespace = name.clone();
        }
        if existing(&new.namespace).is_none() {
            place_traits.push(new);
        }
    }
    place_traits
}

fn fits_or_is_silent(place: &Traits, way: &[Literal<'_>]) -> bool {
    way.iter().all(|(literal, is)| place.namespace_has(literal).is_none_or(|has| has == *is))
}

/// A pod in a place for which all literals about the pod are as they should; none if they contradict each other.
fn imagine_pod(mut place: Traits, way: &[Literal<'_>]) -> Option<Traits> {
    let fits = add_labels(&mut place.labels, LabelOwner::Pod, way)
        && add_labels(&mut place.account_labels, LabelOwner::Account, way);
    fits.then_some(place)
}

/// Gives labels for which what is said of them is true; false if there are none.
fn add_labels(labels: &mut Labels, owner: LabelOwner, way: &[Literal<'_>]) -> bool {
    let mut literals_by_key: BTreeMap<&Text, Vec<&Literal<'_>>> = BTreeMap::new();
    for item in way {
        match item.0 {
            Expression::Has(whose, key)
            | Expression::In(whose, key, _)
            | Expression::Like(whose, key, ..)
                if *whose == owner =>
            {
                literals_by_key.entry(key).or_default().push(item);
            }
            Expression::Always
            | Expression::Has(..)
            | Expression::In(..)
            | Expression::Like(..)
            | Expression::Within(_)
            | Expression::Not(_)
            | Expression::And(_)
            | Expression::Or(_) => {}
        }
    }
    for (key, literals) in literals_by_key {
        let holds =
            |value: Option<&str>| literals.iter().all(|(literal, is)| holds_for(literal, value) == *is);
        let named = literals.iter().flat_map(|(literal, _)| match literal {
            Expression::In(_, _, values) => values.clone(),
            Expression::Like(_, _, test, text) => vec![text.clone(), like(*test, text)],
            Expression::Always
            | Expression::Has(..)
            | Expression::Within(_)
            | Expression::Not(_)
            | Expression::And(_)
            | Expression::Or(_) => Vec::new(),
        });
        let present = labels.get(key).cloned();
        // Every namespace has its name, and every account.
        let may_lack = !matches!(
            (owner, &**key),
            (LabelOwner::Namespace, NAMESPACE_NAME) | (LabelOwner::Account, ACCOUNT_NAME)
        );
        let candidates = present.into_iter().chain(named).chain([OTHER.into()]).map(Some);
        let candidates = candidates.chain(may_lack.then_some(None));
        let Some(value) = candidates.into_iter().find(|value| holds(value.as_deref())) else { return false };
        match value {
            Some(value) => drop(labels.insert(key.clone(), value)),
            None => drop(labels.remove(key)),
        }
    }
    true
}

fn like(test: Test, text: &str) -> Text {
    match test {
        Test::Contains => format!("x{text}x").into(),
        Test::Begins => format!("{text}x").into(),
        Test::Ends => format!("x{text}").into(),
    }
}

/// What a simple condition on a label says of a value.
pub(super) fn holds_for(literal: &Expression, value: Option<&str>) -> bool {
    match literal {
        Expression::Has(..) => value.is_some(),
        Expression::In(_, _, values) => value.is_some_and(|value| values.iter().any(|item| **item == *value)),
        Expression::Like(_, _, test, text) => value.is_some_and(|value| test.accepts(value, text)),
        Expression::Always
        | Expression::Within(_)
        | Expression::Not(_)
        | Expression::And(_)
        | Expression::Or(_) => false,
    }
}
