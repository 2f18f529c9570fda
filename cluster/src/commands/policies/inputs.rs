//! The inputs of the commands about policies.

use migration::check::Scene;
use migration::cni::cidr::{self, Usage};
use migration::cni::enforcement::{KINDS, cluster_policies, enforces, may_enforce};
use migration::cni::support::{Cni, Strategy};
use migration::config::Config;
use netpol::convert::CONVERTED_FROM;
use netpol::engines::kubernetes::Blocks;
use netpol::gather::{ADMIN, Engine, Reference, cluster};
use netpol::world::Cluster;
use serde_json::Value;
use snapshot::Range;
use snapshot::model::{IllegibleObject, Kind, Reading, Snapshot};
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::commands::source;

/// The settings and the snapshot.
pub(in crate::commands) struct PolicyInputs {
    pub(in crate::commands) config: Config,
    pub(in crate::commands) snapshot: Snapshot,
    from: Cni,
    to: Cni,
}

impl PolicyInputs {
    /// # Errors
    /// They cannot be read, or the snapshot lacks something without which it is unknown what policies mean.
    pub(super) fn gather(global: &Global, from: Cni, to: Cni) -> Result<Self, Failure> {
        let config = source::settings(global)?;
        let snapshot = source::snapshot(global, None)?;
        let (inputs, missing) = Self::over(config, snapshot, from, to);
        if missing.is_empty() { Ok(inputs) } else { Err(Failure::all(Exit::No, missing)) }
    }

    /// The same of what is there, with what it lacks.
    pub(in crate::commands) fn over(
        config: Config,
        snapshot: Snapshot,
        from: Cni,
        to: Cni,
    ) -> (Self, Vec<Problem>) {
        let inputs = Self { config, snapshot, from, to };
        let needed = source::policy_kinds(from, to);
        let lacks = |kind: &Kind| !inputs.snapshot.knows(*kind);
        let illegible = inputs.snapshot.illegible.iter().filter(|object| needed.contains(&object.kind));
        let mut missing: Vec<Problem> = illegible.take(MOST_UNREADABLE).map(unreadable_problem).collect();
        missing.extend(needed.into_iter().filter(lacks).map(|kind| unknown_kind_problem(&inputs, kind)));
        (inputs, missing)
    }

