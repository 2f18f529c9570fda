//! Writes beside other clients that write, and beside their earlier writes.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use lab::kubernetes::{User, base};
use serde_json::{Value, json};

use super::definitions::{NAMESPACE, PLAIN};
use super::{Case, plain};
use crate::cluster::acting::Session;

/// How many policies are written at a pace that leaves time to change the last one.
const MANY: usize = 30;

impl Case {
    /// The executor as `convert --apply` calls it.
    pub(super) fn converted_policies_replace_only_their_own(&self) -> Result<()> {
        let mut session = Session::new(User::Component("policies-writer"))?;
        let ours = |port: u16| {
            let mut policy = plain("converted", port);
            policy["metadata"]["annotations"] = json!({ "crossfade/converted-from": "{}" });
            policy
        };
        let became = |answer: &Value| answer["objects"][0]["became"].clone();
        let tried = session.say(&json!({ "apply": [ours(80)], "dryRun": true }))?;
        ensure!(tried["exit"] == 0 && became(&tried) == "wouldCreate", "{tried:#}");
        ensure!(self.get(PLAIN, "converted").is_err(), "a dry run wrote something");
        // The API server adds a default to the second, so that it is compared with what the API server makes of it.
        let mut defaulted = ours(443);
        defaulted["spec"]["ingress"][0]["ports"] = json!([{ "port": 443 }]);
        for (object, expected) in [
            (ours(80), "created"),
            (ours(80), "unchanged"),
            (defaulted.clone(), "replaced"),
            (defaulted, "unchanged"),
        ] {
            let done = session.say(&json!({ "apply": [object] }))?;
            ensure!(done["exit"] == 0 && became(&done) == expected, "{done:#}");
        }
        let before = self.versions()?;
        let mut theirs = plain("web", 1);
        theirs["metadata"]["annotations"] = json!({ "crossfade/converted-from": "{}" });
        let mut unknown = ours(80);
        unknown["metadata"]["name"] = "new".into();
        unknown["spec"]["newer"] = "x".into();
        for (objects, says) in [
            (json!([ours(8080), theirs]), "Crossfade did not make it"),
            (json!([ours(8080), unknown]), "newer"),
            (json!([ours(8080), ours(80)]), "is there twice"),
        ] {
            let refused = session.say(&json!({ "apply": objects }))?;
            let what = refused["problems"][0]["what"].as_str().unwrap_or_default();
            ensure!(refused["exit"] == 3 && what.contains(says), "{refused:#}");
            ensure!(self.versions()? == before, "something was written");
        }
        Ok(())
    }

    /// While policies are written one after the other, another client edits the last one.
    pub(super) fn another_clients_change_stops_it(&self) -> Result<()> {
        let name = |at: usize| format!("zz-{at:02}");
        for at in 0..MANY {
            self.admin.create(PLAIN, &plain(&name(at), 80))?.object()?;
        }
        let file = self.backup()?;
        for at in 0..MANY {
            self.patch(PLAIN, &name(at), &json!({ "spec": { "ingress": [] } }))?;
        }
        let last = name(MANY - 1);
        let arguments = ["policies", "restore", &file, "-o", "json"];
        let mut command = self.writer.command(&base(), &arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let message = BufReader::new(child.stderr.take().context("stderr")?);
        for line in message.lines() {
            // The others are still to come, at twenty requests a second.
            if line? == format!("wrote NetworkPolicy/{NAMESPACE}/{}", name(0)) {
                self.patch(PLAIN, &last, &json!({ "metadata": { "labels": { "by": "another-client" } } }))?;
            }
        }
        let output = child.wait_with_output()?;
        let answer: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(output.status.code() == Some(75), "{answer:#}");
        let objects = answer["objects"].as_array().context("objects")?;
        ensure!(objects.len() == MANY, "{answer:#}");
        for (at, object) in objects.iter().enumerate() {
            let became = if at == MANY - 1 { "notWritten" } else { "replaced" };
            ensure!(object["became"] == became && object["object"]["name"] == name(at), "{answer:#}");
        }
        let what = answer["problems"][0]["what"].as_str().unwrap_or_default();
        ensure!(what.contains(&last) && what.contains("409 Conflict"), "{answer:#}");
        let theirs = self.get(PLAIN, &last)?;
        ensure!(theirs["metadata"]["labels"]["by"] == "another-client", "their change is lost: {theirs:#}");
        ensure!(theirs["spec"].get("ingress").is_none(), "{theirs:#}");
        // The same command again goes on.
        let (status, answer) = self.restore(&file, &[])?;
        ensure!(status == Some(0) && answer["objects"].as_array().map(Vec::len) == Some(1), "{answer:#}");
        Ok(())
    }
}
