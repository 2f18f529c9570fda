//! Drawings, as numbers: shares of a drawing's width and height in ten-thousandths. What they show is in a table beside them as well.

/// A drawing over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figure {
    /// What it shows.
    pub caption: String,
    /// Times at its left end, its middle and its right end.
    pub axis: [String; 3],
    /// What its colours mean.
    pub legend: Vec<Key>,
    /// What is drawn.
    pub rows: Vec<Track>,
}

/// What a colour means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// The class of what has the colour: a word of the program.
    pub class: &'static str,
    pub words: String,
}

/// A row of a drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Track {
    /// What it is about; empty if it is the only row.
    pub label: String,
    /// What is drawn, the lowest layer first.
    pub bars: Vec<Bar>,
}

/// A rectangle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bar {
    /// The class of its colour.
    pub class: &'static str,
    /// Its left end.
    pub x: u32,
    pub width: u32,
    /// Its upper end.
    pub y: u32,
    pub height: u32,
    /// What it stands for, in words.
    pub title: String,
}

/// All of a drawing's width or height.
pub(crate) const WHOLE: u32 = 10_000;

/// Which share of a whole a part is.
pub(crate) fn share(part: i64, whole: i64) -> u32 {
    let share = i128::from(part.max(0)) * i128::from(WHOLE) / i128::from(whole.max(1));
    u32::try_from(share).map_or(WHOLE, |share| share.min(WHOLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_outside_of_the_drawing() {
        for (part, whole, expected) in [
            (0, 10, 0),
            (5, 10, 5_000),
            (10, 10, WHOLE),
            (11, 10, WHOLE),
            (-1, 10, 0),
            (1, 0, WHOLE),
            (i64::MAX, 1, WHOLE),
        ] {
            assert_eq!(share(part, whole), expected, "{part} of {whole}");
        }
    }
}
