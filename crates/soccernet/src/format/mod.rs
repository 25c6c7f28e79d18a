//! The file formats of SoccerNet, one per module: reader, writer, and checks of the strict mode.

pub mod bodies;
pub mod cameras;
pub mod games;
pub mod ini;
pub mod labels;
pub mod lines;
pub mod mot;
pub mod ranking;
pub mod replays;
pub mod shots;
pub mod spots;
