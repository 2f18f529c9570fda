//! `kubectl-crossfade policies backup`, `restore` and `convert` on a real API server, with the rights of `deploy/cluster/rbac-policies.yaml`, for `convert` also
//! those of `deploy/cluster/rbac-viewer.yaml`, and no others.
//!
//! A backup is of the whole cluster, so that one case has all of it, one story after the other. CustomResourceDefinitions of the case's own stand for those of
//! CNIs: structural ones, of which the API server drops unknown fields.

mod converted;
mod definitions;
mod refused;
mod written;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use lab::kubernetes::{Client, MERGE, User};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cluster::operator::{Operator, grant};
use crate::server;
use definitions::{GLOBAL, NAMESPACE, PLAIN, TIERS, define};

lab::trials![policies_are_kept_and_come_back];

/// The case.
struct Case {
    admin: Client,
    writer: Operator,
}

fn policies_are_kept_and_come_back() -> Result<()> {
    let admin = server()?.admin()?;
    define(&admin)?;
    for (user, role) in [("policies-reader", "reader"), ("policies-writer", "writer")] {
        let mut role = manifest(&format!("crossfade-policies-{role}"))?;
        role["metadata"]["name"] = user.into();
        grant(&admin, user, &role)?;
    }
    let case = Case { admin, writer: Operator::new(User::Component("policies-writer"))? };
    case.make()?;
    let file = case.the_same_policies_are_the_same_file()?;
    case.what_is_equal_is_not_touched(&file)?;
    case.what_went_comes_back(&file)?;
    case.a_file_that_does_not_fit_is_refused(&file)?;
    case.a_dropped_field_keeps_all_from_being_written(&file)?;
    case.a_warning_is_an_error(&file)?;
    case.a_kind_that_may_not_be_read_is_named()?;
    case.another_clients_change_stops_it()?;
    case.converted_policies_replace_only_their_own()?;
    case.policies_of_calico_are_converted_and_applied()
}

/// A role of the manifest.
fn manifest(name: &str) -> Result<Value> {
    let file = lab::build::dist::workspace().join("deploy/cluster/rbac-policies.yaml");
    for document in fs::read_to_string(file)?.split("\n---\n") {
        let role: Value = serde_saphyr::from_str(document)?;
        if role["metadata"]["name"] == name {
            return Ok(role);
        }
    }
    anyhow::bail!("the manifest has no {name}")
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A NetworkPolicy of Kubernetes.
fn plain(name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": name, "namespace": NAMESPACE, "annotations": { "team": "shop \"a\"" } },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress"],
            "ingress": [{ "from": [{ "namespaceSelector": {} }], "ports": [{ "port": port, "protocol": "TCP" }] }] },
    })
}

fn custom(api_version: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name }, "spec": spec })
}

