//! The straight line of every verb: parse -> decide -> act -> record -> reply.
//!
//! There is one file per verb. [`session`] is the context of a call, and DEL, GC and the sweep share [`teardown`]. Only [`serve`] prints. The
//! decisions are in [`types::policy`], [`crate::attachment::plan`], [`crate::sweep`] and [`types::attachment`].

mod add;
mod adopt;
mod check;
mod del;
mod gc;
mod leave;
mod live;
mod networks;
pub mod pass;
mod session;
mod status;
mod teardown;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

use types::attachment::CallOutcome;

use crate::call::reply::{CniError, code};
use crate::call::request::{Conf, DEPTH_VARIABLE, Env, Verb};
use crate::call::version::{Version, version_reply};
use crate::host::netns::Netns;
use crate::host::signal::Signals;
use crate::node::version_query;

pub use session::Session;

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
    // For every error of a DEL, also one that was found before the verb began.
    let is_del = vars.iter().any(|(key, value)| key == "CNI_COMMAND" && value == Verb::Del.as_str());
    let text = if is_del { error.to_del_error() } else { error }.to_json(&version);
    // If stdout is closed, the exit status still says it.
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
    let (env, netns) = match Env::parse(vars).and_then(spare_the_host) {
        Ok(read) => read,
        Err(error) => return (Err(error), Version::V110.to_string()),
    };
    if env.verb == Verb::Version {
        // The mark comes before the answer, so that a caller with an answer can rely on the mark.
        version_query::mark();
        return (print(out, &version_reply()), Version::V110.to_string());
    }
    match Conf::read(input) {
        Ok(conf) => {
            let session = Session::new(&env, &conf, signals).begun_at(began).with_netns(netns);
            let outcome = dispatch(&session, vars, out);
            report(&env, &session.networks_called(), outcome.as_ref().err(), began);
            (outcome, conf.version.to_string())
        }
        Err((error, version)) => {
            report(&env, "", Some(&error), began);
            (Err(error), version)
        }
    }
}

/// Opens the netns of an ADD, DEL, JOIN or LEAVE, and protects the host's one from delegates and from the route step; no runtime attaches a pod there.
/// A call in it is refused. A DEL goes on as if the netns were gone, because a plugin would remove the host's own interface.
fn spare_the_host(mut env: Env) -> Result<(Env, Option<Netns>), CniError> {
    if !matches!(env.verb, Verb::Add | Verb::Del | Verb::Join | Verb::Leave) {
        return Ok((env, None));
    }
    let Ok(netns) = Netns::open(Path::new(&env.netns)) else { return Ok((env, None)) };
    let Ok(home) = Netns::current() else { return Ok((env, Some(netns))) };
    if netns.id() != home.id() {
        return Ok((env, Some(netns.entered_from(home))));
    }
    if env.verb != Verb::Del {
        return Err(CniError::new(
            code::ENVIRONMENT,
            format!("CNI_NETNS {:?} is the host's own network namespace", env.netns),
        )
        .details("expected a pod's"));
    }
    tracing::warn!(netns = env.netns, "DEL goes on without its netns: it is the host's own");
    env.netns.clear();
    Ok((env, None))
}

fn dispatch(
    session: &Session<'_>,
    vars: &[(String, OsString)],
    out: &mut impl Write,
) -> Result<(), CniError> {
    if vars.iter().any(|(key, depth)| key == DEPTH_VARIABLE && !depth.is_empty()) {
        return Err(crate::attachment::delegate::delegates_to_itself(&session.conf.name));
    }
    // The specification added CHECK in 0.4.0, and GC and STATUS in 1.1.0.
    let needs = |least: Version| {
        if session.conf.version >= least {
            return Ok(());
        }
        let verb = session.env.verb.as_str();
        Err(CniError::new(code::VERSION, format!("config version does not allow {verb}"))
            .details(format!("config is {}, {verb} needs {least}", session.conf.version)))
    };
    match session.env.verb {
        Verb::Add => add::add(session, out),
        Verb::Del => del::del(session),
        Verb::Check => needs(Version::V040).and_then(|()| check::check(session)),
        Verb::Gc => needs(Version::V110).and_then(|()| gc::gc(session)),
        Verb::Status => needs(Version::V110).and_then(|()| status::status(session)),
        Verb::Version => print(out, &version_reply()),
        Verb::Join => add::join(session),
        Verb::Leave => leave::leave(session),
    }
}

/// Prints the document of a success. If the reply cannot be written, the call has failed.
pub(crate) fn print(out: &mut impl Write, text: &str) -> Result<(), CniError> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| CniError::new(code::IO, format!("write the result to stdout: {e}")))
}

/// Logs one line per ADD, DEL, JOIN and LEAVE, and one for any other verb that fails.
fn report(env: &Env, networks_called: &str, error: Option<&CniError>, began: Instant) {
    let code = error.map_or(0, |error| error.code);
    let duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let why = error.map_or("", |error| error.log.as_str());
    let outcome = if error.is_some() { CallOutcome::Failed } else { CallOutcome::Served };
    if matches!(env.verb, Verb::Add | Verb::Del | Verb::Join | Verb::Leave) || error.is_some() {
        tracing::info!(
            cni_command = env.verb.as_str(),
            container_id = env.container_id,
            ifname = env.ifname,
            netns = env.netns,
            network = networks_called,
            code,
            duration_us,
            error = why,
            "{}",
            outcome.as_str()
        );
    }
}
