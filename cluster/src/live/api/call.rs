//! One request to the API server, made once.
//!
//! No request is repeated here, nor by the library: an eviction whose answer was lost may have happened. Who decides looks at the world and asks
//! anew.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use types::api::refusal::Refusal;

use http::{Method, Request};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use migration::drive::gate::Pulse;
use serde::de::DeserializeOwned;

use crate::live::api::answer::{AnswerError, answer};
use crate::live::api::error::chain;
use crate::live::api::pace::Pace;
use crate::live::api::warning::warnings;
use crate::live::session::clock::Clock;

/// JSON, as a body is sent that is an object.
pub(in crate::live) const JSON: &str = "application/json";
/// A patch whose keys replace those of the object; null takes a key away. *Source*: RFC 7396.
pub(in crate::live) const MERGE: &str = "application/merge-patch+json";

/// A patch that merges lists of Kubernetes' own kinds by the keys of their items. *Source*: Kubernetes, "Update API Objects in Place Using kubectl patch".
const STRATEGIC_MERGE: &str = "application/strategic-merge-patch+json";

/// An object as its field manager wants it: fields that it does not have belong to others. *Source*: Kubernetes, "Server-Side Apply".
const APPLY: &str = "application/apply-patch+yaml";

/// A request to the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::live) struct ApiRequest {
    /// What is done.
    pub(in crate::live) method: Method,
    /// To what, with its query.
    pub(in crate::live) path: String,
    /// What the body is; no body without it.
    pub(in crate::live) content: Option<&'static str>,
    /// What is accepted as an answer; JSON without it.
    pub(in crate::live) accept: Option<&'static str>,
    pub(in crate::live) body: Vec<u8>,
}

/// An answer that arrived as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::live) struct Reply {
    /// The HTTP status.
    pub(in crate::live) status: u16,
    /// The header `Retry-After`, in seconds.
    pub(in crate::live) retry_after: Option<u32>,
    /// The texts of the headers `Warning`.
    pub(in crate::live) warnings: Vec<String>,
    pub(in crate::live) body: Vec<u8>,
}

/// Why there is no reply. What was asked for may have happened.
#[derive(Debug)]
pub(in crate::live) enum CallError {
    /// None arrived; why.
    Lost(String),
    /// It is too long; in words.
    TooLong(String),
}

/// Makes requests, not too fast, and remembers how they were answered.
#[derive(Clone)]
pub(in crate::live) struct Caller {
    client: Client,
    clock: Clock,
    state: Arc<Mutex<State>>,
    /// How long requests may take now; as long as the client lets them without it.
    time_limit: Option<TimeLimit>,
}

/// How long a request may take that begins now.
type TimeLimit = Arc<dyn Fn() -> Duration + Send + Sync>;

#[derive(Debug)]
struct State {
    pace: Pace,
    pulse: Pulse,
    /// The API server's time in its last answer, and when that arrived by the clock that decides.
    dated: Option<(Timestamp, Duration)>,
}

impl ApiRequest {
    pub(in crate::live) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), content: None, accept: None, body: Vec::new() }
    }

    /// Creates an object, or whatever else a POST does.
    pub(in crate::live) fn post(path: impl Into<String>, body: Vec<u8>) -> Self {
        Self { method: Method::POST, content: Some(JSON), body, ..Self::get(path) }
    }

    /// Replaces an object.
    pub(in crate::live) fn put(path: impl Into<String>, body: Vec<u8>) -> Self {
        Self { method: Method::PUT, ..Self::post(path, body) }
    }

    /// Changes parts of an object.
    pub(in crate::live) fn merge(path: impl Into<String>, body: Vec<u8>) -> Self {
        Self { method: Method::PATCH, content: Some(MERGE), ..Self::post(path, body) }
    }

    /// Changes parts of an object. Lists merge by the keys of their items where the API says so.
    pub(in crate::live) fn strategic_merge(path: impl Into<String>, body: Vec<u8>) -> Self {
        Self { content: Some(STRATEGIC_MERGE), ..Self::merge(path, body) }
    }

    /// Creates an object, or makes it so. JSON is YAML, too.
    pub(in crate::live) fn apply(path: impl Into<String>, body: Vec<u8>) -> Self {
        Self { content: Some(APPLY), ..Self::merge(path, body) }
    }

    pub(in crate::live) fn delete(path: impl Into<String>, body: Vec<u8>) -> Self {
        Self { method: Method::DELETE, ..Self::post(path, body) }
    }

    /// The same, to be ended by the API server after so many seconds.
    ///
    /// *Source*: Kubernetes, `staging/src/k8s.io/apiserver/pkg/endpoints/filters/request_deadline.go`: the query `timeout` of every request but watches.
    fn with_timeout(&self, seconds: u64) -> Self {
        let mark = if self.path.contains('?') { '&' } else { '?' };
        Self { path: format!("{}{mark}timeout={seconds}s", self.path), ..self.clone() }
    }

    pub(in crate::live) fn request(&self) -> Result<Request<kube::client::Body>, String> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.path);
        request = request.header(http::header::ACCEPT, self.accept.unwrap_or(JSON));
        if let Some(content) = self.content {
            request = request.header(http::header::CONTENT_TYPE, content);
        }
        request.body(self.body.clone().into()).map_err(|e| format!("{}: {e}", self.path))
    }
}

