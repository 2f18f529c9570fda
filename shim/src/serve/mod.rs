//! The straight line of every verb: parse -> decide -> act -> record -> reply.
//!
//! One file per verb; [`close`] is what DEL, GC and the sweep share. Nothing here prints but [`serve`], and nothing decides: the
//! decisions are in [`types::policy`], [`crate::plan`], [`crate::sweep`] and [`crate::attachment`].

mod add;
mod adopt;
mod check;
pub mod close;
mod del;
mod gc;
mod networks;
pub mod pass;
mod status;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use types::policy::Policy;

use crate::asked;
use crate::attachment::{FORMAT, Intent, Leg};
use crate::boot;
use crate::delegate::{Scope, deadline_code};
use crate::layout::Layout;
use crate::lock::NoLock;
use crate::policy_file;
use crate::reply::{CniError, code};
use crate::request::{Conf, DEPTH_VARIABLE, Env, Verb};
use crate::signal::Signals;
use crate::store::{Key, Store};
use crate::version::{Version, version_reply};

pub(crate) use adopt::Adopt;

/// One call, parsed: what every verb works from.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) env: &'a Env,
    pub(crate) conf: &'a Conf,
    pub(crate) store: Store,
    pub(crate) signals: &'a Signals,
    /// Deadlines count from here.
    pub(crate) began: Instant,
}

impl Request<'_> {
    pub(crate) fn layout(&self) -> &Layout {
        &self.conf.layout
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(&self.env.container_id, &self.env.ifname)
    }

    pub(crate) fn policy(&self) -> Result<Policy, CniError> {
        policy_file::load(&self.layout().policy_file())
            .map_err(|why| CniError::new(code::CONFIG, why.to_string()))
    }

    /// How this call turns an inventory entry into a record.
    pub(crate) fn adopt<'a>(&'a self, policy: &'a Result<Policy, CniError>) -> Result<Adopt<'a>, CniError> {
        let object = &self.conf.object;
        Ok(Adopt {
            store: &self.store,
            policy: policy.as_ref(),
            plugin_type: &self.conf.plugin_type,
            name: Some(&self.conf.name),
            netns: &self.env.netns,
            args: self.env.args.as_deref(),
            search: self.env.path.as_deref(),
            prev_result: object
                .get("prevResult")
                .filter(|raw| raw.get() != "null")
                .map(|raw| (raw, self.conf.version)),
            runtime_config: Some(self.conf.runtime_config()?).filter(|config| !config.is_empty()),
        })
    }

    /// The record of this call's attachment, about to be begun, without netns identity and route step.
    pub(crate) fn intent(&self, legs: Vec<Leg>) -> Result<Intent, CniError> {
        let env = self.env;
        Ok(Intent {
            version: FORMAT,
            container_id: env.container_id.clone(),
            ifname: env.ifname.clone(),
            begun: boot::now().map_err(|e| CniError::new(code::IO, format!("read the clock: {e}")))?,
            netns: env.netns.clone(),
            netns_id: None,
            netns_cookie: None,
            cni_args: env.args.clone(),
            cni_path: env.path.clone(),
            route: None,
            legs,
        })
    }

    pub(crate) fn until(&self, secs: u64) -> Instant {
        self.began + Duration::from_secs(secs)
    }

    /// The environment of this call for delegates; empty where the verb concerns no container.
    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope {
            container_id: &self.env.container_id,
            netns: &self.env.netns,
            args: self.env.args.as_deref(),
            search: self.env.path.as_deref().into_iter().collect(),
        }
    }

    /// What a lock that could not be had is called on this verb.
    pub(crate) fn no_lock(&self, why: NoLock) -> CniError {
        let code = deadline_code(self.env.verb);
        let name = format!("attachment {} {}", self.env.container_id, self.env.ifname);
        match why {
            NoLock::Io(e) => CniError::new(code::IO, format!("lock {name}: {e}")),
            NoLock::Held(by) => CniError::new(code, format!("{name} is busy until the deadline"))
                .details(format!("held by {by}")),
            NoLock::Late => CniError::new(code, format!("{name} was free only at the deadline"))
                .details("nothing was begun"),
            NoLock::Stopped => CniError::new(code, format!("asked to stop while waiting for {name}")),
        }
    }
}

