//! The kinds of policies that an API server serves, with their versions.
//!
//! A list that is answered by 404 does not say it: an aggregated API server that is away answers 503 here, and that is no reason to take a kind for one
//! that the cluster does not have.

use std::collections::{BTreeMap, BTreeSet};

use kube::Client;
use migration::backup::Row;

use crate::live::api::error::Meaning;
use crate::live::api::server;

#[derive(Debug, Default)]
pub(super) struct ServedResources {
    /// The versions of each group, in the API server's order: `projectcalico.org/v3`.
    groups: BTreeMap<String, Vec<String>>,
    /// The resources of each version.
    resources: BTreeMap<String, BTreeSet<String>>,
}

impl ServedResources {
    /// The version from which a kind is read: the wanted one if it is served, else the one that this program prefers, else whichever serves it.
    pub(super) fn version(&self, row: &Row, preferred: Option<&str>) -> Option<String> {
        let preferred = preferred.map(str::to_owned).into_iter();
        let versions = row.served_by.iter().map(|(group, version)| format!("{group}/{version}"));
        let others = row.served_by.iter().filter_map(|(group, _)| self.groups.get(*group)).flatten().cloned();
        preferred.chain(versions).chain(others).find(|version| self.serves(version, row))
    }

    /// The version of another group that serves the same objects.
    pub(super) fn twin(&self, row: &Row, version: &str) -> Option<String> {
        let group = version.split('/').next().unwrap_or_default();
        let others = row.served_by.iter().filter(|(other, _)| *other != group);
        others.map(|(group, version)| format!("{group}/{version}")).find(|version| self.serves(version, row))
    }

    fn serves(&self, version: &str, row: &Row) -> bool {
        self.resources.get(version).is_some_and(|resources| resources.contains(row.plural))
    }
}

/// Asks what is served of these kinds.
///
/// # Errors
/// The path that did not answer, and what that means.
pub(super) async fn discover(client: &Client, rows: &[Row]) -> Result<ServedResources, (String, Meaning)> {
    let mut served = ServedResources::default();
    let groups = server::groups(client).await?;
    for (name, versions) in groups.into_iter().filter(|(name, _)| rows.iter().any(|row| row.is_of(name))) {
        for version in &versions {
            match server::resources(client, version).await {
                Ok(resources) => {
                    served.resources.insert(version.clone(), resources.into_iter().collect());
                }
                // The last CustomResourceDefinition of the version has gone since.
                Err((_, Meaning::NotFound)) => {}
                Err(other) => return Err(other),
            }
        }
        served.groups.insert(name, versions);
    }
    Ok(served)
}
