//! The table of kinds. To read one more kind, add a constant and a row.

use super::Kind;

/// What the API says about a kind.
#[derive(Debug)]
pub struct Row {
    pub kind: Kind,
    /// Its name in the API's paths.
    pub plural: &'static str,
    /// Groups and versions, the preferred one first.
    pub served_by: &'static [(&'static str, &'static str)],
    /// Objects are in a namespace.
    pub is_namespaced: bool,
}

macro_rules! kinds {
    ($($constant:ident $name:literal $plural:literal $namespaced:literal [$($group:literal $version:literal),+];)+) => {
        impl Kind {
            $(#[doc = concat!("`", $name, "`.")] pub const $constant: Self = Self::new($name);)+
        }

        /// Every kind that a snapshot holds, in the order in which snapshots are written.
        pub const ALL: &[Row] = &[
            $(Row {
                kind: Kind::$constant,
                plural: $plural,
                served_by: &[$(($group, $version)),+],
                is_namespaced: $namespaced,
            },)+
        ];
    };
}

// Calico's resources are stored in the group crd.projectcalico.org. Calico's own API server, where it is installed, serves them as
// projectcalico.org/v3, which is also what people dump.
kinds! {
    NAMESPACE "Namespace" "namespaces" false ["" "v1"];
    SERVICE_ACCOUNT "ServiceAccount" "serviceaccounts" true ["" "v1"];
    NODE "Node" "nodes" false ["" "v1"];
    POD "Pod" "pods" true ["" "v1"];
    DEPLOYMENT "Deployment" "deployments" true ["apps" "v1"];
    DAEMON_SET "DaemonSet" "daemonsets" true ["apps" "v1"];
    STATEFUL_SET "StatefulSet" "statefulsets" true ["apps" "v1"];
    REPLICA_SET "ReplicaSet" "replicasets" true ["apps" "v1"];
    JOB "Job" "jobs" true ["batch" "v1"];
    POD_DISRUPTION_BUDGET "PodDisruptionBudget" "poddisruptionbudgets" true ["policy" "v1", "policy" "v1beta1"];
    HORIZONTAL_POD_AUTOSCALER "HorizontalPodAutoscaler" "horizontalpodautoscalers" true ["autoscaling" "v2", "autoscaling" "v1"];
    PERSISTENT_VOLUME "PersistentVolume" "persistentvolumes" false ["" "v1"];
    PERSISTENT_VOLUME_CLAIM "PersistentVolumeClaim" "persistentvolumeclaims" true ["" "v1"];
    PRIORITY_CLASS "PriorityClass" "priorityclasses" false ["scheduling.k8s.io" "v1"];
    RUNTIME_CLASS "RuntimeClass" "runtimeclasses" false ["node.k8s.io" "v1"];
    SERVICE "Service" "services" true ["" "v1"];
    ENDPOINT_SLICE "EndpointSlice" "endpointslices" true ["discovery.k8s.io" "v1", "discovery.k8s.io" "v1beta1"];
    INGRESS "Ingress" "ingresses" true ["networking.k8s.io" "v1"];
    GATEWAY "Gateway" "gateways" true ["gateway.networking.k8s.io" "v1", "gateway.networking.k8s.io" "v1beta1"];
    SERVICE_CIDR "ServiceCIDR" "servicecidrs" false ["networking.k8s.io" "v1", "networking.k8s.io" "v1beta1"];
    CONFIG_MAP "ConfigMap" "configmaps" true ["" "v1"];
    NETWORK_POLICY "NetworkPolicy" "networkpolicies" true ["networking.k8s.io" "v1"];
    ADMIN_NETWORK_POLICY "AdminNetworkPolicy" "adminnetworkpolicies" false ["policy.networking.k8s.io" "v1alpha1"];
    BASELINE_ADMIN_NETWORK_POLICY "BaselineAdminNetworkPolicy" "baselineadminnetworkpolicies" false ["policy.networking.k8s.io" "v1alpha1"];
    CUSTOM_RESOURCE_DEFINITION "CustomResourceDefinition" "customresourcedefinitions" false ["apiextensions.k8s.io" "v1"];
    NETWORK_ATTACHMENT_DEFINITION "NetworkAttachmentDefinition" "network-attachment-definitions" true ["k8s.cni.cncf.io" "v1"];
    IP_POOL "IPPool" "ippools" false ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    IPAM_BLOCK "IPAMBlock" "ipamblocks" false ["crd.projectcalico.org" "v1"];
    BLOCK_AFFINITY "BlockAffinity" "blockaffinities" false ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    IPAM_CONFIG "IPAMConfig" "ipamconfigs" false ["crd.projectcalico.org" "v1"];
    IPAM_CONFIGURATION "IPAMConfiguration" "ipamconfigurations" false ["projectcalico.org" "v3"];
    IP_RESERVATION "IPReservation" "ipreservations" false ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    FELIX_CONFIGURATION "FelixConfiguration" "felixconfigurations" false ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    BGP_CONFIGURATION "BGPConfiguration" "bgpconfigurations" false ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    BGP_PEER "BGPPeer" "bgppeers" false ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    HOST_ENDPOINT "HostEndpoint" "hostendpoints" false ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    CALICO_CLUSTER_INFORMATION "ClusterInformation" "clusterinformations" false ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    CALICO_GLOBAL_NETWORK_POLICY "GlobalNetworkPolicy" "globalnetworkpolicies" false ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    CALICO_GLOBAL_NETWORK_SET "GlobalNetworkSet" "globalnetworksets" false ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    CALICO_NETWORK_SET "NetworkSet" "networksets" true ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    CALICO_TIER "Tier" "tiers" false ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    CALICO_NETWORK_POLICY "CalicoNetworkPolicy" "networkpolicies" true ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    CALICO_STAGED_NETWORK_POLICY "StagedNetworkPolicy" "stagednetworkpolicies" true ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    CALICO_STAGED_GLOBAL_NETWORK_POLICY "StagedGlobalNetworkPolicy" "stagedglobalnetworkpolicies" false ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    CALICO_STAGED_KUBERNETES_NETWORK_POLICY "StagedKubernetesNetworkPolicy" "stagedkubernetesnetworkpolicies" true ["crd.projectcalico.org" "v1", "projectcalico.org" "v3"];
    TIGERA_INSTALLATION "Installation" "installations" false ["operator.tigera.io" "v1"];
    CILIUM_NODE "CiliumNode" "ciliumnodes" false ["cilium.io" "v2"];
    CILIUM_NODE_CONFIG "CiliumNodeConfig" "ciliumnodeconfigs" true ["cilium.io" "v2", "cilium.io" "v2alpha1"];
    CILIUM_POD_IP_POOL "CiliumPodIPPool" "ciliumpodippools" false ["cilium.io" "v2alpha1"];
    CILIUM_NETWORK_POLICY "CiliumNetworkPolicy" "ciliumnetworkpolicies" true ["cilium.io" "v2"];
    CILIUM_CLUSTERWIDE_NETWORK_POLICY "CiliumClusterwideNetworkPolicy" "ciliumclusterwidenetworkpolicies" false ["cilium.io" "v2"];
    CILIUM_CIDR_GROUP "CiliumCIDRGroup" "ciliumcidrgroups" false ["cilium.io" "v2", "cilium.io" "v2alpha1"];
    ANTREA_AGENT_INFO "AntreaAgentInfo" "antreaagentinfos" false ["crd.antrea.io" "v1beta1"];
    ANTREA_CLUSTER_NETWORK_POLICY "ClusterNetworkPolicy" "clusternetworkpolicies" false ["crd.antrea.io" "v1beta1"];
    KUBERNETES_CLUSTER_NETWORK_POLICY "KubernetesClusterNetworkPolicy" "clusternetworkpolicies" false ["policy.networking.k8s.io" "v1alpha2"];
    ANTREA_NETWORK_POLICY "AntreaNetworkPolicy" "networkpolicies" true ["crd.antrea.io" "v1beta1"];
    ANTREA_TIER "AntreaTier" "tiers" false ["crd.antrea.io" "v1beta1"];
    ANTREA_CLUSTER_GROUP "ClusterGroup" "clustergroups" false ["crd.antrea.io" "v1beta1"];
    ANTREA_GROUP "Group" "groups" true ["crd.antrea.io" "v1beta1"];
    ENI_CONFIG "ENIConfig" "eniconfigs" false ["crd.k8s.amazonaws.com" "v1alpha1"];
    KARPENTER_NODE_POOL "NodePool" "nodepools" false ["karpenter.sh" "v1", "karpenter.sh" "v1beta1"];
    KARPENTER_NODE_CLAIM "NodeClaim" "nodeclaims" false ["karpenter.sh" "v1", "karpenter.sh" "v1beta1"];
    EC2_NODE_CLASS "EC2NodeClass" "ec2nodeclasses" false ["karpenter.k8s.aws" "v1", "karpenter.k8s.aws" "v1beta1"];
    MACHINE "Machine" "machines" true ["cluster.x-k8s.io" "v1beta2", "cluster.x-k8s.io" "v1beta1"];
    MACHINE_DEPLOYMENT "MachineDeployment" "machinedeployments" true ["cluster.x-k8s.io" "v1beta2", "cluster.x-k8s.io" "v1beta1"];
    MACHINE_HEALTH_CHECK "MachineHealthCheck" "machinehealthchecks" true ["cluster.x-k8s.io" "v1beta2", "cluster.x-k8s.io" "v1beta1"];
    MUTATING_WEBHOOK_CONFIGURATION "MutatingWebhookConfiguration" "mutatingwebhookconfigurations" false ["admissionregistration.k8s.io" "v1"];
    VALIDATING_WEBHOOK_CONFIGURATION "ValidatingWebhookConfiguration" "validatingwebhookconfigurations" false ["admissionregistration.k8s.io" "v1"];
    API_SERVICE "APIService" "apiservices" false ["apiregistration.k8s.io" "v1"];
    HELM_CHART "HelmChart" "helmcharts" true ["helm.cattle.io" "v1"];
    NODE_READINESS_RULE "NodeReadinessRule" "nodereadinessrules" false ["readiness.node.x-k8s.io" "v1alpha1"];
}
