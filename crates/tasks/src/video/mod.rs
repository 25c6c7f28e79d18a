//! Videos of football games as features over time: the tasks of SoccerNet-v2 with its files and its
//! official measures.
//!
//! Deliège et al. *SoccerNet-v2*. CVPR Workshops 2021. <https://arxiv.org/abs/2011.13367>
//!
//! An example is a piece of a half: its rows are frames, two per second, its columns features. Without a
//! folder of real games, games are generated in the same form.

mod actions;
mod boundary;
mod calf_loss;
mod chunks;
mod games;
mod games_config;
mod generator;
mod grounding;
mod segmentation;
mod single_frames;
mod spotting;
mod templates;

/// Checks that a network answers for each of `frames` frames.
fn for_each_frame(answers: usize, frames: usize) -> Result<(), String> {
    match answers < frames {
        true => Err(format!(
            "the task needs {frames} answers per piece of a game, one for each frame, but the network gives \
             {answers}; use temporal-transformer, for example"
        )),
        false => Ok(()),
    }
}

pub use boundary::{Boundary, BoundaryConfig};
pub use games::write_games;
pub use games_config::{GamesConfig, Overlap};
pub use grounding::{Grounding, GroundingConfig};
pub use segmentation::{Segmentation, SegmentationConfig, SegmentationLoss};
pub use spotting::{Spotting, SpottingConfig, SpottingLoss};
