//! `policy explain`: the networks that a pod would get, and the reasons.

use convergence::failure::Failure;
use convergence::node::facts::NodeFacts;
use convergence::report::{Page, Report};
use serde::Serialize;
use shim::attachment::plan::decide_add;
use types::pod::Pod;
use types::policy::{Attach, Policy, Reason};

use crate::cli;
use crate::commands::policy::live::Live;

/// `policy explain`.
///
/// *Shape*: `{"attach":"both","because":"..","interfaces":[{"network":"old","ifname":"eth0","primary":true}],"warnings":[],
/// "live":{"namespace":"web","pod":"a","hostNetwork":false,"attachments":[..]}}`, interfaces in the order of ADD; `live` for a pod of this node.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct PolicyExplanation {
    attach: &'static str,
    because: String,
    interfaces: Vec<Interface>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Live>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Interface {
    network: &'static str,
    ifname: String,
    primary: bool,
}

impl Report for PolicyExplanation {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let _ = writeln!(text, "{}: {}", self.attach, self.because);
        for interface in &self.interfaces {
            let primary = if interface.primary { ", whose address is the pod's" } else { "" };
            let _ = writeln!(text, "  {} on {}{primary}", interface.network, interface.ifname);
        }
        self.live.iter().for_each(|live| live.show(&mut text));
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

/// `policy explain` by the policy that counts here.
///
/// # Errors
/// Bad settings; 3 if the named pod of this node is unknown.
pub(crate) fn explain_pod(node: &NodeFacts, choice: &cli::PodChoice) -> Result<PolicyExplanation, Failure> {
    let policy = &node.require_policy()?.policy;
    let Some(named) = &choice.live else {
        let pod = Pod { namespace: choice.namespace.clone(), name: choice.pod.clone() };
        return Ok(explain(policy, &pod, &choice.annotations));
    };
    let (live, pod_facts) = Live::find(node, named, choice.namespace.as_deref())?;
    let pod = Pod { namespace: Some(live.namespace.clone()), name: Some(live.pod.clone()) };
    // What the command line says of an annotation counts before what the pod has.
    let annotations = pod_facts.annotations.into_iter().chain(choice.annotations.iter().cloned());
    let mut explained = explain(policy, &pod, &annotations.collect::<Vec<_>>());
    explained.warnings.extend(pod_facts.doubts);
    Ok(PolicyExplanation { live: Some(live), ..explained })
}

/// Says which networks a pod would get, and why.
#[must_use]
pub(crate) fn explain(policy: &Policy, pod: &Pod, annotations: &[(String, String)]) -> PolicyExplanation {
    let choice = policy.choose(pod, |key| {
        annotations.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    });
    let because = match choice.reason {
        Reason::Default => format!("the policy's attach is {}", policy.attach.as_str()),
        Reason::Rule(index) => {
            let rule = &policy.rules[index];
            let field = |glob: &Option<String>| glob.clone().unwrap_or_else(|| "*".into());
            format!("rules[{index}] matches: namespace {}, pod {}", field(&rule.namespace), field(&rule.pod))
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
    PolicyExplanation {
        attach: choice.attach.as_str(),
        because,
        interfaces: interfaces.collect(),
        warnings: warnings.into_iter().collect(),
        live: None,
    }
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
            let explanation = explain(&policy, &pod(namespace), &annotations);
            let networks: Vec<_> = explanation.interfaces.iter().map(|interface| interface.network).collect();
            assert_eq!((explanation.attach, networks), (attach, interfaces), "{namespace} {annotations:?}");
            assert!(explanation.because.contains(because), "{}", explanation.because);
            assert_eq!(!explanation.warnings.is_empty(), warned);
        }
    }
}