impl Reply {
    /// The API server did what it was asked for.
    pub(in crate::live) const fn is_done(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// Why the API server did not.
    pub(in crate::live) fn refusal(&self) -> Refusal {
        Refusal::read(self.status, self.retry_after, &self.body)
    }

    /// The object in it.
    ///
    /// # Errors
    /// Why it is no such object.
    pub(in crate::live) fn object<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|e| format!("the API server's answer: {e}"))
    }
}

impl From<AnswerError> for CallError {
    fn from(why: AnswerError) -> Self {
        match why {
            AnswerError::Lost(e) => Self::Lost(format!("no answer: {}", chain(&*e))),
            AnswerError::TooLong(why) => Self::TooLong(why),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Lost(why) | Self::TooLong(why)) = self;
        f.write_str(why)
    }
}

impl Caller {
    /// Makes requests through this client, which must not retry by itself.
    pub(in crate::live) fn new(client: Client, clock: Clock) -> Self {
        let pace = Pace::new(clock.now());
        let state = Arc::new(Mutex::new(State { pace, pulse: Pulse::default(), dated: None }));
        Self { client, clock, state, time_limit: None }
    }

    /// The same pace for requests through another client.
    pub(in crate::live) fn with_client(&self, client: Client) -> Self {
        Self { client, ..self.clone() }
    }

    /// The same for requests that must have ended when nothing is left of this time, here and at the API server. One that cannot is not made.
    pub(in crate::live) fn with_time_limit(
        &self,
        remaining: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self { time_limit: Some(Arc::new(remaining)), ..self.clone() }
    }

    /// The clock by which requests are paced.
    pub(in crate::live) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The client itself.
    pub(in crate::live) const fn client(&self) -> &Client {
        &self.client
    }

    /// How the API server answers.
    pub(in crate::live) fn pulse(&self) -> migration::roll::world::Verdict {
        self.state().pulse.verdict(self.clock.now())
    }

