//! The reports of `policies check` and `policies convert`.

use netpol::compare::{Bound, Effect};
use netpol::convert::report::{Entry, Outcome};
use netpol::convert::{Conversion, Moment, MomentKind, Packet, StaleWaiver};
use netpol::gather::Reference;
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::add_outcomes;
use crate::cli::policies::Turn;
use crate::live::{ApplyReport, WriteReport};
use crate::print::{Document, Report};

/// How many entries are shown to people.
const SHOWN: usize = 60;

/// What became of the policies.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConversionReport {
    /// What was to be converted to what.
    #[serde(flatten)]
    pub turn: Turn,
    /// Whether everything is converted, but for what was accepted by name, and means the same.
    pub proven: bool,
    /// How many objects were written.
    pub objects: usize,
    /// What became of every field.
    pub fields: Vec<Entry>,
    /// Packets that are treated in another way.
    pub packets: Vec<Packet>,
    /// What happens in the course of a migration, before all pods have moved.
    pub moments: Vec<Moment>,
    /// Waivers that count for no policy as it is now.
    pub stale: Vec<StaleWaiver>,
    /// Policies that are staged: they are not enforced, and not converted.
    pub staged: Vec<Reference>,
    /// What both sides were compared in.
    pub bound: Bound,
    /// The file that the policies were written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What became of the policies in the cluster, where they were to be applied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub applied: Vec<WriteReport>,
    /// What stood in the way of that.
    #[serde(skip)]
    refused: Vec<Problem>,
    /// How the command ends where policies were to be applied.
    #[serde(skip)]
    ended: Exit,
}

impl ConversionReport {
    pub(super) fn new(turn: Turn, conversion: Conversion, staged: Vec<Reference>) -> Self {
        let proven = conversion.is_proven();
        let Conversion { objects, entries, packets, moments, stale, bound } = conversion;
        Self {
            turn,
            proven,
            objects: objects.len(),
            fields: entries,
            packets,
            moments,
            stale,
            staged,
            bound,
            file: None,
            applied: Vec::new(),
            refused: Vec::new(),
            ended: Exit::Done,
        }
    }

    /// Why the policies must not be applied before the migration, though they mean the same in the end.
    pub(super) fn too_early_problems(&self) -> Vec<Problem> {
        let applied = self.moments.iter().filter(|moment| moment.kind == MomentKind::Applied);
        let problem = |packet: &Packet| {
            let line = line(packet);
            Problem::new(format!(
                "as long as {} enforces policies, a packet would be treated in another way: {line}",
                self.turn.from
            ))
            .with_place("--apply")
            .fix("write the policies to a file with --out, and apply it at the end of the migration")
        };
        let unknown = |why: &String| {
            Problem::new(format!(
                "{} would enforce the new policies as well, and what they mean beside its own is not known: {why}",
                self.turn.from
            ))
            .with_place("--apply")
            .fix("write the policies to a file with --out, and apply it at the end of the migration")
        };
        let problems = |moment: &Moment| -> Vec<Problem> {
            moment.unread.iter().map(unknown).chain(moment.packets.iter().map(problem)).collect()
        };
        applied.flat_map(problems).collect()
    }

    /// Adds what became of the policies in the cluster.
    pub(super) fn apply(&mut self, applied: ApplyReport) {
        let ApplyReport { objects, problems, exit } = applied;
        (self.applied, self.refused, self.ended) = (objects, problems, exit);
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.fields.iter().filter(|entry| entry.outcome == outcome).count()
    }

    /// The entries that stop the conversion.
    fn stops(&self) -> impl Iterator<Item = &Entry> {
        self.fields.iter().filter(|entry| entry.stops())
    }

    /// Where the policies are, and what they mean.
    fn end(&self) -> String {
        let (policies, is, means) =
            if self.objects == 1 { ("policy", "is", "means") } else { ("policies", "are", "mean") };
        let place = match &self.file {
            Some(file) => format!("{is} in {file}"),
            None => "can be written".to_owned(),
        };
        let is_all = self.fields.iter().all(|entry| entry.waived.is_none());
        let but = if is_all { "" } else { " but for the losses that are accepted above" };
        format!("{} {policies} {place}, and {means} the same{but}.", self.objects)
    }

    /// Waivers to paste, for what could be accepted.
    fn waivers(&self) -> Option<String> {
        let mut objects: Vec<&Reference> = self.stops().map(|entry| &entry.object).collect();
        objects.extend(self.packets.iter().filter_map(|packet| packet.object.as_ref()));
        objects.sort();
        objects.dedup();
        let to_text = |reference: &Reference| {
            format!(
                "    - object: {}\n      uid: {:?}\n      generation: {}\n      reason: \"\"\n",
                reference.path(),
                &*reference.uid,
                reference.generation
            )
        };
        let all: String = objects.into_iter().map(to_text).collect();
        (!all.is_empty()).then(|| format!("policies:\n  waivers:\n{all}"))
    }
}