/// Serves one call and returns the exit status: 0, or 1 with one error document on `out`.
///
/// *Shape*: `vars` is the environment, `input` is stdin (not read for VERSION), `out` is stdout.
pub fn serve(
    vars: &[(String, OsString)],
    input: &mut impl Read,
    out: &mut impl Write,
    signals: &Signals,
) -> u8 {
    let began = Instant::now();
    let (outcome, version) = answer(vars, input, out, signals, began);
    let Err(error) = outcome else { return 0 };
    // Whatever it is that failed, also before the verb's own line began.
    let is_del = vars.iter().any(|(key, value)| key == "CNI_COMMAND" && value == Verb::Del.as_str());
    let text = if is_del { error.for_del() } else { error }.to_json(&version);
    // Nobody to tell: the exit status says it all the same.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    1
}

/// The outcome and the version to report an error at.
fn answer(
    vars: &[(String, OsString)],
    input: &mut impl Read,
    out: &mut impl Write,
    signals: &Signals,
    began: Instant,
) -> (Result<(), CniError>, String) {
    let env = match Env::parse(vars).and_then(spare_the_host) {
        Ok(env) => env,
        Err(error) => return (Err(error), Version::V110.to_string()),
    };
    if env.verb == Verb::Version {
        // Before the answer: whoever has it may rely on the mark.
        asked::mark();
        return (print(out, &version_reply()), Version::V110.to_string());
    }
    let (outcome, version) = match Conf::read(input) {
        Ok(conf) => {
            let request = Request { env: &env, store: Store::new(&conf.layout), conf: &conf, signals, began };
            (dispatch(&request, vars, out), conf.version.to_string())
        }
        Err((error, version)) => (Err(error), version),
    };
    report(&env, outcome.as_ref().err(), began);
    (outcome, version)
}

/// Keeps delegates, and our own routing, off the host's network namespace, in which no runtime has a pod attached: an ADD
/// there is refused; a DEL goes on as if the netns were gone, for in it a plugin would take down the host's own interface.
fn spare_the_host(mut env: Env) -> Result<Env, CniError> {
    let host = matches!(env.verb, Verb::Add | Verb::Del) && crate::netns::is_own(Path::new(&env.netns));
    if host && env.verb == Verb::Add {
        return Err(CniError::new(
            code::ENVIRONMENT,
            format!("CNI_NETNS {:?} is the host's own network namespace", env.netns),
        )
        .details("expected a pod's"));
    }
    if host {
        tracing::warn!(netns = env.netns, "DEL goes on without its netns: it is the host's own");
        env.netns.clear();
    }
    Ok(env)
}

fn dispatch(
    request: &Request<'_>,
    vars: &[(String, OsString)],
    out: &mut impl Write,
) -> Result<(), CniError> {
    if vars.iter().any(|(key, depth)| key == DEPTH_VARIABLE && !depth.is_empty()) {
        return Err(crate::delegate::delegates_to_itself(&request.conf.name));
    }
    // Which version brought a verb: specification 0.4.0 and 1.1.0.
    let needs = |least: Version| {
        if request.conf.version >= least {
            return Ok(());
        }
        let verb = request.env.verb.as_str();
        Err(CniError::new(code::VERSION, format!("config version does not allow {verb}"))
            .details(format!("config is {}, {verb} needs {least}", request.conf.version)))
    };
    match request.env.verb {
        Verb::Add => add::add(request, out),
        Verb::Del => del::del(request),
        Verb::Check => needs(Version::V040).and_then(|()| check::check(request)),
        Verb::Gc => needs(Version::V110).and_then(|()| gc::gc(request)),
        Verb::Status => needs(Version::V110).and_then(|()| status::status(request)),
        Verb::Version => print(out, &version_reply()),
    }
}

/// Prints the one document of a success. A reply that nobody got is a failure.
pub(crate) fn print(out: &mut impl Write, text: &str) -> Result<(), CniError> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| CniError::new(code::IO, format!("write the result to stdout: {e}")))
}

/// One line per ADD and DEL; the other verbs only when they fail.
fn report(env: &Env, error: Option<&CniError>, began: Instant) {
    let code = error.map_or(0, |error| error.code);
    let duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let outcome = error.map_or("", |error| error.log.as_str());
    if matches!(env.verb, Verb::Add | Verb::Del) || error.is_some() {
        tracing::info!(
            cni_command = env.verb.as_str(),
            container_id = env.container_id,
            ifname = env.ifname,
            netns = env.netns,
            network = networks::spoken_to(),
            code,
            duration_us,
            error = outcome,
            "{}",
            if error.is_some() { "failed" } else { "served" }
        );
    }
}
