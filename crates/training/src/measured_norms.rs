//! Measurement of the running values of batch norm.
//!
//! In training these values lag some steps behind the weights, and have the noise of the last few batches.
//! Before an evaluation they can be replaced by the means over `train.norm_batches` batches of training, all
//! with the current weights:
//!
//! mean_n = (n mean_{n-1} + mean of batch n) / (n + 1)                        (1)
//!
//! and the same for the variance. Passes in training use the values of their own batch, so training is
//! bitwise the same with and without this.
//!
//! Wu, Johnson. *Rethinking "Batch" in BatchNorm*. 2021, section 3. <https://arxiv.org/abs/2105.07576>
//! Differs from the paper: the variance is the mean of those of the batches, as running values are. The paper
//! takes that of all examples together.

use backbones::AnyBackbone;
use moe::Pass;

use crate::{Order, Run, batch_facts::put_batch_facts};

/// Measures the values of a network on the first examples of its run, by passes made by `with`. As in
/// training, a pass has the examples of one part of a step.
pub(crate) fn measure_norms(run: &Run, model: &AnyBackbone, with: impl Fn(Pass) -> Pass) {
    let (mut order, size) = (Order::of(run), run.config.batch / run.config.accumulate);
    for n in 0..run.config.norm_batches {
        let position = n * size;
        let batch = run.training_batch(&order.examples(position, size), position);
        let mut pass = with(Pass::measuring_norms(n)); // (1)
        put_batch_facts(&mut pass, run.task, &batch);
        model.forward(&mut pass, batch.input.clone());
    }
}