    /// The time by the API server's clock, from the header `Date` of its last answer; none if none had it. The wall clock of this machine may be wrong.
    pub(in crate::live) fn server_time(&self) -> Option<Timestamp> {
        let (date, at) = self.state().dated?;
        date.checked_add(SignedDuration::try_from(self.clock.now().saturating_sub(at)).ok()?).ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the pace allows another request.
    pub(in crate::live) async fn turn(&self) {
        let wait = self.state().pace.take(self.clock.now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes a request when its turn comes.
    ///
    /// # Errors
    /// No answer arrived. What was asked for may have happened.
    pub(in crate::live) async fn call(&self, ask: &ApiRequest) -> Result<Reply, String> {
        self.turn().await;
        self.call_urgently(ask).await
    }

    /// Makes a request at once: the Lease must be renewed however much else there is to do.
    ///
    /// # Errors
    /// No answer arrived. What was asked for may have happened.
    pub(in crate::live) async fn call_urgently(&self, ask: &ApiRequest) -> Result<Reply, String> {
        let began = self.clock.now();
        let reply = self.exchange(ask).await.map_err(|why| why.to_string())?;
        self.state().pulse.note_answered(began, self.clock.now());
        Ok(reply)
    }

    /// Makes a request whose answer is large, so that its time says nothing about the API server.
    ///
    /// # Errors
    /// No answer arrived, or it is too long.
    pub(in crate::live) async fn page(&self, ask: &ApiRequest) -> Result<Reply, CallError> {
        self.turn().await;
        self.exchange(ask).await
    }

    async fn exchange(&self, ask: &ApiRequest) -> Result<Reply, CallError> {
        let Some(remaining) = self.time_limit.as_ref().map(|remaining| remaining()) else {
            return self.answer(ask).await;
        };
        // One half is for the way, after which nothing more is sent; the other is the API server's, which counts from when the request arrives. It takes whole
        // seconds.
        let remaining = remaining / 2;
        let seconds = remaining.as_secs();
        if seconds == 0 {
            return Err(CallError::Lost("it was not asked: the Lease must be renewed first".into()));
        }
        let late = |_| {
            let why = format!("no answer within {seconds} s; after that another holder might take the Lease");
            Err(CallError::Lost(why))
        };
        tokio::time::timeout(remaining, self.answer(&ask.with_timeout(seconds))).await.unwrap_or_else(late)
    }

    async fn answer(&self, ask: &ApiRequest) -> Result<Reply, CallError> {
        let request = ask.request().map_err(CallError::Lost)?;
        let (parts, body) = answer(&self.client, request).await?.into_parts();
        let status = parts.status.as_u16();
        let header = parts.headers.get(http::header::RETRY_AFTER);
        let retry_after = header.and_then(|value| value.to_str().ok()?.parse().ok());
        let headers = parts.headers.get_all(http::header::WARNING);
        let warnings = headers.iter().filter_map(|value| value.to_str().ok()).flat_map(warnings).collect();
        let date = parts.headers.get(http::header::DATE).and_then(|value| value.to_str().ok());
        if let Some(date) = date.and_then(|text| DateTimeParser::new().parse_timestamp(text).ok()) {
            self.state().dated = Some((date, self.clock.now()));
        }
        let reply = Reply { status, retry_after, warnings, body };
        if status == 429 && !reply.refusal().is_budget() {
            let (now, mut state) = (self.clock.now(), self.state());
            state.pulse.note_busy(now);
            state.pace.slow_down(now);
        }
        Ok(reply)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("clock", &self.clock).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::api::test_server::{self, Answer, Server};

    #[test]
    fn a_request_is_made_once_and_its_answer_arrives_as_it_is() {
        test_server::run(async {
            let server = Server::new(vec![
                Answer::text(429, "Too many requests, please try again later.").retry_after(1),
                Answer::lost(),
            ]);
            let caller = server.caller();
            let reply =
                caller.call(&ApiRequest::post("/api/v1/x?a=b", b"{}".to_vec())).await.expect("an answer");
            assert_eq!((reply.status, reply.retry_after), (429, Some(1)));
            let lost = caller.call(&ApiRequest::get("/api/v1/y")).await.expect_err("no answer");
            assert!(lost.starts_with("no answer: "), "{lost}");
            let recorded = server.requests();
            assert_eq!(recorded.len(), 2, "{recorded:?}");
            assert_eq!(recorded[0].line, "POST /api/v1/x?a=b");
            assert_eq!((recorded[0].content.as_str(), recorded[0].body.as_str()), ("application/json", "{}"));
            assert_eq!((recorded[1].line.as_str(), recorded[1].content.as_str()), ("GET /api/v1/y", ""));
        });
    }

    #[test]
    fn the_time_is_that_of_the_api_server() {
        test_server::run(async {
            let date = "2026-03-01T12:00:00Z".parse().expect("a time");
            let server = Server::by_rule(move |_| Answer::text(200, "{}").date(date));
            let caller = server.caller();
            assert_eq!(caller.server_time(), None);
            caller.call(&ApiRequest::get("/x")).await.expect("an answer");
            assert_eq!(caller.server_time(), Some(date));
            tokio::time::sleep(Duration::from_secs(90)).await;
            assert_eq!(
                caller.server_time().map(|time| time.to_string()).as_deref(),
                Some("2026-03-01T12:01:30Z")
            );
        });
    }

    #[test]
    fn a_busy_server_slows_requests_down_and_a_budget_does_not() {
        let budget = r#"{"kind":"Status","code":429,"details":{"causes":[{"reason":"DisruptionBudget"}]}}"#;
        for (body, is_slow) in [("Too many requests", true), (budget, false)] {
            test_server::run(async {
                let mut answers = vec![Answer::text(429, body)];
                answers.extend((0..39).map(|_| Answer::text(200, "{}")));
                let caller = Server::new(answers).caller();
                let began = caller.clock().now();
                for _ in 0..40 {
                    caller.call(&ApiRequest::get("/x")).await.expect("an answer");
                }
                assert_eq!(caller.clock().now() > began, is_slow, "{body}");
                assert_eq!(caller.pulse().color == migration::roll::world::Color::Red, is_slow, "{body}");
            });
        }
    }

    /// The API server takes the request, and says nothing any more.
    #[test]
    fn a_request_of_a_holder_ends_here_and_at_the_api_server_before_its_time_is_over() {
        test_server::run(async {
            let server = Server::by_rule(|_| Answer::stream(&[]));
            let clock = server.caller().clock().clone();
            let end = clock.now() + Duration::from_millis(20_500);
            let now = clock.clone();
            let caller = server.caller().with_time_limit(move || end.saturating_sub(now.now()));
            let began = clock.now();
            let why = caller.call(&ApiRequest::post("/x", b"{}".to_vec())).await.expect_err("no answer");
            assert_eq!((clock.now() - began).as_secs(), 10, "{why}");
            // The first half is over, and what is left of the second is halved once more.
            let why = caller.call(&ApiRequest::get("/z")).await.expect_err("no answer");
            assert!(why.contains("no answer within 5 s"), "{why}");
            tokio::time::sleep(Duration::from_secs(4)).await;
            let why = caller.call(&ApiRequest::get("/y?a=b")).await.expect_err("too late");
            assert!(why.contains("the Lease must be renewed first"), "{why}");
            assert_eq!(server.lines(), ["POST /x?timeout=10s", "GET /z?timeout=5s"]);
        });
    }
}
