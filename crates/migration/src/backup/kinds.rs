//! The kinds that network policies are made of, of every CNI. To keep one more kind, add a row.

/// When a kind is written: what others refer to comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// Tiers: an API server refuses a policy whose tier it does not have.
    Tier,
    /// Sets and groups that policies name, and the hosts that they select.
    Group,
    Policy,
}

/// A kind.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// What an object says in `kind`.
    pub kind: &'static str,
    /// The name in the API's paths.
    pub plural: &'static str,
    /// Groups and versions that serve it, the preferred one first: `("projectcalico.org", "v3")`.
    pub served_by: &'static [(&'static str, &'static str)],
    /// Objects are in a namespace.
    pub is_namespaced: bool,
    /// When it is written.
    pub rank: Rank,
}

const KUBERNETES: &[(&str, &str)] = &[("networking.k8s.io", "v1")];
const ADMIN: &[(&str, &str)] = &[("policy.networking.k8s.io", "v1alpha1")];
const CLUSTER: &[(&str, &str)] = &[("policy.networking.k8s.io", "v1alpha2")];
/// With Calico's own API server, projectcalico.org/v3 is the only way to write that Calico supports: it validates, and it gives names their tier. Where
/// Calico serves v3 by CustomResourceDefinitions (3.32), they are the datastore itself. Without either, crd.projectcalico.org/v1 is the datastore,
/// and the only one that is there.
const CALICO: &[(&str, &str)] = &[("projectcalico.org", "v3"), ("crd.projectcalico.org", "v1")];
const PROFILE: &[(&str, &str)] = &[("projectcalico.org", "v3")];
const ANTREA: &[(&str, &str)] = &[("crd.antrea.io", "v1beta1"), ("crd.antrea.io", "v1alpha1")];
const GROUPS: &[(&str, &str)] = &[("crd.antrea.io", "v1beta1"), ("crd.antrea.io", "v1alpha3")];
const CILIUM: &[(&str, &str)] = &[("cilium.io", "v2")];
const CIDRS: &[(&str, &str)] = &[("cilium.io", "v2"), ("cilium.io", "v2alpha1")];

/// All of them, in the order in which they are written.
///
/// *Sources*: Calico, `api/pkg/apis/projectcalico/v3/register.go`; Antrea, `pkg/apis/crd/v1beta1/register.go`; Cilium,
/// `pkg/k8s/apis/cilium.io/v2/register.go`; sigs.k8s.io/network-policy-api, `apis/v1alpha1` and `apis/v1alpha2`.
pub const KINDS: [Row; 22] = [
    row("Tier", "tiers", CALICO, false, Rank::Tier),
    row("Tier", "tiers", ANTREA, false, Rank::Tier),
    row("NetworkSet", "networksets", CALICO, true, Rank::Group),
    row("GlobalNetworkSet", "globalnetworksets", CALICO, false, Rank::Group),
    row("HostEndpoint", "hostendpoints", CALICO, false, Rank::Group),
    row("Profile", "profiles", PROFILE, false, Rank::Group),
    row("Group", "groups", GROUPS, true, Rank::Group),
    row("ClusterGroup", "clustergroups", GROUPS, false, Rank::Group),
    row("CiliumCIDRGroup", "ciliumcidrgroups", CIDRS, false, Rank::Group),
    row("NetworkPolicy", "networkpolicies", KUBERNETES, true, Rank::Policy),
    row("AdminNetworkPolicy", "adminnetworkpolicies", ADMIN, false, Rank::Policy),
    row("BaselineAdminNetworkPolicy", "baselineadminnetworkpolicies", ADMIN, false, Rank::Policy),
    row("ClusterNetworkPolicy", "clusternetworkpolicies", CLUSTER, false, Rank::Policy),
    row("NetworkPolicy", "networkpolicies", CALICO, true, Rank::Policy),
    row("GlobalNetworkPolicy", "globalnetworkpolicies", CALICO, false, Rank::Policy),
    row("StagedNetworkPolicy", "stagednetworkpolicies", CALICO, true, Rank::Policy),
    row("StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies", CALICO, false, Rank::Policy),
    row("StagedKubernetesNetworkPolicy", "stagedkubernetesnetworkpolicies", CALICO, true, Rank::Policy),
    row("NetworkPolicy", "networkpolicies", ANTREA, true, Rank::Policy),
    row("ClusterNetworkPolicy", "clusternetworkpolicies", ANTREA, false, Rank::Policy),
    row("CiliumNetworkPolicy", "ciliumnetworkpolicies", CILIUM, true, Rank::Policy),
    row("CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies", CILIUM, false, Rank::Policy),
];

const fn row(
    kind: &'static str,
    plural: &'static str,
    served_by: &'static [(&'static str, &'static str)],
    is_namespaced: bool,
    rank: Rank,
) -> Row {
    Row { kind, plural, served_by, is_namespaced, rank }
}

impl Row {
    /// What `kubectl get` calls it, by the group that it prefers: `tiers.projectcalico.org`.
    #[must_use]
    pub fn resource(&self) -> String {
        format!("{}.{}", self.plural, self.served_by[0].0)
    }

    /// A group serves it.
    #[must_use]
    pub fn is_of(&self, group: &str) -> bool {
        self.served_by.iter().any(|(served, _)| *served == group)
    }

    /// The row of an object's `apiVersion` and `kind`; none if it is no kind of policies.
    #[must_use]
    pub fn find(api_version: &str, kind: &str) -> Option<&'static Self> {
        let group = api_version.split_once('/')?.0;
        KINDS.iter().find(|row| row.kind == kind && row.is_of(group))
    }

    /// The path of its objects: `/apis/projectcalico.org/v3/tiers`; of one namespace, if it is named. Names are as they stand in a path.
    #[must_use]
    pub fn path(&self, api_version: &str, namespace: Option<&str>) -> String {
        let space = namespace.map(|name| format!("namespaces/{name}/")).unwrap_or_default();
        format!("/apis/{api_version}/{space}{}", self.plural)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_are_one_kind() {
        for (index, row) in KINDS.iter().enumerate() {
            for other in &KINDS[..index] {
                let shares = row.served_by.iter().any(|(group, _)| other.is_of(group));
                assert!(!shares || row.kind != other.kind || row == other, "{}", row.resource());
                assert_ne!(row.resource(), other.resource());
                assert!(other.rank <= row.rank, "{} after {}", row.resource(), other.resource());
            }
        }
    }

    #[test]
    fn an_object_says_its_row() {
        let resource = |api: &str, kind: &str| Row::find(api, kind).map(Row::resource);
        assert_eq!(
            resource("networking.k8s.io/v1", "NetworkPolicy").as_deref(),
            Some("networkpolicies.networking.k8s.io")
        );
        for version in ["crd.projectcalico.org/v1", "projectcalico.org/v3"] {
            assert_eq!(resource(version, "Tier").as_deref(), Some("tiers.projectcalico.org"));
        }
        assert_eq!(resource("crd.antrea.io/v1beta1", "Tier").as_deref(), Some("tiers.crd.antrea.io"));
        for (version, kind) in [("v1", "Secret"), ("apps/v1", "NetworkPolicy"), ("", "Tier")] {
            assert_eq!(resource(version, kind), None, "{version} {kind}");
        }
    }
}
