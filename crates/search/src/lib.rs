//! Search over a space of architectures or settings: a space maps names to lists of values; the value and the
//! cost of a member are computed by closures.
//!
//! [`Search::evolution`] is the search of AutoMoE: Jawahar et al. *AutoMoE: Heterogeneous
//! Mixture-of-Experts with Adaptive Computation for Efficient Neural Machine Translation*. 2022.
//! <https://arxiv.org/abs/2210.07535>, section 3.3. [`Search::random`] is its baseline with as many
//! evaluations.
//!
//! All randomness is derived from a seed. Each cost and each value is written to a history file at once, so
//! that a killed search resumes with the same members and ends with the same populations.

mod candidate;
mod evolution;
mod gene;
mod history;
mod member;
mod random;
mod space;
mod trials;

pub use candidate::{Candidate, Found};
pub use evolution::Evolution;
pub use gene::{Gene, Length, ListGene};
pub use history::History;
pub use member::Member;
pub use space::Space;
pub use trials::{Limit, Search};

use std::{io, path::PathBuf};

/// The reason why a closure returned no number.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error that ends a search.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The space is invalid.
    #[error("{0}")]
    Space(String),
    /// The settings of an evolution are inconsistent.
    #[error("{0}")]
    Settings(String),
    /// A member does not belong to the space.
    #[error("the architecture is not in this space: {0}")]
    Foreign(String),
    /// No member that was drawn keeps the limit.
    #[error(
        "the space has no member with {what} of at most {at_most}: the least of {drawn} that were drawn \
         is {least}, of {member}"
    )]
    NoMember {
        /// The limited quantity.
        what: String,
        /// The limit.
        at_most: f64,
        /// Members that were drawn.
        drawn: usize,
        /// The least cost among them.
        least: f64,
        /// The member of that cost.
        member: Member,
    },
    /// The history is of another search.
    #[error("{path} is the history of another search: {what} differs")]
    OtherHistory {
        /// The file.
        path: PathBuf,
        /// The difference.
        what: String,
    },
    /// A line of the history cannot be read.
    #[error("{path}:{line}: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The reason.
        why: String,
    },
    /// The search was stopped while it waited for the history.
    #[error("stopped while another process uses {path}")]
    Stopped {
        /// The file.
        path: PathBuf,
    },
    /// The search was stopped while members were drawn.
    #[error("stopped while members of the space were drawn")]
    Interrupted,
    /// The history cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A member has no cost or no value.
    #[error(transparent)]
    Evaluation(BoxError),
}
