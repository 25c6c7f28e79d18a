//! Facts of a task about a batch, put into the pass for the layers and routers that use them.

use moe::{Clusters, Condition, ExampleIndices, Input, Pass, RealTokens};
use tasks::{Batch, Task};

/// Puts the task's facts about the batch into the pass: the real tokens and the padding, the true clusters,
/// the condition of the whole batch, and the indices of its examples.
pub fn put_batch_facts(pass: &mut Pass, task: &dyn Task, batch: &Batch) {
    if let Some(text) = &batch.text {
        pass.put(RealTokens(text.count.clone()));
    }
    if let Some((split, rows)) = &batch.examples {
        pass.put(ExampleIndices { split: split.name(), rows: rows.clone() });
    }
    if let Some(task) = task.as_clustered() {
        pass.put(Clusters(task.clusters(batch)));
    }
    if let Some(task) = task.as_conditioned() {
        pass.put(Condition(task.condition(batch)));
    }
}

/// The number of examples of a batch for a network with `tokens` tokens per example; an example with padding
/// counts as the share of its tokens that are real.
pub(crate) fn real_examples(batch: &Batch, tokens: usize) -> f64 {
    let real = match (&batch.input, &batch.text) {
        (Input::Pair(pair), _) => {
            pair.source_counts.iter().chain(&pair.target_counts).sum::<usize>()
        }
        (_, Some(text)) => text.count.iter().sum(),
        (_, None) => batch.labels.dims()[0] * tokens,
    };
    real as f64 / tokens as f64
}
