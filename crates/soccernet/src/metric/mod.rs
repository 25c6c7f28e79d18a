//! The official metrics, one task per module.

pub mod boundary;
pub mod calibration;
pub mod curve;
pub mod grounding;
mod images;
pub mod localization;
pub mod reidentification;
pub mod segmentation;
mod shot_frames;
pub mod spotting;
mod suppression;
mod track;
