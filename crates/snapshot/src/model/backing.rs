//! The objects in which Calico stores its resources: `crd.projectcalico.org/v1` behind `projectcalico.org/v3`.
//!
//! The annotation [`CALICO_METADATA`] of a stored object has metadata of the resource, which its own metadata may lack. Labels are among it, and from
//! release 3.30 on the name of a policy. Where releases from 3.32 on serve `projectcalico.org/v3` by definitions of its own, nothing is stored elsewhere.
//!
//! *Source*: projectcalico/calico, `libcalico-go/lib/backend/k8s/resources/resources.go`: ConvertCalicoResourceToK8sResource and
//! ConvertK8sResourceToCalicoResource.

use serde_json::{Map, Value};

use super::meta::is_kept;

/// The annotation with the metadata of the resource, as JSON.
pub const CALICO_METADATA: &str = "projectcalico.org/metadata";

/// Whether an object of this `apiVersion` is one in which a resource is stored.
#[must_use]
pub fn is_backing(api_version: &str) -> bool {
    api_version.starts_with("crd.projectcalico.org/")
}

/// Keeps of the annotation what an object keeps of its own metadata: name, UID, labels, and the annotations that checks read. Text that is no object of
/// JSON becomes an empty one, since its content is not known.
pub(super) fn slim(stored: &mut Value) {
    let read = stored.as_str().and_then(|text| serde_json::from_str(text).ok());
    let mut all: Map<String, Value> = read.unwrap_or_default();
    all.retain(|key, _| matches!(key.as_str(), "name" | "uid" | "labels" | "annotations"));
    if let Some(Value::Object(annotations)) = all.get_mut("annotations") {
        annotations.retain(|key, _| is_kept(key) && key != CALICO_METADATA);
    }
    *stored = Value::Object(all).to_string().into();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Object};
    use serde_json::json;

    #[test]
    fn of_stored_metadata_an_object_keeps_what_it_keeps_of_its_own() {
        let stored = r#"{"name":"a","uid":"u","labels":{"x":"y"},"generation":2,"managedFields":[{}],
            "annotations":{"kubectl.kubernetes.io/last-applied-configuration":"s3cret","crossfade/a":"b"}}"#;
        for (stored, kept) in [
            (stored, r#"{"annotations":{"crossfade/a":"b"},"labels":{"x":"y"},"name":"a","uid":"u"}"#),
            ("s3cret", "{}"),
        ] {
            let set = json!({"metadata": {"name": "a", "annotations": {CALICO_METADATA: stored}}});
            let set = Object::new(Kind::CALICO_NETWORK_SET, set).expect("kept");
            assert_eq!(set.pointer("/metadata/annotations"), Some(&json!({CALICO_METADATA: kept})));
        }
    }
}
