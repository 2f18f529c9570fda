//! Objects that no person writes: a controller makes them, or they mirror other objects. They are kept for the record and never brought back.
//!
//! The maker of such an object makes it again from what it is made of. An object with an owner would be worse than useless: its owner may have another
//! UID by now, and then Kubernetes' garbage collector deletes the object at once.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::object::Id;

/// Groups of Calico.
const CALICO: [&str; 2] = ["projectcalico.org", "crd.projectcalico.org"];
/// Calico shows policies of Kubernetes as its own under these names, and refuses to write them.
///
/// *Source*: Calico, `libcalico-go/lib/names` and `libcalico-go/lib/backend/k8s/conversion/constants.go`.
const MIRRORED: [&str; 4] = ["knp.", "kanp.", "kbanp.", "kcnp."];
/// Tiers of Calico for those mirrored policies. The tier `default` is not among them: people set its default action.
const OF_CALICO: [&str; 4] =
    ["adminnetworkpolicy", "baselineadminnetworkpolicy", "kube-admin", "kube-baseline"];
/// What Calico's controllers write on the HostEndpoints that they make for nodes.
///
/// *Source*: Calico, `kube-controllers/pkg/controllers/node/hostendpoints.go`.
const CREATED_BY: (&str, &str) = ("projectcalico.org/created-by", "calico-kube-controllers");
/// Tiers that Antrea's controller makes; its webhook refuses any change of them.
///
/// *Source*: Antrea, `pkg/controller/networkpolicy/tier.go`, `systemGeneratedTiers`.
const OF_ANTREA: [&str; 6] =
    ["emergency", "securityops", "networkops", "platform", "application", "baseline"];

/// Who makes an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Maker {
    /// The object that owns it: `Installation/default`.
    Owner(String),
    /// Calico.
    Calico,
    /// Antrea.
    Antrea,
}

/// Calico shows something of Kubernetes' under this name, and stores nothing of it.
pub(super) fn is_mirrored(name: &str) -> bool {
    MIRRORED.iter().any(|prefix| name.starts_with(prefix))
}

/// Who makes this object, if no person does.
#[must_use]
pub fn maker(id: &Id, object: &Value) -> Option<Maker> {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    if let Some(owner) = owners.and_then(|owners| owners.first()) {
        let text = |key: &str| owner[key].as_str().unwrap_or_default();
        return Some(Maker::Owner(format!("{}/{}", text("kind"), text("name"))));
    }
    let name = id.name.as_str();
    let is_calicos = CALICO.contains(&id.group())
        && match id.kind.as_str() {
            "Profile" => true,
            "Tier" => OF_CALICO.contains(&name),
            "HostEndpoint" => {
                let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
                labels.is_some_and(|labels| {
                    labels.get(CREATED_BY.0).is_some_and(|creator| creator == CREATED_BY.1)
                })
            }
            _ => is_mirrored(name),
        };
    let is_antreas = id.group() == "crd.antrea.io" && id.kind == "Tier" && OF_ANTREA.contains(&name);
    match (is_calicos, is_antreas) {
        (true, _) => Some(Maker::Calico),
        (_, true) => Some(Maker::Antrea),
        _ => None,
    }
}

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(owner) => write!(f, "its owner {owner} makes it"),
            Self::Calico => f.write_str("Calico makes it"),
            Self::Antrea => f.write_str("Antrea makes it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_controller_makes_is_known() {
        let calico = |kind: &str, name: &str| json!({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name}});
        let antrea = |name: &str| json!({"apiVersion": "crd.antrea.io/v1beta1", "kind": "Tier", "metadata": {"name": name}});
        let mut created = calico("HostEndpoint", "n1-auto-hep");
        created["metadata"]["labels"] = json!({CREATED_BY.0: CREATED_BY.1});
        let mut owned = antrea("mine");
        owned["metadata"]["ownerReferences"] = json!([{"kind": "App", "name": "shop", "uid": "u"}]);
        for (object, expected) in [
            (calico("Profile", "kns.default"), Some(Maker::Calico)),
            (calico("Tier", "default"), None),
            (calico("Tier", "adminnetworkpolicy"), Some(Maker::Calico)),
            (calico("GlobalNetworkPolicy", "kanp.adminnetworkpolicy.x"), Some(Maker::Calico)),
            (calico("GlobalNetworkPolicy", "default.knp"), None),
            (calico("HostEndpoint", "n1"), None),
            (created, Some(Maker::Calico)),
            (antrea("baseline"), Some(Maker::Antrea)),
            (antrea("mine"), None),
            (owned, Some(Maker::Owner("App/shop".into()))),
        ] {
            assert_eq!(maker(&Id::read(&object).expect("an object"), &object), expected, "{object}");
        }
    }
}
