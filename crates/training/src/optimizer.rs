//! The optimizer, with two groups of parameters: with and without weight decay.

use burn::{
    module::{Module, ParamGroup, ParamId},
    optim::{ModuleOptimizer, SgdConfig, decay::WeightDecayConfig, momentum::MomentumConfig},
};
use moe::expert_parameters;

use crate::{
    Optimizer, ProcessGroup, TrainConfig,
    adamw::AdamW,
    parallel::{Moved, SplitAdamW},
    params::trained_where,
};

/// Whether weight decay applies to the parameter with this dotted path. It applies to matrices and
/// embeddings, and not to biases, to the scales and shifts of norms and to the bandwidths of kernels.
pub fn decays(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path);
    !(name.starts_with("bias") || ["gamma", "beta", "bandwidth"].contains(&name))
}

/// A fresh optimizer for a network.
pub fn optimizer<M: Module>(config: &TrainConfig, model: &M) -> ModuleOptimizer {
    match config.optimizer {
        Optimizer::Adamw => adamw(config, model),
        Optimizer::Sgd => sgd(config, model),
    }
}

/// A fresh optimizer for a network that several processes update in the same way.
pub(crate) fn optimizer_of<M: Module>(
    group: &ProcessGroup,
    config: &TrainConfig,
    model: &M,
) -> ModuleOptimizer {
    match (config.optimizer, group.shelf()) {
        (Optimizer::Adamw, Some(shelf)) if group.has_split_experts() => {
            let split = |decay, moved| {
                SplitAdamW::new(rule(config, decay), &group.world, shelf).moving(moved)
            };
            let experts = expert_parameters(model);
            let spared = spared(model).into_iter();
            let (spared_experts, spared) = spared.partition(|id| experts.contains(id));
            // The last group of a parameter counts.
            ModuleOptimizer::from(split(config.weight_decay, Moved::Whole))
                .with_group(ParamGroup::from_ids(spared), split(0.0, Moved::Whole), None)
                .with_group(
                    ParamGroup::from_ids(experts),
                    split(config.weight_decay, Moved::Experts),
                    None,
                )
                .with_group(ParamGroup::from_ids(spared_experts), split(0.0, Moved::Experts), None)
        }
        (Optimizer::Adamw, Some(shelf)) => {
            let split = |decay| SplitAdamW::new(rule(config, decay), &group.world, shelf);
            let spared = ParamGroup::from_ids(spared(model));
            ModuleOptimizer::from(split(config.weight_decay)).with_group(spared, split(0.0), None)
        }
        _ => optimizer(config, model),
    }
}

/// v = momentum v + (g + decay w); w = w - lr v.
fn sgd<M: Module>(config: &TrainConfig, model: &M) -> ModuleOptimizer {
    let momentum = MomentumConfig::new().with_momentum(config.momentum).with_dampening(0.0);
    let sgd = |weight_decay: f64| {
        let decay = (weight_decay > 0.0).then(|| WeightDecayConfig::new(weight_decay as f32));
        SgdConfig::new().with_momentum(Some(momentum.clone())).with_weight_decay(decay)
    };
    let spared = ParamGroup::from_ids(spared(model));
    sgd(config.weight_decay).init().with_group(spared, sgd(0.0).build(), None)
}

/// AdamW.
pub fn adamw<M: Module>(config: &TrainConfig, model: &M) -> ModuleOptimizer {
    let spared = ParamGroup::from_ids(spared(model));
    let all = ModuleOptimizer::from(rule(config, config.weight_decay));
    all.with_group(spared, rule(config, 0.0), None)
}

fn rule(config: &TrainConfig, weight_decay: f64) -> AdamW {
    AdamW {
        betas: [config.beta1, config.beta2].map(|beta| beta as f32),
        epsilon: config.epsilon as f32,
        decay: weight_decay as f32,
    }
}

/// The trained parameters without weight decay.
fn spared<M: Module>(model: &M) -> Vec<ParamId> {
    trained_where(model, |path| !decays(&path.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::{nn::Linear, optim::GradientsParams, prelude::*};
    use moe::Init;

    #[test]
    fn matrices_decay_and_biases_do_not() {
        assert!(decays("blocks.0.moe.experts.w1") && decays("embedding.weight"));
        assert!(!decays("blocks.0.moe.experts.bias1") && !decays("norm.gamma"));
    }

    #[test]
    fn the_groups_are_applied() {
        let device = Device::flex().autodiff();
        let linear: Linear = Init::new(0, &device).linear("l", 2, 2, true);
        let config = TrainConfig { weight_decay: 0.5, ..TrainConfig::default() };
        let before = linear.clone();
        // The gradients are zero, so only decay changes the weights, by 1 - lr * decay.
        let loss = linear.forward(Tensor::<2>::zeros([1, 2], &device)).sum() * 0.0;
        let grads = GradientsParams::from_grads(loss.backward(), &linear);
        let after = adamw(&config, &linear).step(0.1, linear, grads);
        let values = |tensor: Tensor<2>| tensor.into_data().try_to_vec::<f32>().unwrap();
        let expected = values(before.weight.val() * 0.95);
        for (a, b) in values(after.weight.val()).iter().zip(expected) {
            assert!((a - b).abs() < 1e-7, "{a} {b}");
        }
        let bias = |linear: &Linear| linear.bias.as_ref().unwrap().val().into_data();
        assert_eq!(bias(&after), bias(&before));
    }

    #[test]
    fn sgd_goes_on_with_its_last_move() {
        let device = Device::flex().autodiff();
        let mut linear: Linear = Init::new(0, &device).linear("l", 1, 1, false);
        let (momentum, weight_decay) = (0.5, 0.0);
        let config = TrainConfig {
            optimizer: Optimizer::Sgd,
            momentum,
            weight_decay,
            ..TrainConfig::default()
        };
        let weight = |linear: &Linear| linear.weight.val().into_scalar::<f32>();
        let (mut optimizer, first) = (optimizer(&config, &linear), weight(&linear));
        for _ in 0..2 {
            let loss = linear.forward(Tensor::<2>::ones([1, 1], &device)).sum(); // gradient 1
            let grads = GradientsParams::from_grads(loss.backward(), &linear);
            linear = optimizer.step(0.1, linear, grads);
        }
        // Updates of 1, then 0.5 + 1, times 0.1.
        assert!((weight(&linear) - (first - 0.25)).abs() < 1e-6);
    }
}
