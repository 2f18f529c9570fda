//! The identity of this holder.

use std::env;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::process;

use serde_json::{Value, json};

use crate::live::api::call::{ApiRequest, Caller};

/// Where an API server says whose credential it sees. *Source*: Kubernetes 1.28, `authentication.k8s.io/v1`; every user may ask (`system:basic-user`).
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
/// What stands before a name that only this machine knows: `unverified:alice@laptop`.
const UNVERIFIED: &str = "unverified:";
/// Longest name of a user, in characters.
const LONGEST: usize = 256;

/// A holder's name, which no other holder has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::live) struct Identity(String);

impl Identity {
    /// `user@host:pid:random`: people read the first part, and no two holders have the same last one.
    pub(in crate::live) async fn gather(caller: &Caller) -> Self {
        Self(format!("{}:{}:{}", person(caller).await, process::id(), random()))
    }

    /// As the Lease names it.
    pub(in crate::live) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Sixteen hexadecimal digits that no other program has.
pub(in crate::live) fn random() -> String {
    // The standard library seeds it from the system's random numbers.
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// `user@host`: the user as the API server knows it, on this machine. An API server that does not say whose credential it sees leaves the user that the
/// environment names, which anyone can set.
pub(in crate::live) async fn person(caller: &Caller) -> String {
    let user = username(caller).await.unwrap_or_else(|| format!("{UNVERIFIED}{}", local_user()));
    format!("{user}@{}", machine())
}

/// The user whose credential the API server sees; none if it does not say.
async fn username(caller: &Caller) -> Option<String> {
    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let reply = caller.call(&ApiRequest::post(REVIEWS, body.to_string().into_bytes())).await.ok()?;
    let review: Value = reply.is_done().then(|| reply.object().ok())??;
    let name = to_plain(review["status"]["userInfo"]["username"].as_str()?, LONGEST);
    (!name.is_empty()).then_some(name)
}

fn variable(names: &[&str]) -> Option<String> {
    let mut values = names.iter().filter_map(|name| env::var(name).ok());
    values.find(|value| !value.is_empty())
}

/// The user's name as far as the environment says it.
fn local_user() -> String {
    variable(&["USER", "LOGNAME", "USERNAME"]).map_or_else(|| "unknown".into(), |name| to_plain(&name, 64))
}

/// The machine's name.
fn machine() -> String {
    let name = variable(&["HOSTNAME", "COMPUTERNAME"]).or_else(host);
    // A colon ends it.
    name.map_or_else(|| "unknown".into(), |name| to_plain(&name, 64).replace(':', "-"))
}

/// A shell may know the host's name without handing it on.
#[cfg(unix)]
fn host() -> Option<String> {
    let name = rustix::system::uname();
    name.nodename().to_str().ok().filter(|name| !name.is_empty()).map(str::to_owned)
}

#[cfg(not(unix))]
const fn host() -> Option<String> {
    None
}

/// Without anything that would break a line or a table, and no longer than this.
fn to_plain(text: &str, longest: usize) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).take(longest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::api::test_server::{Answer, Server, run};

    async fn named(answer: Answer) -> String {
        person(&Server::new(vec![answer]).caller()).await
    }

    fn review(name: &str) -> Answer {
        Answer::json(
            201,
            &json!({"status": {"userInfo": {"username": name, "groups": ["system:authenticated"]}}}),
        )
    }

    /// A colon is part of the names of service accounts, so it stays.
    #[test]
    fn a_holder_is_the_user_that_the_api_server_knows() {
        run(async {
            for (name, expected) in [
                ("kubernetes-admin", "kubernetes-admin@"),
                ("system:serviceaccount:ci:deployer", "system:serviceaccount:ci:deployer@"),
                ("oidc:alice@example.com", "oidc:alice@example.com@"),
                ("alice\n\u{1b}[2Jbob", "alice--[2Jbob@"),
            ] {
                let person = named(review(name)).await;
                assert!(person.starts_with(expected), "{person}");
            }
            let long = named(review(&"x".repeat(1000))).await;
            assert!(long.starts_with(&format!("{}@", "x".repeat(LONGEST))), "{long}");
        });
    }

    /// Kubernetes before 1.28, a credential without the right, an outage, and answers that say nothing.
    #[test]
    fn where_the_api_server_does_not_say_it_the_name_says_so() {
        run(async {
            for answer in [
                Answer::refusal(404, "NotFound", "the server could not find the requested resource"),
                Answer::refusal(403, "Forbidden", "cannot create resource selfsubjectreviews"),
                Answer::lost(),
                Answer::text(201, "no JSON"),
                Answer::json(201, &json!({"status": {}})),
                review(""),
            ] {
                let person = named(answer).await;
                assert!(person.starts_with(UNVERIFIED), "{person}");
            }
        });
    }

    #[test]
    fn each_holder_is_another_one() {
        run(async {
            let server = Server::by_rule(|_| review("alice"));
            let (identity, two) =
                (Identity::gather(&server.caller()).await, Identity::gather(&server.caller()).await);
            assert_ne!(identity, two);
            let parts: Vec<&str> = identity.as_str().split(':').collect();
            assert_eq!((parts.len(), parts[1]), (3, process::id().to_string().as_str()), "{identity:?}");
            assert!(parts[0].starts_with("alice@") && parts[2].len() == 16, "{identity:?}");
            assert_eq!(server.lines()[0], format!("POST {REVIEWS}"));
            assert_eq!(server.requests()[0].json()["kind"], "SelfSubjectReview");
        });
    }
}
