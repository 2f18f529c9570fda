//! The document that a command prints for people, before it has a format.

use migration::check::finding::Severity;

use super::figure::Figure;

/// A heading and what stands below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Document {
    /// The heading.
    pub title: String,
    /// Everything below, in order.
    pub blocks: Vec<Block>,
}

/// A part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Block {
    /// A paragraph.
    Text(String),
    /// A heading below the document's, and the severity of what stands below it, with which it begins.
    Heading(Option<Severity>, String),
    /// Words and what they say: `why`, `Because ..`.
    Fields(Vec<(&'static str, String)>),
    /// A list. No more than a few dozen lines of it are shown.
    List(Vec<String>),
    /// Lines to paste: a manifest or a file.
    Code(String),
    /// A table: the names of the columns, and rows of as many cells.
    Table(Vec<&'static str>, Vec<Row>),
    /// A drawing of what tables beside it say, for pages alone.
    Figure(Figure),
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// How bad it is, where its first cell says so.
    pub severity: Option<Severity>,
    pub cells: Vec<String>,
}

impl Document {
    /// A document with nothing but a heading.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), blocks: Vec::new() }
    }

    /// Adds a paragraph.
    pub(crate) fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    pub(crate) fn heading(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Heading(None, text.into()));
    }

    /// Adds the heading of something that is as bad as this; none if it does not count.
    pub(crate) fn heading_of(&mut self, severity: Option<Severity>, text: impl Into<String>) {
        self.blocks.push(Block::Heading(severity, text.into()));
    }

    /// Adds words and what they say.
    pub(crate) fn fields(&mut self, fields: impl IntoIterator<Item = (&'static str, String)>) {
        self.blocks.push(Block::Fields(fields.into_iter().collect()));
    }

    /// Adds a list; more than `most` lines are counted instead.
    pub(crate) fn list(&mut self, lines: impl IntoIterator<Item = String>, most: usize) {
        let mut lines: Vec<String> = lines.into_iter().collect();
        if lines.len() > most {
            let rest = lines.len() - most;
            lines.truncate(most);
            lines.push(format!("and {rest} more; -o json lists all"));
        }
        if !lines.is_empty() {
            self.blocks.push(Block::List(lines));
        }
    }

    /// Adds lines as they are, such as those to paste.
    pub(crate) fn code(&mut self, lines: impl Into<String>) {
        let mut lines: String = lines.into();
        if !lines.ends_with('\n') {
            lines.push('\n');
        }
        self.blocks.push(Block::Code(lines));
    }

    pub(crate) fn table(&mut self, columns: Vec<&'static str>, rows: Vec<Vec<String>>) {
        let rows = rows.into_iter().map(|cells| Row { severity: None, cells }).collect();
        self.blocks.push(Block::Table(columns, rows));
    }

    /// Adds a drawing.
    pub(crate) fn figure(&mut self, figure: Figure) {
        self.blocks.push(Block::Figure(figure));
    }

    /// Adds a table whose rows say in their first cell how bad they are.
    pub(crate) fn table_of(&mut self, columns: Vec<&'static str>, rows: Vec<Row>) {
        self.blocks.push(Block::Table(columns, rows));
    }
}
