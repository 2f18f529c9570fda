//! The program itself in a cluster that has policies of Calico: what it refuses, what it tries, and what it applies.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::kubernetes::User;
use serde_json::{Value, json};

use super::definitions::{GLOBAL, NAMESPACE, NAMESPACED, PLAIN, TIERS};
use super::{Case, manifest};
use crate::cluster::operator::{self, Operator, grant};

/// The policy of Calico.
const SHOP: &str = "shop";

impl Case {
    pub(super) fn policies_of_calico_are_converted_and_applied(&self) -> Result<()> {
        for (collection, name) in [(GLOBAL, "secure.deny"), (TIERS, "secure")] {
            self.admin.delete(&format!("{collection}/{name}"))?.object()?;
        }
        let converter = self.converter()?;
        let client = json!({ "selector": "app == 'client'" });
        let allow = json!({ "action": "Allow", "protocol": "TCP", "source": client, "destination": { "ports": [8080] } });
        let policy = json!({
            "apiVersion": "crd.projectcalico.org/v1", "kind": "NetworkPolicy",
            "metadata": { "name": SHOP, "namespace": NAMESPACE },
            "spec": { "selector": "app == 'shop'", "types": ["Ingress"], "ingress": [allow] },
        });
        let made = self.admin.create(NAMESPACED, &policy)?.object()?;
        let uid = made["metadata"]["uid"].as_str().context("a UID")?;

        settings(&converter, &json!([]))?;
        let before = self.versions()?;
        let (status, tried) = convert(&converter, &["--dry-run"])?;
        ensure!(status == Some(0) && became(&tried) == ["wouldCreate"], "{tried:#}");
        ensure!(self.versions()? == before, "a dry run wrote something");
        let (status, done) = convert(&converter, &[])?;
        ensure!(status == Some(0) && became(&done) == ["created"], "{done:#}");
        let name = done["applied"][0]["object"]["name"].as_str().context("a name")?.to_owned();
        let written = self.get(PLAIN, &name)?;
        let from =
            written["metadata"]["annotations"]["crossfade/converted-from"].as_str().unwrap_or_default();
        ensure!(from.contains(uid), "{written:#}");
        let peers = json!([{ "podSelector": { "matchLabels": { "app": "client" } } }]);
        let ports = json!([{ "port": 8080, "protocol": "TCP" }]);
        ensure!(written["spec"]["podSelector"] == json!({ "matchLabels": { "app": "shop" } }), "{written:#}");
        ensure!(written["spec"]["ingress"] == json!([{ "from": peers, "ports": ports }]), "{written:#}");
        ensure!(self.get(NAMESPACED, SHOP)? == made, "the policy of Calico was changed");
        let (status, again) = convert(&converter, &[])?;
        ensure!(status == Some(0) && became(&again) == ["unchanged"], "{again:#}");

        // What the target cannot say keeps all of it from being written, until a waiver accepts the loss of the policy as it is.
        let gets = json!({ "action": "Allow", "http": { "methods": ["GET"] }, "source": { "selector": "app == 'other'" } });
        let more = json!({ "action": "Allow", "protocol": "TCP", "source": client, "destination": { "ports": [8443] } });
        let change = json!({ "spec": { "ingress": [allow, gets, more] } });
        let before = self.versions()?;
        let changed =
            self.admin.patch(&format!("{NAMESPACED}/{SHOP}"), lab::kubernetes::MERGE, &change)?.object()?;
        let (status, refused) = convert(&converter, &[])?;
        ensure!(status == Some(3) && became(&refused).is_empty(), "{refused:#}");
        let what = refused["problems"][0]["what"].as_str().unwrap_or_default();
        ensure!(what.contains("spec.ingress[1].http"), "{refused:#}");
        ensure!(self.versions()? == before, "something was written");
        let waiver = json!({
            "object": format!("CalicoNetworkPolicy/{NAMESPACE}/{SHOP}"), "uid": uid, "reason": "no policy asks for it",
            "generation": changed["metadata"]["generation"],
        });
        settings(&converter, &json!([waiver]))?;
        let (status, done) = convert(&converter, &[])?;
        ensure!(status == Some(0) && became(&done) == ["replaced"], "{done:#}");
        let ports = self.get(PLAIN, &name)?["spec"]["ingress"].to_string();
        ensure!(ports.contains("8443") && !ports.contains("other"), "{ports}");
        Ok(())
    }

    /// A user who may read what checks read, and write policies.
    fn converter(&self) -> Result<Operator> {
        let (mut role, viewer) = (manifest("crossfade-policies-writer")?, operator::role()?);
        let rules = role["rules"].as_array_mut().context("rules")?;
        rules.extend(viewer["rules"].as_array().context("rules")?.iter().cloned());
        role["metadata"]["name"] = "policies-converter".into();
        grant(&self.admin, "policies-converter", &role)?;
        Operator::new(User::Component("policies-converter"))
    }
}

/// The settings file of the next command.
fn settings(converter: &Operator, waivers: &Value) -> Result<()> {
    let networks = json!({ "old": { "cidrs": ["10.1.0.0/16"] }, "new": { "cidrs": ["10.2.0.0/16"] } });
    let settings = json!({ "version": 1, "networks": networks, "policies": { "waivers": waivers } });
    fs::write(converter.scratch.join("settings.yaml"), settings.to_string()).context("settings")
}

/// `policies convert --apply` of Calico's policies to NetworkPolicies.
fn convert(converter: &Operator, more: &[&str]) -> Result<(Option<i32>, Value)> {
    let words = ["policies", "convert", "--from", "calico", "--to", "antrea", "--kind", "kubernetes"];
    let words = [&words[..], &["--apply", "--config", "settings.yaml"], more].concat();
    let (status, answer, _) = converter.answer(&words)?;
    Ok((status, answer))
}

/// What became of the objects.
fn became(answer: &Value) -> Vec<&str> {
    let all = answer["applied"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(|object| object["became"].as_str()).collect()
}
