//! Programs that bring objects of a CNI back when a person deletes or changes them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::json;
use snapshot::model::{Kind, Snapshot};
use types::text::quote::shell_word;

use super::plan::{Inventory, text};
use super::{CLOSED, FENCE};
use crate::cni::footprint::{Part, Target};
use crate::cni::support::Cni;

/// A program that manages objects of a CNI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// The Tigera operator, which writes the agents anew within seconds. It removes them by itself once its resources are deleted.
    TigeraOperator,
    /// Another operator: it owns the agents.
    Operator,
    /// A release of Helm, which brings objects back with its next upgrade.
    Helm,
    /// The addon manager of a provider.
    AddonManager,
    /// The add-on of EKS, or its default installation, which look alike.
    Eks,
    /// kOps.
    Kops,
    /// Argo CD.
    ArgoCd,
    /// Flux.
    Flux,
    /// RKE2 or K3s.
    Rancher,
}

/// An object of a CNI that has a manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedObject {
    pub manager: Manager,
    pub object: String,
    /// How to switch the manager off.
    pub help: String,
}

impl Manager {
    /// Whether it undoes a fence.
    #[must_use]
    pub const fn undoes_a_fence(self) -> bool {
        !matches!(self, Self::Helm)
    }

    /// Whether it brings back what is deleted.
    #[must_use]
    pub const fn brings_back(self) -> bool {
        !matches!(self, Self::TigeraOperator)
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TigeraOperator => "the Tigera operator",
            Self::Operator => "an operator",
            Self::Helm => "Helm",
            Self::AddonManager => "the addon manager",
            Self::Eks => "EKS",
            Self::Kops => "kOps",
            Self::ArgoCd => "Argo CD",
            Self::Flux => "Flux",
            Self::Rancher => "RKE2 or K3s",
        }
    }
}

/// Managers of what runs of the old CNI, without those that the settings say are off.
#[must_use]
pub fn managers(
    snapshot: &Snapshot,
    from: Cni,
    inventory: &Inventory,
    off: &[Manager],
) -> Vec<ManagedObject> {
    let runs = |target: &Target| matches!(target.part, Part::PodNetwork | Part::Controller | Part::Agent);
    let running = inventory.objects.iter().filter(|(target, _)| runs(target));
    let mut all: Vec<ManagedObject> =
        running.flat_map(|(target, object)| of_object(target, object)).collect();
    let chart = format!("rke2-{}", from.into_str());
    let charts =
        snapshot.objects(Kind::HELM_CHART).iter().filter(|chart_object| chart_object.name() == chart);
    all.extend(charts.map(|chart| ManagedObject {
        manager: Manager::Rancher,
        object: format!("HelmChart/{}/{}", chart.namespace(), chart.name()),
        help: RANCHER.into(),
    }));
    all.retain(|managed| !off.contains(&managed.manager));
    all
}

/// The command that has the Tigera operator fence its agents off, or let them run again.
#[must_use]
pub fn installation_patch(is_closed: bool) -> String {
    let value = if is_closed { json!(CLOSED) } else { Value::Null };
    let selector = json!({"spec": {"template": {"spec": {"nodeSelector": {FENCE: value}}}}});
    let keys = ["calicoNodeDaemonSet", "calicoNodeWindowsDaemonSet", "csiNodeDriverDaemonSet"];
    let all: serde_json::Map<String, Value> =
        keys.into_iter().map(|key| (key.to_owned(), selector.clone())).collect();
    format!("kubectl patch installation default --type merge -p '{}'", json!({ "spec": all }))
}

const RANCHER: &str = "on every server, write cni: none into config.yaml and restart it";

fn of_object(target: &Target, object: &Value) -> Vec<ManagedObject> {
    let label = |key: &str| metadata(object, "labels", key);
    let annotation = |key: &str| metadata(object, "annotations", key);
    let mut managed = Vec::new();
    let mut add = |manager, help: String| {
        managed.push(ManagedObject { manager, object: target.to_string(), help });
    };
    if let Some(owner) = object.pointer("/metadata/ownerReferences/0") {
        let (group, kind, name) = (text(owner, "/apiVersion"), text(owner, "/kind"), text(owner, "/name"));
        if group.starts_with("operator.tigera.io/") {
            add(Manager::TigeraOperator, installation_patch(true));
        } else {
            let owner = shell_word(&format!("{kind}/{name}"));
            let help = format!("switch off what makes it of {owner}, as its documentation says");
            add(Manager::Operator, help);
        }
    }
    if label("app.kubernetes.io/managed-by") == Some("Helm")
        && let Some(release) = annotation("meta.helm.sh/release-name")
    {
        let namespace = annotation("meta.helm.sh/release-namespace").unwrap_or("kube-system");
        add(
            Manager::Helm,
            format!(
                "helm uninstall {} --namespace {}, then call finish again for what Helm leaves",
                shell_word(release),
                shell_word(namespace)
            ),
        );
    }
    if label("addonmanager.kubernetes.io/mode").is_some()
        || label("kubernetes.io/cluster-service") == Some("true")
    {
        add(
            Manager::AddonManager,
            "switch the add-on off where the provider's API or its manifests directory has it".into(),
        );
    }
    if label("app.kubernetes.io/managed-by") == Some("kops") || label("addon.kops.k8s.io/name").is_some() {
        add(Manager::Kops, "change spec.networking: kops edit cluster, kops update cluster --yes".into());
    }
    // The label app.kubernetes.io/instance proves nothing: charts set it themselves.
    if annotation("argocd.argoproj.io/tracking-id").is_some() {
        add(Manager::ArgoCd, "take the objects out of the Application without cascade".into());
    }
    if label("kustomize.toolkit.fluxcd.io/name").is_some() || label("helm.toolkit.fluxcd.io/name").is_some() {
        add(Manager::Flux, "suspend the Kustomization or HelmRelease, and take the objects out of it".into());
    }
    if annotation("objectset.rio.cattle.io/id").is_some() {
        add(Manager::Rancher, RANCHER.into());
    }
    let managers = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    if managers.is_some_and(|all| all.iter().any(|field| text(field, "/manager") == "eks")) {
        add(
            Manager::Eks,
            "aws eks describe-addon --addon-name vpc-cni; delete-addon --preserve lets go of its objects"
                .into(),
        );
    }
    managed
}

fn metadata<'v>(object: &'v Value, map: &str, key: &str) -> Option<&'v str> {
    object.pointer("/metadata")?.get(map)?.get(key)?.as_str()
}
