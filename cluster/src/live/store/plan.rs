//! Plans, as they were approved: named by their hash, and never changed.

use std::io::{Read as _, Write as _};

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use k8s_openapi::ByteString;
use migration::plan::canon::{Prefix, sha256, shorten_hash};
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::Store;
use super::object::{self, ConfigMap, PLAN_LABEL, bytes, create_path};
use crate::live::api::call::ApiRequest;
use crate::live::api::failure::{Failure, lost_failure, refused_failure};

/// The key of a plan.
const KEY: &str = "plan.json.gz";
/// Largest compressed plan. *Source*: Kubernetes refuses ConfigMaps above 1 MiB (`pkg/apis/core/validation`, `MaxSecretSize`), and etcd requests above
/// 1.5 MiB; base64 adds a third on the way.
const MAX: usize = 900_000;
/// Largest plan that is unpacked.
const MAX_UNPACKED: u64 = 64 << 20;

/// The ConfigMap of the plan with this hash.
pub(super) fn name(hash: &str) -> String {
    format!("crossfade-plan-{}", shorten_hash(hash))
}

impl Store {
    /// Saves a plan by its canonical bytes, and gives its hash: SHA-256 in hex. A plan that is there already stays. `shorter` says what makes one that is too
    /// large shorter.
    ///
    /// # Errors
    /// The plan is too large for a ConfigMap, or a request failed.
    pub async fn save_plan(&self, canonical: &[u8], shorter: &str) -> Result<String, Failure> {
        let what = "save the plan";
        let hash = sha256(canonical);
        let packed = compress(canonical).map_err(|e| lost_failure(what, &e.to_string()))?;
        if packed.len() > MAX {
            return Err(too_large_failure(packed.len(), shorter));
        }
        let mut map = object::new(&name(&hash), &[(PLAN_LABEL, shorten_hash(&hash))], &[]);
        map["immutable"] = true.into();
        map["binaryData"] = serde_json::json!({ KEY: ByteString(packed) });
        if let Some(map) = map.as_object_mut() {
            map.remove("data");
        }
        let reply = self
            .caller
            .call(&ApiRequest::post(create_path(), bytes(&map)))
            .await
            .map_err(|why| lost_failure(what, &why))?;
        match reply.refusal() {
            _ if reply.is_done() => Ok(hash),
            // Another plan of the same name would not have this hash.
            refusal if refusal.is_conflict() => {
                let prefix = hash.parse().map_err(|why: String| lost_failure(what, &why))?;
                self.plan(&prefix).await.map(|_| hash)
            }
            refusal => Err(refused_failure(what, &refusal)),
        }
    }

    /// The canonical bytes of the plan whose hash begins so, and its whole hash.
    ///
    /// # Errors
    /// No plan has such a hash, its bytes have another one, or a request failed.
    pub async fn plan(&self, prefix: &Prefix) -> Result<(String, Vec<u8>), Failure> {
        let what = "read the plan";
        let name = name(prefix.shorten_hash());
        let reply = self.read(what, &name).await?.ok_or_else(|| unknown_plan_failure(prefix))?;
        let map: ConfigMap = reply.object().map_err(|why| lost_failure(what, &why))?;
        of_map(&map, prefix)
    }
}

/// The canonical bytes of the plan in a ConfigMap, and its whole hash.
pub(super) fn of_map(map: &ConfigMap, prefix: &Prefix) -> Result<(String, Vec<u8>), Failure> {
    let text = map.binary_data.get(KEY).and_then(|packed| decompress(&packed.0).ok());
    let text = text.ok_or_else(|| damaged_failure(&name(prefix.shorten_hash())))?;
    let hash = sha256(&text);
    if prefix.is_of(&hash) { Ok((hash, text)) } else { Err(damaged_failure(&name(prefix.shorten_hash()))) }
}

/// The same bytes for the same plan.
fn compress(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(text)?;
    gzip.finish()
}

fn decompress(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    GzDecoder::new(packed).take(MAX_UNPACKED).read_to_end(&mut text)?;
    Ok(text)
}

fn too_large_failure(length: usize, shorter: &str) -> Failure {
    let what = format!(
        "save the plan: it has {length} bytes when it is compressed, and a ConfigMap takes {MAX} of them"
    );
    (Exit::Failed, Problem::new(what).fix(shorter))
}

fn damaged_failure(name: &str) -> Failure {
    let problem = Problem::new("the plan is not the one that its name says: its bytes have another hash");
    (
        Exit::Failed,
        problem
            .with_place(format!("ConfigMap/crossfade/{name}"))
            .fix("delete it and make the plan again: kubectl crossfade plan --save"),
    )
}

fn unknown_plan_failure(prefix: &Prefix) -> Failure {
    let problem = Problem::new(format!("no plan of this cluster has a hash that begins with {prefix}"));
    let fix = "save one: kubectl crossfade plan --save";
    (Exit::No, problem.with_place("ConfigMaps in the namespace crossfade").fix(fix))
}
