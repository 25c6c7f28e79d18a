//! Layers of different widths behind bottlenecks: SuperShaper's search space.
//!
//! Ganesan et al. *SuperShaper: Task-Agnostic Super Pre-training of BERT Models with Variable Hidden
//! Dimensions*. 2021. <https://arxiv.org/abs/2110.04711>, and the published code of Mixture-of-Supernets.
//!
//! z = slice(I) x + slice(i)                                (1), `[d] -> [h]`, d: the stream, h: the layer
//! z = N(z + Attention(z)), z = N(z + FFN(z))               (2), as in `network.rs`
//! x = slice(O) z + o                                       (3), `[h] -> [d]`
//!
//! Embeddings, and the stream between layers, have the width d in all architectures. Within a layer
//! everything is sliced to h, which differs between layers: queries, keys and values also have the width h,
//! which is divided among the heads. No residual connection bypasses a bottleneck.
//!
//! In the published code mixtures mix only feed-forward weights; here `mixture.bottleneck` mixes I and O too.
//!
//! Differs from the published code: x is passed to the tied embeddings without a further map and norm, as in
//! the other spaces here; I and O are initialised like the other maps.

use burn::{module::Module, prelude::*};
use moe::Init;

use super::{
    architecture::{SupernetSpace, list},
    config::SupernetConfig,
    expert::Expert,
    mixture::Mixture,
    sizes::LayerSizes,
};

/// The maps into a layer and out of it.
#[derive(Module, Debug)]
pub(super) struct Bottleneck {
    /// I `[D, H]` and O `[H, D]`, stored as an expert, so that a mixture mixes them in the same way.
    pub(super) maps: Expert,
    pub(super) mixture: Option<Mixture>,
}

/// The matrix and the bias of a map, if the layer has one.
pub(super) type MaybeMap = Option<(Tensor<2>, Tensor<1>)>;

impl Bottleneck {
    /// Makes the bottleneck of a layer of at most these sizes; none if it has no bottleneck.
    pub(super) fn new(
        config: &SupernetConfig,
        sizes: LayerSizes,
        features: usize,
        init: &Init,
    ) -> Option<Self> {
        let (stream, width, init) = (sizes.stream?, sizes.width, init.at("bottleneck"));
        let mixture = config.mixed().filter(|mixture| mixture.bottleneck).map(|mixture| {
            Mixture::new(mixture, [stream, width, features], 1.0, &init.at("mixture"))
        });
        Some(Self { maps: Expert::new([stream, width], 1.0, &init), mixture })
    }

    /// The maps of (1) and (3) in these sizes, mixed for an architecture.
    pub(super) fn maps(
        bottleneck: Option<&Self>,
        sizes: LayerSizes,
        condition: &Option<Tensor<2>>,
    ) -> [MaybeMap; 2] {
        let (Some(Self { maps, mixture }), Some(stream)) = (bottleneck, sizes.stream) else {
            return [None, None];
        };
        let size = [stream, sizes.width];
        match (mixture, condition) {
            (Some(mixture), Some(condition)) => mixture.weights(maps, condition.clone(), size),
            _ => maps.front(size),
        }
        .map(Some)
    }

    /// The same with only these sizes and without mixture.
    pub(super) fn cut(&self, sizes: LayerSizes, condition: &Option<Tensor<2>>) -> Option<Self> {
        let cut = self.maps.cut([sizes.stream?, sizes.width]);
        let [first, second] = Self::maps(Some(self), sizes, condition);
        Some(Self { maps: cut.with_weights([first?, second?]), mixture: None })
    }
}

/// (1) or (3), `[B, T, d_in] -> [B, T, d_out]`; the identity without a bottleneck.
pub(super) fn through(map: MaybeMap, x: Tensor<3>) -> Tensor<3> {
    match map {
        Some((matrix, bias)) => kernels::linear(x, matrix, Some(bias)),
        None => x,
    }
}

impl SupernetSpace {
    /// Checks that the widths of layers fit the stream and the heads.
    pub(super) fn check_bottleneck(&self) -> Result<(), String> {
        let Some(widths) = &self.bottleneck else { return Ok(()) };
        if widths.is_empty() || widths.contains(&0) {
            return Err(format!(
                "space.bottleneck = {widths:?}: at least one value is needed, and none may be 0"
            ));
        }
        let [stream] = self.decoder_width[..] else {
            return Err(format!(
                "space.decoder_width = {:?}: with space.bottleneck one value is needed, the width of the stream",
                self.decoder_width
            ));
        };
        if let Some(wide) = widths.iter().find(|width| **width > stream) {
            return Err(format!("space.bottleneck: {wide} is more than decoder_width = {stream}"));
        }
        let pairs = widths.iter().flat_map(|width| self.heads.iter().map(move |n| (n, width)));
        match pairs.into_iter().find(|(n, width)| !width.is_multiple_of(**n)) {
            Some((n, width)) => {
                Err(format!("space.heads: {n} does not divide {width} of space.bottleneck"))
            }
            None => Ok(()),
        }
    }

    /// The widths of the layers that a config names, the largest if it names none; empty in a space without
    /// bottlenecks.
    pub(super) fn bottleneck_of(&self, gene: &Option<Vec<usize>>) -> Result<Vec<usize>, String> {
        match (&self.bottleneck, gene) {
            (Some(known), gene) => {
                list("decoder_bottleneck", gene, self.most_decoder_layers(), known)
            }
            (None, Some(widths)) => Err(format!(
                "architecture of another space: decoder_bottleneck = {widths:?}, but space.bottleneck is missing"
            )),
            (None, None) => Ok(Vec::new()),
        }
    }
}
