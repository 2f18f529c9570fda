//! A report as people read it.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use super::{Cost, Figure, Goal, Limit, Report, Row};
use crate::bench::statistics::Summary;

/// What the two sides of a row are unless it says otherwise.
const BARE_AND_SHIM: (&str, &str) = ("bare", "shim");

/// Values from here on need no more than two decimals.
const LARGE: f64 = 100.0;

pub(super) fn render(report: &Report) -> String {
    let mut parts = vec![heading(report), rows(&report.rows), costs(&report.costs)];
    parts.extend([figures(&report.figures), goals(&report.goals)]);
    for (title, lines) in
        [("Not run", &report.not_run), ("Errors", &report.errors), ("Leftovers", &report.leftovers)]
    {
        if !lines.is_empty() {
            parts.push(format!("{title}:\n  {}\n", lines.join("\n  ")));
        }
    }
    parts.join("\n")
}

fn heading(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "{}: {} cores of {}, {}; state on {} ({}); load {:.2} before, {:.2} after\n",
        report.date,
        machine.cores,
        machine.cpu,
        machine.kernel,
        machine.file_system,
        machine.device,
        machine.load[0],
        machine.load_at_end,
    );
    if let Some(warning) = machine.warning() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn rows(rows: &[Row]) -> String {
    let mut table = table(&[
        "milliseconds: min / median / p99 ±deviation",
        "pairs",
        "bare",
        "shim",
        "shim - bare: median / p99",
        "shim : bare (quartiles)",
    ]);
    for row in rows {
        let what = match (row.first.as_str(), row.second.as_str()) {
            BARE_AND_SHIM => row.what.clone(),
            (first, second) => format!("{} ({first} : {second})", row.what),
        };
        table.add_row([
            what,
            row.bare.count.to_string(),
            series(&row.bare),
            series(&row.through),
            format!("{} / {}", millis(row.difference.median_us), millis(row.difference.p99_us)),
            format!(
                "{:.2} ({:.2}, {:.2})",
                row.ratio.median, row.ratio.lower_quartile, row.ratio.upper_quartile
            ),
        ]);
    }
    finish(table)
}

fn costs(costs: &[Cost]) -> String {
    let mut header = vec![
        "beyond the delegates, in milliseconds",
        "floor: median / p99",
        "shim: median / p99",
        "shim : floor",
    ];
    let has_multus = costs.iter().any(|cost| cost.multus.is_some());
    if has_multus {
        header.extend(["Multus: median / p99", "Multus : floor"]);
    }
    let mut table = table(&header);
    let both = |cost: &Summary| format!("{} / {}", millis(cost.median_us), millis(cost.p99_us));
    for cost in costs {
        let mut cells =
            vec![cost.what.clone(), both(&cost.floor), both(&cost.overhead), format!("{:.2}", cost.to_floor)];
        if has_multus {
            let ratio = cost.multus_to_floor.map(|ratio| format!("{ratio:.2}"));
            cells.extend([cost.multus.as_ref().map(both).unwrap_or_default(), ratio.unwrap_or_default()]);
        }
        table.add_row(cells);
    }
    finish(table)
}

fn figures(figures: &[Figure]) -> String {
    let mut table = table(&["figure", "value", "unit"]);
    for figure in figures {
        table.add_row([figure.what.clone(), number(figure.value), figure.unit.clone()]);
    }
    finish(table)
}

fn goals(goals: &[Goal]) -> String {
    let mut table = table(&["numbers to reach", "verdict", "because"]);
    for goal in goals {
        let because: Vec<String> = goal.limits.iter().map(limit).collect();
        let verdict = if goal.is_reached() { "reached" } else { "MISSED" };
        table.add_row([goal.what.as_str(), verdict, &because.join("\n")]);
    }
    finish(table)
}

fn limit(limit: &Limit) -> String {
    let sign = if limit.held { "<=" } else { "> " };
    let (value, at_most) = (number(limit.value), number(limit.at_most));
    format!("{} {value} {sign} {at_most} {}", limit.what, limit.unit).trim_end().to_owned()
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header.to_vec());
    table
}

/// The table, its numbers to the right; nothing where there is none.
fn finish(mut table: Table) -> String {
    if table.row_count() == 0 {
        return String::new();
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

fn series(summary: &Summary) -> String {
    format!(
        "{} / {} / {} ±{}",
        millis(summary.min_us),
        millis(summary.median_us),
        millis(summary.p99_us),
        millis(summary.deviation_us)
    )
}

fn millis(us: f64) -> String {
    let millis = us / 1000.0;
    if millis.abs() >= LARGE { format!("{millis:.0}") } else { format!("{millis:.2}") }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}
