//! The NodeClaims of Karpenter: found before a run begins, watched while it goes on. Nothing of them is changed.

use migration::config::roll::Method;
use migration::plan::Plan;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::Session;
use crate::live::api::failure::Failure;
use crate::live::api::server;
use crate::live::api::watch::Source;
use crate::live::rights;

/// The API group of NodeClaims, and its versions, the newest first.
const GROUP: &str = "karpenter.sh";
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
/// The manifest with the rights of a run.
const RIGHTS: &str = "deploy/cluster/rbac-operator.yaml";

/// The version of the API that serves the NodeClaims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeClaims(&'static str);

impl NodeClaims {
    pub(super) fn source(self) -> Source {
        Source::new(format!("/apis/{GROUP}/{}/nodeclaims", self.0))
    }
}

impl Session {
    /// Finds the NodeClaims of a plan that has Karpenter replace nodes. Says whether they are watched from now on. Changes nothing.
    ///
    /// # Errors
    /// A right is missing, or the API server serves no NodeClaims.
    pub(in crate::live) async fn find_node_claims(&mut self, plan: &Plan) -> Result<bool, Failure> {
        let is_replaced =
            |pool: &&migration::plan::Pool| pool.method == Method::Karpenter && plan.rotates(&pool.name);
        let Some(pool) = plan.pools.iter().find(is_replaced).filter(|_| self.node_claims.is_none()) else {
            return Ok(false);
        };
        let client = self.caller.client();
        let served = server::served_version(client, GROUP, &VERSIONS).await.map_err(|(path, meaning)| {
            let problem = Problem::new(format!("{path}: {meaning:?}")).with_place("the API server");
            (Exit::TryLater, problem.fix("check that kubectl get nodeclaims works"))
        })?;
        let Some(version) = served else {
            let what = format!(
                "Karpenter is to replace the nodes of pool {:?}, and the API server serves no NodeClaims ({GROUP}/{})",
                pool.name,
                VERSIONS.join(", ")
            );
            let fix =
                "name the method of the pool in roll.methods, and make a new plan: kubectl crossfade plan";
            return Err((Exit::BadSettings, Problem::new(what).with_place("NodeClaim/*").fix(fix)));
        };
        let missing = rights::missing_to_see_drift(client).await;
        if !missing.is_empty() {
            let problem = Problem::new(format!("rights are missing: {}", missing.join(", ")));
            let fix = format!("kubectl apply -f {RIGHTS}, and bind its roles as its comments say");
            return Err((Exit::Failed, problem.with_place("NodeClaim/*").fix(fix)));
        }
        self.node_claims = Some(NodeClaims(version));
        Ok(true)
    }
}
