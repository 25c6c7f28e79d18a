//! The setting that trials chose for a run.

/// The setting that was chosen for a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tuned {
    /// In words.
    pub(crate) text: String,
    /// Among how many.
    pub(crate) settings: usize,
    /// The number of learning rates among them.
    pub(crate) rates: usize,
    /// Whether its own is the smallest or the largest.
    pub(crate) rate_at_edge: bool,
}

impl Tuned {
    /// That of a method with `tune = false` in a suite that tunes the others: no setting was tried.
    pub(crate) fn stated() -> Self {
        Self { text: String::new(), settings: 0, rates: 0, rate_at_edge: false }
    }

    /// Whether the suite states the setting, and trials chose nothing.
    pub(crate) fn is_stated(&self) -> bool {
        self.settings == 0
    }
}
