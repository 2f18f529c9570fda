//! A document as one HTML page: without scripts, and without anything from elsewhere.

use askama::Template;
use migration::check::finding::Severity;
use types::text::escape::{line, lines};

use super::figure::{Bar, Figure, Key, Track};
use super::{Block, Document, Row};

/// The page. The template writes every text as text: `<` of a name is `&lt;`.
#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    document: Document,
}

impl Page {
    /// The headings, with their numbers.
    fn headings(&self) -> impl Iterator<Item = (usize, &str)> {
        self.document.blocks.iter().enumerate().filter_map(|(index, block)| match block {
            Block::Heading(_, words) => Some((index, words.as_str())),
            _ => None,
        })
    }
}

/// How bad something is, as a class and a word. Templates hand over references.
fn word(severity: &Severity) -> &'static str {
    match severity {
        Severity::Blocks => "blocks",
        Severity::Risk => "risk",
        Severity::Note => "note",
    }
}

/// The page of a document.
pub(crate) fn page(document: &Document) -> String {
    // A String takes everything that a template of these types can write.
    Page { document: harmless(document) }.render().unwrap_or_default()
}

/// The same document in which every text is seen as it is: a browser obeys changes of direction in a name.
fn harmless(document: &Document) -> Document {
    let cells =
        |row: &Row| Row { severity: row.severity, cells: row.cells.iter().map(|cell| line(cell)).collect() };
    let blocks = document.blocks.iter().map(|block| match block {
        Block::Text(words) => Block::Text(line(words)),
        Block::Heading(severity, words) => Block::Heading(*severity, line(words)),
        Block::Fields(fields) => {
            Block::Fields(fields.iter().map(|(name, value)| (*name, line(value))).collect())
        }
        Block::List(entries) => Block::List(entries.iter().map(|entry| line(entry)).collect()),
        Block::Code(code) => Block::Code(lines(code)),
        Block::Table(columns, rows) => Block::Table(columns.clone(), rows.iter().map(cells).collect()),
        Block::Figure(figure) => Block::Figure(drawn(figure)),
    });
    Document { title: line(&document.title), blocks: blocks.collect() }
}

fn drawn(figure: &Figure) -> Figure {
    let bar = |bar: &Bar| Bar { title: line(&bar.title), ..bar.clone() };
    let track =
        |track: &Track| Track { label: line(&track.label), bars: track.bars.iter().map(bar).collect() };
    let key = |key: &Key| Key { words: line(&key.words), ..key.clone() };
    Figure {
        caption: line(&figure.caption),
        axis: figure.axis.clone().map(|time| line(&time)),
        legend: figure.legend.iter().map(key).collect(),
        rows: figure.rows.iter().map(track).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}\u{1b}[2J";

    #[test]
    fn names_of_others_are_text_wherever_they_stand() {
        let mut document = Document::new(HOSTILE);
        document.text(HOSTILE);
        document.heading_of(Some(Severity::Risk), HOSTILE);
        document.fields([("name", HOSTILE.to_owned())]);
        document.list([HOSTILE.to_owned()], 9);
        document.code(HOSTILE);
        document.table(vec!["A"], vec![vec![HOSTILE.to_owned()]]);
        let bar = Bar { class: "s-moving", x: 0, width: 1, y: 0, height: 1, title: HOSTILE.into() };
        document.figure(Figure {
            caption: HOSTILE.into(),
            axis: [HOSTILE; 3].map(Into::into),
            legend: vec![Key { class: "s-moving", words: HOSTILE.into() }],
            rows: vec![Track { label: HOSTILE.into(), bars: vec![bar] }],
        });
        let page = page(&document);
        assert!(
            !page.contains("<script") && !page.contains('\u{202e}') && !page.contains('\u{1b}'),
            "{page}"
        );
        let shown = page.matches("alert(1)").count();
        // Title and heading; each block once, a heading in the list of headings as well; caption, axis, legend, label twice and title.
        assert_eq!(shown, 2 + 7 + 8, "{page}");
        assert_eq!(page.matches("&#60;script&#62;").count(), shown, "{page}");
    }
}