    fn scene(&self) -> Scene<'_> {
        let Self { config, snapshot, from, to } = self;
        Scene { snapshot, config, from: *from, to: *to, strategy: Strategy::Double }
    }

    /// Who enforces policies where this CNI is.
    ///
    /// # Errors
    /// No CNI does.
    pub(super) fn engine(&self, cni: Cni) -> Result<Engine, Failure> {
        cni.driver().engine(&self.scene()).ok_or_else(|| {
            let problem = Problem::new(format!(
                "{cni} enforces no network policies, so there is no meaning that could stay the same"
            ));
            let fix = "name a CNI that enforces policies; check says which policies begin to hold after the migration";
            Failure::from_problem(Exit::Usage, problem.fix(fix))
        })
    }

    /// Who enforces ClusterNetworkPolicies of Kubernetes where this CNI is, with what they mean by the API itself. `by` is what enforces the CNI's own
    /// policies, and `option` the one that asks for these.
    ///
    /// # Errors
    /// The CNI does not enforce them, or policies of its own are there, of which the evaluator of these says nothing.
    pub(super) fn cluster_engine(&self, cni: Cni, engine: Engine, option: &str) -> Result<Engine, Failure> {
        if let Err(why) = cluster_policies(&self.scene(), cni) {
            let problem = Problem::new(format!(
                "{option}: {cni} does not enforce ClusterNetworkPolicies of Kubernetes: {why}"
            ));
            let problem = problem
                .with_place(option)
                .fix("use policies of the new CNI's own kind or NetworkPolicies (--kind kubernetes), or install a release that enforces these with the settings for it, and read the cluster again");
            return Err(Failure::from_problem(Exit::No, problem));
        }
        let beside = engine.own_kinds().iter().flat_map(|kind| {
            self.snapshot.objects(*kind).iter().map(|object| Reference::from_object(*kind, object.value()))
        });
        let beside: Vec<Problem> = beside
            .map(|object| {
                Problem::new(format!(
                    "{object}: {cni} enforces it beside ClusterNetworkPolicies of Kubernetes, and no evaluator knows what both mean together"
                ))
                .with_place(object.path())
                .fix("remove it, or use policies of the new CNI's own kind")
            })
            .collect();
        if !beside.is_empty() {
            return Err(Failure::all(Exit::No, beside));
        }
        // Cilium alone judges ranges by who has the address, and names of ports by the whole cluster.
        Ok(Engine::Kubernetes(match engine {
            Engine::Cilium(settings) => {
                Blocks { pods: false, nodes: settings.ranges_match_nodes, names_of_cluster: true }
            }
            Engine::Kubernetes(_) | Engine::Calico | Engine::Antrea => {
                Blocks { pods: true, nodes: true, names_of_cluster: false }
            }
        }))
    }

    /// The ranges from which pods of both networks get their addresses.
    fn pod_ranges(&self) -> Vec<Range> {
        let claims = cidr::gather(&self.scene());
        snapshot::merge(
            claims.all.iter().filter(|claim| claim.usage.is_pods()).map(|claim| claim.range).collect(),
        )
    }

    /// The ranges of the addresses of Services.
    pub(super) fn service_ranges(&self) -> Vec<Range> {
        let claims = cidr::gather(&self.scene());
        claims.all.iter().filter(|claim| claim.usage == Usage::Service).map(|claim| claim.range).collect()
    }

    /// The cluster, as policies see it.
    ///
    /// # Errors
    /// An address of a node that is none, or no range of pods is known.
    pub(super) fn cluster(&self) -> Result<Cluster, Failure> {
        let ranges = self.pod_ranges();
        if ranges.is_empty() {
            let problem =
                Problem::new("nothing in the snapshot says from which ranges pods get their addresses")
                    .with_place("networks.old.cidrs")
                    .fix("name them in the settings file: networks.old.cidrs and networks.new.cidrs");
            return Err(Failure::from_problem(Exit::No, problem));
        }
        let (cluster, unread) = cluster(&self.snapshot, &ranges);
        let problem = |unread_object: &netpol::gather::UnreadObject| {
            Problem::new(format!("{}: {}", unread_object.object, unread_object.why))
                .with_place(unread_object.object.path())
                .fix(
                    "correct the address: without it Crossfade cannot tell which packets come from this node",
                )
        };
        if unread.is_empty() { Ok(cluster) } else { Err(Failure::all(Exit::No, unread.iter().map(problem))) }
    }

    /// Whether a CNI enforces policies of a kind, as it is installed.
    pub(super) fn enforces(&self, cni: Cni, kind: Kind) -> bool {
        enforces(&self.scene(), cni, kind)
    }

    /// The kinds of objects that an engine goes by where this CNI is. Of policies of administrators, its release may enforce none.
    fn kinds(&self, cni: Cni, engine: Engine) -> impl Iterator<Item = Kind> {
        let counts = move |kind: &Kind| !ADMIN.contains(kind) || self.enforces(cni, *kind);
        engine.kinds().iter().copied().filter(counts)
    }

    /// The objects that an engine goes by where this CNI is, without those that an earlier conversion made.
    pub(super) fn objects(&self, cni: Cni, engine: Engine) -> Vec<&Value> {
        self.present(cni, engine).filter(|object| !is_converted(object)).collect()
    }

    /// All objects that an engine goes by where this CNI is.
    pub(super) fn present(&self, cni: Cni, engine: Engine) -> impl Iterator<Item = &Value> {
        let kinds = self.kinds(cni, engine).chain([Kind::CUSTOM_RESOURCE_DEFINITION]);
        kinds.flat_map(|kind| self.snapshot.objects(kind)).map(snapshot::model::Object::value)
    }

    /// How many policies an engine goes by where this CNI is, or may go by where its release is unknown, with those that an earlier conversion made.
    pub(super) fn count(&self, cni: Cni, engine: Engine) -> usize {
        let scene = self.scene();
        let counts =
            |kind: &Kind| KINDS.contains(kind) && (!ADMIN.contains(kind) || may_enforce(&scene, cni, *kind));
        engine.kinds().iter().filter(|kind| counts(kind)).map(|kind| self.snapshot.objects(*kind).len()).sum()
    }

    /// The policies among those objects, with what they are.
    pub(super) fn policies(&self, cni: Cni, engine: Engine) -> Vec<(Reference, &Value)> {
        let no_policy = [Kind::NAMESPACE, Kind::CUSTOM_RESOURCE_DEFINITION, Kind::HOST_ENDPOINT];
        let kinds = self.kinds(cni, engine).filter(|kind| !no_policy.contains(kind));
        let all = kinds
            .flat_map(|kind| self.snapshot.objects(kind).iter().map(move |object| (kind, object.value())));
        all.filter(|(_, object)| !is_converted(object))
            .map(|(kind, object)| (Reference::from_object(kind, object), object))
            .collect()
    }
}

/// A conversion made this object.
fn is_converted(object: &Value) -> bool {
    object.pointer("/metadata/annotations").is_some_and(|all| all.get(CONVERTED_FROM).is_some())
}

/// How many objects that cannot be read are named.
pub(super) const MOST_UNREADABLE: usize = 12;

fn unreadable_problem(illegible: &IllegibleObject) -> Problem {
    let place = format!("{}/{}/{}", illegible.kind, illegible.namespace, illegible.name);
    Problem::new(format!("{place}: {}, and what policies mean without it is not known", illegible.why))
        .with_place(place)
        .fix("correct the field that is named here, or delete the object")
}

fn unknown_kind_problem(inputs: &PolicyInputs, kind: Kind) -> Problem {
    let why = match inputs.snapshot.readings.get(&kind) {
        Some(Reading::Forbidden(why)) => format!("they may not be read: {why}"),
        Some(Reading::Incomplete(why)) => {
            let problem = Problem::new(format!("{}: not all of them are known: {why}", kind.resource()));
            return problem
                .with_place(kind.name())
                .fix("dump all of them once: kubectl crossfade check --dump-script prints the script");
        }
        _ => "they are not in the snapshot".into(),
    };
    Problem::new(format!("{}: {why}, and what policies mean without them is unknown", kind.resource()))
        .with_place(kind.name())
        .fix("read them with the rights in deploy/cluster/rbac-viewer.yaml, or name kinds that the cluster has no object of with --dumped")
}
