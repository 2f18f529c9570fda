//! A client of the API server that knows nothing but HTTP and JSON.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use ureq::http::Request;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::pki::Identity;

/// Longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A user who asks the API server.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    base: String,
}

#[derive(Debug)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The object, or a `Status`; a health check's plain text as a string.
    pub body: Value,
}

impl Answer {
    /// The object.
    ///
    /// # Errors
    /// It was refused.
    pub fn object(self) -> Result<Value> {
        ensure!(self.status < 300, "{}: {}", self.status, self.body["message"]);
        Ok(self.body)
    }

    /// Why it was refused.
    ///
    /// # Errors
    /// It was not, or for another reason than rights or validity.
    pub fn refusal(self) -> Result<String> {
        ensure!(matches!(self.status, 403 | 422), "expected a refusal, got {}: {}", self.status, self.body);
        Ok(self.body["message"].as_str().unwrap_or_default().to_owned())
    }
}

/// Media type of a patch that is merged as JSON (RFC 7386).
pub const MERGE: &str = "application/merge-patch+json";
/// Media type of a patch whose lists are merged by their keys.
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";

impl Client {
    /// One who is known by a certificate.
    ///
    /// # Errors
    /// A certificate that is none.
    pub fn with_certificate(base: &str, authority: &str, identity: &Identity) -> Result<Self> {
        let chain = [Certificate::from_pem(identity.certificate.as_bytes())?];
        let key = PrivateKey::from_pem(identity.key.as_bytes())?;
        let roots = RootCerts::new_with_certs(&[Certificate::from_pem(authority.as_bytes())?]);
        let own = ClientCert::new_with_certs(&chain, key);
        let tls = TlsConfig::builder().root_certs(roots).client_cert(Some(own)).build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_recv_response(Some(ANSWER_WITHIN))
            .build()
            .new_agent();
        Ok(Self { agent, base: base.to_owned() })
    }

    /// Reads an object or a list.
    ///
    /// # Errors
    /// No answer came; a refusal is one.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.ask("GET", path, None)
    }

    /// Creates an object in a collection.
    ///
    /// # Errors
    /// No answer came; a refusal is one.
    pub fn create(&self, path: &str, body: &Value) -> Result<Answer> {
        self.ask("POST", path, Some(("application/json", body)))
    }

    /// Replaces an object.
    ///
    /// # Errors
    /// No answer came; a refusal is one.
    pub fn replace(&self, path: &str, body: &Value) -> Result<Answer> {
        self.ask("PUT", path, Some(("application/json", body)))
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// No answer came; a refusal is one.
    pub fn delete(&self, path: &str) -> Result<Answer> {
        self.ask("DELETE", path, None)
    }

    /// Changes an object by a patch of this kind, [`MERGE`] or [`STRATEGIC`].
    ///
    /// # Errors
    /// No answer came; a refusal is one.
    pub fn patch(&self, path: &str, kind: &str, body: &Value) -> Result<Answer> {
        self.ask("PATCH", path, Some((kind, body)))
    }

    /// Deletes an object at once, without its grace period, as kubelet does when a pod has ended. Nothing happens if it is not this one by its UID.
    ///
    /// # Errors
    /// No answer came; a refusal is one.
    pub fn delete_now(&self, path: &str, uid: &str) -> Result<Answer> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": { "uid": uid },
        });
        let request = self.agent.delete(format!("{}{path}", self.base)).force_send_body();
        let response = request.header("content-type", "application/json").send(options.to_string());
        answer(response.with_context(|| format!("DELETE {path}"))?)
    }

    /// The events of a watch, one after the other, until the API server ends it.
    ///
    /// # Errors
    /// It does not begin.
    pub fn watch(&self, path: &str) -> Result<impl Iterator<Item = Result<Value>> + use<>> {
        Ok(self.watch_as_text(path)?.map(|line| Ok(serde_json::from_str(&line?)?)))
    }

    /// The same, each event as it came.
    ///
    /// # Errors
    /// It does not begin.
    pub fn watch_as_text(&self, path: &str) -> Result<impl Iterator<Item = Result<String>> + use<>> {
        let response = self.send("GET", path, None)?;
        ensure!(response.status() == 200, "watch {path}: {}", response.status());
        let lines = BufReader::new(response.into_body().into_reader()).lines();
        Ok(lines.map(|line| Ok(line?)))
    }

    fn ask(&self, method: &str, path: &str, body: Option<(&str, &Value)>) -> Result<Answer> {
        answer(self.send(method, path, body)?).with_context(|| format!("{method} {path}"))
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<ureq::http::Response<Body>> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let answer = match body {
            Some((kind, body)) => {
                self.agent.run(request.header("content-type", kind).body(body.to_string())?)
            }
            None => self.agent.run(request.body(())?),
        };
        answer.with_context(|| format!("{method} {path}"))
    }
}

fn answer(mut response: ureq::http::Response<Body>) -> Result<Answer> {
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string()?;
    // Health checks answer in plain text.
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, body })
}
