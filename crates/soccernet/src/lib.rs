//! The file formats of SoccerNet-v2 and of the six challenges of SoccerNet 2022, and their official
//! metrics.
//!
//! Files come from a folder, a zip archive or memory ([`Source`]). [`score`] compares a submission
//! with the truth. Input that the official evaluators accept and should not is noted
//! ([`Mode::Official`]) or refused ([`Mode::Strict`]).

mod check;
pub mod classes;
pub mod clock;
pub mod cuts;
mod error;
pub mod format;
mod json;
mod judge;
pub mod metric;
pub mod npy;
mod options;
pub mod pitch;
mod score;
mod source;
mod task;
pub mod tolerance;
pub mod tracking;
mod zip;

pub use check::{Checked, check, check_submission};
pub use error::{Error, Result};
pub use judge::{Judge, Mode};
pub use options::Options;
pub use score::{Measured, Score, score, score_paths};
pub use source::{Source, write_files};
pub use task::Task;
