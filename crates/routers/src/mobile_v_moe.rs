//! One routing decision for each image and all layers, trained with the image's super-class.
//!
//! Daxberger, Weers, Zhang, Gunter, Pang, Eichner, Emmersberger, Yang, Toshev, Du. *Mobile V-MoEs:
//! Scaling Down Vision Transformers via Sparse Mixture-of-Experts*. 2023.
//! <https://arxiv.org/abs/2309.04354>
//!
//! g(x) = top_k(softmax(W x)), not renormalised              (1)
//! loss = task + 0.3 CE(softmax(W x), super-class)           (2), in training
//!
//! x is the input of the block with the first MoE layer: the mean of the image's tokens after a layer norm
//! of the router's own, or the first token, the class token. The decision of the first layer holds for all
//! later ones, whose own W is not used. The index of an expert is that of its super-class. There is no
//! balance loss unless requested. In training, too, units are routed by the router's own prediction.
//!
//! Differs from the paper: we did not find which vector represents the image there; the mean is the input
//! of our classifiers. Super-classes are [`Clusters`] in the pass, modulo E. Images are routed as a whole
//! at level `sequence`; at level `token` each token has the decision of its image, with the same result.
//! Outside of a block (without a [`BlockInput`] that fits), each unit is an image of its own.
//!
//! Not to be confused with: `oracle`, which routes by the super-class itself, also in evaluation.

use burn::{
    module::Module,
    nn::{LayerNorm, LayerNormConfig},
    prelude::*,
    tensor::activation::log_softmax,
};
use moe::{BlockInput, Clusters, Dims, Init, Pass, Plan, Router, config, mean, softmax, top_k};
use serde::{Deserialize, Serialize};

use crate::kit::{Gate, check, load, losses};

/// The vector that represents an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageSummary {
    /// The mean of its tokens.
    Mean,
    /// Its first token.
    ClassToken,
}

config! {
    /// The number of experts per image, and the router's losses.
    pub struct MobileVMoeConfig {
        /// Experts for each image.
        pub k: usize = 1,
        /// The vector that represents an image.
        pub input: ImageSummary = ImageSummary::Mean,
        /// Coefficient of the loss (2), the cross-entropy with the super-class; 0 leaves it out.
        pub guide: f64 = 0.3,
        /// Coefficient of the importance loss, for routers without super-classes.
        pub importance: f64 = 0.0,
    }
}

/// One decision for each image and all layers.
#[derive(Module, Debug)]
pub struct MobileVMoe {
    norm: LayerNorm,
    gate: Gate,
    #[module(skip)]
    config: MobileVMoeConfig,
}

/// The decision of the first layer, `[B, k]` twice.
struct Decision {
    experts: Tensor<2, Int>,
    weights: Tensor<2>,
}

impl Router for MobileVMoe {
    type Config = MobileVMoeConfig;
    const NAME: &'static str = "mobile-v-moe";
    const ABOUT: &'static str =
        "one routing decision for each image and all layers, trained with super-classes";
    const PAPER: &'static str = "https://arxiv.org/abs/2309.04354";
    const CAUSAL: bool = false;

    fn check(config: &MobileVMoeConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::coefficient("guide", config.guide)?;
        check::coefficient("importance", config.importance)
    }

    fn init(config: &MobileVMoeConfig, dims: Dims, init: &Init) -> Self {
        let norm = layer_norm(dims.width, &init.at("norm"));
        Self { norm, gate: Gate::new(dims, init), config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let ([g, u, _], [_, n_experts]) = (units.dims(), self.gate.weight.lazy_shape().dims());
        let images = self.images(pass, &units);
        let decision = match pass.take::<Decision>() {
            Some(known) if known.weights.dims()[0] == images.dims()[0] => known,
            _ => self.decide(pass, images),
        };
        let k = self.config.k;
        // An image is a unit, or all units of a group have its decision.
        let units_of_each = g * u / decision.weights.dims()[0];
        let experts = decision.experts.clone().unsqueeze_dim::<3>(1).repeat_dim(1, units_of_each);
        let weights = decision.weights.clone().unsqueeze_dim::<3>(1).repeat_dim(1, units_of_each);
        pass.put(decision);
        let (experts, weights) = (experts.reshape([g, u, k]), weights.reshape([g, u, k]));
        Plan::TokenChoice { experts, weights, n_experts }
    }
}

impl MobileVMoe {
    /// `[B, D]`: the vector that represents each image.
    fn images(&self, pass: &Pass, units: &Tensor<3>) -> Tensor<2> {
        let [g, u, d] = units.dims();
        match pass.get::<BlockInput>() {
            Some(BlockInput(stream))
                if stream.dims()[2] == d
                    && (stream.dims()[0] == g || [1, stream.dims()[0]] == [g, u]) =>
            {
                let [b, _, _] = stream.dims();
                match self.config.input {
                    ImageSummary::Mean => self.norm.forward(stream.clone()).mean_dim(1),
                    ImageSummary::ClassToken => self.norm.forward(stream.clone().narrow(1, 0, 1)),
                }
                .reshape([b, d])
            }
            _ => self.norm.forward(units.clone()).reshape([g * u, d]),
        }
    }

    fn decide(&self, pass: &mut Pass, images: Tensor<2>) -> Decision {
        let [_, e] = self.gate.weight.lazy_shape().dims::<2>();
        let b = images.dims()[0];
        let scores = self.gate.forward(pass, images.unsqueeze_dim::<3>(0)); // [1, B, E]
        losses::add(pass, "importance", self.config.importance, || {
            load::cv_squared(softmax(scores.clone(), 2).sum_dim(1).reshape([e]))
        });
        if let Some(class) = super_classes(pass, b, e) {
            self.teach(pass, scores.clone().squeeze_dim::<2>(0), class);
        }
        let (experts, weights) = top_k(softmax(scores, 2), self.config.k); // (1)
        let k = self.config.k;
        Decision { experts: experts.reshape([b, k]), weights: weights.reshape([b, k]) }
    }

