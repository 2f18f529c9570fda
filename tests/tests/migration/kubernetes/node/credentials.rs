//! kubelet's credential in each of its forms, while it is renewed, and when there is none.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::{PORT, base};
use serde_json::{Value, json};

use crate::publisher::{Credential, Publisher, WITHIN, by_certificate, ready, waiting};
use crate::server::{NAME, TOKENS};
use crate::subject::{Subject, says};
use lab::kubernetes::Authority;

lab::trials![
    a_token_in_the_kubeconfig,
    a_token_in_a_file_that_is_replaced,
    a_plugin_that_gives_a_token,
    a_plugin_of_the_earlier_version,
    a_certificate_that_is_rotated_while_it_runs,
    a_certificate_that_has_ended_is_read_again,
    no_credential_until_kubelet_has_one,
    a_server_that_is_known_by_name,
    a_server_of_another_authority_is_not_trusted,
];

fn token(node: &str) -> Result<&'static str> {
    let token = TOKENS.iter().find(|(owner, _)| *owner == node).map(|(_, token)| *token);
    token.with_context(|| format!("no token of {node}"))
}

/// Publishes with this user as `node`, which only its token names.
fn publishes(node: &'static str, credential: &Credential) -> Result<Publisher> {
    let subject = Subject::registered(node)?;
    let mut publisher = Publisher::start(&credential.kubeconfig(), Some(node))?;
    publisher.publish(&ready("old"))?;
    ensure!(says(&subject.node()?)[0] == "True", "{}", subject.node()?);
    Ok(publisher)
}

/// Nothing that is a secret is in what was logged, not even what the libraries say at their most talkative.
fn tells_no_secret(publisher: &Publisher) -> Result<()> {
    let log = publisher.log();
    ensure!(!log.contains("canary") && !log.contains("PRIVATE KEY"), "{log}");
    Ok(())
}

fn with_user(user: &Value) -> Result<Credential> {
    Credential::new(crate::server()?, user, &base())
}

fn a_token_in_the_kubeconfig() -> Result<()> {
    let credential = with_user(&json!({ "token": token("by-token")? }))?;
    tells_no_secret(&publishes("by-token", &credential)?)
}

fn a_token_in_a_file_that_is_replaced() -> Result<()> {
    let credential = with_user(&json!({ "tokenFile": "token" }))?;
    let file = credential.dir.join("token");
    fs::write(&file, "canary-that-no-server-knows\n")?;
    let subject = Subject::registered("by-token-file")?;
    let mut publisher = Publisher::start(&credential.kubeconfig(), Some(subject.node))?;
    publisher.report(&ready("old"))?;
    until("the journal says that the token is not known", WITHIN, || {
        Ok((publisher.count_in_journal("unauthorized") == 1).then_some(()))
    })?;
    fs::write(&file, format!("{}\n", token(subject.node)?))?;
    publisher.settle()?;
    ensure!(says(&subject.node()?)[0] == "True", "{}", subject.node()?);
    ensure!(publisher.count_in_journal("unauthorized") == 1, "{}", publisher.journal());
    tells_no_secret(&publisher)
}

