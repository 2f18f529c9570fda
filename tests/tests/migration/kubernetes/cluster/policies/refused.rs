//! Obstacles that keep all policies from being written.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::kubernetes::User;
use serde_json::json;

use super::definitions::PLAIN;
use super::{Case, custom, manifest};
use crate::cluster::operator::{Operator, grant};

impl Case {
    pub(super) fn a_file_that_does_not_fit_is_refused(&self, file: &str) -> Result<()> {
        self.admin.delete(&format!("{PLAIN}/dns"))?.object()?;
        let before = self.versions()?;
        let says = |file: &str, expected: &[&str]| -> Result<()> {
            let (status, answer) = self.restore(file, &[])?;
            let what = answer["problems"][0]["what"].as_str().unwrap_or_default();
            ensure!(status == Some(3) && expected.iter().all(|words| what.contains(words)), "{answer:#}");
            ensure!(self.versions()? == before, "something was written");
            Ok(())
        };
        let uid = self.get("/api/v1/namespaces", "kube-system")?["metadata"]["uid"].clone();
        let other = self.changed(file, |backup| backup["cluster"]["uid"] = "another".into())?;
        says(other, &["another cluster", "the UID another", uid.as_str().context("a UID")?])?;
        let bytes = fs::read(self.path(file))?;
        let damaged = file.replace("policies-", "damaged/policies-");
        fs::create_dir(self.path("damaged"))?;
        fs::write(self.path(&damaged), String::from_utf8(bytes)?.replace("Deny", "Pass"))?;
        says(&damaged, &["the file was changed"])?;
        let later = self.changed(file, |backup| backup["version"] = 2.into())?;
        says(later, &["version 2"])
    }

    pub(super) fn a_dropped_field_keeps_all_from_being_written(&self, file: &str) -> Result<()> {
        let before = self.versions()?;
        let file = self.changed(file, |backup| {
            let all = backup["objects"].as_array_mut().into_iter().flatten();
            for object in all.filter(|object| object["kind"] == "GlobalNetworkPolicy") {
                object["spec"]["ingress"][0]["newer"] = "condition".into();
            }
        })?;
        for more in [&["--dry-run"][..], &[]] {
            let (status, answer) = self.restore(file, more)?;
            let what = answer["problems"][0]["what"].as_str().unwrap_or_default();
            ensure!(
                status == Some(3) && answer["problems"].as_array().map(Vec::len) == Some(1),
                "{answer:#}"
            );
            // An API server from 1.25 on refuses it, one before drops it.
            ensure!(what.contains("secure.deny") && what.contains("newer"), "{answer:#}");
            ensure!(answer["verified"] == "nothing", "the name has no hash: {answer:#}");
            ensure!(self.versions()? == before, "something was written");
        }
        Ok(())
    }

    pub(super) fn a_warning_is_an_error(&self, file: &str) -> Result<()> {
        let before = self.versions()?;
        let file = self.changed(file, |backup| {
            let group = custom("crd.antrea.io/v1alpha3", "ClusterGroup", "g", &json!({ "ipBlocks": [] }));
            backup["objects"].as_array_mut().into_iter().for_each(|all| all.push(group.clone()));
            backup["kinds"]["clustergroups.crd.antrea.io"] =
                json!({ "reading": "read", "apiVersion": "crd.antrea.io/v1alpha3", "objects": 1 });
        })?;
        let (status, answer) = self.restore(file, &[])?;
        let what = answer["problems"][0]["what"].as_str().unwrap_or_default();
        ensure!(status == Some(3) && what.ends_with("the API server warns: use v1beta1, dear"), "{answer:#}");
        ensure!(self.versions()? == before, "something was written");
        Ok(())
    }

    pub(super) fn a_kind_that_may_not_be_read_is_named(&self) -> Result<()> {
        let mut role = manifest("crossfade-policies-reader")?;
        role["metadata"]["name"] = "policies-half".into();
        for rule in role["rules"].as_array_mut().context("rules")? {
            if let Some(resources) = rule["resources"].as_array_mut() {
                resources.retain(|name| name != "globalnetworkpolicies" && name != "tiers");
            }
        }
        grant(&self.admin, "policies-half", &role)?;
        let half = Operator::new(User::Component("policies-half"))?;
        let (status, answer, _) = half.answer(&["policies", "backup", "--out", "."])?;
        ensure!(status == Some(1), "{answer:#}");
        // The kinds of Calico alone: CustomResourceDefinitions of Antrea have a group, and no tiers.
        let problems = answer["problems"].as_array().context("problems")?;
        ensure!(problems.len() == 2, "{answer:#}");
        for (problem, kind) in problems.iter().zip(["tiers", "globalnetworkpolicies"]) {
            ensure!(problem["where"] == format!("{kind}.projectcalico.org"), "{answer:#}");
            ensure!(
                problem["what"].as_str().is_some_and(|what| what.contains("policies-half")),
                "{answer:#}"
            );
            ensure!(
                problem["fix"].as_str().is_some_and(|fix| fix.contains("rbac-policies.yaml")),
                "{answer:#}"
            );
        }
        let is_backup = |name: &str| name.starts_with("policies-");
        for entry in fs::read_dir(half.scratch.path())? {
            let name = entry?.file_name();
            ensure!(!is_backup(&name.to_string_lossy()), "half a backup");
        }
        // The rights to read are no rights to write.
        let reader = Operator::new(User::Component("policies-reader"))?;
        let file = self.backup()?;
        self.admin.delete(&format!("{PLAIN}/web"))?.object()?;
        fs::copy(self.path(&file), reader.scratch.join(&file))?;
        let (status, answer, _) = reader.answer(&["policies", "restore", &file])?;
        ensure!(status == Some(3) && answer["objects"][0]["became"] == "notWritten", "{answer:#}");
        let (status, answer) = self.restore(&file, &[])?;
        ensure!(status == Some(0) && answer["objects"][0]["became"] == "created", "{answer:#}");
        Ok(())
    }
}