impl Case {
    fn make(&self) -> Result<()> {
        let mut owned = plain("owned", 80);
        owned["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "app", "uid": "1-2-3" }]);
        let tier = custom("crd.projectcalico.org/v1", "Tier", "secure", &json!({ "order": 5 }));
        let rule = json!({ "action": "Deny", "source": { "selector": "app == 'a'" } });
        let spec = json!({ "tier": "secure", "order": 1.5, "ingress": [rule] });
        let global = custom("crd.projectcalico.org/v1", "GlobalNetworkPolicy", "secure.deny", &spec);
        for (path, object) in [
            (PLAIN, plain("web", 80)),
            (PLAIN, plain("dns", 53)),
            (PLAIN, owned),
            (TIERS, tier),
            (GLOBAL, global),
        ] {
            self.admin.create(path, &object)?.object()?;
        }
        Ok(())
    }

    fn get(&self, collection: &str, name: &str) -> Result<Value> {
        self.admin.get(&format!("{collection}/{name}"))?.object()
    }

    fn patch(&self, collection: &str, name: &str, change: &Value) -> Result<()> {
        self.admin.patch(&format!("{collection}/{name}"), MERGE, change)?.object().map(drop)
    }

    /// The version of every object of the case: a write of any changes it.
    fn versions(&self) -> Result<Vec<String>> {
        let mut versions = Vec::new();
        for collection in [PLAIN, TIERS, GLOBAL] {
            let list = self.admin.get(collection)?.object()?;
            for item in list["items"].as_array().context("items")? {
                let meta = &item["metadata"];
                versions.push(format!("{} {} {}", meta["name"], meta["uid"], meta["resourceVersion"]));
            }
        }
        Ok(versions)
    }

    fn restore(&self, file: &str, more: &[&str]) -> Result<(Option<i32>, Value)> {
        let (status, answer, _) = self.writer.answer(&[&["policies", "restore", file][..], more].concat())?;
        Ok((status, answer))
    }

    /// A backup, as the file's name.
    fn backup(&self) -> Result<String> {
        let (status, answer, message) = self.writer.answer(&["policies", "backup", "--out", "."])?;
        ensure!(status == Some(0), "{answer:#}\n{message}");
        Ok(answer["file"].as_str().context("a file")?.to_owned())
    }

    fn path(&self, file: &str) -> PathBuf {
        self.writer.scratch.join(file)
    }

    /// Writes the backup with a change, under a name without a hash.
    fn changed(&self, file: &str, change: impl FnOnce(&mut Value)) -> Result<&'static str> {
        let mut backup: Value = serde_json::from_slice(&fs::read(self.path(file))?)?;
        change(&mut backup);
        fs::write(self.path("changed.json"), backup.to_string())?;
        Ok("changed.json")
    }

