//! kubelet's credential, and its name of the Node.

pub(super) mod kubeconfig;
pub(super) mod name;
pub(super) mod plugin;
pub(super) mod resolve;

use std::path::Path;

use types::node::Node;

use crate::host::root::Root;
use crate::publish::report::Credential;
use crate::systemd::unit::Unit;

/// Where kubelet's kubeconfig usually is: kubeadm's place, then EKS'.
const USUAL: [&str; 2] = ["/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/kubeconfig"];

/// kubelet's credential, where this node has a kubelet and node.json has it reported on its Node.
#[must_use]
pub(crate) fn reporter(root: &Root, node: &Node) -> Option<Credential> {
    let unit = Unit::load(root, &node.kubelet.unit).ok().flatten();
    if !node.report.node || (unit.is_none() && node.kubelet.kubeconfig.is_none()) {
        return None;
    }
    let command = unit.and_then(|unit| unit.command().ok()).unwrap_or_default();
    Some(credential(root, node, &command))
}

/// kubelet's credential: what node.json says, else what the words of kubelet's command line say, else what is usual. The file
/// need not be there yet. The name is as little as is told; the credential itself knows best.
fn credential(root: &Root, node: &Node, kubelet: &[String]) -> Credential {
    let kubeconfig = node.kubelet.kubeconfig.clone().or_else(|| flag(kubelet, "kubeconfig").map(Into::into));
    let usual = || USUAL.into_iter().find(|path| root.join(path).exists()).unwrap_or(USUAL[0]);
    Credential {
        kubeconfig: root.join(kubeconfig.as_deref().unwrap_or_else(|| Path::new(usual()))),
        node_name: node.kubelet.node_name.clone().or_else(|| flag(kubelet, "hostname-override")),
    }
}

/// The last value of a flag on a command line, as kubelet's parser takes it: `--flag=value` or `--flag value`.
fn flag(words: &[String], name: &str) -> Option<String> {
    let mut value = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix("--").and_then(|word| word.strip_prefix(name)) {
            Some("") => value = words.next(),
            Some(rest) if rest.starts_with('=') => value = Some(word),
            _ => {}
        }
    }
    let value = value?;
    let prefix = format!("--{name}=");
    Some(value.strip_prefix(&prefix).unwrap_or(value).to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn node_json_then_the_command_line_then_what_is_usual() {
        let root = Root::default();
        let line = words("kubelet --kubeconfig=/a --kubeconfig /b --hostname-override=n1 --v=2");
        let mut node = Node::default();
        let chosen = credential(&root, &node, &line);
        assert_eq!(chosen, Credential { kubeconfig: "/b".into(), node_name: Some("n1".into()) });
        node.kubelet.kubeconfig = Some("/c".into());
        node.kubelet.node_name = Some("n2".into());
        let chosen = credential(&root, &node, &line);
        assert_eq!(chosen, Credential { kubeconfig: "/c".into(), node_name: Some("n2".into()) });
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        let nothing = words("kubelet --hostname-override= --kubeconfig-like=/x");
        let chosen = credential(&root, &Node::default(), &nothing);
        assert_eq!(chosen, Credential { kubeconfig: root.join(USUAL[0]), node_name: None });
        std::fs::create_dir_all(dir.path().join("var/lib/kubelet")).expect("place");
        std::fs::write(dir.path().join("var/lib/kubelet/kubeconfig"), "").expect("kubeconfig");
        assert_eq!(credential(&root, &Node::default(), &[]).kubeconfig, root.join(USUAL[1]));
    }
}