/// A plugin as a cloud has one: it leaves a mark, and gives a token that ends.
fn plugin(version: &str, node: &str) -> Result<Credential> {
    let credential = with_user(&json!({ "exec": {
        "apiVersion": format!("client.authentication.k8s.io/{version}"), "command": "./plugin",
        "args": ["--cluster", "lab"], "env": [{ "name": "GIVES", "value": token(node)? }],
        "interactiveMode": "Never", "provideClusterInfo": true,
    }}))?;
    let script = r#"#!/bin/sh
echo "canary on stderr" >&2
[ "$1 $2" = "--cluster lab" ] || exit 7
echo "$KUBERNETES_EXEC_INFO" >>"${0%/*}/asked"
version=$(echo "$KUBERNETES_EXEC_INFO" | sed 's/.*"apiVersion":"\([^"]*\)".*/\1/')
printf '{"apiVersion":"%s","kind":"ExecCredential","status":{"token":"%s","expirationTimestamp":"%s"}}' \
    "$version" "$GIVES" "$(cat "${0%/*}/until")"
"#;
    let path = credential.dir.join("plugin");
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    fs::write(credential.dir.join("until"), "2199-01-01T00:00:00Z")?;
    Ok(credential)
}

fn reviews(credential: &Credential) -> Result<Vec<Value>> {
    let text = fs::read_to_string(credential.dir.join("asked"))?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn a_plugin_that_gives_a_token() -> Result<()> {
    let credential = plugin("v1", "by-plugin")?;
    let mut publisher = publishes("by-plugin", &credential)?;
    publisher.publish(&waiting("old"))?;
    let reviews = reviews(&credential)?;
    ensure!(reviews.len() == 1, "asked again although the token is good: {reviews:?}");
    ensure!(reviews[0]["spec"]["interactive"] == false, "{}", reviews[0]);
    ensure!(reviews[0]["spec"]["cluster"]["server"] == base(), "{}", reviews[0]);
    ensure!(publisher.journal().is_empty(), "{}", publisher.journal());
    Ok(())
}

fn a_plugin_of_the_earlier_version() -> Result<()> {
    let credential = plugin("v1beta1", "by-plugin-beta")?;
    // A token that ends now is not used for a second report.
    fs::write(credential.dir.join("until"), "2020-01-01T00:00:00Z")?;
    let subject = Subject::registered("by-plugin-beta")?;
    let mut publisher = Publisher::start(&credential.kubeconfig(), Some(subject.node))?;
    publisher.report(&ready("old"))?;
    until("the journal names the ended token", WITHIN, || {
        Ok((publisher.count_in_journal("bad-credential") == 1).then_some(()))
    })?;
    fs::write(credential.dir.join("until"), "2199-01-01T00:00:00Z")?;
    publisher.settle()?;
    ensure!(says(&subject.node()?)[0] == "True", "{}", subject.node()?);
    tells_no_secret(&publisher)
}

fn a_certificate_that_is_rotated_while_it_runs() -> Result<()> {
    let subject = Subject::registered("rotated")?;
    let credential = Credential::of_kubelet(subject.server, subject.node)?;
    let (current, dir) = (credential.certificate(), credential.dir.path());
    // As kubelet does it: a link to the newest, replaced by rename.
    let rotate = |name: &str| -> Result<()> {
        let next = dir.join("next");
        symlink(name, &next)?;
        fs::rename(&next, &current).context("rotation")
    };
    subject.server.authority.kubelet(subject.node)?.write(&dir.join("1.pem"))?;
    rotate("1.pem")?;
    let mut publisher = Publisher::start(&credential.kubeconfig(), None)?;
    publisher.publish(&ready("old"))?;
    // That the new one is used shows when it is one that the API server does not know.
    Authority::new()?.kubelet(subject.node)?.write(&dir.join("2.pem"))?;
    rotate("2.pem")?;
    publisher.report(&waiting("old"))?;
    until("the journal says that the certificate is not known", WITHIN, || {
        Ok((publisher.count_in_journal("unauthorized") + publisher.count_in_journal("unreachable") >= 1)
            .then_some(()))
    })?;
    ensure!(says(&subject.node()?)[0] == "True", "written with the certificate that was rotated away");
    subject.server.authority.kubelet(subject.node)?.write(&dir.join("3.pem"))?;
    rotate("3.pem")?;
    publisher.settle()?;
    ensure!(says(&subject.node()?)[0] == "False", "{}", subject.node()?);
    tells_no_secret(&publisher)
}

fn a_certificate_that_has_ended_is_read_again() -> Result<()> {
    let subject = Subject::registered("ended")?;
    let credential = with_user(&by_certificate())?;
    subject.server.authority.expired_kubelet(subject.node)?.write(&credential.certificate())?;
    let mut publisher = Publisher::start(&credential.kubeconfig(), None)?;
    publisher.report(&ready("old"))?;
    until("the journal says that the certificate has ended", WITHIN, || {
        Ok((publisher.count_in_journal("unauthorized") + publisher.count_in_journal("unreachable") >= 1)
            .then_some(()))
    })?;
    subject.server.authority.kubelet(subject.node)?.write(&credential.certificate())?;
    publisher.settle()?;
    ensure!(says(&subject.node()?)[0] == "True", "{}", subject.node()?);
    Ok(())
}

fn no_credential_until_kubelet_has_one() -> Result<()> {
    let subject = Subject::registered("bootstrapped")?;
    let credential = Credential::of_kubelet(subject.server, subject.node)?;
    let (there, away) = (credential.kubeconfig(), credential.dir.join("later"));
    fs::rename(&there, &away)?;
    let mut publisher = Publisher::start(&there, None)?;
    publisher.report(&ready("old"))?;
    until("the journal says that there is none yet", WITHIN, || {
        Ok((publisher.count_in_journal("no-credential") == 1).then_some(()))
    })?;
    fs::rename(&away, &there)?;
    publisher.settle()?;
    ensure!(says(&subject.node()?)[0] == "True", "{}", subject.node()?);
    Ok(())
}

fn a_server_that_is_known_by_name() -> Result<()> {
    let user = json!({ "token": token("by-name")? });
    let credential = Credential::new(crate::server()?, &user, &format!("https://{NAME}:{PORT}"))?;
    publishes("by-name", &credential)?;
    Ok(())
}

fn a_server_of_another_authority_is_not_trusted() -> Result<()> {
    let subject = Subject::registered("impostor")?;
    let credential = Credential::of_kubelet(subject.server, subject.node)?;
    fs::write(credential.dir.join("ca.pem"), Authority::new()?.certificate())?;
    let mut publisher = Publisher::start(&credential.kubeconfig(), None)?;
    publisher.report(&ready("old"))?;
    until("the journal says that the server is not trusted", WITHIN, || {
        Ok((publisher.count_in_journal("unreachable") == 1).then_some(()))
    })?;
    ensure!(publisher.journal().contains("invalid peer certificate"), "{}", publisher.journal());
    ensure!(says(&subject.node()?)[0].is_empty(), "{}", subject.node()?);
    Ok(())
}
