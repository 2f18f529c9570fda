//! `explain`: the changes that boot and render would make, and their reasons.

mod registered;
mod runtime;
mod settings;

use convergence::failure::Failure;
use convergence::report::{Page, Report};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::{Problem, Subject};
use types::node::Mode;

use self::registered::{ContinuedUnit, KubeletReport};
use self::runtime::Runtime;
use self::settings::SettingsFile;
use crate::change::outcome::ChangeReport;
use crate::cli::{Global, fix};
use crate::commands::boot::{self, gather};
use crate::host::root::Root;
use crate::node::settings::mode;
use crate::node::switch;
use crate::systemd::continuation;

/// Everything that decides how this node boots.
///
/// *Shape*: `{"off":null,"node":{..},"policy":{..},"confDir":"private","runtime":{..},"units":[{..}],"kubelet":{..},"boot":{"changes":[..]}}`. What
/// stands in the way of a part is in that part's `error` and in `problems`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct BootExplanation {
    /// What switched Crossfade off; none while it is on.
    #[serde(rename = "off")]
    off_switch: Option<String>,
    node: SettingsFile,
    policy: SettingsFile,
    /// Which directory the runtime reads: `private`, `shared` or `none`.
    conf_dir: Option<&'static str>,
    /// The runtime, where there is one that can be read.
    runtime: Option<Runtime>,
    units: Vec<ContinuedUnit>,
    kubelet: Option<KubeletReport>,
    boot: BootPlan,
    /// Everything that stands in the way.
    #[serde(skip)]
    problems: Vec<Problem>,
    /// Whether a settings file is among the problems.
    #[serde(skip)]
    bad_settings: bool,
}

/// What `boot` would change.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Planned"))]
#[serde(untagged)]
enum BootPlan {
    Changes(ChangeReport),
    Refused { error: Vec<String> },
}

impl Report for BootExplanation {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let _ = writeln!(text, "switch   {}", self.off_switch.as_deref().unwrap_or("on"));
        self.node.render(&mut text, "node");
        self.policy.render(&mut text, "policy");
        if let Some(mode) = self.conf_dir {
            let _ = writeln!(text, "confDir  {mode}");
        }
        if let Some(runtime) = &self.runtime {
            runtime.render(&mut text);
        }
        for unit in &self.units {
            unit.render(&mut text);
        }
        if let Some(kubelet) = &self.kubelet {
            kubelet.render(&mut text);
        }
        text.text("boot\n");
        match &self.boot {
            BootPlan::Changes(changed) => indent(&mut text, changed.human().as_str()),
            BootPlan::Refused { error } => indent(&mut text, &error.join("\n")),
        }
        text.problems(&self.problems());
        text
    }

    fn exit(&self) -> Exit {
        match (self.bad_settings, self.problems.is_empty()) {
            (true, _) => Exit::BadSettings,
            (false, false) => Exit::No,
            (false, true) => Exit::Done,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        fix::complete(self.exit(), &self.problems)
    }
}

/// Explains.
///
/// # Errors
/// None: what is wrong is part of the explanation, which then ends with 3, or with 78 if a settings file cannot be used.
pub(crate) fn explain(global: &Global) -> Result<BootExplanation, Failure> {
    let facts = gather::agent_facts(global, mode::settings(&Root::new(&global.root)));
    let root = &Root::new(&facts.root);
    // What is decided by node.json is explained only if the file can be used.
    let node = facts.unusable.is_none().then_some(&facts.settings);
    let mut findings: Vec<Problem> = Vec::new();
    let settings = SettingsFile::node(&facts);
    let without = node.is_some_and(|node| node.conf_dir == Mode::Without);
    let policy = if without { SettingsFile::without_policy(root) } else { SettingsFile::policy(&facts) };
    let bad_settings = settings.error().or(policy.error()).is_some();
    findings.extend(settings.error().map(Problem::from));
    findings.extend(policy.error().map(|why| Problem::from(why).with_subject(Subject::Policy)));
    let units = continuation::units_of(&facts.settings)
        .into_iter()
        .filter_map(|(role, name)| ContinuedUnit::gather(root, role, &name));
    let units: Vec<ContinuedUnit> = units.collect();
    if let Some(node) = node {
        findings.extend(units.iter().filter_map(|unit| unit.matters(root, node)).map(Problem::from));
        findings.extend(facts.runtime.problem().map(|why| Problem::from(why.to_string())));
    }
    let runtime = node.and_then(|_| Runtime::from_facts(&facts));
    let kubelet = node.and_then(|node| match KubeletReport::gather(root, node) {
        Ok(registered) => registered,
        Err(failure) => {
            findings.extend(failure.problems);
            None
        }
    });
    let (off_switch, conf_dir) = (
        switch::off_switch(root).map(|off_switch| off_switch.to_string()),
        node.map(|node| node.conf_dir.as_str()),
    );
    let boot = match boot::plan(&Global { dry_run: true, ..global.clone() }, facts) {
        Ok(changed) => BootPlan::Changes(changed),
        Err(failure) => BootPlan::Refused { error: failure.lines() },
    };
    Ok(BootExplanation {
        off_switch,
        node: settings,
        policy,
        conf_dir,
        runtime,
        units,
        kubelet,
        boot,
        problems: findings,
        bad_settings,
    })
}

fn indent(text: &mut Page, lines: &str) {
    for line in lines.lines() {
        let _ = writeln!(text, "  {line}");
    }
}
