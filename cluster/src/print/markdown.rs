//! A document as Markdown.

use super::{Block, Document};

/// Markdown as GitHub renders it.
pub(super) fn render(document: &Document) -> String {
    let mut text = format!("# {}\n", escape(&document.title));
    let is_text = |block: &&Block| !matches!(block, Block::Figure(_));
    for block in document.blocks.iter().filter(is_text) {
        text.push('\n');
        match block {
            Block::Text(words) => text.push_str(&format!("{}\n", escape(words))),
            Block::Heading(_, words) => text.push_str(&format!("## {}\n", escape(words))),
            Block::Fields(fields) => {
                for (name, value) in fields {
                    text.push_str(&format!("- **{name}**: {}\n", escape(value)));
                }
            }
            Block::List(lines) => {
                for line in lines {
                    text.push_str(&format!("- {}\n", escape(line)));
                }
            }
            // Four marks: what others wrote may have three in a line of its own.
            Block::Code(lines) => text.push_str(&format!("````yaml\n{lines}````\n")),
            Block::Table(columns, rows) => {
                text.push_str(&format!("| {} |\n", columns.join(" | ")));
                text.push_str(&format!("|{}\n", " --- |".repeat(columns.len())));
                for row in rows {
                    let cells: Vec<String> =
                        row.cells.iter().map(|cell| escape(cell).replace('|', "\\|")).collect();
                    text.push_str(&format!("| {} |\n", cells.join(" | ")));
                }
            }
            Block::Figure(_) => {}
        }
    }
    text
}

/// Text in which Markdown sees no marks: names of objects come from others.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => escaped.push(' '),
            '*' | '_' | '`' | '[' | ']' | '<' | '\\' | '#' => {
                escaped.push('\\');
                escaped.push(c);
            }
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_make_no_marks() {
        let mut document = Document::new("a");
        document.list(["<b>*x*\n# y".to_owned()], 9);
        document.table(vec!["A"], vec![vec!["a|b".to_owned()]]);
        let text = render(&document);
        assert_eq!(text, "# a\n\n- \\<b>\\*x\\* \\# y\n\n| A |\n| --- |\n| a\\|b |\n");
    }
}
