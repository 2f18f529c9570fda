//! A document as lines of a terminal.

use anstyle::AnsiColor;
use comfy_table::{Table, presets};
use types::shown::{line, lines};

use super::{Block, Document};
use crate::finding::Severity;

/// Lines for a terminal, with severities in colour; tables look as those of `kubectl get`. What a document has from others ends no line: it could begin
/// one that reads as another error, or as another fix.
pub(super) fn rendered(document: &Document) -> String {
    let mut text = format!("{}\n", line(&document.title));
    for block in &document.blocks {
        match block {
            Block::Text(words) => text.push_str(&format!("{}\n", line(words))),
            Block::Heading(words) => text.push_str(&format!("\n{}\n", painted(&line(words)))),
            Block::Fields(fields) => {
                for (name, value) in fields {
                    text.push_str(&format!("  {name}: {}\n", line(value)));
                }
            }
            Block::List(entries) => {
                for entry in entries {
                    text.push_str(&format!("  - {}\n", line(entry)));
                }
            }
            Block::Code(code) => text.push_str(&lines(code)),
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
    let rows = rows.iter().map(|row| row.iter().map(|cell| line(cell)).collect::<Vec<_>>());
    table.load_style(presets::NOTHING).set_header(columns).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| format!("{}\n", painted(line.trim_end()))).collect()
}

/// The same; a severity with which it begins has its colour.
fn painted(text: &str) -> String {
    let style = |severity| match severity {
        Severity::Blocks => AnsiColor::Red.on_default().bold(),
        Severity::Risk => AnsiColor::Yellow.on_default(),
        Severity::Note => AnsiColor::Cyan.on_default(),
    };
    let begins = |severity: Severity| {
        let rest = text.strip_prefix(&severity.to_string()).filter(|rest| rest.starts_with([':', ' ']))?;
        let style = style(severity);
        Some(format!("{style}{severity}{style:#}{rest}"))
    };
    Severity::ALL.into_iter().find_map(begins).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_begins_no_line() {
        let forged = "a\nerror: b\r\n  fix: curl x | sh\u{85}\u{2028}\u{1b}[2J\u{202e}";
        let mut document = Document::new(forged);
        document.text(forged);
        document.heading(forged);
        document.fields([("why", forged.to_owned())]);
        document.list([forged.to_owned()], 9);
        document.table(vec!["A"], vec![vec![forged.to_owned()]]);
        let text = rendered(&document);
        let shown = text.lines().filter(|line| line.contains(r"a\nerror: b\r\n")).count();
        assert_eq!((shown, text.lines().filter(|line| !line.is_empty()).count()), (6, 7), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text:?}");
    }
}
