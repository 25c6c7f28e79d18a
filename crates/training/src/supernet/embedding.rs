//! An architecture as numbers: the input of the mixture's router and of the latency predictor.
//!
//! Jawahar et al. *Mixture-of-Supernets*. 2024. <https://arxiv.org/abs/2306.04845> and its code: width,
//! layers, mean hidden width and mean heads of the encoder; the same of the decoder, with the mean heads of
//! the attention to the source and the mean number of encoder outputs; each divided by the largest value.
//!
//! In a space of bottlenecks: for each layer .01 + (h - least) / (most - least), where h is its width, and 0
//! if the architecture does not have the layer; then those of the four numbers of text whose values vary.
//!
//! The predictor of latency also gets the mean numbers of experts of encoder and decoder, if they vary
//! (AutoMoE).
//!
//! Differs from the published code: there heads and outputs are divided by 6 and 2 in every space.

use super::architecture::{Architecture, SupernetSpace};

/// The features of an architecture: ten numbers; for text four, of its only side; with bottlenecks one for
/// each layer, and those that vary of the four.
pub fn features(space: &SupernetSpace, architecture: &Architecture) -> Vec<f32> {
    let most = |values: &[usize]| values.iter().copied().max().unwrap_or(1) as f64;
    let mean = |values: &[usize]| values.iter().sum::<usize>() as f64 / values.len().max(1) as f64;
    let widths = |layers: &[Vec<usize>]| mean(&layers.concat()) / most(&space.hidden);
    let used = |values: &[usize]| mean(&values[..architecture.decoder_layers.min(values.len())]);
    let heads = most(&space.heads);
    let decoder = [
        architecture.decoder_width as f64 / most(&space.decoder_width),
        architecture.decoder_layers as f64 / most(&space.decoder_layers),
        widths(architecture.used_decoder_hidden()),
        used(&architecture.decoder_heads) / heads,
    ];
    if let Some(widths) = &space.bottleneck {
        let known = [&space.decoder_width, &space.decoder_layers, &space.hidden, &space.heads];
        let vary = decoder.iter().zip(known).filter(|(_, values)| values.len() > 1);
        let layers = bottlenecks(widths, architecture);
        return layers.chain(vary.map(|(x, _)| *x)).map(|x| x as f32).collect();
    }
    if architecture.encoder_width == 0 {
        return decoder.map(|x| x as f32).to_vec();
    }
    let encoder = [
        architecture.encoder_width as f64 / most(&space.encoder_width),
        architecture.encoder_heads.len() as f64 / space.encoder_layers as f64,
        widths(&architecture.encoder_hidden),
        mean(&architecture.encoder_heads) / heads,
    ];
    let cross = [
        used(&architecture.cross_heads) / heads,
        used(&architecture.encoder_outputs) / most(&space.encoder_outputs),
    ];
    encoder.iter().chain(&decoder).chain(&cross).map(|x| *x as f32).collect()
}

/// The same, followed by the mean number of experts per layer of each side, divided by the largest number, if
/// it varies.
pub fn latency_features(space: &SupernetSpace, architecture: &Architecture) -> Vec<f32> {
    let mut numbers = features(space, architecture);
    let most = space.experts.iter().copied().max().unwrap_or(1) as f32;
    for layers in [&architecture.encoder_hidden[..], architecture.used_decoder_hidden()] {
        if space.experts.len() > 1 && !layers.is_empty() {
            let experts = layers.iter().map(Vec::len).sum::<usize>() as f32;
            numbers.push(experts / layers.len() as f32 / most);
        }
    }
    numbers
}

/// The widths of the layers inside their bottlenecks as numbers, given the `known` widths.
fn bottlenecks(known: &[usize], architecture: &Architecture) -> impl Iterator<Item = f64> {
    let least = known.iter().copied().min().unwrap_or(0);
    let range = (known.iter().copied().max().unwrap_or(0) - least).max(1) as f64;
    let layers = architecture.decoder_bottleneck.iter().enumerate();
    layers.map(move |(i, width)| match i < architecture.decoder_layers {
        true => 0.01 + (width - least) as f64 / range,
        false => 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_all_ones() {
        let space = SupernetSpace::default();
        assert_eq!(features(&space, &space.largest(true)), [1.0; 10]);
        assert_eq!(features(&space, &space.largest(false)), [1.0; 4]);
        let small = features(&space, &space.smallest(true));
        let third = 1.0 / 3.0;
        let expected = [2.0 / 3.0, 1.0, third, 0.5, 2.0 / 3.0, third, third, 0.5, 0.5, 0.5]
            .map(|x: f64| x as f32);
        assert_eq!(small, expected);
    }

    #[test]
    fn latency_goes_with_the_experts_where_they_vary() {
        let space = SupernetSpace::default();
        let mut one = space.largest(true);
        (one.decoder_layers, one.encoder_hidden[1]) = (1, vec![96]);
        let found = latency_features(&space, &one);
        assert_eq!(found[..10], features(&space, &one)[..]);
        // The two encoder layers have three and one of at most three experts; the only layer of the decoder
        // has three.
        assert_eq!(found[10..], [2.0 / 3.0, 1.0]);
        assert_eq!(latency_features(&space, &space.largest(false)), [1.0; 5]);
        let dense = SupernetSpace { experts: vec![1], ..space };
        assert_eq!(latency_features(&dense, &dense.largest(true)), [1.0; 10]);
    }

    #[test]
    fn layers_that_are_not_there_do_not_count() {
        let space = SupernetSpace::default();
        let mut one = space.largest(true);
        one.decoder_layers = 1;
        let before = features(&space, &one);
        one.decoder_hidden[1] = vec![32];
        one.cross_heads[2] = 2;
        assert_eq!(features(&space, &one), before);
    }
}
