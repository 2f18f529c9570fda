//! Choices that were drawn beforehand.

/// Numbers to choose by; 0 where they end.
#[derive(Debug)]
pub(crate) struct Choices(std::vec::IntoIter<u32>);

impl Choices {
    pub(crate) fn new(numbers: Vec<u32>) -> Self {
        Self(numbers.into_iter())
    }

    /// A number below `end`, or 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let number = usize::try_from(self.0.next().unwrap_or_default()).expect("32 bits");
        if end == 0 { 0 } else { number % end }
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of them, if there is one.
    pub(crate) fn pick<'v, T>(&mut self, items: &'v mut [T]) -> Option<&'v mut T> {
        let index = self.below(items.len());
        items.get_mut(index)
    }
}
