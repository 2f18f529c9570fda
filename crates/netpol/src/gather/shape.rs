//! The shapes in which resources of Calico come: `projectcalico.org/v3`, from an API server of Calico's or by definitions of its own, and the objects
//! `crd.projectcalico.org/v1` in which the API server stores them.
//!
//! *Source*: projectcalico/calico, `libcalico-go/lib/backend/k8s/resources/resources.go`.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};
use snapshot::model::{CALICO_METADATA, Kind, Text};

use super::objects::ApiObject;
use super::reference::UnreadObject;

/// How Calico begins the stored name of a policy in the default tier, where no annotation has the name. *Source*: `determinePolicyName`.
const DEFAULT: &str = "default.";

/// The resource that is stored in an object: its labels and, from release 3.30 on, the name of a policy are in an annotation. The labels of the object
/// itself are those of earlier releases, and count where the annotation has none of the same key.
pub(super) fn resource(stored: &Value) -> Cow<'_, Value> {
    let Some(more) = annotation(stored) else { return Cow::Borrowed(stored) };
    let mut resource = stored.clone();
    if let Some(Value::Object(meta)) = resource.get_mut("metadata") {
        if let Some(name) = more.get("name").filter(|name| name.as_str().is_some_and(|name| !name.is_empty()))
        {
            meta.insert("name".into(), name.clone());
        }
        if let Some(Value::Object(labels)) = more.get("labels") {
            let mut all = meta.remove("labels").and_then(|own| own.as_object().cloned()).unwrap_or_default();
            all.extend(labels.clone());
            meta.insert("labels".into(), all.into());
        }
    }
    Cow::Owned(resource)
}

fn annotation(stored: &Value) -> Option<Map<String, Value>> {
    let text = stored.get("metadata")?.get("annotations")?.get(CALICO_METADATA)?.as_str()?;
    serde_json::from_str(text).ok()
}

/// Without the stored objects whose resource is there itself, of one kind.
pub(super) fn deduplicate(api_objects: Vec<ApiObject<'_>>) -> Vec<ApiObject<'_>> {
    let own = || api_objects.iter().filter(|object| !object.is_backing);
    let by_uid: HashSet<&str> =
        own().map(|object| &*object.reference.uid).filter(|uid| !uid.is_empty()).collect();
    let stored = || api_objects.iter().filter(|object| object.is_backing);
    let same: HashSet<String> = stored().flat_map(uids).filter(|uid| by_uid.contains(uid.as_str())).collect();
    // Where no UID says what a resource is stored in, its name does: what was moved to definitions of its own has got another UID.
    let without_uid = own().filter(|object| !same.contains(&*object.reference.uid));
    let by_name: HashSet<(Text, Text)> = without_uid
        .map(|object| (object.reference.namespace.clone(), object.reference.name.clone()))
        .collect();
    let is_there = |object: &ApiObject<'_>| {
        let has_uid = uids(object).any(|uid| same.contains(&uid));
        let has_name = |name: Text| by_name.contains(&(object.reference.namespace.clone(), name));
        has_uid || names(object).any(has_name)
    };
    let gone: Vec<bool> = api_objects.iter().map(|object| object.is_backing && is_there(object)).collect();
    api_objects.into_iter().zip(gone).filter(|(_, gone)| !gone).map(|(object, _)| object).collect()
}

/// Without the stored objects of a kind that has a definition in `projectcalico.org` itself, where both kinds of definitions are installed: they may be
/// what a change from the one to the other left behind.
pub(super) fn select_enforced<'a>(
    kind: Kind,
    api_objects: Vec<ApiObject<'a>>,
    definitions: &BTreeSet<Text>,
    unread: &mut Vec<UnreadObject>,
) -> Vec<ApiObject<'a>> {
    let own = format!("{}.projectcalico.org", kind.plural_name());
    if !definitions.contains(own.as_str()) {
        return api_objects;
    }
    let (stored, direct): (Vec<_>, Vec<_>) =
        api_objects.into_iter().partition(|api_object| api_object.is_backing);
    unread.extend(stored.into_iter().map(|api_object| {
        api_object.reference.into_unread(format!(
            "no object of {own} is the same, and a cluster in which this is defined may not go by crd.projectcalico.org any more"
        ))
    }));
    direct
}

/// The UIDs that the resource of a stored object can have. Since release 3.28 it is the object's with the bits of each byte turned round; before, it was
/// in the annotation, or the object's own.
///
/// *Source*: `libcalico-go/lib/backend/k8s/conversion`, `ConvertUID`; before it commit f7e62a025f.
fn uids(object: &ApiObject<'_>) -> impl Iterator<Item = String> + use<> {
    let uid = &*object.reference.uid;
    let stored = annotation(&object.value).and_then(|more| Some(more.get("uid")?.as_str()?.to_owned()));
    let all = [(!uid.is_empty()).then(|| uid.to_owned()), converted_uid(uid), stored];
    all.into_iter().flatten()
}

fn converted_uid(uid: &str) -> Option<String> {
    let digits: String = uid.split('-').collect();
    if digits.len() != 32 {
        return None;
    }
    let own = u128::from_str_radix(&digits, 16).ok()?.to_be_bytes();
    let mut bytes = own.map(u8::reverse_bits);
    // They have the version and the variant of the UUID.
    (bytes[6], bytes[8]) = (own[6], own[8]);
    let text = format!("{:032x}", u128::from_be_bytes(bytes));
    Some([&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-"))
}

/// The names that the resource of a stored object can have.
fn names(object: &ApiObject<'_>) -> impl Iterator<Item = Text> + use<> {
    let read = |pointer: &str| object.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let name = read("/metadata/name");
    let in_default = matches!(read("/spec/tier"), "" | "default");
    let short = in_default.then(|| name.strip_prefix(DEFAULT)).flatten();
    let all = [Some(Text::from(name)), short.map(Text::from), Some(object.reference.name.clone())];
    all.into_iter().flatten()
}
