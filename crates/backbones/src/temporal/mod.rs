//! Networks on features over time: the rows of an image of one channel are frames, and each frame has an
//! answer. There is one file for each network; their shared parts are here.

mod calf;
mod calf_segmentation;
mod capsules;
mod convolution;
mod frames;
mod max_pool;
mod net_vlad;
mod siamese;
mod transformer;

pub use calf::{Calf, CalfConfig};
pub use calf_segmentation::{CalfSegmentation, CalfSegmentationConfig};
pub use convolution::{TemporalConvolution, TemporalConvolutionConfig};
pub use max_pool::{MaxPool, MaxPoolConfig};
pub use net_vlad::{NetVlad, NetVladConfig};
pub use siamese::{Siamese, SiameseConfig};
pub use transformer::{TemporalTransformer, TemporalTransformerConfig};

#[cfg(test)]
mod tests;
