//! The lines of a unit file.
//!
//! *Source*: man 7 `systemd.syntax`.

/// `Key=value` in a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) section: String,
    pub(super) key: String,
    /// The value, continuation lines joined; empty where the key is reset.
    pub(super) value: String,
}

/// The assignments of a file, in their order. What is no assignment is passed over, as systemd does.
pub(super) fn parse(text: &str) -> Vec<Assignment> {
    let mut section = String::new();
    let mut all = Vec::new();
    for line in logical_lines(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        let line = line.trim_matches([' ', '\t', '\n', '\r']);
        if let Some(name) = line.strip_prefix('[') {
            section = name.strip_suffix(']').unwrap_or_default().into();
        } else if let Some((key, value)) = line.split_once('=') {
            all.push(Assignment {
                section: section.clone(),
                key: key.trim_end().into(),
                value: value.trim_start_matches([' ', '\t', '\n', '\r']).into(),
            });
        }
    }
    all
}

/// Lines with their continuations: a backslash at the end is a blank and the next line follows; comments are left out, between
/// two continued lines as well.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for line in text.split(['\n', '\r']) {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let mut logical = open.take().unwrap_or_default();
        logical.push_str(line);
        if logical.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1 {
            logical.pop();
            logical.push(' ');
            open = Some(logical);
        } else {
            lines.push(logical);
        }
    }
    lines.extend(open);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_sections_and_continued_lines() {
        let text = "\u{feff}# first\n[Unit]\nDescription = a \n[Service]\nExecStart=/a \\\n  # not this\n; nor this\n  --b \\\n  --c\n\
                    Even=\\\\\nEmpty=\nno assignment\n[Broken\nX=1\nEnd=a\\";
        let lines: Vec<_> = parse(text)
            .into_iter()
            .map(|assignment| format!("{}|{}|{}", assignment.section, assignment.key, assignment.value))
            .collect();
        assert_eq!(
            lines,
            [
                "Unit|Description|a",
                "Service|ExecStart|/a    --b    --c",
                "Service|Even|\\\\",
                "Service|Empty|",
                "|X|1",
                "|End|a"
            ]
        );
    }
}
