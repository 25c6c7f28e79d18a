//! An architecture as numbers: the input of the mixture's router and of the latency predictor.
//!
//! Jawahar et al. *Mixture-of-Supernets*. 2024. <https://arxiv.org/abs/2306.04845> and its code: width,
//! layers, mean hidden width and mean heads of the encoder; the same of the decoder, with the mean heads of
//! the attention to the source and the mean number of encoder outputs; each over the largest.
//!
//! Differs from the published code: there heads and outputs are divided by 6 and 2, whatever the space is.

use super::architecture::{Architecture, SupernetSpace};

/// Ten numbers; four for text, those of the only side.
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
