//! The runtime's answer to the question which conf it uses now.
//!
//! A conf that lies in the directory is not a conf that the runtime has loaded: containerd 1.6 keeps what it had when a file is only
//! moved into place. So every statement that Crossfade is installed, or that pods come through Crossfade, is decided on this answer.

use convergence::runtime::answer::RuntimeAnswer;

use super::cri::Runtime;
use convergence::runtime::endpoint::RuntimeChoice;
use convergence::runtime::facts::RuntimeFacts;
use shim::node::inventory::Deleter;

/// What CRI-O calls itself. *Source*: `server/version.go` of CRI-O, `containerName`.
const CRIO_NAME: &str = "cri-o";

/// Who sends the DELs of what is attached already: the runtime says by its name whether it replays the confs of its ADDs.
/// One that cannot be asked is name by its configuration.
#[must_use]
pub(crate) fn deleter(runtime: &RuntimeFacts) -> Deleter {
    let name = runtime
        .choice
        .endpoint()
        .and_then(|endpoint| Runtime::connect(endpoint).ok())
        .filter(Runtime::is_there)
        .and_then(|runtime| runtime.name().ok());
    let is_crio = match name {
        Some(name) => name == CRIO_NAME,
        None => runtime.crio().is_some(),
    };
    if is_crio { Deleter::Runtime } else { Deleter::Crossfade }
}

/// Asks the runtime that was found, if there is one to ask.
#[must_use]
pub(crate) fn ask(choice: &RuntimeChoice) -> RuntimeAnswer {
    match choice {
        RuntimeChoice::None | RuntimeChoice::NotSought => RuntimeAnswer::NotAsked,
        RuntimeChoice::Unknown(why) => RuntimeAnswer::Unknown(why.to_string()),
        RuntimeChoice::At(endpoint) => match Runtime::connect(endpoint) {
            Ok(runtime) => query(&runtime, endpoint),
            Err(why) => RuntimeAnswer::Unknown(why.to_string()),
        },
    }
}

fn query(runtime: &Runtime, endpoint: &str) -> RuntimeAnswer {
    if !runtime.is_there() {
        return RuntimeAnswer::Absent(format!(
            "no runtime listens at {endpoint}: it does not run, or it is another one"
        ));
    }
    match runtime.cni_setup() {
        Ok(setup) => setup.map_or(RuntimeAnswer::Silent, RuntimeAnswer::Setup),
        Err(why) => RuntimeAnswer::Failed(format!("{why:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_does_not_listen_is_absent() {
        let absent = ask(&RuntimeChoice::At("unix:///nonexistent/r.sock".into()));
        assert!(
            matches!(&absent, RuntimeAnswer::Absent(why) if why.contains("/nonexistent/r.sock")),
            "{absent:?}"
        );
    }
}
