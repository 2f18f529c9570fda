#!/bin/sh
# Dumps what kubectl-crossfade reads of a cluster that moves from calico to cilium, and changes nothing in it.
#
#     sh dump.sh DIRECTORY
#     kubectl crossfade check --from calico --to cilium --snapshot DIRECTORY
#
# plan, simulate, requirements and policies take the same directory. The cluster is that of kubectl's current context, or of the one that CONTEXT
# names. Pods are dumped as they are, with what their environment variables say, and HelmCharts with their values: `kubectl crossfade snapshot` leaves
# that out.
set -eu
umask 077

if [ $# -ne 1 ]; then
    echo "usage: $0 DIRECTORY" >&2
    exit 2
fi
# Files of an earlier dump would be read as well.
mkdir -- "$1"
CDPATH='' cd -- "$1"

kube() {
    kubectl ${CONTEXT:+--context="$CONTEXT"} "$@"
}

# KIND RESOURCE...: all objects of a kind, from each API group that serves it.
dump() {
    kind=$1
    shift
    reading='notServed'
    for resource in "$@"; do
        if printf '%s\n' "$served" | grep -Fqx -- "$resource"; then
            kube get "$resource" --all-namespaces -o json >"$resource.json"
            reading='read'
        fi
    done
    kinds="$kinds${kinds:+,}\"$kind\":\"$reading\""
}

# NAMESPACE NAME: one ConfigMap, if it is there.
config_map() {
    file="configmap.$1.$2.json"
    kube get configmap --namespace "$1" "$2" --ignore-not-found -o json >"$file"
    [ -s "$file" ] || rm -- "$file"
}

kube version -o json >version.json
uid=$(kube get namespace kube-system -o jsonpath='{.metadata.uid}')
served=$(kube api-resources --verbs=list -o name)
kinds=

dump APIService apiservices.apiregistration.k8s.io
dump AdminNetworkPolicy adminnetworkpolicies.policy.networking.k8s.io
dump BGPConfiguration bgpconfigurations.crd.projectcalico.org bgpconfigurations.projectcalico.org
dump BGPPeer bgppeers.crd.projectcalico.org bgppeers.projectcalico.org
dump BaselineAdminNetworkPolicy baselineadminnetworkpolicies.policy.networking.k8s.io
dump CalicoNetworkPolicy networkpolicies.crd.projectcalico.org networkpolicies.projectcalico.org
dump CiliumClusterwideNetworkPolicy ciliumclusterwidenetworkpolicies.cilium.io
dump CiliumNetworkPolicy ciliumnetworkpolicies.cilium.io
dump CiliumNode ciliumnodes.cilium.io
dump CiliumNodeConfig ciliumnodeconfigs.cilium.io
dump CiliumPodIPPool ciliumpodippools.cilium.io
dump CustomResourceDefinition customresourcedefinitions.apiextensions.k8s.io
dump DaemonSet daemonsets.apps
dump Deployment deployments.apps
dump FelixConfiguration felixconfigurations.crd.projectcalico.org felixconfigurations.projectcalico.org
dump Gateway gateways.gateway.networking.k8s.io
dump GlobalNetworkPolicy globalnetworkpolicies.crd.projectcalico.org globalnetworkpolicies.projectcalico.org
dump GlobalNetworkSet globalnetworksets.crd.projectcalico.org globalnetworksets.projectcalico.org
dump HelmChart helmcharts.helm.cattle.io
dump HorizontalPodAutoscaler horizontalpodautoscalers.autoscaling
dump HostEndpoint hostendpoints.crd.projectcalico.org hostendpoints.projectcalico.org
dump IPAMBlock ipamblocks.crd.projectcalico.org
dump IPAMConfig ipamconfigs.crd.projectcalico.org
dump IPPool ippools.crd.projectcalico.org ippools.projectcalico.org
dump IPReservation ipreservations.crd.projectcalico.org ipreservations.projectcalico.org
dump Ingress ingresses.networking.k8s.io
dump Installation installations.operator.tigera.io
dump KubernetesClusterNetworkPolicy clusternetworkpolicies.policy.networking.k8s.io
dump MachineDeployment machinedeployments.cluster.x-k8s.io
dump MachineHealthCheck machinehealthchecks.cluster.x-k8s.io
dump MutatingWebhookConfiguration mutatingwebhookconfigurations.admissionregistration.k8s.io
dump Namespace namespaces
dump NetworkAttachmentDefinition network-attachment-definitions.k8s.cni.cncf.io
dump NetworkPolicy networkpolicies.networking.k8s.io
dump NetworkSet networksets.crd.projectcalico.org networksets.projectcalico.org
dump Node nodes
dump NodeClaim nodeclaims.karpenter.sh
dump NodePool nodepools.karpenter.sh
dump NodeReadinessRule nodereadinessrules.readiness.node.x-k8s.io
dump PersistentVolume persistentvolumes
dump PersistentVolumeClaim persistentvolumeclaims
dump Pod pods
dump PodDisruptionBudget poddisruptionbudgets.policy
dump ReplicaSet replicasets.apps
dump RuntimeClass runtimeclasses.node.k8s.io
dump Service services
dump ServiceAccount serviceaccounts
dump StagedGlobalNetworkPolicy stagedglobalnetworkpolicies.crd.projectcalico.org stagedglobalnetworkpolicies.projectcalico.org
dump StagedKubernetesNetworkPolicy stagedkubernetesnetworkpolicies.crd.projectcalico.org stagedkubernetesnetworkpolicies.projectcalico.org
dump StagedNetworkPolicy stagednetworkpolicies.crd.projectcalico.org stagednetworkpolicies.projectcalico.org
dump StatefulSet statefulsets.apps
dump Tier tiers.crd.projectcalico.org tiers.projectcalico.org
dump ValidatingWebhookConfiguration validatingwebhookconfigurations.admissionregistration.k8s.io

# By name: other ConfigMaps hold what applications keep in theirs.
config_map kube-flannel kube-flannel-cfg
config_map kube-system amazon-vpc-cni
config_map kube-system antrea-config
config_map kube-system calico-config
config_map kube-system canal-config
config_map kube-system cilium-config
config_map kube-system coredns
config_map kube-system kube-flannel-cfg
config_map kube-system kube-proxy
config_map kube-system kube-proxy-config
config_map kube-system kubeadm-config
config_map kube-system rke2-canal-config
config_map kube-system rke2-coredns-rke2-coredns
# shellcheck disable=SC2016 # The variable is one of the template.
mounted=$(kube get daemonsets.apps --all-namespaces -o go-template='{{range .items}}{{$namespace := .metadata.namespace}}{{range .spec.template.spec.volumes}}{{if .configMap}}{{$namespace}} {{.configMap.name}}{{"\n"}}{{end}}{{end}}{{end}}')
while read -r namespace name; do
    case $name in
    amazon-vpc-cni | amazon-vpc-cni-* | rke2-amazon-vpc-cni | rke2-amazon-vpc-cni-* | \
    antrea-config | antrea-config-* | rke2-antrea-config | rke2-antrea-config-* | \
    calico-config | calico-config-* | rke2-calico-config | rke2-calico-config-* | \
    canal-config | canal-config-* | rke2-canal-config | rke2-canal-config-* | \
    cilium-config | cilium-config-* | rke2-cilium-config | rke2-cilium-config-* | \
    coredns | coredns-* | rke2-coredns | rke2-coredns-* | \
    kube-flannel-cfg | kube-flannel-cfg-* | rke2-kube-flannel-cfg | rke2-kube-flannel-cfg-* | \
    kube-proxy | kube-proxy-* | rke2-kube-proxy | rke2-kube-proxy-* | \
    kubeadm-config | kubeadm-config-* | rke2-kubeadm-config | rke2-kubeadm-config-*)
        config_map "$namespace" "$name"
        ;;
    esac
done <<EOF
$mounted
EOF
kinds="$kinds${kinds:+,}\"ConfigMap\":\"read\""

# Only now all of it is there.
printf '{"crossfade":"snapshot","version":1,"cluster":{"uid":"%s"},"kinds":{%s}}\n' "$uid" "$kinds" >kinds.json
echo "$0: all is in $1" >&2
