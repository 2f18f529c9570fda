//! Objects of rare kinds, as JSON.

use serde_json::{Value, json};

use super::backing::{self, CALICO_METADATA};
use super::meta::is_kept;
use super::{Kind, Meta, config_map};

/// The Service that converts objects of a CustomResourceDefinition from version to version.
const CONVERTER: &str = "/spec/conversion/webhook/clientConfig/service";

/// An object of a rare kind: the API's JSON without `managedFields` and without annotations that no check reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(Value);

impl Object {
    /// Slims an object; none if a snapshot does not keep it.
    #[must_use]
    pub fn new(kind: Kind, mut value: Value) -> Option<Self> {
        let meta = value.get_mut("metadata")?.as_object_mut()?;
        meta.remove("managedFields");
        meta.remove("selfLink");
        if let Some(Value::Object(annotations)) = meta.get_mut("annotations") {
            annotations.retain(|key, _| is_kept(key));
            if let Some(stored) = annotations.get_mut(CALICO_METADATA) {
                backing::slim(stored);
            }
        }
        let object = Self(value);
        let is_kept = kind != Kind::CONFIG_MAP || config_map::is_kept(object.name());
        is_kept.then(|| object.slim(kind))
    }

    /// Without what is large and not read.
    fn slim(mut self, kind: Kind) -> Self {
        if kind == Kind::CUSTOM_RESOURCE_DEFINITION {
            let converter = self.pointer(CONVERTER).cloned();
            if let Some(all) = self.0.as_object_mut() {
                all.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata"));
                if let Some(service) = converter {
                    let conversion = json!({"webhook": {"clientConfig": {"service": service}}});
                    all.insert("spec".into(), json!({"conversion": conversion}));
                }
            }
        }
        if kind == Kind::CONFIG_MAP
            && let Some(all) = self.0.as_object_mut()
        {
            config_map::without_secrets(all);
        }
        // The certificate is large, and the address of a webhook outside the cluster may have a token in it.
        if matches!(kind, Kind::MUTATING_WEBHOOK_CONFIGURATION | Kind::VALIDATING_WEBHOOK_CONFIGURATION)
            && let Some(Value::Array(webhooks)) = self.0.get_mut("webhooks")
        {
            for webhook in webhooks {
                if let Some(Value::Object(client)) = webhook.get_mut("clientConfig") {
                    client.retain(|key, _| key == "service");
                }
            }
        }
        // The tokens of an account are named in it.
        if kind == Kind::SERVICE_ACCOUNT
            && let Some(all) = self.0.as_object_mut()
        {
            all.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata"));
            if let Some(Value::Object(meta)) = all.get_mut("metadata") {
                meta.retain(|key, _| matches!(key.as_str(), "name" | "namespace" | "uid" | "labels"));
            }
        }
        // The values of a chart may be secrets. Attributes of drivers belong to others, and a large cluster has tens of thousands of volumes.
        let keys: &[&str] = match kind {
            Kind::PERSISTENT_VOLUME => &["hostPath", "local", "nodeAffinity"],
            Kind::PERSISTENT_VOLUME_CLAIM => &["volumeName"],
            Kind::API_SERVICE => &["service"],
            Kind::HELM_CHART => &[],
            _ => return self,
        };
        if let Some(all) = self.0.as_object_mut() {
            all.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "spec"));
            if let Some(Value::Object(spec)) = all.get_mut("spec") {
                spec.retain(|key, _| keys.contains(&key.as_str()));
            }
        }
        self
    }

    /// Whether the API server could have taken its name and its namespace.
    ///
    /// # Errors
    /// It could not.
    pub fn check_name(&self) -> Result<(), &'static str> {
        Meta { name: self.name().into(), namespace: self.namespace().into(), ..Meta::default() }.check_names()
    }

    #[must_use]
    pub fn name(&self) -> &str {
        self.text("/metadata/name").unwrap_or_default()
    }

    /// Its namespace; empty for a kind without one.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace").unwrap_or_default()
    }

    /// It is one in which Calico stores a resource.
    #[must_use]
    pub fn is_backing(&self) -> bool {
        self.text("/apiVersion").is_some_and(backing::is_backing)
    }

    /// The value at a JSON pointer, such as `/spec/cidr`.
    #[must_use]
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }

    /// The text at a JSON pointer.
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.pointer(pointer).and_then(Value::as_str)
    }

    /// Whether true stands at a JSON pointer. Calico writes some of its booleans as text.
    #[must_use]
    pub fn is_true(&self, pointer: &str) -> bool {
        matches!(self.pointer(pointer), Some(Value::Bool(true))) || self.text(pointer) == Some("true")
    }

    /// The list at a JSON pointer; empty if there is none.
    #[must_use]
    pub fn list(&self, pointer: &str) -> &[Value] {
        self.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The texts of the list at a JSON pointer.
    pub fn texts<'a>(&'a self, pointer: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.list(pointer).iter().filter_map(Value::as_str)
    }

    /// The value of a key in the `data` of a ConfigMap.
    #[must_use]
    pub fn data(&self, key: &str) -> Option<&str> {
        self.0.get("data")?.get(key)?.as_str()
    }

    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_keeps_what_checks_read() {
        let pool = json!({"metadata": {"name": "a", "managedFields": [1], "annotations": {"x": "y", "crossfade/a": "b"}},
            "spec": {"cidr": "10.0.0.0/16", "disabled": "true"}});
        let pool = Object::new(Kind::IP_POOL, pool).expect("kept");
        assert_eq!(pool.value()["metadata"], json!({"name": "a", "annotations": {"crossfade/a": "b"}}));
        assert_eq!(pool.text("/spec/cidr"), Some("10.0.0.0/16"));
        assert!(pool.is_true("/spec/disabled") && !pool.is_true("/spec/cidr"));
    }

    #[test]
    fn a_service_account_keeps_what_policies_select_it_by() {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "labels": {"x": "y"}, "annotations": {"crossfade/a": "b"},
                "ownerReferences": [{"name": "o"}]},
            "secrets": [{"name": "token"}], "imagePullSecrets": [{"name": "registry"}], "automountServiceAccountToken": true});
        let account = Object::new(Kind::SERVICE_ACCOUNT, account).expect("kept");
        let kept = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "labels": {"x": "y"}}});
        assert_eq!(account.value(), &kept);
    }

    #[test]
    fn a_webhook_keeps_no_certificate_and_no_address() {
        let client = json!({"caBundle": "LS0t", "url": "https://a.example/?token=s3cret", "service": {"name": "s", "namespace": "n"}});
        for kind in [Kind::MUTATING_WEBHOOK_CONFIGURATION, Kind::VALIDATING_WEBHOOK_CONFIGURATION] {
            let given = json!({"metadata": {"name": "a"}, "webhooks": [{"name": "w", "clientConfig": client.clone()}]});
            let kept = Object::new(kind, given).expect("kept");
            let service = json!({"service": {"name": "s", "namespace": "n"}});
            assert_eq!(kept.value()["webhooks"], json!([{"name": "w", "clientConfig": service}]));
        }
    }

    #[test]
    fn of_what_the_api_server_calls_the_service_is_kept() {
        let client = json!({"caBundle": "LS0t", "service": {"name": "s", "namespace": "n"}});
        let definition = json!({"metadata": {"name": "a"}, "spec": {"group": "g", "versions": [{}],
            "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": client.clone()}}}});
        let definition = Object::new(Kind::CUSTOM_RESOURCE_DEFINITION, definition).expect("kept");
        let service = json!({"service": {"name": "s", "namespace": "n"}});
        let spec = json!({"conversion": {"webhook": {"clientConfig": service.clone()}}});
        assert_eq!(definition.pointer("/spec"), Some(&spec));
        let aggregated = json!({"metadata": {"name": "a"}, "spec": client, "status": {}});
        let aggregated = Object::new(Kind::API_SERVICE, aggregated).expect("kept");
        assert_eq!((aggregated.pointer("/spec"), aggregated.pointer("/status")), (Some(&service), None));
        let chart =
            json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"valuesContent": "token: s3cret"}});
        let chart = Object::new(Kind::HELM_CHART, chart).expect("kept");
        assert!(!chart.value().to_string().contains("s3cret"));
    }

    #[test]
    fn only_a_few_config_maps_are_kept() {
        for (name, kept) in [("cilium-config", true), ("database", false)] {
            let object =
                Object::new(Kind::CONFIG_MAP, json!({"metadata": {"name": name}, "data": {"a": "b"}}));
            assert_eq!(object.as_ref().and_then(|object| object.data("a")), kept.then_some("b"), "{name}");
        }
    }
}
