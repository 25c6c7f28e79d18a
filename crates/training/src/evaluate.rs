//! Evaluation of a network on a split: measures, routing and cost.

use backbones::AnyBackbone;
use burn::{module::Module, prelude::*};
use moe::{LayerReport, Pass};
use tasks::{Score, Split, Task};

use crate::{
    ExampleScore,
    batch_facts::{put_batch_facts, real_examples},
    choices, example_scores,
    order::all_in_rows,
    segment_memory::SegmentMemory,
    translations::{self, WritingSpeed},
};

/// Examples in a batch of evaluation. Fixed, so that routers whose units compete across a batch
/// are all measured alike.
const BATCH: usize = 64;

/// The results of an evaluation.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The task's measures.
    pub metrics: Vec<(&'static str, f64)>,
    /// Metrics of the layers by name, mean over the examples and the layers.
    pub told: Vec<(String, f64)>,
    /// The report of each MoE layer over the whole split.
    pub layers: Vec<LayerReport>,
    /// What it scored on each example, in their order; of the test split of a classification
    /// alone.
    pub examples: Vec<ExampleScore>,
    /// How fast it wrote translations, if it did.
    pub writing: Option<WritingSpeed>,
    /// Floating-point operations of one token, forward.
    pub flops_per_token: f64,
    /// Parameters of the network.
    pub params: f64,
    /// Parameters that contribute to one token's output, on average.
    pub active_params: f64,
}

impl Evaluation {
    /// The largest load over the mean load, mean over the layers; none without MoE layers.
    pub fn max_over_mean_load(&self) -> Option<f64> {
        self.mean(LayerReport::max_over_mean)
    }

    /// The share of units that no expert worked on, mean over the layers; none without MoE layers.
    pub fn dropped_share(&self) -> Option<f64> {
        self.mean(|layer| layer.dropped as f64 / layer.units as f64)
    }

    fn mean(&self, of: impl Fn(&LayerReport) -> f64) -> Option<f64> {
        mean_over(&self.layers, of)
    }

    /// The parameters that one whole input needs in memory, in bytes: those of experts that none of its
    /// units visits are not counted.
    pub fn bytes_per_input(&self) -> f64 {
        const BYTES: f64 = 4.0;
        BYTES * (self.params - self.layers.iter().map(LayerReport::params_unneeded).sum::<f64>())
    }

    /// All numbers by name, as they are written to csv.
    pub fn numbers(&self) -> Vec<(String, f64)> {
        let load = self.max_over_mean_load().map(|load| ("max_over_mean_load", load));
        let dropped = self.dropped_share().map(|share| ("dropped_share", share));
        let bytes = [("bytes_per_input", self.bytes_per_input())];
        let named = self.metrics.iter().copied().chain(load).chain(dropped).chain(bytes);
        let named = named.map(|(name, value)| (name.to_string(), value));
        named.chain(self.told.iter().cloned()).collect()
    }
}

/// A mean over the layers, if there are any.
pub(crate) fn mean_over(layers: &[LayerReport], of: impl Fn(&LayerReport) -> f64) -> Option<f64> {
    let sum: f64 = layers.iter().map(of).sum();
    (!layers.is_empty()).then(|| sum / layers.len() as f64)
}

/// Runs the network over a whole split. `model` is one that is not trained, from `valid()`.
pub fn evaluate(model: &AnyBackbone, task: &dyn Task, split: Split, device: &Device) -> Evaluation {
    evaluate_some(model, task, split, task.len(split), device)
}

