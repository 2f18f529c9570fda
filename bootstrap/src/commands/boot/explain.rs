//! `explain`: what boot and render would do here, and why.

mod registered;
mod runtime;
mod settings;

use serde::Serialize;
use types::node::{Mode, Node};
use types::problem::Problem;

use self::registered::{ContinuedUnit, Registered};
use self::runtime::Runtime;
use self::settings::SettingsFile;
use crate::change::outcome::Changed;
use crate::cli::exit::{Exit, Failure};
use crate::cli::print::{Page, Report};
use crate::cli::{Global, fix};
use crate::commands::boot;
use crate::node::paths::Root;
use crate::node::{self, switch};
use crate::systemd::continuation;

/// Everything that decides how this node boots.
///
/// *Shape*: `{"off":null,"node":{..},"policy":{..},"confDir":"private","runtime":{..},"units":[{..}],"kubelet":{..},"boot":{"changes":[..]}}`. What
/// stands in the way of a part is in that part's `error` and in `problems`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// What switched Crossfade off; none while it is on.
    off: Option<String>,
    node: SettingsFile,
    policy: SettingsFile,
    /// Which directory the runtime reads: `private`, `shared` or `none`.
    conf_dir: Option<&'static str>,
    /// The runtime, where there is one that can be read.
    runtime: Option<Runtime>,
    units: Vec<ContinuedUnit>,
    kubelet: Option<Registered>,
    boot: Planned,
    /// Everything that stands in the way.
    #[serde(skip)]
    problems: Vec<Problem>,
    /// Whether a settings file is among the problems.
    #[serde(skip)]
    bad_settings: bool,
}

/// What `boot` would change.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
enum Planned {
    Changes(Changed),
    Refused { error: Vec<String> },
}

impl Report for Explained {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let _ = writeln!(text, "switch   {}", self.off.as_deref().unwrap_or("on"));
        self.node.tell(&mut text, "node");
        self.policy.tell(&mut text, "policy");
        if let Some(mode) = self.conf_dir {
            let _ = writeln!(text, "confDir  {mode}");
        }
        if let Some(runtime) = &self.runtime {
            runtime.tell(&mut text);
        }
        for unit in &self.units {
            unit.tell(&mut text);
        }
        if let Some(kubelet) = &self.kubelet {
            kubelet.tell(&mut text);
        }
        text.text("boot\n");
        match &self.boot {
            Planned::Changes(changed) => indent(&mut text, changed.human().as_str()),
            Planned::Refused { error } => indent(&mut text, &error.join("\n")),
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
pub fn explain(global: &Global) -> Result<Explained, Failure> {
    let root = Root::new(&global.root);
    let node = node::settings::load(&root);
    let mut findings: Vec<Problem> = Vec::new();
    let settings = SettingsFile::node(&root, node.as_ref().err());
    let without = node.as_ref().is_ok_and(|node| node.conf_dir == Mode::Without);
    let policy = if without { SettingsFile::no_policy(&root) } else { SettingsFile::policy(global, &root) };
    let bad_settings = settings.error().or(policy.error()).is_some();
    findings.extend(settings.error().into_iter().chain(policy.error()).map(Problem::from));
    let units = continuation::units_of(node.as_ref().unwrap_or(&Node::default()))
        .into_iter()
        .filter_map(|(role, name)| ContinuedUnit::gather(&root, role, &name));
    let units: Vec<ContinuedUnit> = units.collect();
    if let Ok(node) = &node {
        findings.extend(units.iter().filter_map(|unit| unit.matters(&root, node)).map(Problem::from));
    }
    let runtime = node.as_ref().ok().and_then(|node| match Runtime::gather(&root, node) {
        Ok(runtime) => runtime,
        Err(why) => {
            findings.push(Problem::from(why));
            None
        }
    });
    let kubelet = node.as_ref().ok().and_then(|node| match Registered::gather(&root, node) {
        Ok(registered) => registered,
        Err(failure) => {
            findings.extend(failure.problems);
            None
        }
    });
    let planned = boot::boot(&Global { dry_run: true, ..global.clone() });
    let boot = match planned {
        Ok(changed) => Planned::Changes(changed),
        Err(failure) => Planned::Refused { error: failure.lines() },
    };
    Ok(Explained {
        off: switch::off(&root).map(|off| off.to_string()),
        node: settings,
        policy,
        conf_dir: node.as_ref().ok().map(|node| node.conf_dir.as_str()),
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
