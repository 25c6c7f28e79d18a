//! Feed-forward weights that the architecture mixes from several sets.
//!
//! Jawahar et al. *Mixture-of-Supernets*. Findings of ACL 2024. <https://arxiv.org/abs/2306.04845>, section 4,
//! and its code.
//!
//! r(e) = A2 relu(A1 e + a1) + a2                           (1), e: the architecture as numbers
//! layer-wise:  alpha = softmax(r(e)), W = sum_i alpha_i slice(W_i), b = sum_i alpha_i slice(b_i)   (2)
//! neuron-wise: alpha[j] = softmax(r(e)[j]), W[j, :] = sum_i alpha[j, i] W_i[j, :], b likewise      (3)
//! y = W2 relu(W1 x + b1) + b2                              (4), one network of the mixed weights
//!
//! In the neuron-wise mixture each of the two maps has a router. The numbers of one output are adjacent in
//! r(e), so those of a slice are the first ones.
//!
//! Not to be confused with a mixture of outputs. With one set, alpha is 1, and the result is bitwise that of
//! the plain supernet.

use burn::{module::Module, nn::Linear, prelude::*, tensor::activation::relu};
use kernels::{linear, softmax};
use moe::Init;

use super::{
    config::{MixtureConfig, MixtureKind},
    expert::Expert,
    slices::front_linear,
};

/// The router of a mixture.
#[derive(Module, Debug)]
pub(super) struct MixRouter {
    pub(super) first: Linear,
    pub(super) second: Linear,
}

impl MixRouter {
    fn new([features, hidden, outputs]: [usize; 3], init: &Init) -> Self {
        Self {
            first: init.linear("first", features, hidden, true),
            second: init.linear("second", hidden, outputs, true),
        }
    }

    /// Alpha for the first `rows` outputs, `[rows, m]`, from `[1, features]`.
    fn alpha(&self, e: Tensor<2>, [rows, sets]: [usize; 2]) -> Tensor<2> {
        let inner = relu(kernels::linear_layer(&self.first, e));
        let scores = front_linear(&self.second, inner, rows * sets); // (1)
        softmax(scores.reshape([rows, sets]), 1)
    }
}

/// The additional sets of weights of a feed-forward network, or of the maps of a bottleneck, and the routers.
#[derive(Module, Debug)]
pub struct Mixture {
    /// All sets except the first, which is the network's own.
    pub(super) others: Vec<Expert>,
    /// The routers: one if layer-wise; one for each map if neuron-wise.
    pub(super) routers: Vec<MixRouter>,
}

impl Mixture {
    /// Makes a mixture for networks of at most this width and hidden width.
    pub fn new(
        config: &MixtureConfig,
        [width, hidden, features]: [usize; 3],
        scale: f64,
        init: &Init,
    ) -> Self {
        let set = |i: usize| Expert::new([width, hidden], scale, &init.at("sets").at(i));
        let (m, h) = (config.sets, config.hidden);
        let outputs = match config.kind {
            MixtureKind::None => Vec::new(),
            MixtureKind::Layer => vec![m],
            MixtureKind::Neuron => vec![m * hidden, m * width],
        };
        let router = |(i, outputs): (usize, &usize)| {
            MixRouter::new([features, h, *outputs], &init.at("router").at(i))
        };
        Self {
            others: (1..m).map(set).collect(),
            routers: outputs.iter().enumerate().map(router).collect(),
        }
    }

    /// Alpha of both maps, `[1 or outputs, m]` each.
    pub(super) fn alphas(&self, e: Tensor<2>, [d, h]: [usize; 2]) -> [Tensor<2>; 2] {
        let m = self.others.len() + 1;
        match &self.routers[..] {
            [first, second] => [first.alpha(e.clone(), [h, m]), second.alpha(e, [d, m])], // (3)
            routers => {
                let alpha = routers[0].alpha(e, [1, m]); // (2)
                [alpha.clone(), alpha]
            }
        }
    }

