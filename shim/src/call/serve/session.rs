//! The context of one call: what every verb, and every pass over the records, works with.
//!
//! A runtime's call brings its own environment and conf. The sweep makes both up ([`Env::for_sweep`], [`Conf::for_sweep`]) and otherwise works
//! as a GC does, so the same steps serve both.

use std::cell::{OnceCell, RefCell};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use types::attachment::{Attachment, FORMAT, Intent, Leg};
use types::json::raw::RawObject;
use types::policy::Policy;

use crate::attachment::delegate::{Limits, Scope, deadline_code};
use crate::call::reply::{CniError, code};
use crate::call::request::{Conf, Env};
use crate::call::version::Version;
use crate::host::boot::{self, Moment};
use crate::host::lock::LockError;
use crate::host::netns::Netns;
use crate::host::signal::Signals;
use crate::node::layout::Layout;
use crate::node::policy_file;
use crate::node::store::{Key, Store};

/// One call of the shim, or one pass of the sweep: its input, and what its steps share.
#[derive(Debug)]
pub struct Session<'a> {
    /// The `CNI_*` variables.
    pub(crate) env: &'a Env,
    /// The conf on stdin.
    pub(crate) conf: &'a Conf,
    /// The records.
    pub(crate) store: Store,
    /// Stops the call early.
    pub(crate) signals: &'a Signals,
    /// Deadlines count from here.
    pub(crate) began: Instant,
    /// The netns at CNI_NETNS, opened when a step first needs it.
    netns: OnceCell<io::Result<Netns>>,
    /// Read when a step first needs the policy.
    policy: OnceCell<Result<Policy, CniError>>,
    /// Names of the networks whose plugins were called, for the log line.
    networks_called: RefCell<Vec<String>>,
}

impl<'a> Session<'a> {
    /// A session that begins now.
    #[must_use]
    pub fn new(env: &'a Env, conf: &'a Conf, signals: &'a Signals) -> Self {
        Self {
            env,
            conf,
            store: Store::new(&conf.layout),
            signals,
            began: Instant::now(),
            netns: OnceCell::new(),
            policy: OnceCell::new(),
            networks_called: RefCell::default(),
        }
    }

