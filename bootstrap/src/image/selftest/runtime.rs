//! The checks of the runtime: its own configuration, and a rehearsal with Crossfade's conf directory.

use crate::host::root::Root;
use types::command::problem::Problem;
use types::node::{Mode, RuntimeKind};

use super::check::{Check, Fault, from_faults, pass, skip};
use crate::runtime::config::{RehearsalResult, rehearse};
use convergence::node::facts::NodeFacts;
use convergence::runtime::conf_selection::ConfSelection;
use convergence::runtime::facts::{ConfigFact, RuntimeFacts};

/// What is known of the runtime.
#[derive(Debug)]
pub(super) struct Runtime<'a> {
    facts: &'a RuntimeFacts,
    mode: Mode,
    /// How it would be told of Crossfade's conf directory; only asked where it would be.
    rehearsal: Option<Result<RehearsalResult, Problem>>,
    is_node: bool,
}

impl<'a> Runtime<'a> {
    pub(super) fn gather(NodeFacts { root, settings, runtime: node, .. }: &'a NodeFacts) -> Self {
        let root = &Root::new(root);
        let mode = settings.conf_dir;
        let rehearsal = node.config().filter(|_| mode == Mode::Private).map(|config| rehearse(root, config));
        Self { facts: node, mode, rehearsal, is_node: root.is_node() }
    }

    pub(super) fn check_parsed(&self) -> Vec<Check> {
        const ID: &str = "runtime.config";
        match &self.facts.config {
            ConfigFact::Unreadable(why) => {
                let fix =
                    "mend the runtime's configuration, or name the right unit or file in node.json, runtime";
                from_faults(ID, vec![Fault::from_problem(why, fix)], "")
            }
            ConfigFact::NoRuntime | ConfigFact::NotRead => {
                let what = "there is neither containerd.service nor crio.service";
                let fix = "install the runtime before the selftest, or name it in node.json, runtime";
                from_faults(ID, vec![Fault::new(what, fix)], "")
            }
            ConfigFact::Read(config) | ConfigFact::Answered(config) => {
                let file = config.file.display();
                let source = match (&config.program, config.kind) {
                    (Some(program), _) => format!("{} reads {file}", program.display()),
                    (None, RuntimeKind::Crio) => {
                        format!("{file} and what it merges with, which CRI-O does not print")
                    }
                    (None, RuntimeKind::Containerd) if self.is_node => {
                        format!("{file}, which another program writes")
                    }
                    (None, RuntimeKind::Containerd) => {
                        format!("{file} as it is; programs of another root are not run")
                    }
                };
                pass(
                    ID,
                    format!(
                        "{}: confs in {} ({source})",
                        config.kind.as_str(),
                        config.setup.conf_dir.display()
                    ),
                )
            }
        }
    }

    /// What becomes of the template from which containerd makes confs, where it has one.
    fn describe_private_dir(&self) -> String {
        self.template().map_or_else(String::new, |template| {
            format!("; its conf_template {template} is emptied, so it makes no conf of its own")
        })
    }

    fn describe_shared_dir(&self) -> String {
        self.template().map_or_else(String::new, |template| {
            format!("; from its conf_template {template} it makes a conf there only while it has loaded none")
        })
    }

    fn template(&self) -> Option<String> {
        self.facts.config()?.template.as_ref().map(|template| template.display().to_string())
    }

    pub(super) fn conf_checks(&self) -> Vec<Check> {
        const ID: &str = "runtime.told";
        match (&self.rehearsal, self.mode) {
            (_, Mode::Shared) if self.facts.conf_selection() == ConfSelection::FirstOfCrio => {
                let what = "CRI-O is not told which network to use: when it starts while another conf sorts first, it sends the DEL of every \
                            pod that lives";
                let fix = "name the network in cni_default_network of CRI-O's configuration; Crossfade's network takes that name";
                from_faults(ID, vec![Fault::new(what, fix)], "")
            }
            (_, Mode::Shared) => skip(
                ID,
                format!("shared mode: the runtime reads its usual directory{}", self.describe_shared_dir()),
            ),
            (_, Mode::Without) => {
                skip(ID, "there is no plugin of Crossfade's, and the runtime reads its usual directory")
            }
            (None, Mode::Private) => skip(ID, "there is no runtime whose configuration can be read"),
            (Some(Ok(RehearsalResult::Accepted(how))), Mode::Private) => {
                pass(ID, format!("{how}{}", self.describe_private_dir()))
            }
            (Some(Ok(RehearsalResult::NotHere(why))), Mode::Private) => skip(ID, why),
            (Some(Err(why)), Mode::Private) => from_faults(
                ID,
                vec![Fault::from_problem(why, "mend the runtime's configuration, or use confDir shared")],
                "",
            ),
        }
    }
}
