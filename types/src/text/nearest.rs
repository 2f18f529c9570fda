//! Suggestions for misspelt words.

/// The word of `known` that is nearest to `word`; none if no word is near.
#[must_use]
pub fn find_nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let near = candidates
        .iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&word.to_ascii_lowercase(), &candidate.to_ascii_lowercase()),
                *candidate,
            )
        })
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3);
    near.map(|(_, candidate)| candidate)
}

/// The end of an error about a `word` that is none of `known`: the nearest one, or all of them.
pub(crate) fn remedy(word: &str, candidates: &[&str]) -> String {
    match find_nearest(word, candidates) {
        Some(candidate) => format!("did you mean {candidate:?}?"),
        None => format!("expected one of {}", candidates.join(", ")),
    }
}
