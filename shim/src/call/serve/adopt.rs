//! Adopts an attachment from before Crossfade: its inventory entry becomes a record, so that retries, retirement and progress work as for any
//! other attachment. DEL and the sweep do this.

use std::path::Path;

use serde_json::value::RawValue;
use types::attachment::{Attachment, Event, Intent, Leg};
use types::json::raw::RawObject;
use types::policy::Side;

use crate::attachment::conflist::Conflist;
use crate::call::reply::{CniError, code};
use crate::call::version::AddResult;
use crate::host::file::read_bounded;
use crate::host::trust;
use crate::node::inventory::Entry;
use crate::node::layout::RUNTIME_CACHE;
use crate::node::store::{OpenRecord, Store};

use super::{Session, networks};

/// The largest result of the runtime's cache that Crossfade reads, in bytes.
const MAX_CACHED_BYTES: usize = 8 << 20;

impl Session<'_> {
    /// Turns an entry into a record. If the record cannot be written, it exists in memory only.
    ///
    /// # Errors
    /// Code 7 or 11 if the network of the entry is unknown or has no conf.
    pub(crate) fn adopt(&self, entry: &Entry) -> Result<OpenRecord, CniError> {
        let leg = self.leg_of_entry(entry)?;
        let conf = networks::recorded_conf(&leg)?;
        let intent = Intent {
            container_id: entry.container_id.clone(),
            ifname: entry.ifname.clone(),
            cni_args: self.env.args.clone().or_else(|| entry.cni_args.clone()),
            ..self.intent(vec![leg])?
        };
        // One write holds all lines, so that a kill cannot leave a record without the result that the DEL needs.
        let result = self.result_of_entry(entry, &conf);
        let added = result.map(|result| Event::Added { leg: 0, result, present: None });
        Ok(begin(&self.store, intent, added.as_slice()))
    }

    /// The network of an entry: from the conf that attached it, else from the conf that the policy names now.
    ///
    /// # Errors
    /// As [`Self::adopt`].
    pub(crate) fn leg_of_entry(&self, entry: &Entry) -> Result<Leg, CniError> {
        let runtime_config = self.runtime_config()?;
        let mut leg = self.leg_of_conf(entry)?;
        let listed = || RawObject::parse(entry.runtime_config.as_ref()?.get().as_bytes()).ok();
        if let Some(runtime_config) = runtime_config.or_else(listed) {
            let declared = networks::recorded_conf(&leg)?.retain_declared(runtime_config);
            leg.runtime_config = (!declared.is_empty()).then(|| declared.to_raw());
        }
        Ok(leg)
    }

    fn leg_of_conf(&self, entry: &Entry) -> Result<Leg, CniError> {
        let name = format!("inventory entry of {} {}", entry.container_id, entry.ifname);
        let side = Side::parse(&entry.network);
        if let Some(raw) = &entry.conf {
            let conf = Conflist::from_resolved(raw)
                .map_err(|why| CniError::new(code::CONFIG, format!("{name}: its conf: {why}")))?;
            let network = self.policy().ok().zip(side).and_then(|(policy, side)| policy.network(side));
            return Ok(Leg {
                network: conf.name.clone(),
                profile: network.map_or_else(|| "generic".into(), |network| network.profile.clone()),
                conf_path: network.and_then(|network| network.conf.first()?.to_str().map(str::to_owned)),
                ifname: entry.ifname.clone(),
                primary: true,
                tolerated: false,
                host_route: false,
                conf: conf.raw,
                runtime_config: None,
            });
        }
        let side = side.ok_or_else(|| {
            CniError::new(
                code::CONFIG,
                format!("{name} names network {:?}; expected old or new", entry.network),
            )
        })?;
        let policy = self.policy().map_err(|error| {
            CniError::new(code::CONFIG, format!("{name} has no conf, and there is no policy to find it by"))
                .details(error.to_string())
        })?;
        let loaded = networks::load(self, policy, side)?;
        Ok(loaded.leg(&entry.ifname, true))
    }

    /// The result of the attachment's ADD: from the runtime's call, else from the entry, else from the runtime's cache. It is converted to the version
    /// of the network's conf.
    pub(crate) fn result_of_entry(&self, entry: &Entry, conf: &Conflist) -> Option<Box<RawValue>> {
        let prev_result = self.prev_result().map(|(raw, version)| (raw.to_owned(), version));
        let (raw, version) = prev_result
            .or_else(|| Some((entry.prev_result.clone()?, conf.version)))
            .or_else(|| Some((cached_result(&self.conf.name, entry)?, conf.version)))?;
        AddResult::parse(raw.get().as_bytes(), version).ok()?.to_version(conf.version).ok()
    }
}

/// The result in the runtime's cache of an attachment to the network `name`; none if the name of Crossfade's network is not known.
///
/// *Source*: `libcni/api.go`, `getCacheFilePath`: NAME-ID-IFNAME, a JSON object with the result under `result`.
pub(super) fn cached_result(name: &str, entry: &Entry) -> Option<Box<RawValue>> {
    if name.is_empty() {
        return None;
    }
    let file = format!("{name}-{}-{}", entry.container_id, entry.ifname);
    let mut file = trust::open(&Path::new(RUNTIME_CACHE).join(file)).ok()?;
    let object = RawObject::parse(&read_bounded(&mut file, MAX_CACHED_BYTES).ok()?).ok()?;
    object.get("result").filter(|raw| raw.get() != "null").map(ToOwned::to_owned)
}

/// Begins a record for an attachment that has none, with the events so far. If it cannot be written, the DEL goes on without a file.
pub(super) fn begin(store: &Store, intent: Intent, events: &[Event]) -> OpenRecord {
    store.begin(intent.clone(), events).unwrap_or_else(|error| {
        tracing::warn!(
            container_id = intent.container_id,
            error = error.to_string(),
            "DEL goes on without a record"
        );
        let mut attachment = Attachment::begin(intent);
        events.iter().for_each(|event| attachment.apply(event.clone()));
        OpenRecord::new_in_memory(attachment)
    })
}
