//! The patterns of file names. *Source*: man 7 `glob`.

/// Whether a file name matches a pattern. *Source*: man 7 `glob`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = letters.as_str();
            name.char_indices()
                .map(|(index, _)| index)
                .chain([name.len()])
                .any(|start| matches(rest, &name[start..]))
        }
        Some(letter) => {
            let mut others = name.chars();
            let Some(other) = others.next() else {
                return false;
            };
            let rest = letters.as_str();
            let (fits, rest) = match letter {
                '?' => (true, rest),
                '[' => class(rest, other).unwrap_or((other == '[', rest)),
                _ => (letter == other, rest),
            };
            fits && matches(rest, others.as_str())
        }
    }
}

/// Whether a letter is in the class whose text begins behind `[`, and what follows the class; none where it is not closed.
fn class(text: &str, letter: char) -> Option<(bool, &str)> {
    let (text, negated) = text.strip_prefix(['!', '^']).map_or((text, false), |text| (text, true));
    // The first `]` of a class is one of its letters.
    let end = text.char_indices().skip(1).find(|(_, c)| *c == ']')?.0;
    let letters: Vec<char> = text[..end].chars().collect();
    let mut fits = false;
    let mut position = 0;
    while position < letters.len() {
        if position + 2 < letters.len() && letters[position + 1] == '-' {
            fits |= (letters[position]..=letters[position + 2]).contains(&letter);
            position += 3;
        } else {
            fits |= letters[position] == letter;
            position += 1;
        }
    }
    Some((fits != negated, &text[end + 1..]))
}
