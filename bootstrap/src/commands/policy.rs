//! `policy show|check|set|explain`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::value::RawValue;
use shim::layout::Layout;
use shim::plan::decide_add;
use types::pod::Pod;
use types::policy::{Attach, Policy, Reason};

use crate::cli::exit::{Exit, Failure};
use crate::cli::print::{Page, Report};
use crate::cli::{self, Global};
use crate::node::directories::Directories;
use crate::node::paths::Root;
use crate::node::policy::flip::parse;
use crate::node::policy::flip::read;
use crate::node::policy::secondary;
use crate::node::settings;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::endpoint::Whom;
use crate::runtime::unread;
use shim::store::Store;
use std::time::SystemTime;

/// `policy show`, and `policy check` without the content.
///
/// *Shape*: `{"file":"..","phase":"old","warnings":["..."],"policy":{..}}`.
#[derive(Debug, Serialize)]
pub struct Shown {
    file: PathBuf,
    phase: &'static str,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Box<RawValue>>,
}

impl Report for Shown {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let file = self.file.display();
        match &self.policy {
            None => {
                let _ = writeln!(text, "{file}: valid, phase {}", self.phase);
            }
            Some(policy) => {
                let _ = writeln!(text, "{file}: phase {}", self.phase);
                text.text(&format!("{}\n", policy.get().trim()));
            }
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

/// Whether anybody reads a policy here; a file that is only checked may be another node's.
///
/// # Errors
/// 3 on a node without a plugin of ours.
pub fn needed(global: &Global, verb: &cli::Policy) -> Result<(), Failure> {
    match verb {
        cli::Policy::Check { file: Some(_) } => Ok(()),
        cli::Policy::Check { file: None }
        | cli::Policy::Show
        | cli::Policy::Set { .. }
        | cli::Policy::Explain { .. } => {
            let why = settings::without_plugin(&Root::new(&global.root));
            why.map_or(Ok(()), |why| Err(Failure::new(Exit::No, why)))
        }
    }
}

/// Prints the policy that counts.
///
/// # Errors
/// Bad settings.
pub fn show(layout: &Layout) -> Result<Shown, Failure> {
    let file = layout.policy_file();
    let bytes = read(&file)?;
    let policy = parse(&file, &bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let warnings = secondary::warnings(&policy);
    Ok(Shown { file, phase: policy.phase().as_str(), warnings, policy: RawValue::from_string(text).ok() })
}

/// Says whether a policy is valid: the one that counts, or another file.
///
/// # Errors
/// Bad settings.
pub fn check(layout: &Layout, file: Option<&Path>) -> Result<Shown, Failure> {
    let file = match file {
        Some(file) => {
            std::path::absolute(file).map_err(|e| Failure::settings(format!("{}: {e}", file.display())))?
        }
        None => layout.policy_file(),
    };
    let policy = parse(&file, &read(&file)?)?;
    secondary::refuse(&policy)
        .map_err(|why| Failure::settings(format!("policy {}: {why}", file.display())))?;
    let warnings = secondary::warnings(&policy);
    Ok(Shown { file, phase: policy.phase().as_str(), warnings, policy: None })
}

/// `policy explain`.
///
/// *Shape*: `{"attach":"both","because":"..","interfaces":[{"network":"old","ifname":"eth0","primary":true}],"warnings":[]}`,
/// interfaces in the order of ADD.
#[derive(Debug, Serialize)]
pub struct Explained {
    attach: &'static str,
    because: String,
    interfaces: Vec<Interface>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Interface {
    network: &'static str,
    ifname: String,
    primary: bool,
}

impl Report for Explained {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let _ = writeln!(text, "{}: {}", self.attach, self.because);
        for interface in &self.interfaces {
            let primary = if interface.primary { ", whose address is the pod's" } else { "" };
            let _ = writeln!(text, "  {} on {}{primary}", interface.network, interface.ifname);
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

/// Says which networks a pod would get, and why. Pure.
#[must_use]
pub fn explain(policy: &Policy, pod: &Pod, annotations: &[(String, String)]) -> Explained {
    let choice = policy.choose(pod, |key| {
        annotations.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    });
    let because = match choice.reason {
        Reason::Default => format!("the policy's attach is {}", policy.attach.as_str()),
        Reason::Rule(at) => {
            let rule = &policy.rules[at];
            let field = |glob: &Option<String>| glob.clone().unwrap_or_else(|| "*".into());
            format!("rules[{at}] matches: namespace {}, pod {}", field(&rule.namespace), field(&rule.pod))
        }
        Reason::Annotation => "its annotation says so, and the policy allows it".into(),
    };
    let plan = decide_add(choice.attach, &policy.both, "eth0", &[]);
    let interfaces = plan.legs.into_iter().map(|leg| Interface {
        network: leg.side.as_str(),
        ifname: leg.ifname,
        primary: leg.primary,
    });
    let ignored = choice.ignored_annotation.zip(policy.pod_annotation.as_ref());
    let warnings = ignored.map(|(value, ours)| {
        let allowed: Vec<_> = ours.allow.iter().map(|attach: &Attach| attach.as_str()).collect();
        format!("annotation {}={value} is ignored; the policy allows {}", ours.key, allowed.join(", "))
    });
    Explained {
        attach: choice.attach.as_str(),
        because,
        interfaces: interfaces.collect(),
        warnings: warnings.into_iter().collect(),
    }
}

/// Why it is not certain that this node's pods come through us, where our conf is installed and its runtime is a CRI-O that runs.
/// A record of an attachment that was begun after the conf was written is as good as the mark.
#[must_use]
pub fn doubt(global: &Global) -> Option<String> {
    let root = Root::new(&global.root);
    RuntimeConfig::of_crio(&root).filter(|_| root.is_node())?;
    let settings = Directories::certain(global).ok()?;
    settings.installed.as_ref().ok().and_then(Option::as_ref).filter(|conf| conf.is_ours)?;
    let whom = Whom::found(&root);
    let endpoint = whom.endpoint()?;
    let conf = settings.conf_file();
    // One that does not run reads the conf when it starts.
    let why = unread::since(endpoint, &conf)?;
    (!attached_since(&settings.layout, &conf)).then_some(why)
}

fn attached_since(layout: &Layout, conf: &Path) -> bool {
    let secs = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let Ok(written) = unread::written(conf).map(secs) else { return false };
    let records = Store::new(layout).all().map(|(sound, _)| sound).unwrap_or_default();
    records.iter().any(|record| record.intent.begun.wall_secs > written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_names_what_decided() {
        let policy = Policy::parse(
            br#"{"version":1,"attach":"old","networks":{"old":{"conf":["/o"]},"new":{"conf":["/n"]}},
            "both":{"primary":"old","defaultRoute":"new"},
            "rules":[{"namespace":"kube-*","attach":"new"}],"podAnnotation":{"key":"k","allow":["both"]}}"#,
        )
        .expect("valid");
        let pod = |namespace: &str| Pod { namespace: Some(namespace.into()), name: Some("p".into()) };
        let with = |value: &str| vec![("k".to_owned(), value.to_owned())];
        for (namespace, annotations, attach, because, interfaces, warned) in [
            ("default", vec![], "old", "attach is old", vec!["old"], false),
            ("kube-system", vec![], "new", "rules[0]", vec!["new"], false),
            ("kube-system", with("both"), "both", "annotation", vec!["old", "new"], false),
            ("default", with("new"), "old", "attach is old", vec!["old"], true),
        ] {
            let told = explain(&policy, &pod(namespace), &annotations);
            let networks: Vec<_> = told.interfaces.iter().map(|interface| interface.network).collect();
            assert_eq!((told.attach, networks), (attach, interfaces), "{namespace} {annotations:?}");
            assert!(told.because.contains(because), "{}", told.because);
            assert_eq!(!told.warnings.is_empty(), warned);
        }
    }
}
