//! The DaemonSets that are agents of a CNI.

use snapshot::model::{Kind, PodSpec, Workload, is_system};

use crate::check::Scene;
use crate::cni::support::Cni;

/// A DaemonSet that runs the agent of a CNI.
#[derive(Debug, Clone, Copy)]
pub struct Agent<'a> {
    pub cni: Cni,
    pub daemon_set: &'a Workload,
}

/// The name of the container that is a CNI's agent. DaemonSets are often renamed, as in a migration with two DaemonSets of one CNI, but containers
/// are not.
///
/// *Source*: the manifests of Calico 3.30 (`calico-node`; Canal's has it beside `kube-flannel`), Flannel 0.27, the Amazon VPC CNI 1.20, and the charts
/// of Cilium 1.18 and Antrea 2.4.
#[must_use]
pub const fn container_of(cni: Cni) -> &'static str {
    match cni {
        Cni::Calico | Cni::Canal => "calico-node",
        Cni::Flannel => "kube-flannel",
        Cni::AwsVpcCni => "aws-node",
        Cni::Cilium => "cilium-agent",
        Cni::Antrea => "antrea-agent",
    }
}

/// Whether a template is one of a CNI's agent. Canal has the containers of two CNIs, and is neither of these.
#[must_use]
pub fn is_agent(spec: &PodSpec, cni: Cni) -> bool {
    let has = |name: &str| spec.containers.iter().any(|container| container.name.as_ref() == name);
    let (calico, flannel) = (has(container_of(Cni::Calico)), has(container_of(Cni::Flannel)));
    match cni {
        Cni::Calico => calico && !flannel,
        Cni::Flannel => flannel && !calico,
        Cni::Canal => calico && flannel,
        other @ (Cni::AwsVpcCni | Cni::Cilium | Cni::Antrea) => has(container_of(other)),
    }
}

/// The agents of a CNI. The settings may name them; else their containers do, in the namespaces of the system: every author of a pod chooses its containers' names.
#[must_use]
pub fn agents<'a>(scene: &Scene<'a>, cni: Cni) -> Vec<Agent<'a>> {
    let named = if cni == scene.from { &scene.config.agents.old } else { &scene.config.agents.new };
    let is_of_cni = |daemon_set: &&Workload| {
        if named.is_empty() {
            return is_system(daemon_set.namespace()) && is_agent(&daemon_set.spec.template.spec, cni);
        }
        named.iter().any(|name| name.matches(daemon_set.namespace(), daemon_set.name()))
    };
    let all = scene.snapshot.workloads(Kind::DAEMON_SET).iter().filter(is_of_cni);
    all.map(|daemon_set| Agent { cni, daemon_set }).collect()
}

/// DaemonSets that look like the agent of a CNI in a namespace that is not the system's.
pub fn look_alikes<'a>(scene: &Scene<'a>, cni: Cni) -> impl Iterator<Item = &'a Workload> {
    let looks_alike = move |daemon_set: &&Workload| {
        !is_system(daemon_set.namespace()) && is_agent(&daemon_set.spec.template.spec, cni)
    };
    scene.snapshot.workloads(Kind::DAEMON_SET).iter().filter(looks_alike)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_of_a_tenant_is_none() {
        let set = |namespace: &str| {
            let template =
                serde_json::json!({"template": {"spec": {"containers": [{"name": "cilium-agent"}]}}});
            crate::check::tests::object(
                Kind::DAEMON_SET,
                "a",
                serde_json::json!({"metadata": {"namespace": namespace}, "spec": template}),
            )
        };
        let namespaces_of_agents = |config: &str, namespaces: &[&str]| -> Vec<String> {
            let sets = namespaces.iter().map(|namespace| set(namespace)).collect();
            let case = crate::check::tests::Case::new(Cni::Calico, Cni::Cilium, sets).config(config);
            let agents = agents(&case.scene(), Cni::Cilium);
            agents.iter().map(|agent| agent.daemon_set.namespace().to_owned()).collect()
        };
        assert_eq!(namespaces_of_agents("", &["a-tenant", "kube-system", "shop"]), ["kube-system"]);
        assert_eq!(namespaces_of_agents("", &["a-tenant"]), [""; 0]);
        assert_eq!(namespaces_of_agents("", &["cilium", "calico-system", "kube-flannel"]).len(), 3);
        let named = "agents: {new: [{namespace: networking, name: a}]}";
        assert_eq!(namespaces_of_agents(named, &["a-tenant", "kube-system", "networking"]), ["networking"]);
    }

    #[test]
    fn a_container_says_whose_agent_it_is() {
        for (containers, cni) in [
            (&["calico-node"][..], Some(Cni::Calico)),
            (&["calico-node", "kube-flannel"], Some(Cni::Canal)),
            (&["kube-flannel"], Some(Cni::Flannel)),
            (&["config", "cilium-agent"], Some(Cni::Cilium)),
            (&["antrea-agent", "antrea-ovs"], Some(Cni::Antrea)),
            (&["aws-node", "aws-eks-nodeagent"], Some(Cni::AwsVpcCni)),
            (&["web"], None),
        ] {
            let containers: Vec<_> =
                containers.iter().map(|name| serde_json::json!({"name": name})).collect();
            let spec: PodSpec =
                serde_json::from_value(serde_json::json!({"containers": containers})).expect("a template");
            let all = [Cni::Calico, Cni::Flannel, Cni::Canal, Cni::AwsVpcCni, Cni::Cilium, Cni::Antrea];
            let cnis: Vec<Cni> = all.into_iter().filter(|cni| is_agent(&spec, *cni)).collect();
            assert_eq!(cnis, cni.into_iter().collect::<Vec<_>>());
        }
    }
}