    /// Adds the metric and the loss (2) for scores `[B, E]` and super-classes `[B, 1]`.
    fn teach(&self, pass: &mut Pass, scores: Tensor<2>, class: Tensor<2, Int>) {
        let right = scores.clone().argmax(1).equal(class.clone()).float().mean();
        pass.metric("router_accuracy", right);
        if pass.training() {
            losses::add(pass, "guide", self.config.guide, || {
                mean(log_softmax(scores, 1).gather(1, class)).neg() // (2)
            });
        }
    }
}

/// A layer norm with scale 1 and shift 0.
fn layer_norm(width: usize, init: &Init) -> LayerNorm {
    let mut norm = LayerNormConfig::new(width).init(init.device());
    norm.gamma = init.constant("gamma", [width], 1.0);
    norm.beta = Some(init.constant("beta", [width], 0.0));
    norm
}

/// `[B, 1]`, if the pass has the super-classes of the images.
fn super_classes(pass: &Pass, images: usize, n_experts: usize) -> Option<Tensor<2, Int>> {
    let Clusters(known) = pass.get::<Clusters>()?;
    let first = known.clone().narrow(1, 0, 1).remainder_scalar(n_experts as i64);
    (first.dims()[0] == images).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, scalar};

    fn router(guide: f64) -> MobileVMoe {
        let device = Device::flex();
        // For the images below the scores are (ln 2, 0, 0) and (0, 0, ln 6).
        let (two, six) = (2_f32.ln(), 6_f32.ln());
        let gate = [[2.0 * two, 0.0, six], [0.0; 3], [two, 0.0, 2.0 * six]];
        let gate = Tensor::<2>::from_floats(gate, &device) * (8_f64.sqrt() / 3.0);
        let norm = layer_norm(3, &Init::new(0, &device));
        let config = MobileVMoeConfig { guide, ..MobileVMoeConfig::default() };
        MobileVMoe { norm, gate: Gate::of(gate), config }
    }

    /// Two images of two tokens, in a block, with their super-classes.
    fn pass(mut pass: Pass) -> Pass {
        // The norm divides by 10 sqrt(2); the means are then (2, -1, -1) / sqrt(8) and
        // (-1, -1, 2) / sqrt(8).
        let images = [
            [[10.0, -20.0, 10.0], [10.0, 10.0, -20.0]],
            [[10.0, -20.0, 10.0], [-20.0, 10.0, 10.0]],
        ];
        let device = Device::flex();
        pass.put(BlockInput(Tensor::from_floats(images, &device)));
        pass.put(Clusters(Tensor::from_ints([[0], [1]], &device)));
        pass
    }

    #[test]
    fn an_image_goes_as_a_whole_and_the_weight_is_not_renormalised() {
        let (experts, weights) =
            chosen(&router(0.3), &mut pass(Pass::eval()), fill(1, [1, 2, 3], 1.0));
        assert_eq!(experts, [0, 2]);
        close(&weights, &[2.0 / 4.0, 6.0 / 8.0]);
    }

    #[test]
    fn all_tokens_of_an_image_have_its_decision() {
        let (experts, weights) =
            chosen(&router(0.3), &mut pass(Pass::eval()), fill(1, [2, 2, 3], 1.0));
        assert_eq!(experts, [0, 0, 2, 2]);
        close(&weights, &[0.5, 0.5, 0.75, 0.75]);
    }

    #[test]
    fn the_super_class_teaches_in_training_only() {
        let mut training = pass(Pass::train(0, 0, 0.0));
        chosen(&router(0.3), &mut training, fill(1, [1, 2, 3], 1.0));
        // p of the super-classes: 2 / 4 and 1 / 8.
        close(&[scalar(&training, "guide")], &[0.3 * (2_f32.ln() + 8_f32.ln()) / 2.0]);
        close(&[scalar(&training, "router_accuracy")], &[0.5]);
        let mut test = pass(Pass::eval());
        chosen(&router(0.3), &mut test, fill(1, [1, 2, 3], 1.0));
        assert!(test.total_loss().is_none());
        let mut untold = pass(Pass::train(0, 0, 0.0));
        chosen(&router(0.0), &mut untold, fill(1, [1, 2, 3], 1.0));
        assert!(untold.total_loss().is_none());
    }

    #[test]
    fn later_layers_have_the_first_ones_decision() {
        let mut pass = pass(Pass::eval());
        let first = chosen(&router(0.3), &mut pass, fill(1, [1, 2, 3], 1.0));
        pass.put(BlockInput(fill(3, [2, 2, 3], 9.0)));
        let other = MobileVMoe { gate: Gate::of(fill(2, [3, 3], 5.0)), ..router(0.3) };
        assert_eq!(chosen(&other, &mut pass, fill(4, [1, 2, 3], 1.0)), first);
        assert_eq!(pass.metrics().len(), 1, "it is taught once");
    }

    #[test]
    fn the_class_token_may_stand_for_the_image() {
        let config = MobileVMoeConfig { input: ImageSummary::ClassToken, ..router(0.3).config };
        let router = MobileVMoe { config, ..router(0.3) };
        let (experts, _) = chosen(&router, &mut pass(Pass::eval()), fill(1, [1, 2, 3], 1.0));
        assert_eq!(experts, [2, 2]); // (2 ln 2, 0, 2 ln 6) of both
    }
}
