//! Lists that are cut: the first few, and how many more there are.

/// The first `most` of these items, and a last one that counts the others: `and 3 more`.
#[must_use]
pub fn first_few<T: Into<String>>(items: impl IntoIterator<Item = T>, most: usize) -> Vec<String> {
    let mut first: Vec<String> = items.into_iter().map(Into::into).collect();
    let others = first.len().saturating_sub(most);
    first.truncate(most);
    first.extend((others > 0).then(|| format!("and {others} more")));
    first
}

/// The first `most` of these names in one text: `a, b and 3 more`.
#[must_use]
pub fn join_first<T: AsRef<str>>(names: impl IntoIterator<Item = T>, most: usize) -> String {
    let names: Vec<T> = names.into_iter().collect();
    let first: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    let text = first.join(", ");
    match names.len().saturating_sub(most) {
        0 => text,
        others => format!("{text} and {others} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_are_counted() {
        for (names, few, text) in [
            (&[][..], &[][..], ""),
            (&["a", "b"], &["a", "b"], "a, b"),
            (&["a", "b", "c", "d"], &["a", "b", "and 2 more"], "a, b and 2 more"),
        ] {
            assert_eq!(first_few(names.iter().copied(), 2), few);
            assert_eq!(join_first(names, 2), text);
        }
    }
}
