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
