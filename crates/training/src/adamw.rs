//! AdamW as one of Burn's optimizers, by a kernel that works in place. Its state for a parameter is the same
//! as that of Burn's own AdamW, so that checkpoints are the same.

use burn::{
    optim::{AdamWState, AdaptiveMomentumState, LearningRate, Optimizer},
    prelude::*,
};
use kernels::adamw;

/// AdamW, by [`kernels::adamw`].
#[derive(Clone)]
pub(crate) struct AdamW {
    /// The decay of the moments in a step.
    pub(crate) betas: [f32; 2],
    /// A small number that keeps the divisor above 0.
    pub(crate) epsilon: f32,
    /// The weight decay.
    pub(crate) decay: f32,
}

impl Optimizer for AdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<AdamWState<D>>,
    ) -> (Tensor<D>, Option<AdamWState<D>>) {
        let (time, moments) = match state.map(|state| state.momentum) {
            Some(past) => (past.time, [past.moment_1, past.moment_2]),
            None => (0, [grad.zeros_like(), grad.zeros_like()]),
        };
        let time = time + 1;
        let by = kernels::AdamW {
            betas: self.betas,
            epsilon: self.epsilon,
            lr,
            decay: f64::from(self.decay),
            time: time as i32,
        };
        let (tensor, [first, second]) = adamw(tensor, grad, moments, by);
        (tensor, Some(AdamWState::new(AdaptiveMomentumState::new(time, first, second))))
    }

    fn to_device<const D: usize>(mut state: AdamWState<D>, device: &Device) -> AdamWState<D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::{
        module::Param,
        nn::Linear,
        optim::{AdamWConfig, GradientsParams, ModuleOptimizer},
    };
    use moe::Init;

    /// The weights after `steps` steps, with different gradients in each step.
    fn train(
        mut optimizer: ModuleOptimizer,
        steps: std::ops::Range<usize>,
        mut linear: Linear,
    ) -> (ModuleOptimizer, Linear) {
        for step in steps {
            let x = (0..5 * 33).map(|i| ((i * 7919 + step * 104_729) % 1013) as f32 / 400.0 - 1.2);
            let x: Vec<f32> = x.collect();
            let x = TensorData::new(x, [5, 33]);
            let x = Tensor::<2>::from_data(x, &Device::flex().autodiff());
            let loss = linear.forward(x).square().sum();
            let grads = GradientsParams::from_grads(loss.backward(), &linear);
            linear = optimizer.step(0.01 / (step + 1) as f64, linear, grads);
        }
        (optimizer, linear)
    }

    fn numbers(linear: &Linear) -> Vec<f32> {
        let of = |data: TensorData| data.iter::<f32>().collect::<Vec<_>>();
        let bias = linear.bias.as_ref().map(Param::val).expect("it has one");
        [of(linear.weight.val().into_data()), of(bias.into_data())].concat()
    }

    fn ours() -> ModuleOptimizer {
        AdamW { betas: [0.9, 0.99], epsilon: 1e-8, decay: 0.1 }.into()
    }

    fn fresh() -> Linear {
        Init::new(0, &Device::flex().autodiff()).linear("l", 33, 7, true)
    }

    #[test]
    fn it_is_burns() {
        let burns = AdamWConfig::new()
            .with_beta_1(0.9)
            .with_beta_2(0.99)
            .with_epsilon(1e-8)
            .with_weight_decay(0.1);
        let (start, expected) = (fresh(), train(burns.init(), 0..20, fresh()).1);
        let found = train(ours(), 0..20, start.clone()).1;
        assert_ne!(numbers(&start), numbers(&found));
        for (a, b) in numbers(&found).iter().zip(numbers(&expected)) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn it_goes_on_from_a_record_of_burns_and_of_its_own_with_the_same_bits() {
        let burns = AdamWConfig::new().with_beta_2(0.99).with_epsilon(1e-8).with_weight_decay(0.1);
        let (whole, (half, linear)) =
            (train(ours(), 0..9, fresh()).1, train(ours(), 0..5, fresh()));
        let written = || half.into_bytes().expect("it is written");
        let resumed = ours().from_bytes(written()).expect("it is read");
        assert_eq!(numbers(&train(resumed, 5..9, linear.clone()).1), numbers(&whole));
        let other = burns.init().from_bytes(written()).expect("Burn reads it");
        let through = ours().from_bytes(other.into_bytes().expect("it is written"));
        let through = through.expect("ours reads Burn's");
        assert_eq!(numbers(&train(through, 5..9, linear).1), numbers(&whole));
    }
}