    fn the_same_policies_are_the_same_file(&self) -> Result<String> {
        let reader = Operator::new(User::Component("policies-reader"))?;
        let arguments = ["policies", "backup", "--out", "."];
        let (status, first, message) = reader.answer(&arguments)?;
        ensure!(status == Some(0) && first["isNew"] == true, "{first:#}\n{message}");
        // A change that is taken back leaves another resourceVersion and the managed fields of another client behind.
        self.patch(PLAIN, "web", &json!({ "metadata": { "labels": { "passing": "x" } } }))?;
        self.patch(PLAIN, "web", &json!({ "metadata": { "labels": null } }))?;
        let (status, again, _) = reader.answer(&arguments)?;
        ensure!(status == Some(0) && again["isNew"] == false, "{again:#}");
        ensure!(again["file"] == first["file"] && again["hash"] == first["hash"], "{first:#} {again:#}");
        let file = first["file"].as_str().context("a file")?;
        let path = reader.scratch.join(file);
        let bytes = fs::read(&path)?;
        ensure!(file.ends_with(&format!("policies-{}.json", hash(&bytes))), "{file}");
        ensure!(fs::metadata(&path)?.permissions().mode() & 0o777 == 0o600, "others may read it");
        let text = String::from_utf8(bytes)?;
        ensure!(!text.contains("managedFields") && !text.contains("resourceVersion"), "{text}");
        ensure!(text.contains(r#""team":"shop \"a\"""#), "annotations are missing");
        let kinds = &first["kinds"];
        for (kind, reading, objects) in [
            ("networkpolicies.networking.k8s.io", "read", 3),
            ("tiers.projectcalico.org", "read", 1),
            ("globalnetworkpolicies.projectcalico.org", "read", 1),
        ] {
            ensure!(
                kinds[kind]["reading"] == reading && kinds[kind]["objects"] == objects,
                "{kind}: {kinds:#}"
            );
        }
        ensure!(kinds["tiers.projectcalico.org"]["apiVersion"] == "crd.projectcalico.org/v1", "{kinds:#}");
        ensure!(kinds["ciliumnetworkpolicies.cilium.io"]["reading"] == "notServed", "{kinds:#}");
        let uid = self.get("/api/v1/namespaces", "kube-system")?["metadata"]["uid"].clone();
        ensure!(first["cluster"]["uid"] == uid, "{first:#}");
        // Another person gets the same bytes.
        let others = self.backup()?;
        ensure!(fs::read(self.path(&others))? == fs::read(&path)?, "another file");
        // A snapshot is no source of a backup.
        let (status, refused, _) =
            reader.answer(&["policies", "backup", "--out", ".", "--snapshot", "x.jsonl"])?;
        ensure!(status == Some(2), "{refused:#}");
        Ok(others)
    }

    fn what_is_equal_is_not_touched(&self, file: &str) -> Result<()> {
        let before = self.versions()?;
        let (status, answer) = self.restore(file, &[])?;
        ensure!(status == Some(0) && answer["equal"] == 5 && answer["verified"] == "hash", "{answer:#}");
        ensure!(answer["objects"] == json!([]) && answer["left"] == json!([]), "{answer:#}");
        ensure!(self.versions()? == before, "something was written");
        Ok(())
    }

    fn what_went_comes_back(&self, file: &str) -> Result<()> {
        let web = self.get(PLAIN, "web")?;
        let global = self.get(GLOBAL, "secure.deny")?;
        for (collection, name) in [(PLAIN, "dns"), (PLAIN, "owned"), (TIERS, "secure")] {
            self.admin.delete(&format!("{collection}/{name}"))?.object()?;
        }
        self.patch(
            PLAIN,
            "web",
            &json!({ "metadata": { "annotations": { "team": "x" } }, "spec": { "ingress": [{}] } }),
        )?;
        self.patch(GLOBAL, "secure.deny", &json!({ "spec": { "ingress": [{ "action": "Allow" }] } }))?;
        self.admin.create(PLAIN, &plain("foreign", 443))?.object()?;

        let before = self.versions()?;
        let (status, tried) = self.restore(file, &["--dry-run"])?;
        ensure!(status == Some(0) && tried["dryRun"] == true, "{tried:#}");
        ensure!(self.versions()? == before, "a dry run wrote something");
        let became = |answer: &Value| -> Vec<String> {
            let all = answer["objects"].as_array().cloned().unwrap_or_default();
            all.iter()
                .map(|change| {
                    format!("{} {} {}", change["object"]["kind"], change["object"]["name"], change["became"])
                        .replace('"', "")
                })
                .collect()
        };
        ensure!(
            became(&tried)
                == [
                    "Tier secure wouldCreate",
                    "GlobalNetworkPolicy secure.deny wouldReplace",
                    "NetworkPolicy dns wouldCreate",
                    "NetworkPolicy web wouldReplace"
                ],
            "{tried:#}"
        );
        let (status, done) = self.restore(file, &[])?;
        ensure!(status == Some(0), "{done:#}");
        let expected: Vec<String> = became(&tried)
            .iter()
            .map(|line| line.replace("wouldCreate", "created").replace("wouldReplace", "replaced"))
            .collect();
        ensure!(became(&done) == expected, "{done:#}");
        ensure!(
            done["extra"][0]["name"] == "foreign" && done["extra"].as_array().map(Vec::len) == Some(1),
            "{done:#}"
        );
        let left = &done["left"][0];
        ensure!(
            left["object"]["name"] == "owned" && left["why"] == "its owner ConfigMap/app makes it",
            "{done:#}"
        );

        let again = self.get(PLAIN, "web")?;
        ensure!(
            again["spec"] == web["spec"]
                && again["metadata"]["annotations"] == web["metadata"]["annotations"],
            "{again:#}"
        );
        ensure!(again["metadata"]["uid"] == web["metadata"]["uid"], "it was deleted");
        ensure!(self.get(GLOBAL, "secure.deny")?["spec"] == global["spec"], "another policy");
        ensure!(self.get(TIERS, "secure")?["spec"]["order"] == 5, "another tier");
        ensure!(
            self.get(PLAIN, "foreign")?["spec"] == plain("foreign", 443)["spec"],
            "it is none of the backup's"
        );
        let (status, answer) = self.restore(file, &[])?;
        ensure!(status == Some(0) && answer["equal"] == 4 && answer["objects"] == json!([]), "{answer:#}");
        Ok(())
    }
}
