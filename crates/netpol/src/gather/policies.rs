//! All policies that one engine goes by.

use serde_json::Value;
use snapshot::model::{Kind, Object, Snapshot};

use super::antrea::Antrea;
use super::calico::Calico;
use super::engine::{ADMIN, CILIUM, Engine};
use super::objects::Objects;
use super::reference::{Reference, UnreadObject};
use crate::engines::cilium::Settings;
use crate::engines::kubernetes::Blocks;
use crate::engines::refusal::Refusal;
use crate::engines::{admin, antrea, calico, cilium, kubernetes};
use crate::gather::catalog::Catalog;
use crate::tier::Enforcement;
use crate::world::mention::Mentions;
use crate::world::{Cluster, World};

/// All policies that one engine goes by, as far as they can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Policies {
    pub kubernetes: Catalog<kubernetes::Policy>,
    /// What only this engine goes by.
    pub engine_policies: EnginePolicies,
    /// The objects that are not read, all of them. What the engine does by them is in no [`Enforcement`].
    pub unread: Vec<UnreadObject>,
}

/// What only one engine goes by, with what changes the meaning of policies.
#[derive(Debug, Clone, PartialEq)]
pub enum EnginePolicies {
    /// Of Kubernetes: policies of administrators.
    Kubernetes(Catalog<admin::Policy>, Blocks),
    Calico(Box<Calico>),
    Antrea(Antrea),
    /// Of Cilium: its policies. One object can have several.
    Cilium(Catalog<cilium::Policy>, Settings),
}

impl Policies {
    /// Those of a snapshot.
    #[must_use]
    pub fn gather(engine: Engine, snapshot: &Snapshot) -> Self {
        let kinds = engine.kinds().iter().chain(&[Kind::CUSTOM_RESOURCE_DEFINITION]);
        let mut all = Self::read(engine, kinds.flat_map(|kind| snapshot.objects(*kind)).map(Object::value));
        let illegible = snapshot.illegible.iter().filter(|object| engine.kinds().contains(&object.kind));
        all.unread.extend(illegible.map(Reference::illegible_object));
        all
    }

