//! Objects of kinds that no check reads.

use super::Identity;

/// How many kinds are named.
const NAMED: usize = 12;
/// How much of a name is kept. *Source*: Kubernetes, "Object Names and IDs": most names have at most 253 characters.
const LONGEST: usize = 253;

/// The objects of kinds that no check reads: a few kinds by name, and how many objects of others there are.
#[derive(Debug, Default)]
pub struct UnknownKinds {
    kinds: Vec<UnknownKind>,
    others: usize,
    /// The place of the kind whose first object has no name yet.
    unnamed: Option<usize>,
}

#[derive(Debug)]
struct UnknownKind {
    api_version: String,
    kind: String,
    /// The first object: `shop/web`.
    first: String,
    objects: usize,
}

impl UnknownKinds {
    pub(super) fn add(&mut self, api_version: &str, kind: &str) {
        let (api_version, kind) = (begin(api_version), begin(kind));
        let mut kinds = self.kinds.iter_mut();
        if let Some(entry) =
            kinds.find(|unknown_kind| unknown_kind.api_version == api_version && unknown_kind.kind == kind)
        {
            entry.objects += 1;
        } else if self.kinds.len() < NAMED {
            self.unnamed = Some(self.kinds.len());
            self.kinds.push(UnknownKind { api_version, kind, first: String::new(), objects: 1 });
        } else {
            self.others += 1;
        }
    }

    /// Names the object that was counted last, if it is the first one of its kind.
    pub(super) fn name(&mut self, identity: impl FnOnce() -> Option<Identity>) {
        let Some(unknown_kind) = self.unnamed.take().and_then(|place| self.kinds.get_mut(place)) else {
            return;
        };
        let Some(Identity { metadata, .. }) = identity() else { return };
        let name = [metadata.namespace, metadata.name].map(|part| begin(&part));
        unknown_kind.first = name.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    }

    /// `Firewall of example.com/v1 (shop/web)`, and so on.
    pub fn words(&self) -> impl Iterator<Item = String> {
        let text_of = |UnknownKind { api_version, kind, first, objects }: &UnknownKind| match objects {
            1 => format!("{kind} of {api_version} ({first})"),
            more => format!("{more} objects {kind} of {api_version} ({first} and others)"),
        };
        let others = (self.others > 0).then(|| format!("{} objects of other kinds", self.others));
        self.kinds.iter().map(text_of).chain(others)
    }
}

fn begin(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}
