//! The stored progress of `finish`.

use migration::finish::Record;
use serde_json::json;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::Store;
use super::object::{self, ConfigMap, bytes, change_path, create_path};
use crate::live::api::call::ApiRequest;
use crate::live::api::failure::{Failure, lost_failure, refused_failure};
use crate::live::api::path::MANAGER;

/// The ConfigMap.
const NAME: &str = "crossfade-finish";
const KEY: &str = "finish.json";

impl Store {
    /// How far it is, with the version of the ConfigMap; none if nothing was approved.
    ///
    /// # Errors
    /// A request failed, or another release wrote it.
    pub async fn finish(&self) -> Result<Option<(Record, String)>, Failure> {
        let what = "read how far the end of the migration is";
        let Some(reply) = self.read(what, NAME).await? else { return Ok(None) };
        let map: ConfigMap = reply.object().map_err(|why| lost_failure(what, &why))?;
        let text = map.data.get(KEY).map_or("", String::as_str);
        let record = serde_json::from_str::<Record>(text).map_err(|e| e.to_string());
        let record = record.and_then(|record| match record.version {
            Record::VERSION => Ok(record),
            version => Err(format!("version: expected {}, found {version}", Record::VERSION)),
        });
        let wrong = |why: String| {
            let problem = Problem::new(format!("the key {KEY}: {why}"))
                .with_place(format!("ConfigMap/crossfade/{NAME}"));
            let fix = "use the release of kubectl-crossfade that wrote it; if none did, delete the ConfigMap: without it, the fence and the soak begin anew";
            (Exit::Failed, problem.fix(fix))
        };
        Ok(Some((record.map_err(wrong)?, map.metadata.resource_version)))
    }

    /// Writes how far it is, over the version that was read, and gives the new one.
    ///
    /// # Errors
    /// A request failed, or another client wrote it meanwhile.
    pub async fn record_finish(&self, record: &Record, version: Option<&str>) -> Result<String, Failure> {
        let what = "record how far the end of the migration is";
        let text = json!(record).to_string();
        let ask = match version {
            None => ApiRequest::post(create_path(), bytes(&object::new(NAME, &[], &[(KEY, &text)]))),
            Some(version) => {
                let change = object::change_object(version, &[], &[(KEY, Some(&text))]);
                ApiRequest::merge(change_path(NAME, MANAGER), bytes(&change))
            }
        };
        let reply = self.caller.call(&ask).await.map_err(|why| lost_failure(what, &why))?;
        if !reply.is_done() {
            return Err(refused_failure(what, &reply.refusal()));
        }
        let map: ConfigMap = reply.object().map_err(|why| lost_failure(what, &why))?;
        Ok(map.metadata.resource_version)
    }
}
