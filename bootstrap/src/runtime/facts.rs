//! A node's runtime as a fact: its configuration, its endpoint and its answer.
//!
//! | a command that | gathers |
//! |---|---|
//! | needs the runtime's directories alone, and starts no program | [`RuntimeFacts::gather_from_files`] |
//! | asks the runtime for something else | [`RuntimeFacts::to_ask`] |
//! | runs before the runtime, or is about an image | [`RuntimeFacts::gather_configured`] |
//! | has to know what the runtime has loaded | [`RuntimeFacts::with_answer`] |
//!
//! What a command did not gather is a fact of its own ([`ConfigFact::NotRead`], [`RuntimeChoice::NotSought`], [`RuntimeAnswer::NotAsked`]), so that
//! no reader takes it for a runtime that is absent.

use crate::runtime::answer;
use convergence::runtime::facts::{ConfigFact, RuntimeFacts};

use types::node::Node;

use crate::cli;
use crate::host::root::Root;
use crate::runtime::config;
use crate::runtime::endpoint;
use convergence::runtime::answer::RuntimeAnswer;

/// Reads what files say and starts no program: the configuration of CRI-O is read, that of containerd is not.
#[must_use]
pub(crate) fn gather_from_files(root: &Root, node: &Node) -> RuntimeFacts {
    match config::read_files(root, node) {
        ConfigFact::NotRead => RuntimeFacts::default(),
        fact => from_config(root, node, fact),
    }
}

/// Reads the runtime's configuration and asks it nothing. For containerd this runs `containerd config dump`.
#[must_use]
pub(crate) fn gather_configured(root: &Root, node: &Node) -> RuntimeFacts {
    from_config(root, node, config::gather(root, node).into())
}

/// Finds the runtime that the command line names, or else the one of this node; the caller asks it. Only the second needs the
/// configuration of containerd.
#[must_use]
pub(crate) fn to_ask(root: &Root, node: &Node, option: &cli::Endpoint) -> RuntimeFacts {
    match endpoint::from_option(option) {
        Some(choice) => RuntimeFacts { choice, ..gather_from_files(root, node) },
        None => gather_configured(root, node),
    }
}

fn from_config(root: &Root, node: &Node, config: ConfigFact) -> RuntimeFacts {
    let choice = endpoint::choose(root, node, config.read());
    RuntimeFacts { config, choice, answer: RuntimeAnswer::NotAsked }
}

/// Reads the runtime's configuration and asks the runtime that the command line names, or else the one of this node.
#[must_use]
pub(crate) fn with_answer(root: &Root, node: &Node, option: &cli::Endpoint) -> RuntimeFacts {
    let facts = gather_configured(root, node);
    ask(RuntimeFacts { choice: endpoint::from_option(option).unwrap_or(facts.choice), ..facts })
}

/// The same once the runtime was asked what it has loaded.
#[must_use]
pub(crate) fn ask(facts: RuntimeFacts) -> RuntimeFacts {
    RuntimeFacts { answer: answer::ask(&facts.choice), ..facts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use convergence::runtime::endpoint::RuntimeChoice;
    use std::path::Path;

    #[test]
    fn by_files_alone_a_runtime_that_prints_its_configuration_is_not_read() {
        for (unit, is_read) in [("containerd", false), ("crio", true)] {
            let dir = tempfile::tempdir().expect("scratch");
            let units = dir.path().join("usr/lib/systemd/system");
            std::fs::create_dir_all(&units).expect("directory");
            let text = format!("[Service]\nExecStart=/usr/bin/{unit}\n");
            std::fs::write(units.join(format!("{unit}.service")), text).expect("unit");
            let root = Root::new(dir.path());
            let facts = gather_from_files(&root, &Node::default());
            assert_eq!(facts.config == ConfigFact::NotRead, !is_read, "{unit}: {facts:?}");
            assert_eq!(facts.choice == RuntimeChoice::NotSought, !is_read, "{unit}: {facts:?}");
            assert_eq!(facts.crio().is_some(), is_read, "{unit}: {facts:?}");
            assert!(gather_configured(&root, &Node::default()).config().is_some(), "{unit}");
        }
        let empty_root = tempfile::tempdir().expect("scratch");
        let facts = gather_from_files(&Root::new(empty_root.path()), &Node::default());
        assert_eq!(facts.config, ConfigFact::NoRuntime);
    }

    #[test]
    fn a_named_runtime_is_asked_and_no_other_is_looked_for() {
        let named = |endpoint: &str| cli::Endpoint { runtime_endpoint: Some(endpoint.into()) };
        let (root, node) = (Root::new(Path::new("/nonexistent")), Node::default());
        let choice = |endpoint: &cli::Endpoint| to_ask(&root, &node, endpoint).choice;
        assert_eq!(choice(&named("unix:///run/r.sock")), RuntimeChoice::At("unix:///run/r.sock".into()));
        assert_eq!(choice(&named("none")), RuntimeChoice::None);
    }
}
