//! The sizes of the layers of an architecture.

use super::{architecture::Architecture, config::SupernetConfig};

/// The sizes of one layer of an architecture.
#[derive(Clone, Copy)]
pub(super) struct LayerSizes<'a> {
    pub(super) width: usize,
    /// In a bottleneck: the width of the stream outside of the layer.
    pub(super) stream: Option<usize>,
    pub(super) heads: usize,
    /// The width of the source, the number of heads, and the number of encoder outputs.
    pub(super) cross: Option<[usize; 3]>,
    pub(super) hidden: &'a [usize],
}

impl LayerSizes<'_> {
    /// The width of queries, keys and values.
    pub(super) fn inner(&self, config: &SupernetConfig) -> usize {
        self.stream.map_or(config.inner, |_| self.width)
    }
}

impl Architecture {
    /// The sizes of a layer of the encoder.
    pub(super) fn encoder_layer(&self, i: usize) -> LayerSizes<'_> {
        let (width, heads) = (self.encoder_width, self.encoder_heads[i]);
        LayerSizes { width, stream: None, heads, cross: None, hidden: &self.encoder_hidden[i] }
    }

    /// The sizes of a layer of the decoder.
    pub(super) fn decoder_layer(&self, i: usize) -> LayerSizes<'_> {
        let (cross, inside) = (self.cross_heads.get(i), self.decoder_bottleneck.get(i));
        LayerSizes {
            width: inside.copied().unwrap_or(self.decoder_width),
            stream: inside.map(|_| self.decoder_width),
            heads: self.decoder_heads[i],
            cross: cross.map(|heads| [self.encoder_width, *heads, self.encoder_outputs[i]]),
            hidden: &self.decoder_hidden[i],
        }
    }
}
