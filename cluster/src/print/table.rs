//! A document as lines of a terminal.

use comfy_table::{Table, presets};

use super::{Block, Document};

/// Lines for a terminal; tables look as those of `kubectl get`.
pub(super) fn rendered(document: &Document) -> String {
    let mut text = format!("{}\n", document.title);
    for block in &document.blocks {
        match block {
            Block::Text(words) => text.push_str(&format!("{words}\n")),
            Block::Heading(words) => text.push_str(&format!("\n{words}\n")),
            Block::Fields(fields) => {
                for (name, value) in fields {
                    text.push_str(&format!("  {name}: {value}\n"));
                }
            }
            Block::List(lines) => {
                for line in lines {
                    text.push_str(&format!("  - {line}\n"));
                }
            }
            Block::Code(lines) => {
                for line in lines.lines() {
                    text.push_str(&format!("{line}\n"));
                }
            }
            Block::Table(columns, rows) => {
                text.push('\n');
                text.push_str(&columned(columns, rows));
            }
        }
    }
    text
}

fn columned(columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