impl Report for ConversionReport {
    fn document(&self) -> Document {
        let mut document = Document::new(format!("Policies: {}", self.turn));
        document.text(format!(
            "Fields: {} exact, {} expanded, {} that hold for the cluster as it is now, {} impossible. Packets that are treated in another way: {}.",
            self.count(Outcome::Exact),
            self.count(Outcome::Expanded),
            self.count(Outcome::Snapshot),
            self.count(Outcome::Impossible),
            self.packets.len(),
        ));
        let entries: Vec<&Entry> = self.fields.iter().filter(|entry| entry.why.is_some()).collect();
        if !entries.is_empty() {
            document.heading("Fields that are not as they were");
            let row = |entry: &&Entry| {
                vec![
                    entry.object.path(),
                    entry.field.clone(),
                    outcome(entry).to_owned(),
                    entry.effect.map_or("", effect).to_owned(),
                    match &entry.waived {
                        Some(reason) => format!("accepted: {reason}"),
                        None => entry.why.clone().unwrap_or_default(),
                    },
                ]
            };
            let columns = vec!["OBJECT", "FIELD", "OUTCOME", "WITHOUT IT", "WHY"];
            document.table(columns, entries.iter().take(SHOWN).map(row).collect());
            if entries.len() > SHOWN {
                document.text(format!("And {} more; -o json lists all.", entries.len() - SHOWN));
            }
        }
        packets(&mut document, &self.packets);
        moments(&mut document, self);
        for stale in &self.stale {
            document.text(format!("The waiver for {} does not count: {}.", stale.object, stale.why));
        }
        if !self.staged.is_empty() {
            document.heading("Staged policies, which no CNI enforces and which are not converted");
            document.list(self.staged.iter().map(Reference::path), SHOWN);
        }
        document.heading("What was compared");
        document.text(describe_bound(&self.bound));
        if self.proven {
            document.text(self.end());
            add_outcomes(&mut document, &self.applied, &self.refused);
        } else {
            document.text("Nothing is written: something is lost, or means something else.");
            if let Some(waivers) = self.waivers() {
                document.text("To lose it all the same, add this to the settings file, each with a reason:");
                document.code(waivers);
            }
        }
        document
    }

    fn exit(&self) -> Exit {
        if self.proven { self.ended } else { Exit::No }
    }

    fn problems(&self) -> Vec<Problem> {
        let stop = |entry: &Entry| {
            let why = entry.why.clone().unwrap_or_default();
            Problem::new(format!("{}: {}: {}: {why}", entry.object.path(), entry.field, outcome(entry)))
                .with_place(entry.object.path())
                .fix("change the policy, or accept the loss with a waiver in the settings file: policies.waivers")
        };
        let packet = |packet: &Packet| {
            let line = line(packet);
            Problem::new(format!("a packet is treated in another way: {line}")).fix(
                "change the policies that the packet names so that their order or their kind does not matter",
            )
        };
        let stale = |stale: &StaleWaiver| {
            Problem::new(format!("the waiver for {} does not count: {}", stale.object, stale.why))
                .with_place("policies.waivers")
                .fix("remove the waiver, or write it anew for the policy as it is")
        };
        let stops = self.stops().map(stop);
        let stops = stops.chain(self.packets.iter().map(packet)).chain(self.stale.iter().map(stale));
        stops.chain(self.refused.iter().cloned()).collect()
    }
}

/// Adds packets that are treated in another way.
pub(super) fn packets(document: &mut Document, packets: &[Packet]) {
    if packets.is_empty() {
        return;
    }
    document.heading("Packets that are treated in another way");
    for packet in packets {
        document.code(packet.words.clone());
    }
}

/// Adds what happens in the course of a migration.
fn moments(document: &mut Document, report: &ConversionReport) {
    let turn = &report.turn;
    document.heading("Before all pods have moved");
    for moment in &report.moments {
        let when = match moment.kind {
            MomentKind::Applied => {
                format!("With the new policies applied, while {} enforces policies", turn.from)
            }
            MomentKind::OldNetwork => {
                format!("For pods that still have the old network, where {} enforces policies", turn.from)
            }
            MomentKind::NewNetwork => format!(
                "For pods that have the new network, if {} enforces policies before all pods have it",
                turn.to
            ),
        };
        if let Some(why) = &moment.unread {
            document.text(format!("{when}: how packets are treated is not known, since {why}."));
        } else if moment.packets.is_empty() {
            let is_listed = moment.kind == MomentKind::NewNetwork && !report.packets.is_empty();
            let but = if is_listed { " but those above" } else { "" };
            document.text(format!("{when}: every packet{but} is treated as now."));
        } else {
            document.text(format!("{when}: packets are treated in another way than now, such as"));
            moment.packets.iter().for_each(|packet| document.code(packet.words.clone()));
        }
    }
}

/// A packet in one line.
pub(super) fn line(packet: &Packet) -> String {
    let part = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    packet.words.lines().map(part).collect::<Vec<_>>().join(", ")
}

/// What both sides were compared in, as a sentence.
pub(super) fn describe_bound(bound: &Bound) -> String {
    let new = if bound.with_new_namespaces {
        "in namespaces that are there and that are to come"
    } else {
        "in the namespaces that are there"
    };
    format!(
        "Every packet of every protocol and port between pods, nodes and addresses outside. Policies tell these apart: pods: {}, pods that could be made {new}: {}, addresses of nodes: {}, addresses outside: {}. Packets between a pod and its own node, and to port 0, are not looked at.",
        bound.pods, bound.imagined, bound.nodes, bound.outside
    )
}

const fn outcome(entry: &Entry) -> &'static str {
    match entry.outcome {
        Outcome::Exact => "exact",
        Outcome::Expanded => "expanded",
        Outcome::Snapshot => "snapshot",
        Outcome::Impossible => "impossible",
    }
}

const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Widens => "more is let through",
        Effect::Narrows => "more is dropped",
        Effect::Unknown => "unknown",
        Effect::Nothing => "no packet changes",
    }
}
