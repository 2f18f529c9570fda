//! The DaemonSets that are agents of a CNI.

use snapshot::model::{Kind, Workload, is_system};

use crate::check::Scene;
use crate::cni::support::Cni;

/// A DaemonSet that runs the agent of a CNI.
#[derive(Debug, Clone, Copy)]
pub struct Agent<'a> {
    pub cni: Cni,
    pub daemon_set: &'a Workload,
}

/// The agents of a CNI. The settings may name them; else their containers do, in the namespaces of the system: every author of a pod chooses its containers' names.
#[must_use]
pub fn agents<'a>(scene: &Scene<'a>, cni: Cni) -> Vec<Agent<'a>> {
    let named = if cni == scene.from { &scene.config.agents.old } else { &scene.config.agents.new };
    let is_of_cni = |daemon_set: &&Workload| {
        if named.is_empty() {
            return is_system(daemon_set.namespace())
                && cni.driver().is_agent(&daemon_set.spec.template.spec);
        }
        named.iter().any(|name| name.matches(daemon_set.namespace(), daemon_set.name()))
    };
    let all = scene.snapshot.workloads(Kind::DAEMON_SET).iter().filter(is_of_cni);
    all.map(|daemon_set| Agent { cni, daemon_set }).collect()
}

/// DaemonSets that look like the agent of a CNI in a namespace that is not the system's.
pub fn look_alikes<'a>(scene: &Scene<'a>, cni: Cni) -> impl Iterator<Item = &'a Workload> {
    let looks_alike = move |daemon_set: &&Workload| {
        !is_system(daemon_set.namespace()) && cni.driver().is_agent(&daemon_set.spec.template.spec)
    };
    scene.snapshot.workloads(Kind::DAEMON_SET).iter().filter(looks_alike)
}

#[cfg(test)]
mod tests {
    use super::*;
    use snapshot::model::PodSpec;

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
            let cnis: Vec<Cni> = all.into_iter().filter(|cni| cni.driver().is_agent(&spec)).collect();
            assert_eq!(cnis, cni.into_iter().collect::<Vec<_>>());
        }
    }
}
