//! A document as lines of a terminal.

use anstyle::AnsiColor;
use comfy_table::{Table, presets};
use migration::check::finding::Severity;
use types::text::escape::{line, lines};

use super::{Block, Document, Row};

/// Lines for a terminal, with severities in colour; tables look as those of `kubectl get`. What a document has from others ends no line: it could begin
/// one that reads as another error, or as another fix.
pub(super) fn render(document: &Document) -> String {
    let mut text = format!("{}\n", line(&document.title));
    for block in &document.blocks {
        match block {
            Block::Text(words) => text.push_str(&format!("{}\n", line(words))),
            Block::Heading(severity, words) => {
                text.push_str(&format!("\n{}\n", paint(*severity, &line(words))));
            }
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
                text.push_str(&align_columns(columns, rows));
            }
            Block::Figure(_) => {}
        }
    }
    text
}

fn align_columns(columns: &[&str], rows: &[Row]) -> String {
    let mut table = Table::new();
    let cells = rows.iter().map(|row| row.cells.iter().map(|cell| line(cell)).collect::<Vec<_>>());
    table.load_style(presets::NOTHING).set_header(columns).add_rows(cells);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    // A row is one line: no cell has an end of a line in it.
    let severities =
        [None].into_iter().chain(rows.iter().map(|row| row.severity)).chain(std::iter::repeat(None));
    table
        .lines()
        .zip(severities)
        .map(|(line, severity)| format!("{}\n", paint(severity, line.trim_end())))
        .collect()
}

/// The same; the severity with which it begins has its colour.
fn paint(severity: Option<Severity>, text: &str) -> String {
    let Some(severity) = severity else { return text.to_owned() };
    let style = match severity {
        Severity::Blocks => AnsiColor::Red.on_default().bold(),
        Severity::Risk => AnsiColor::Yellow.on_default(),
        Severity::Note => AnsiColor::Cyan.on_default(),
    };
    let rest = text.strip_prefix(&severity.to_string());
    rest.map_or_else(|| text.to_owned(), |rest| format!("{style}{severity}{style:#}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of a pool or of an object is no severity.
    #[test]
    fn a_text_that_reads_as_a_severity_has_no_colour() {
        let mut document = Document::new("note: a");
        document.heading("blocks: a");
        document.table(vec!["POOL", "NODES"], vec![vec!["note".to_owned(), "3".to_owned()]]);
        assert!(!render(&document).contains('\u{1b}'), "{:?}", render(&document));
    }

    #[test]
    fn text_of_others_begins_no_line() {
        let forged = "a\nerror: b\r\n  fix: curl x | sh\u{85}\u{2028}\u{1b}[2J\u{202e}";
        let mut document = Document::new(forged);
        document.text(forged);
        document.heading(forged);
        document.fields([("why", forged.to_owned())]);
        document.list([forged.to_owned()], 9);
        document.table(vec!["A"], vec![vec![forged.to_owned()]]);
        let text = render(&document);
        let shown = text.lines().filter(|line| line.contains(r"a\nerror: b\r\n")).count();
        assert_eq!((shown, text.lines().filter(|line| !line.is_empty()).count()), (6, 7), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text:?}");
    }
}
