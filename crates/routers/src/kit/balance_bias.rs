//! A bias on the scores that is updated from the loads, in place of a balance loss.
//!
//! Wang, Gao, Zhao, Sun, Dai. *Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts*.
//! 2024. <https://arxiv.org/abs/2408.15664>, algorithm 1.

use burn::{
    module::{Module, RunningState},
    prelude::*,
};
use moe::{Init, Pass};

use crate::kit::{load, state};

/// One bias for each expert, updated after each step.
#[derive(Module, Debug)]
pub(crate) struct BalanceBias {
    /// `[E]`.
    pub(crate) bias: RunningState<Tensor<1>>,
    /// `[E]`: the numbers of choices in the passes of the step so far.
    loads: RunningState<Tensor<1>>,
}

impl BalanceBias {
    /// Biases of zero.
    pub(crate) fn new(n_experts: usize, init: &Init) -> Self {
        let zeros = |name| state::new(init, name, [n_experts], 0.0);
        Self { bias: zeros("bias"), loads: zeros("loads") }
    }

    /// `[1, 1, E]`, for addition to scores.
    pub(crate) fn value(&self) -> Tensor<3> {
        state::get(&self.bias).inner().unsqueeze::<3>()
    }

    /// Adds the loads of a pass to those of the step. In the last pass of a step, the bias of each expert
    /// is changed by `step`: upwards if its load was below the mean, downwards if it was above. Evaluation
    /// changes nothing.
    pub(crate) fn follow(&self, pass: &Pass, experts: &Tensor<3, Int>, step: f64) {
        if !pass.training() {
            return;
        }
        let [e] = state::get(&self.bias).dims();
        let own = self.clone();
        pass.follow(&self.loads, load::counts(experts.clone(), e), move |counts, ends_step| {
            own.add(counts, ends_step, step);
        });
    }

    fn add(&self, counts: Tensor<1>, ends_step: bool, step: f64) {
        let loads = state::get(&self.loads) + counts;
        if ends_step {
            let below = (loads.clone().mean() - loads.clone()).sign();
            state::set(&self.bias, state::get(&self.bias) + below * step);
            state::set(&self.loads, loads.zeros_like());
        } else {
            state::set(&self.loads, loads);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, values};

    fn follow(passes: &[(Pass, [i32; 2])]) -> Vec<f32> {
        let bias = BalanceBias::new(3, &Init::new(0, &Device::flex()));
        for (pass, experts) in passes {
            bias.follow(pass, &Tensor::from_ints([[*experts]], &Device::flex()), 0.1);
        }
        values(bias.value())
    }

    #[test]
    fn the_busy_fall_and_the_idle_rise() {
        // Loads 1, 0, 1 and their mean 2/3.
        close(&follow(&[(Pass::train(0, 0, 0.0), [0, 2])]), &[-0.1, 0.1, -0.1]);
        close(&follow(&[(Pass::eval(), [0, 2])]), &[0.0; 3]);
    }

    #[test]
    fn accumulation_is_one_step() {
        let part = |index| Pass::train(0, 0, 0.0).micro_batch(index, 2);
        // Loads 2, 1, 1 and their mean 4/3; an update after each pass would give -0.2, 0.2, -0.2 first.
        close(&follow(&[(part(0), [0, 1]), (part(1), [0, 2])]), &[-0.1, 0.1, 0.1]);
        close(&follow(&[(part(0), [0, 1])]), &[0.0; 3]);
    }
}
