//! The setting that trials chose for a run.

/// The setting that was chosen for a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tuned {
    /// The setting as text.
    pub(crate) text: String,
    /// The number of settings that were tried.
    pub(crate) settings: usize,
    /// The number of distinct learning rates among them.
    pub(crate) rates: usize,
    /// Whether the chosen learning rate is the smallest or the largest of them.
    pub(crate) rate_at_edge: bool,
}

impl Tuned {
    /// The entry of a method with `tune = false` in a suite that tunes the others: no setting was tried.
    pub(crate) fn stated() -> Self {
        Self { text: String::new(), settings: 0, rates: 0, rate_at_edge: false }
    }

    /// Whether the suite states the setting, so that trials chose nothing.
    pub(crate) fn is_stated(&self) -> bool {
        self.settings == 0
    }
}
