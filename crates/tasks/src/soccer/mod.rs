//! Images and tracks of football: the challenges of SoccerNet 2022 on pitch, players and tracks, with
//! their files and their official measures.
//!
//! Giancola, Cioppa et al. *SoccerNet 2022 Challenges Results*. <https://arxiv.org/abs/2210.02365>
//!
//! Without a folder of real files, generated ones are used, in the same layout.

mod appearance;
mod association;
mod descriptors;
mod figure;
mod fit;
mod frames;
mod images;
mod measured;
mod motion;
mod movement;
mod pitch;
mod players;
mod reidentification;
mod sequences;
mod sequences_config;
mod tracker;
mod triplet;

pub use appearance::{AppearanceTracking, AppearanceTrackingConfig};
pub use frames::FramesConfig;
pub use images::{SoccerImagesConfig, write_images};
pub use motion::{PlayerTracking, PlayerTrackingConfig};
pub use pitch::{CameraCalibration, PitchConfig, PitchLocalization};
pub use players::{PlayersConfig, write_players};
pub use reidentification::{Reidentification, ReidentificationConfig};
pub use sequences::write_sequences;
pub use sequences_config::SequencesConfig;
