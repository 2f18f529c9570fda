//! An API server of tests: it remembers what it was asked, and answers as it was told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use crate::live::api::call::Caller;
use crate::live::session::clock::Clock;

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::live) struct RecordedRequest {
    /// `GET /api/v1/nodes?limit=500`.
    pub(in crate::live) line: String,
    /// The header `Content-Type`.
    pub(in crate::live) content: String,
    /// The header `Accept`.
    pub(in crate::live) accept: String,
    /// The header `Accept-Encoding`.
    pub(in crate::live) encoding: String,
    pub(in crate::live) body: String,
}

#[derive(Debug, Clone)]
pub(in crate::live) struct Answer {
    status: u16,
    retry_after: Option<u32>,
    warning: Option<String>,
    date: Option<jiff::Timestamp>,
    frames: VecDeque<Bytes>,
    then: Ending,
}

/// What comes after the body's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    End,
    /// Nothing comes any more, as on a connection that died.
    Hang,
    /// The connection breaks before any answer.
    Lost,
    /// The last frame comes again and again.
    Again,
}

type Rule = Box<dyn FnMut(&RecordedRequest) -> Answer + Send>;

#[derive(Clone)]
pub(in crate::live) struct Server {
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
    rule: Arc<Mutex<Rule>>,
}

impl RecordedRequest {
    /// The body as JSON.
    pub(in crate::live) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

impl Answer {
    pub(in crate::live) fn text(status: u16, body: &str) -> Self {
        let frames = VecDeque::from([Bytes::from(body.to_owned())]);
        Self { status, retry_after: None, warning: None, date: None, frames, then: Ending::End }
    }

    pub(in crate::live) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, &body.to_string())
    }

    /// A refusal in the API's words.
    pub(in crate::live) fn refusal(status: u16, reason: &str, message: &str) -> Self {
        let body = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
            "reason": reason, "message": message});
        Self::json(status, &body)
    }

    /// The connection breaks.
    pub(in crate::live) fn lost() -> Self {
        Self { then: Ending::Lost, ..Self::text(200, "") }
    }

    /// A stream of these pieces, after which nothing comes.
    pub(in crate::live) fn stream(pieces: &[&str]) -> Self {
        let frames = pieces.iter().map(|piece| Bytes::from((*piece).to_owned())).collect();
        Self { frames, then: Ending::Hang, ..Self::text(200, "") }
    }

    /// A body that does not end.
    pub(in crate::live) fn endless() -> Self {
        let frames = VecDeque::from([Bytes::from(vec![b' '; 1 << 20])]);
        Self { frames, then: Ending::Again, ..Self::text(200, "") }
    }

    /// The same, but it ends.
    pub(in crate::live) fn ending(mut self) -> Self {
        self.then = Ending::End;
        self
    }

    /// The same with a header `Warning`.
    pub(in crate::live) fn warning(mut self, header: &str) -> Self {
        self.warning = Some(header.to_owned());
        self
    }

    /// The same with the API server's time.
    pub(in crate::live) fn date(mut self, date: jiff::Timestamp) -> Self {
        self.date = Some(date);
        self
    }

    pub(in crate::live) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl Server {
    /// Answers one request after the other.
    pub(in crate::live) fn new(answers: Vec<Answer>) -> Self {
        let mut answers = VecDeque::from(answers);
        Self::by_rule(move |request| {
            answers.pop_front().unwrap_or_else(|| panic!("nothing is left to answer {request:?}"))
        })
    }

    /// Answers by a rule.
    pub(in crate::live) fn by_rule(rule: impl FnMut(&RecordedRequest) -> Answer + Send + 'static) -> Self {
        Self { requests: Arc::default(), rule: Arc::new(Mutex::new(Box::new(rule))) }
    }

    /// What it answers to a request that another server got.
    pub(in crate::live) fn answer(&self, request: &RecordedRequest) -> Answer {
        (self.rule.lock().expect("a rule"))(request)
    }

    /// What it was asked so far.
    pub(in crate::live) fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().expect("requests").clone()
    }

    /// The method, path and query of all that it was asked.
    pub(in crate::live) fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.line).collect()
    }

    /// A client of it. Its time is tokio's, so that tests do not wait.
    pub(in crate::live) fn caller(&self) -> Caller {
        Caller::new(self.client(), clock())
    }

    pub(in crate::live) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { server.serve(request).await }
        });
        Client::new(service, "default")
    }

    async fn serve(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Frames>, Box<dyn std::error::Error + Send + Sync>> {
        let (parts, body) = request.into_parts();
        let header = |name: http::header::HeaderName| {
            parts.headers.get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
        };
        let recorded = RecordedRequest {
            line: format!("{} {}", parts.method, parts.uri),
            content: header(http::header::CONTENT_TYPE),
            accept: header(http::header::ACCEPT),
            encoding: header(http::header::ACCEPT_ENCODING),
            body: String::from_utf8(body.collect_bytes().await?.to_vec())?,
        };
        self.requests.lock().expect("requests").push(recorded.clone());
        let answer = (self.rule.lock().expect("a rule"))(&recorded);
        if answer.then == Ending::Lost {
            return Err("connection reset by peer".into());
        }
        let mut response = Response::builder().status(answer.status);
        if let Some(seconds) = answer.retry_after {
            response = response.header(http::header::RETRY_AFTER, seconds);
        }
        if let Some(warning) = answer.warning {
            response = response.header(http::header::WARNING, warning);
        }
        if let Some(date) = answer.date {
            let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
            response = response.header(http::header::DATE, printer.timestamp_to_rfc9110_string(&date)?);
        }
        Ok(response.body(Frames { frames: answer.frames, then: answer.then })?)
    }
}

/// A body that comes in pieces.
#[derive(Debug)]
struct Frames {
    frames: VecDeque<Bytes>,
    then: Ending,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.frames.pop_front() {
            Some(frame) => {
                if self.then == Ending::Again {
                    self.frames.push_back(frame.clone());
                }
                Poll::Ready(Some(Ok(Frame::data(frame))))
            }
            None if self.then == Ending::Hang => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

/// The first moment of tests.
pub(in crate::live) const START: u64 = 1_000_000;

/// Clocks that go with tokio's time.
pub(in crate::live) fn clock() -> Clock {
    let start = tokio::time::Instant::now();
    let now = move || std::time::Duration::from_secs(START) + start.elapsed();
    let wall = move || {
        let since = i64::try_from(start.elapsed().as_micros()).expect("short");
        jiff::Timestamp::from_microsecond(1_767_225_600_000_000 + since).expect("a time")
    };
    Clock::new(now, wall)
}

/// Runs a test. Time stands still but for sleeps, and those take none.
pub(in crate::live) fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().expect("a runtime").block_on(test)
}
