//! A feed-forward network of which a leading slice is used.
//!
//! FFN(x) = W2 relu(W1 x + b1) + b2

use burn::{module::Module, nn::Linear, prelude::*};
use moe::Init;

use super::slices::{cut, cut_linear, front_bias, front_linear, front_matrix};

/// A feed-forward network with ReLU, of which a leading slice is used.
#[derive(Module, Debug)]
pub struct Expert {
    /// `[D, H]`.
    pub first: Linear,
    /// `[H, D]`.
    pub second: Linear,
}

impl Expert {
    /// Makes an expert of at most this width and hidden width; `scale` is a factor on the initial matrices.
    pub fn new([width, hidden]: [usize; 2], scale: f64, init: &Init) -> Self {
        let scaled = |map: Linear| match scale == 1.0 {
            true => map,
            false => {
                let value = map.weight.val() * scale;
                Linear { weight: cut(&map.weight, value), ..map }
            }
        };
        Self {
            first: scaled(init.linear("first", width, hidden, true)),
            second: scaled(init.linear("second", hidden, width, true)),
        }
    }

    /// `[.., d] -> [.., d]` with the first `hidden` hidden units.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, hidden: usize) -> Tensor<D> {
        let d = x.dims()[D - 1];
        let inner = front_linear(&self.first, x, hidden);
        front_linear(&self.second, burn::tensor::activation::relu(inner), d)
    }

    /// The same with only these sizes.
    pub(super) fn cut(&self, [width, hidden]: [usize; 2]) -> Self {
        Self {
            first: cut_linear(&self.first, [width, hidden]),
            second: cut_linear(&self.second, [hidden, width]),
        }
    }

    /// The maps in these sizes: matrix and bias of the first, then of the second.
    pub(super) fn front(&self, [width, hidden]: [usize; 2]) -> [(Tensor<2>, Tensor<1>); 2] {
        let of = |map: &Linear, [d_in, d_out]: [usize; 2]| {
            let bias = front_bias(map, d_out).expect("experts have biases");
            (front_matrix(map, [d_in, d_out]), bias)
        };
        [of(&self.first, [width, hidden]), of(&self.second, [hidden, width])]
    }

    /// The same parameters with these weights and biases.
    pub(super) fn with_weights(&self, [(w1, b1), (w2, b2)]: [(Tensor<2>, Tensor<1>); 2]) -> Self {
        let mut new = self.clone();
        for (map, weight, bias) in [(&mut new.first, w1, b1), (&mut new.second, w2, b2)] {
            map.weight = cut(&map.weight, weight);
            map.bias = map.bias.as_ref().map(|old| cut(old, bias));
        }
        new
    }
}

/// The number of parameters of an expert.
pub(super) fn expert_params([width, hidden]: [usize; 2]) -> f64 {
    (2 * width * hidden + hidden + width) as f64
}

/// Floating-point operations of an expert for a token.
pub(super) fn expert_flops([width, hidden]: [usize; 2]) -> f64 {
    (4 * width * hidden) as f64
}
