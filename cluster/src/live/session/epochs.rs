//! The epochs that Nodes bear, read before the Lease is taken: where it was deleted, it begins anew, and would begin below them.

use snapshot::model::Node;
use types::api::step::{self, Step};

use crate::live::api::call::Caller;
use crate::live::api::failure::{Failure, lost_failure};
use crate::live::api::watch::{Source, pages};
use crate::live::lease::MAX_SEEN_EPOCH;

/// The greatest epoch that a Node bears; 0 if none bears any.
///
/// # Errors
/// A request failed.
pub(super) async fn greatest_epoch(caller: &Caller) -> Result<u64, Failure> {
    let mut greatest = 0;
    let mut take = |node: Option<&str>| {
        greatest = node.map_or(0, |node| greatest.max(epoch(node).unwrap_or(0)));
    };
    pages(caller, &Source::new("/api/v1/nodes"), &mut take)
        .await
        .map_err(|why| lost_failure("read the steps of Nodes", &why))?;
    Ok(greatest)
}

/// The epoch of a Node's step. One that no Lease reaches is not a holder's, and raises none.
fn epoch(node: &str) -> Option<u64> {
    let node: Node = serde_json::from_str(node).ok()?;
    let step = Step::parse(node.metadata.annotation(step::KEY)?).ok()?;
    Some(step.epoch).filter(|epoch| *epoch <= MAX_SEEN_EPOCH)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::live::api::test_server::{Answer, Server, run};

    fn node(step: &str) -> Value {
        json!({"metadata": {"name": "n", "annotations": {"crossfade/step": step}}})
    }

    fn step(epoch: &Value) -> Value {
        node(
            &json!({"run": "r", "plan": "p", "epoch": epoch, "claim": "c", "to": "old", "state": "done"})
                .to_string(),
        )
    }

    /// Each row: the Nodes, and the greatest epoch.
    #[test]
    fn the_greatest_epoch_is_one_that_a_holder_may_have_had() {
        for (nodes, expected) in [
            (vec![], 0),
            (vec![json!({"metadata": {"name": "n"}}), node("{}"), node("")], 0),
            (vec![step(&json!(3)), step(&json!(7)), step(&json!(5))], 7),
            (vec![step(&json!(3)), step(&json!(u64::MAX)), step(&json!(-1)), step(&json!(1e300))], 3),
            (vec![step(&json!(MAX_SEEN_EPOCH)), step(&json!(MAX_SEEN_EPOCH + 1))], MAX_SEEN_EPOCH),
        ] {
            run(async {
                let list = Answer::json(200, &json!({"metadata": {"resourceVersion": "1"}, "items": nodes}));
                assert_eq!(greatest_epoch(&Server::new(vec![list]).caller()).await.expect("read"), expected);
            });
        }
    }
}
