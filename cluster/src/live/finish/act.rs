//! The acts on objects of the old CNI: the fence, and deletions.

use migration::cni::footprint::{Part, Target};
use migration::finish::cleaning::{Cleaning, DONE, REQUESTED};
use migration::finish::lines::LineName;
use migration::finish::removal::{self, Removal};
use migration::finish::{FENCE, FinishPlan, Inventory, Pin, Record};
use serde_json::{Value, json};
use types::api::node_keys::CLEANUP;
use types::api::refusal::Refusal;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::{FinishHolder, RIGHTS, gather};
use crate::live::api::call::{ApiRequest, Reply};
use crate::live::api::failure::{Failure, refused_without};
use crate::live::api::path::{MANAGER, encode, with_query};
use crate::live::session::calls::Outcome;

impl FinishHolder<'_> {
    /// Sets the node selector of the fence, or takes it away, on the DaemonSet that was read. Its version does not count: the controller of DaemonSets
    /// writes the status at any moment.
    pub(super) async fn select(&self, target: &Target, object: &Value, value: &Value) -> Result<(), Failure> {
        let change = json!({
            "metadata": { "uid": meta(object, "uid") },
            "spec": { "template": { "spec": { "nodeSelector": { FENCE: value } } } },
        });
        let path = with_query(&gather::path(target), &[("fieldManager", MANAGER)]);
        let what = format!("change {target}");
        let reply = self.call(&what, &ApiRequest::merge(path, change.to_string().into_bytes())).await?;
        if reply.is_done() { Ok(()) } else { Err(denied(&what, &reply.refusal())) }
    }

    /// Deletes what comes next. That there is no way back is recorded before the first deletion.
    pub(super) async fn remove(
        &mut self,
        plan: &FinishPlan,
        inventory: &Inventory,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), Failure> {
        if let Some(record) = self.record.clone().filter(|record| !record.is_one_way) {
            self.write(Record { is_one_way: true, ..record }).await?;
            self.note(LineName::Removal, "the cluster", "there is no way back from here", tell).await;
        }
        let Removal::Delete(pins) = removal::next(plan, inventory) else { return Ok(()) };
        for pin in pins {
            if self.interrupt.is_set() {
                break;
            }
            let outcome = self.delete(&pin, inventory).await?;
            self.note(LineName::Removal, &pin.target.to_string(), outcome, tell).await;
        }
        Ok(())
    }

    /// Deletes an object as it was read: the backup has it so. Says what became of it; the next look decides anew.
    async fn delete(&self, pin: &Pin, inventory: &Inventory) -> Result<&'static str, Failure> {
        // What has pods stays until they are gone, so that their network is there to the end.
        let has_pods = matches!(pin.target.part, Part::PodNetwork | Part::Controller | Part::Agent);
        let version = inventory.objects.get(&pin.target).map(|object| meta(object, "resourceVersion"));
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": { "uid": pin.uid, "resourceVersion": version },
            "propagationPolicy": if has_pods { "Foreground" } else { "Background" },
        });
        let ask = ApiRequest::delete(gather::path(&pin.target), options.to_string().into_bytes());
        let what = format!("delete {}", pin.target);
        let reply = self.call(&what, &ask).await?;
        match reply.refusal() {
            _ if reply.is_done() => Ok("deleted"),
            refusal if refusal.is_not_found() => Ok("it was gone already"),
            refusal if refusal.is_conflict() => {
                Ok("it was changed or made anew meanwhile, and was not deleted")
            }
            refusal => Err(denied(&what, &refusal)),
        }
    }

    /// Asks the next nodes for the clean-up, and says which are clean.
    pub(super) async fn clean(
        &mut self,
        inventory: &Inventory,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), Failure> {
        let nodes = inventory.current_nodes(self.scene.scene.snapshot);
        let Cleaning { cleaned, next, .. } =
            Cleaning::new(nodes, inventory.cleanup.as_ref(), self.scene.run_plan);
        let done = cleaned.into_iter().map(|node| (node, DONE, "is clean"));
        for (node, value, outcome) in
            done.chain(next.into_iter().map(|node| (node, REQUESTED, "is asked to clean up")))
        {
            if self.interrupt.is_set() {
                break;
            }
            let what = format!("label Node/{node}");
            let path = with_query(&format!("/api/v1/nodes/{}", encode(node)), &[("fieldManager", MANAGER)]);
            let change = json!({ "metadata": { "labels": { CLEANUP: value } } });
            let reply = self.call(&what, &ApiRequest::merge(path, change.to_string().into_bytes())).await?;
            if !reply.is_done() && !reply.refusal().is_not_found() {
                return Err(denied(&what, &reply.refusal()));
            }
            self.note(LineName::Nodes, &format!("Node/{node}"), outcome, tell).await;
        }
        Ok(())
    }

    /// Makes a request of the one writer.
    async fn call(&self, what: &str, ask: &ApiRequest) -> Result<Reply, Failure> {
        let later = |why: String| {
            let problem = Problem::new(format!("{what}: {why}")).with_place("the API server");
            (Exit::TryLater, problem.fix("run the same command again; it goes on where it stopped"))
        };
        self.hand.call(ask).await.map_err(|outcome| match outcome {
            Outcome::Barred(why) | Outcome::Failed(why) => later(why),
            Outcome::Done | Outcome::Pod(..) | Outcome::Counted(_) | Outcome::Changed | Outcome::Gone => {
                later("the Lease is lost".into())
            }
        })
    }
}

fn meta(object: &Value, key: &str) -> Value {
    object.pointer(&format!("/metadata/{key}")).cloned().unwrap_or_default()
}

/// Why an act was refused, and what helps.
///
/// *Source*: Kubernetes, `staging/src/k8s.io/apiserver/pkg/admission/plugin`: `webhook/errors/statuserror.go` and `policy/validating/errors.go`.
fn denied(what: &str, refusal: &Refusal) -> Failure {
    let message = &refusal.message;
    let is_policy = message.contains("denied the request") || message.contains("denied request");
    if is_policy || message.starts_with("admission webhook") {
        let problem = Problem::new(format!("{what}: an admission policy refused it: {message}"));
        let fix = "let that policy or webhook admit it, then run the same command again; it goes on where it stopped";
        return (Exit::Failed, problem.with_place("the API server").fix(fix));
    }
    refused_without(what, refusal, RIGHTS)
}