    /// The same session with a policy that the caller has read already.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy: OnceCell::from(Ok(policy)), ..self }
    }

    /// The same session for a call that began before its conf was read.
    pub(super) fn begun_at(self, began: Instant) -> Self {
        Self { began, ..self }
    }

    /// The same session, whose netns is open already; none if it is not.
    pub(super) fn with_netns(self, netns: Option<Netns>) -> Self {
        Self { netns: netns.map(Ok).map(OnceCell::from).unwrap_or_default(), ..self }
    }

    /// The netns at CNI_NETNS, opened once per session.
    ///
    /// # Errors
    /// As [`Netns::open`].
    pub(crate) fn netns(&self) -> Result<&Netns, &io::Error> {
        self.netns.get_or_init(|| Netns::open(Path::new(&self.env.netns))).as_ref()
    }

    pub(crate) fn layout(&self) -> &'a Layout {
        &self.conf.layout
    }

    /// The attachment that the call is about.
    pub(crate) fn key(&self) -> Key {
        Key::new(&self.env.container_id, &self.env.ifname)
    }

    /// The policy, read once per session.
    ///
    /// # Errors
    /// Code 7 names the file and the key.
    pub(crate) fn policy(&self) -> Result<&Policy, CniError> {
        let load = || {
            policy_file::load(&self.layout().policy_file())
                .map_err(|why| CniError::new(code::CONFIG, why.to_string()))
        };
        self.policy.get_or_init(load).as_ref().map_err(CniError::clone)
    }

    /// `CNI_PATH` of the caller.
    pub(crate) fn cni_path(&self) -> Option<&'a str> {
        self.env.path.as_deref()
    }

    pub(crate) fn deadline(&self, secs: u64) -> Instant {
        self.began + Duration::from_secs(secs)
    }

    /// The limits of calls that end at `deadline`.
    pub(crate) const fn limits(&self, deadline: Instant) -> Limits<'a> {
        Limits { deadline, signals: self.signals }
    }

    /// The environment of this call for delegates; empty where the verb concerns no container.
    pub(crate) fn scope(&self) -> Scope<'a> {
        Scope {
            container_id: &self.env.container_id,
            netns: &self.env.netns,
            args: self.env.args.as_deref(),
            search: self.cni_path().into_iter().collect(),
        }
    }

    /// The environment of calls for a recorded attachment: the caller's directories first, then those of its ADD.
    pub(crate) fn scope_of<'b>(&self, attachment: &'b Attachment, netns: &'b str) -> Scope<'b>
    where
        'a: 'b,
    {
        let intent = &attachment.intent;
        let mut search: Vec<&str> = self.cni_path().into_iter().collect();
        search.extend(intent.cni_path.as_deref().filter(|recorded| Some(*recorded) != self.cni_path()));
        Scope { container_id: &intent.container_id, netns, args: intent.cni_args.as_deref(), search }
    }

    /// The result that the runtime passes with the call, and its version. GC and the sweep concern no single attachment, so nothing in their conf
    /// is an attachment's result.
    pub(crate) fn prev_result(&self) -> Option<(&'a RawValue, Version)> {
        let raw = self.conf.object.get("prevResult").filter(|raw| raw.get() != "null")?;
        self.concerns_one_attachment().then_some((raw, self.conf.version))
    }

    /// The `runtimeConfig` that the runtime passes for the call's attachment; none where it is empty.
    ///
    /// # Errors
    /// Code 6 if it is no object.
    pub(crate) fn runtime_config(&self) -> Result<Option<RawObject>, CniError> {
        if !self.concerns_one_attachment() {
            return Ok(None);
        }
        Ok(Some(self.conf.runtime_config()?).filter(|config| !config.is_empty()))
    }

    fn concerns_one_attachment(&self) -> bool {
        !self.env.container_id.is_empty()
    }

    /// The record of this call's attachment, about to be begun, without netns identity and route step.
    pub(crate) fn intent(&self, legs: Vec<Leg>) -> Result<Intent, CniError> {
        let env = self.env;
        Ok(Intent {
            version: FORMAT,
            container_id: env.container_id.clone(),
            ifname: env.ifname.clone(),
            began_at: now()?,
            netns: env.netns.clone(),
            netns_id: None,
            netns_cookie: None,
            cni_args: env.args.clone(),
            cni_path: env.path.clone(),
            route: None,
            legs,
        })
    }

    /// Remembers for the log line that a plugin of this network is called.
    pub(crate) fn note_called(&self, network: &str) {
        let mut names = self.networks_called.borrow_mut();
        if !names.iter().any(|earlier| earlier == network) {
            names.push(network.to_owned());
        }
    }

    /// The networks whose plugins were called, comma-separated.
    pub(crate) fn networks_called(&self) -> String {
        self.networks_called.borrow().join(",")
    }

    /// The error of this verb for a lock that it did not get.
    pub(crate) fn lock_error(&self, why: LockError) -> CniError {
        let code = deadline_code(self.env.verb);
        let name = format!("attachment {} {}", self.env.container_id, self.env.ifname);
        match why {
            LockError::Io(e) => CniError::new(code::IO, format!("lock {name}: {e}")),
            LockError::Held(holder) => CniError::new(code, format!("{name} is busy until the deadline"))
                .details(format!("held by {holder}")),
            LockError::Late => CniError::new(code, format!("{name} was free only at the deadline"))
                .details("nothing was begun"),
            LockError::Stopped => CniError::new(code, format!("asked to stop while waiting for {name}")),
        }
    }
}

/// The moment at which a record is begun.
///
/// # Errors
/// Code 5 if the clock cannot be read.
pub(super) fn now() -> Result<Moment, CniError> {
    boot::now().map_err(|e| CniError::new(code::IO, format!("read the clock: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_call_about_one_attachment_brings_its_result_and_runtime_config() {
        let signals = Signals::receive().expect("signals");
        let conf = br#"{"cniVersion":"1.1.0","name":"n","type":"crossfade",
            "prevResult":{"ips":[]},"runtimeConfig":{"mac":"aa"}}"#;
        let conf = Conf::read(&mut conf.as_slice()).expect("valid");
        let session = |verb: &str| {
            let vars = [
                ("CNI_COMMAND", verb),
                ("CNI_CONTAINERID", "c1"),
                ("CNI_IFNAME", "eth0"),
                ("CNI_PATH", "/p"),
            ]
            .map(|(key, value)| (key.to_owned(), value.into()));
            let env = Env::parse(&vars).expect("valid");
            let session = Session::new(&env, &conf, &signals);
            let runtime_config = session.runtime_config().expect("an object");
            (session.prev_result().is_some(), runtime_config.is_some())
        };
        assert_eq!(session("DEL"), (true, true));
        assert_eq!(session("GC"), (false, false));
    }
}
