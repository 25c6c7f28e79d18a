//! Linear maps whose inputs are scaled by a function of a code, and the feed-forward network made of them.
//!
//! g(c) = 1 + gamma LN(W_c c),  LN without scale and shift, gamma at first 0.1          (1)
//! ModFC(x; c) = W (x * g(c)) + b                                                       (2)
//! ModFFN(x; c) = x + lambda * ModFC_2(GEGLU(ModFC_1(LN x; c)); c)                      (3)
//! GEGLU(a | b) = a GELU(b)                                                             (4)

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
};
use kernels::{gelu, layer_norm, linear_layer};
use moe::Init;

use crate::Norm;

/// A linear map whose inputs are scaled by a code, (2).
#[derive(Module, Debug)]
pub(super) struct ModFc {
    map: Linear,
    /// The weight of the code, gamma, `[1]`.
    gamma: Param<Tensor<1>>,
    /// W_c, `[code, in]`.
    scale: Linear,
}

impl ModFc {
    /// A map from width `widths[0]` to `widths[1]`, with codes of width `code`.
    pub(super) fn new(widths: [usize; 2], code: usize, bias: bool, init: &Init) -> Self {
        let [before, after] = widths;
        let map = init.linear("map", before, after, false);
        let zeros = || init.at("map").constant("bias", [after], 0.0);
        Self {
            map: Linear { bias: bias.then(zeros), ..map },
            gamma: init.constant("gamma", [1], 0.1),
            scale: init.linear("scale", code, before, false),
        }
    }

    /// The scales g of (1), `[U, in]`, for codes `[U, code]`.
    fn scales(&self, codes: Tensor<2>) -> Tensor<2> {
        let said = linear_layer(&self.scale, codes);
        let ones = Tensor::ones([said.dims()[1]], &said.device().inner());
        layer_norm(said, ones, None, 1e-5) * self.gamma.val().unsqueeze() + 1.0
    }

    /// Maps each of U vectors with its own code: `[B, U, in]` and `[U, code]` to `[B, U, out]`.
    pub(super) fn forward(&self, x: Tensor<3>, codes: Tensor<2>) -> Tensor<3> {
        linear_layer(&self.map, x * self.scales(codes).unsqueeze()) // (2)
    }

    /// Maps each of V vectors with each of U codes: `[B, V, in]` and `[U, code]` to `[B, U, V, out]`.
    pub(super) fn forward_each(&self, x: Tensor<3>, codes: Tensor<2>) -> Tensor<4> {
        let scales = self.scales(codes).unsqueeze_dim::<3>(1).unsqueeze::<4>(); // [1, U, 1, in]
        linear_layer(&self.map, x.unsqueeze_dim::<4>(1) * scales)
    }

    /// Floating-point operations for a vector, and for a code.
    pub(super) fn flops(&self) -> [f64; 2] {
        [&self.map, &self.scale].map(map_flops)
    }
}

/// Floating-point operations of a linear map for a vector.
pub(super) fn map_flops(map: &Linear) -> f64 {
    2.0 * map.weight.lazy_shape().num_elements() as f64
}

/// A feed-forward network with codes, (3).
#[derive(Module, Debug)]
pub(super) struct ModFfn {
    norm: Norm,
    first: ModFc,
    second: ModFc,
    /// lambda, `[D]`.
    gamma: Param<Tensor<1>>,
}

impl ModFfn {
    /// A network of `hidden` units on vectors of `width`.
    pub(super) fn new(width: usize, hidden: usize, code: usize, init: &Init) -> Self {
        Self {
            norm: Norm::layer(init, "norm", width, 1e-5),
            first: ModFc::new([width, 2 * hidden], code, true, &init.at("first")),
            second: ModFc::new([hidden, width], code, true, &init.at("second")),
            gamma: init.constant("gamma", [width], 0.1),
        }
    }

    /// Maps `[B, U, D]` and codes `[U, code]` to `[B, U, D]`.
    pub(super) fn forward(&self, x: Tensor<3>, codes: Tensor<2>) -> Tensor<3> {
        let h = self.first.forward(self.norm.forward(x.clone()), codes.clone());
        let n = h.dims()[2] / 2;
        let h = h.clone().narrow(2, 0, n) * gelu(h.narrow(2, n, n)); // (4)
        let branch = self.second.forward(h, codes) * self.gamma.val().unsqueeze();
        x + branch // (3)
    }

    /// Floating-point operations for a vector.
    pub(super) fn flops(&self) -> f64 {
        self.first.flops()[0] + self.second.flops()[0]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::nac::testing::{given, near, values};

    #[test]
    pub(crate) fn the_published_map() {
        let init = Init::new(0, &Device::flex());
        let map = ModFc::new([3, 2], 4, true, &init);
        let map = given(map, &[("map.weight", 1), ("map.bias", 2), ("scale.weight", 4)]);
        let (x, c) = (values::<2>(20, [2, 3]), values(21, [2, 4]));
        let y = map.forward(x.unsqueeze(), c);
        near("ModFC, row 0", y.narrow(1, 0, 1), &[0.581977, 0.297727]);
    }

    #[test]
    fn each_code_scales_each_vector() {
        let init = Init::new(0, &Device::flex());
        let map = ModFc::new([3, 2], 4, true, &init);
        let (x, c) = (values::<3>(20, [2, 5, 3]), values::<2>(21, [3, 4]));
        let each = map.forward_each(x.clone(), c.clone());
        assert_eq!(each.dims(), [2, 3, 5, 2]);
        for code in 0..3 {
            let codes = c.clone().narrow(0, code, 1).repeat_dim(0, 5);
            let alone = map.forward(x.clone(), codes);
            let gap = (each.clone().narrow(1, code, 1).squeeze_dim::<3>(1) - alone).abs().max();
            assert!(gap.into_scalar::<f32>() < 1e-6);
        }
    }

    #[test]
    pub(crate) fn the_published_network() {
        let init = Init::new(0, &Device::flex());
        let network = given(
            ModFfn::new(4, 8, 3, &init),
            &[
                ("norm.gamma", 100),
                ("norm.beta", 101),
                ("first.map.weight", 102),
                ("first.map.bias", 103),
                ("first.scale.weight", 105),
                ("second.map.weight", 106),
                ("second.map.bias", 107),
                ("second.scale.weight", 109),
                ("gamma", 110),
            ],
        );
        let (x, c) = (values(60, [1, 2, 4]), values(61, [2, 3]));
        let y = network.forward(x, c);
        near("ModFFN, latent 0", y.narrow(1, 0, 1), &[-0.206703, 0.062139, -0.436413, 0.363875]);
    }
}
