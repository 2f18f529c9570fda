//! Lists of names in a message.

/// The first `most` of these names, followed by what `rest` says of the number of the others if there are any.
pub fn join_first<'a>(
    names: impl IntoIterator<Item = &'a str>,
    most: usize,
    rest: impl FnOnce(usize) -> String,
) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let text = names[..names.len().min(most)].join(", ");
    match names.len().saturating_sub(most) {
        0 => text,
        count => text + &rest(count),
    }
}

#[cfg(test)]
mod tests {
    use super::join_first;

    #[test]
    fn the_others_are_counted() {
        let join =
            |names: &[&str]| join_first(names.iter().copied(), 2, |count| format!(" and {count} more"));
        assert_eq!(join(&[]), "");
        assert_eq!(join(&["a", "b"]), "a, b");
        assert_eq!(join(&["a", "b", "c", "d"]), "a, b and 2 more");
    }
}
