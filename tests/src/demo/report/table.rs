//! The report as a person reads it.

use std::fmt;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use super::{Leftovers, Migration, Naive, Report};
use crate::demo::witness::CallCounts;

/// One line below the head, nothing else.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Losses that are listed one by one; the rest is in the JSON.
const LOSSES_TOLD: usize = 20;

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Naive { pods_stopped, leases_leaked, dels_astray, pods_moved_silently } = self.naive;
        writeln!(out, "Without Crossfade, a second conf dropped in first:")?;
        writeln!(
            out,
            "  {pods_stopped} pods stopped, leases leaked: {leases_leaked}; {dels_astray} DELs went to the new \
             network; pods that changed network silently: {pods_moved_silently}"
        )?;
        if !self.migrations.is_empty() {
            writeln!(out, "\nWith Crossfade, {} nodes of {} pods:", self.nodes, self.pods_per_node)?;
            writeln!(out, "\n{}", probes(&self.migrations))?;
            writeln!(out, "\n{}", calls(&self.migrations))?;
            writeln!(out, "\n{}", outcome(&self.migrations))?;
        }
        for migration in &self.migrations {
            for loss in migration.losses.iter().take(LOSSES_TOLD) {
                writeln!(out, "lost, {}: {loss}", migration.strategy)?;
            }
            let more = migration.losses.len().saturating_sub(LOSSES_TOLD);
            if more > 0 {
                writeln!(out, "lost, {}: {more} more", migration.strategy)?;
            }
        }
        let seconds = self.duration_ms / 1000;
        if self.is_success() {
            return writeln!(out, "\nNothing lost, nothing left behind, {seconds} s.");
        }
        writeln!(out, "\nFAILED after {seconds} s:")?;
        self.problems.iter().try_for_each(|problem| writeln!(out, "  {problem}"))
    }
}

/// Probes by strategy and phase.
fn probes(migrations: &[Migration]) -> Table {
    let mut table = table(&["strategy", "phase", "probes", "answered", "LOST", "excused", "late"]);
    for migration in migrations {
        for (index, phase) in migration.phases.iter().enumerate() {
            let strategy = if index == 0 { migration.strategy.as_str() } else { "" };
            let mut row = vec![strategy.to_owned(), phase.phase.clone()];
            let counts = [phase.sent, phase.answered, phase.lost, phase.excused, phase.late];
            row.extend(counts.map(|count| count.to_string()));
            table.add_row(row);
        }
    }
    numbers_from(table, 2)
}

/// Calls by strategy and network.
fn calls(migrations: &[Migration]) -> Table {
    let mut table = table(&["strategy", "network", "ADDs", "DELs of its own", "DELs ASTRAY", "DELs OWED"]);
    for migration in migrations {
        for (index, (network, counts)) in migration.asked.iter().enumerate() {
            let strategy = if index == 0 { migration.strategy.as_str() } else { "" };
            let CallCounts { adds, dels, foreign_dels, owed_dels } = *counts;
            let mut row = vec![strategy.to_owned(), network.name().to_owned()];
            row.extend([adds, dels, foreign_dels, owed_dels].map(|count| count.to_string()));
            table.add_row(row);
        }
    }
    numbers_from(table, 2)
}

/// One line of facts, one column per strategy.
type Fact = (&'static str, fn(&Migration) -> String);

/// What became of the pods, by strategy.
const FACTS: [Fact; 13] = [
    ("forwarding between old and new", Migration::forwarding_in_words),
    ("crossfade, conf directory", |migration| migration.arrival.as_str().to_owned()),
    ("pods untouched by its arrival", |migration| migration.untouched.to_string()),
    ("pods re-created", |migration| migration.recreated.to_string()),
    ("networks that joined or left pods that ran", |migration| migration.changed.to_string()),
    ("published ports that led to their pod", |migration| migration.ports_answered.to_string()),
    ("pods on a WRONG network", |migration| migration.misplaced.len().to_string()),
    ("leases LEFT", |migration| migration.left.leases.to_string()),
    ("records LEFT", |migration| migration.left.records.to_string()),
    ("inventory entries LEFT", |migration| migration.left.inventory.to_string()),
    ("namespaces, port rules LEFT", |migration| {
        let Leftovers { netns, port_rules, .. } = migration.left;
        format!("{netns}, {port_rules}")
    }),
    ("probes LOST", |migration| migration.lost().to_string()),
    ("longest stall of a probe agent", |migration| format!("{} ms", migration.longest_stall_ms)),
];

fn outcome(migrations: &[Migration]) -> Table {
    let mut head = vec![""];
    head.extend(migrations.iter().map(|migration| migration.strategy.as_str()));
    let mut table = table(&head);
    for (name, fact) in FACTS {
        let mut row = vec![name.to_owned()];
        row.extend(migrations.iter().map(fact));
        table.add_row(row);
    }
    numbers_from(table, 1)
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(head.to_vec());
    table
}

/// Aligns the columns from `first` on to the right.
fn numbers_from(mut table: Table, first: usize) -> Table {
    table.column_iter_mut().skip(first).for_each(|column| {
        column.set_cell_alignment(CellAlignment::Right);
    });
    table
}

#[cfg(test)]
mod tests {
    use super::super::tests::{migration, naive};
    use super::*;
    use crate::probe::{Kind, Loss};

    #[test]
    fn a_success_says_so_and_a_loss_is_named() {
        let success = Report::new((2, 2), naive(), vec![migration()], 61_000).to_string();
        assert!(success.ends_with("Nothing lost, nothing left behind, 61 s.\n"), "{success}");
        let mut lossy = migration();
        lossy.phases[0].lost = 21;
        let loss = Loss {
            phase: "new".to_owned(),
            wall_ms: 1,
            monotonic_ns: 1,
            src: "n1-1".to_owned(),
            dst: "n2-1".to_owned(),
            address: [10, 244, 2, 2].into(),
            kind: Kind::Udp,
            seq: 7,
            cause: "no answer".to_owned(),
        };
        lossy.losses = vec![loss; 21];
        let failure = Report::new((2, 2), naive(), vec![lossy], 61_000).to_string();
        assert_eq!(
            failure.matches("lost, double: udp n1-1 -> n2-1 (10.244.2.2) #7").count(),
            20,
            "{failure}"
        );
        assert!(failure.contains("lost, double: 1 more\n"), "{failure}");
        let output = "FAILED after 61 s:\n  double: 21 probes lost in phase new\n";
        assert!(failure.ends_with(output), "{failure}");
    }
}