    /// Those of any objects of the API; of objects that the engine does not go by, nothing is said. CustomResourceDefinitions tell which objects of
    /// Calico's may be left over.
    #[must_use]
    pub fn read<'a>(engine: Engine, objects: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut unread = Vec::new();
        let objects = Objects::gather(engine.kinds(), objects, &mut unread);
        // Whether an evaluator takes a policy does not depend on who is there.
        let empty_world = World::new(&Cluster::default(), &Mentions::default());
        let own = match engine {
            Engine::Kubernetes(blocks) => {
                EnginePolicies::Kubernetes(gather_admin(&objects, &mut unread), blocks)
            }
            Engine::Calico => {
                EnginePolicies::Calico(Box::new(Calico::gather(&objects, &empty_world, &mut unread)))
            }
            Engine::Antrea => EnginePolicies::Antrea(Antrea::gather(&objects, &empty_world, &mut unread)),
            Engine::Cilium(settings) => {
                EnginePolicies::Cilium(gather_cilium(&objects, settings, &empty_world, &mut unread), settings)
            }
        };
        if !matches!(engine, Engine::Kubernetes(_)) {
            let why = format!(
                "the evaluator of {} has no place for policies of administrators beside its own",
                engine.name()
            );
            let all = objects.all(&ADMIN).map(|object| object.reference.clone());
            unread.extend(all.map(|reference| reference.into_unread(why.as_str())));
        }
        let plain = objects.read(&[Kind::NETWORK_POLICY], &mut unread, kubernetes::read);
        let mut policies = Self { kubernetes: Catalog::default(), engine_policies: own, unread: Vec::new() };
        policies.kubernetes =
            plain.retain_valid(&mut unread, |policy| policies.check_kubernetes(policy, &empty_world));
        Self { unread, ..policies }
    }

    /// Whether the engine's evaluator takes a NetworkPolicy of Kubernetes.
    fn check_kubernetes(&self, policy: &kubernetes::Policy, empty_world: &World) -> Result<(), Refusal> {
        let all = std::slice::from_ref(policy);
        match &self.engine_policies {
            EnginePolicies::Cilium(_, settings) => {
                let input = cilium::Input { policies: &[], kubernetes: all, settings: *settings };
                cilium::enforcement(&input, empty_world).map(drop)
            }
            EnginePolicies::Kubernetes(..) | EnginePolicies::Calico(_) | EnginePolicies::Antrea(_) => {
                Ok(kubernetes::mentions(all).map(drop)?)
            }
        }
    }

    /// Who enforces them.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        match self.engine_policies {
            EnginePolicies::Kubernetes(_, blocks) => Engine::Kubernetes(blocks),
            EnginePolicies::Calico(_) => Engine::Calico,
            EnginePolicies::Antrea(_) => Engine::Antrea,
            EnginePolicies::Cilium(_, settings) => Engine::Cilium(settings),
        }
    }

    /// The policies that are there and not enforced, since Calico has them staged.
    #[must_use]
    pub fn staged_policies(&self) -> &[Reference] {
        match &self.engine_policies {
            EnginePolicies::Calico(all) => &all.staged,
            EnginePolicies::Kubernetes(..) | EnginePolicies::Antrea(_) | EnginePolicies::Cilium(..) => &[],
        }
    }

    /// What those policies mention that are read.
    ///
    /// # Errors
    /// What the evaluator does not take of all of them together.
    pub fn mentions(&self) -> Result<Mentions, String> {
        let plain = &self.kubernetes.entries;
        match &self.engine_policies {
            EnginePolicies::Kubernetes(own, blocks) => {
                admin::mentions(&admin::Input { policies: &own.entries, kubernetes: plain, blocks: *blocks })
            }
            EnginePolicies::Calico(own) => calico::mentions(&own.input(plain)),
            EnginePolicies::Antrea(own) => Ok(antrea::mentions(&own.input(plain))?),
            EnginePolicies::Cilium(own, settings) => cilium::mentions(&cilium::Input {
                policies: &own.entries,
                kubernetes: plain,
                settings: *settings,
            }),
        }
    }

    /// Those policies that are read, as the engine enforces them.
    ///
    /// # Errors
    /// What the evaluator does not take of all of them together, such as two policies of which the API leaves open which comes first.
    pub fn enforcement(&self, world: &World) -> Result<Enforcement, String> {
        let plain = &self.kubernetes.entries;
        match &self.engine_policies {
            EnginePolicies::Kubernetes(own, blocks) => {
                let input = admin::Input { policies: &own.entries, kubernetes: plain, blocks: *blocks };
                admin::enforcement(&input, world)
            }
            EnginePolicies::Calico(own) => Ok(calico::enforcement(&own.input(plain), world)?),
            EnginePolicies::Antrea(own) => Ok(antrea::enforcement(&own.input(plain), world)?),
            EnginePolicies::Cilium(own, settings) => {
                let input = cilium::Input { policies: &own.entries, kubernetes: plain, settings: *settings };
                Ok(cilium::enforcement(&input, world)?)
            }
        }
    }
}

fn gather_admin(objects: &Objects<'_>, unread: &mut Vec<UnreadObject>) -> Catalog<admin::Policy> {
    let [current, older, baseline] = ADMIN;
    let mut catalog = objects.read(&[current], unread, admin::read);
    catalog.extend(objects.read(&[older], unread, admin::read_admin));
    catalog.extend(objects.read(&[baseline], unread, admin::read_baseline));
    catalog
}

/// An object is read as a whole or not at all, however many policies it has.
fn gather_cilium(
    objects: &Objects<'_>,
    settings: Settings,
    empty_world: &World,
    unread: &mut Vec<UnreadObject>,
) -> Catalog<cilium::Policy> {
    let read = |object: &Value| match cilium::read_policies(object)? {
        none if none.is_empty() => Err("spec: expected it, or specs".into()),
        outcome => Ok(outcome),
    };
    let catalog = objects.read(&CILIUM, unread, read).retain_valid(unread, |policies| {
        let input = cilium::Input { policies, kubernetes: &[], settings };
        cilium::enforcement(&input, empty_world).map(drop)
    });
    let mut each = Catalog::default();
    for (object, policies) in catalog.references.into_iter().zip(catalog.entries) {
        policies.into_iter().for_each(|policy| each.add(object.clone(), policy));
    }
    each
}