/// The same on the first `count` examples of the split.
pub fn evaluate_some(
    model: &AnyBackbone,
    task: &dyn Task,
    split: Split,
    count: usize,
    device: &Device,
) -> Evaluation {
    let mut score = Score::default();
    let mut layers: Vec<LayerReport> = Vec::new();
    let mut told: Vec<(String, f64)> = Vec::new();
    let mut real = 0.0;
    let mut scores = Vec::new();
    let whole = task.as_whole_split().filter(|_| count >= task.len(split));
    let mut outputs = vec![Vec::new(); if whole.is_some() { task.len(split) } else { 0 }];
    let all = count.min(task.len(split));
    let mut carried = SegmentMemory::over(task);
    for examples in batches(task, all) {
        let batch = task.batch(split, &examples, device);
        let mut pass = Pass::eval().with_reports();
        put_batch_facts(&mut pass, task, &batch);
        let output = carried.forward(0, model, &mut pass, batch.input.clone());
        if split == Split::Test && task.is_classification() {
            scores.extend(example_scores::of_batch(&examples, output.clone(), &batch));
        }
        if whole.is_some() {
            keep(&mut outputs, &examples, &output);
        }
        task.measure(output, &batch, &mut score);
        let size = real_examples(&batch, model.tokens());
        real += size;
        told.extend(pass.metrics().into_iter().map(|(name, value)| (name, value * size)));
        match layers.is_empty() {
            true => layers = pass.reports().to_vec(),
            false => layers.iter_mut().zip(pass.reports()).for_each(|(sum, new)| sum.add(new)),
        }
    }
    if let Some(whole) = whole {
        whole.measure_whole(split, &outputs, &mut score);
    }
    if let Some(sequential) = task.as_sequential().filter(|_| count >= task.len(split)) {
        let mut network = |input| model.forward(&mut Pass::eval(), input);
        sequential.measure_sequence(split, &mut network, device, &mut score);
    }
    carried.forget();
    if let Some(attacked) = task.as_attacked() {
        for examples in batches(task, attacked.attacked_len(split)) {
            let batch = attacked.attacked(split, &examples, device);
            let mut pass = Pass::eval();
            put_batch_facts(&mut pass, task, &batch);
            let output = carried.forward(0, model, &mut pass, batch.input.clone());
            attacked.measure_attacked(output, &batch, &mut score);
        }
    }
    if let (Split::Test, Some(text)) = (split, task.as_text()) {
        choices::judge(model, text.questions(), &mut score, device);
    }
    let writing = task.as_translation().and_then(|translation| {
        translations::judge(model, translation, (split, all), &mut score, device)
    });
    scores.sort_unstable_by_key(|score: &ExampleScore| score.example);
    let tokens = real * model.tokens() as f64;
    let routed: f64 = layers.iter().map(|layer| layer.flops).sum();
    let idle: f64 = layers.iter().map(LayerReport::idle_params).sum();
    let params = model.num_params() as f64;
    Evaluation {
        metrics: task
            .metrics()
            .iter()
            // Not every split is attacked.
            .filter(|name| all == 0 || score.has(name))
            .map(|name| (*name, score.mean(name)))
            .collect(),
        told: sums(told, real),
        layers,
        examples: scores,
        writing,
        flops_per_token: model.dense_flops() / model.tokens() as f64 + routed / tokens,
        params,
        active_params: params - idle,
    }
}

/// Keeps the output `[T, outputs]` of each example, row by row.
fn keep(outputs: &mut [Vec<f32>], examples: &[usize], output: &Tensor<3>) {
    let [_, t, v] = output.dims();
    let values = output.to_data();
    let values: Vec<f32> = values.iter::<f32>().collect();
    for (example, own) in examples.iter().zip(values.chunks(t * v)) {
        outputs[*example] = own.to_vec();
    }
}

/// The sum of the values of each name, each over `size`.
fn sums(values: Vec<(String, f64)>, size: f64) -> Vec<(String, f64)> {
    let mut sums: Vec<(String, f64)> = Vec::new();
    for (name, value) in values {
        match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += value / size,
            None => sums.push((name, value / size)),
        }
    }
    sums
}

/// The first `n` examples, in the order in which they are shown.
fn batches(task: &dyn Task, n: usize) -> Vec<Vec<usize>> {
    match task.as_stream().is_some() {
        true => all_in_rows(n, BATCH),
        false => (0..n).collect::<Vec<_>>().chunks(BATCH).map(<[usize]>::to_vec).collect(),
    }
}
