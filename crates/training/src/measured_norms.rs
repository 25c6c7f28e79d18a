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
use tasks::{BatchPosition, Split};

use crate::{Order, Run, batch_facts::put_batch_facts};

/// Measures the values of a network on the first batches of its run, by passes made by `with`.
pub(crate) fn measure_norms(run: &Run, model: &AnyBackbone, with: impl Fn(Pass) -> Pass) {
    let (mut order, batch) = (Order::of(run), run.config.batch);
    for n in 0..run.config.norm_batches {
        let position = n * batch;
        let examples = order.examples(position, batch);
        let place = BatchPosition { seed: run.seed, position };
        let batch = run.task.training_batch(&examples, place, run.device);
        let batch = batch.drawn(Split::Train, &examples);
        let mut pass = with(Pass::measuring_norms(n)); // (1)
        put_batch_facts(&mut pass, run.task, &batch);
        model.forward(&mut pass, batch.input.clone());
    }
}
