//! One request and the whole of its answer, which is bounded: whatever answers must not take all memory of the operator's machine.

use http::{Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kube::client::Body;
use kube::{Client, Error};
use types::text::quote::shell_word;

use crate::live::api::connect::RequestGuard;

/// Longest answer, in bytes, without compression. etcd takes objects of 1.5 MiB, and JSON escapes make a byte six, so every single object is shorter. A page
/// of a list that is longer is asked for with fewer objects.
pub(in crate::live) const LONGEST: usize = 64 << 20;

/// Objects in one page; what kubectl asks for as well.
pub(in crate::live) const PAGE: usize = 500;

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::live) enum AnswerError {
    /// None arrived, or only a part.
    Lost(Box<Error>),
    /// It is longer than [`LONGEST`]; in words.
    TooLong(String),
}

/// Makes a request once, and reads the whole answer, whatever its status.
///
/// # Errors
/// No answer arrived, or it is too long.
pub(in crate::live) async fn answer(
    client: &Client,
    mut request: Request<Body>,
) -> Result<Response<Vec<u8>>, AnswerError> {
    let under_way = RequestGuard::new(&mut request);
    let (method, path) = (request.method().clone(), request.uri().to_string());
    let lost = |e| AnswerError::Lost(Box::new(e));
    let (parts, body) = client.send(request).await.map_err(lost)?.into_parts();
    let read = Limited::new(body, LONGEST).collect().await.map_err(|e| {
        if e.is::<LengthLimitError>() {
            AnswerError::TooLong(format!(
                "the answer of {method} {path} is longer than {} MiB, and no more is read; see how long it is, and what answers: kubectl get --raw {} | wc -c",
                LONGEST >> 20,
                shell_word(&path)
            ))
        } else {
            lost(Error::Service(e))
        }
    })?;
    under_way.disarm();
    Ok(Response::from_parts(parts, read.to_bytes().into()))
}

/// How many objects the next page has where one with `limit` objects is too long; none if that had a single object.
pub(in crate::live) const fn smaller_limit(limit: usize) -> Option<usize> {
    match limit {
        0 | 1 => None,
        2..10 => Some(1),
        more => Some(more / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::api::test_server::{Answer, Server, run};

    #[test]
    fn an_answer_that_does_not_end_is_refused_with_its_call_and_what_helps() {
        run(async {
            for path in ["/api/v1/nodes?limit=1", "/apis"] {
                let server = Server::by_rule(|_| Answer::endless());
                let request = Request::get(path).body(Body::empty()).expect("a request");
                let Err(AnswerError::TooLong(why)) = answer(&server.client(), request).await else {
                    panic!("an endless answer was read")
                };
                for part in [path, "GET", "64 MiB", "kubectl get --raw"] {
                    assert!(why.contains(part), "{part}: {why}");
                }
            }
        });
    }

    #[test]
    fn pages_get_smaller_down_to_one_object() {
        let sizes: Vec<usize> = std::iter::successors(Some(PAGE), |limit| smaller_limit(*limit)).collect();
        assert_eq!(sizes, [500, 50, 5, 1]);
    }
}