    /// The matrix and the bias of the first map, then of the second, in these sizes. `own` is the first set.
    pub(super) fn weights(
        &self,
        own: &Expert,
        e: Tensor<2>,
        size: [usize; 2],
    ) -> [(Tensor<2>, Tensor<1>); 2] {
        let [first, second] = self.alphas(e, size);
        let sets: Vec<_> =
            std::iter::once(own).chain(&self.others).map(|set| set.front(size)).collect();
        let map =
            |at: usize, alpha: Tensor<2>| mixed(sets.iter().map(|set| set[at].clone()), &alpha);
        [map(0, first), map(1, second)]
    }

    /// (4): `[B, T, d] -> [B, T, d]`.
    pub fn forward(&self, own: &Expert, e: Tensor<2>, x: Tensor<3>, hidden: usize) -> Tensor<3> {
        let [.., d] = x.dims();
        let [(w1, b1), (w2, b2)] = self.weights(own, e, [d, hidden]);
        linear(relu(linear(x, w1, Some(b1))), w2, Some(b2))
    }
}

/// The mixture of matrices `[d_in, d_out]` and biases with alpha `[1 or d_out, m]`.
fn mixed(
    sets: impl Iterator<Item = (Tensor<2>, Tensor<1>)>,
    alpha: &Tensor<2>,
) -> (Tensor<2>, Tensor<1>) {
    let [rows, _] = alpha.dims();
    let weighed = sets.enumerate().map(|(i, (matrix, bias))| {
        let share = alpha.clone().narrow(1, i, 1).reshape([1, rows]);
        (matrix * share.clone(), bias * share.reshape([rows]))
    });
    let sum = weighed.reduce(|(a, b), (c, d)| (a + c, b + d));
    sum.expect("a mixture must have at least one set")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        supernet::testing::{fill, given_linear, numbers, scaled_linear},
        worked::agrees,
    };

    fn set(i: u64) -> Expert {
        Expert {
            first: given_linear(451 + i, 453 + i, [3, 4]),
            second: given_linear(455 + i, 457 + i, [4, 3]),
        }
    }

    fn router(first: (u64, u64), second: (u64, u64), outputs: usize) -> MixRouter {
        MixRouter {
            first: scaled_linear(first, [2, 3], 2.0),
            second: scaled_linear(second, [3, outputs], 2.0),
        }
    }

    fn layer_wise() -> Mixture {
        Mixture { others: vec![set(1)], routers: vec![router((460, 461), (462, 463), 2)] }
    }

    fn neuron_wise() -> Mixture {
        let first = router((460, 461), (470, 471), 8);
        let second = router((474, 475), (472, 473), 6);
        Mixture { others: vec![set(1)], routers: vec![first, second] }
    }

    fn e() -> Tensor<2> {
        let e: Vec<f32> = fill(450, 2, 1.0).iter().map(|x| x + 0.5).collect();
        Tensor::from_data(TensorData::new(e, [1, 2]), &Device::flex())
    }

    fn x() -> Tensor<3> {
        Tensor::from_data(TensorData::new(fill(464, 6, 2.0), [1, 2, 3]), &Device::flex())
    }

    fn close(found: &[f32], expected: &[f32]) {
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 2e-5, "{found:?}, not {expected:?}");
        }
        assert_eq!(found.len(), expected.len());
    }

    #[test]
    pub(crate) fn the_published_numbers_layer_wise() {
        let mixture = layer_wise();
        let [alpha, _] = mixture.alphas(e(), [3, 4]);
        agrees("layer-wise, alpha", &numbers(alpha.clone()), &[0.389494, 0.610506]);
        let y = numbers(mixture.forward(&set(0), e(), x(), 4));
        agrees("layer-wise, y of token 0", &y[..3], &[0.334212, -0.178984, -0.157382]);
        // A mixture of outputs gives a different result.
        let shares = numbers(alpha);
        let [a, b] = [0, 1].map(|i| numbers(set(i).forward(x(), 4)));
        let outputs: Vec<f32> =
            a.iter().zip(&b).map(|(a, b)| a * shares[0] + b * shares[1]).collect();
        let name = "layer-wise, a mixture of outputs in place of weights";
        agrees(name, &outputs[..3], &[0.315651, -0.117122, -0.201356]);
    }

    #[test]
    pub(crate) fn the_published_numbers_neuron_wise() {
        let mixture = neuron_wise();
        let [first, second] = mixture.alphas(e(), [3, 4]);
        let rows = &numbers(first)[..4];
        agrees(
            "neuron-wise, alpha 1, rows 0 and 1",
            rows,
            &[0.444234, 0.555766, 0.667486, 0.332514],
        );
        let column = numbers(second.narrow(1, 0, 1));
        agrees("neuron-wise, alpha 2, column 0", &column, &[0.442083, 0.444633, 0.399061]);
        let y = numbers(mixture.forward(&set(0), e(), x(), 4));
        agrees("neuron-wise, y of token 0", &y[..3], &[0.334977, -0.164156, -0.141920]);
    }

    #[test]
    fn a_slice_has_the_first_numbers_of_the_routers() {
        let mixture = neuron_wise();
        let [all, all_second] = mixture.alphas(e(), [3, 4]);
        let [few, second] = mixture.alphas(e(), [2, 3]);
        assert_eq!(numbers(few), numbers(all.narrow(0, 0, 3)));
        close(&numbers(second), &numbers(all_second.narrow(0, 0, 2)));
        let x = x().narrow(2, 0, 2);
        let [(w1, b1), (w2, b2)] = mixture.weights(&set(0), e(), [2, 3]);
        let [(whole, _), _] = mixture.weights(&set(0), e(), [3, 4]);
        assert_eq!(numbers(w1.clone()), numbers(whole.narrow(0, 0, 2).narrow(1, 0, 3)));
        let y = linear(relu(linear(x.clone(), w1, Some(b1))), w2, Some(b2));
        assert_eq!(numbers(mixture.forward(&set(0), e(), x, 3)), numbers(y));
    }

    #[test]
    fn a_slice_is_the_network_of_the_sliced_mixtures() {
        let mixture = neuron_wise();
        let [first, second] = mixture.alphas(e(), [3, 4]).map(numbers);
        // The mixture of rows of a map `[d_out, d_in]` and of its bias, number by number.
        let map = |alpha: &[f32], [weight, bias]: [u64; 2], d_in: usize, x: &[f32]| -> Vec<f32> {
            let sets = [0, 1].map(|i| (fill(weight + i, 12, 1.0), fill(bias + i, 4, 1.0)));
            let row = |j: usize| -> f32 {
                let of = |i: usize| {
                    let row = sets[i].0[j * d_in..].iter().zip(x);
                    row.map(|(w, x)| w * x).sum::<f32>() + sets[i].1[j]
                };
                alpha[2 * j] * of(0) + alpha[2 * j + 1] * of(1)
            };
            (0..12 / d_in).map(row).collect()
        };
        let y = numbers(mixture.forward(&set(0), e(), x().narrow(2, 0, 2), 3));
        for (token, y) in numbers(x()).chunks_exact(3).zip(y.chunks_exact(2)) {
            let inner: Vec<f32> =
                map(&first, [451, 453], 3, &token[..2]).iter().map(|h| h.max(0.0)).collect();
            close(y, &map(&second, [455, 457], 4, &inner[..3])[..2]);
        }
    }

    #[test]
    fn one_set_is_the_plain_network_to_the_bit() {
        let init = Init::new(0, &Device::flex());
        for kind in [MixtureKind::Layer, MixtureKind::Neuron] {
            let config = MixtureConfig { kind, sets: 1, ..MixtureConfig::default() };
            let mixture = Mixture::new(&config, [3, 4, 2], 1.0, &init);
            for hidden in [4, 3] {
                let y = mixture.forward(&set(0), e(), x(), hidden);
                assert_eq!(numbers(y), numbers(set(0).forward(x(), hidden)));
            }
        }
    }
}
