//! Evaluation of a network on a split: measures, routing and cost.

use backbones::AnyBackbone;
use burn::{module::Module, prelude::*};
use moe::{LayerReport, Pass};
use tasks::{Batch, Score, Split, Task};

use crate::{
    EVALUATION_BATCH, ExampleScore,
    batch_facts::{put_batch_facts, real_examples},
    choices, example_scores,
    layer_reports::{add_reports, mean_over},
    order::all_in_rows,
    segment_memory::SegmentMemory,
    translations::{self, WritingSpeed},
};

/// The results of an evaluation.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The task's measures.
    pub metrics: Vec<(&'static str, f64)>,
    /// Metrics of the layers by name, averaged over the examples and the layers.
    pub layer_metrics: Vec<(String, f64)>,
    /// The report of each MoE layer over the whole split.
    pub layers: Vec<LayerReport>,
    /// The scores of each example, in order; only for the test split of a classification.
    pub examples: Vec<ExampleScore>,
    /// The speed of generating translations, if there are any.
    pub writing: Option<WritingSpeed>,
    /// Floating-point operations of one token in a forward pass.
    pub flops_per_token: f64,
    /// The number of parameters of the network.
    pub params: f64,
    /// The number of parameters that contribute to one token's output, on average.
    pub active_params: f64,
}

impl Evaluation {
    /// The largest load over the mean load, averaged over the layers; none without MoE layers.
    pub fn max_over_mean_load(&self) -> Option<f64> {
        self.mean(LayerReport::max_over_mean)
    }

    /// The share of units assigned to no expert, averaged over the layers; none without MoE layers.
    pub fn dropped_share(&self) -> Option<f64> {
        self.mean(|layer| layer.dropped as f64 / layer.units as f64)
    }

    fn mean(&self, of: impl Fn(&LayerReport) -> f64) -> Option<f64> {
        mean_over(&self.layers, of)
    }

    /// The memory for the parameters that one whole input needs, in bytes: experts that none of its units use
    /// are not counted.
    pub fn bytes_per_input(&self) -> f64 {
        const BYTES: f64 = 4.0;
        BYTES * (self.params - self.layers.iter().map(LayerReport::params_unneeded).sum::<f64>())
    }

    /// All numbers by name, as written to csv.
    pub fn numbers(&self) -> Vec<(String, f64)> {
        let load = self.max_over_mean_load().map(|load| ("max_over_mean_load", load));
        let dropped = self.dropped_share().map(|share| ("dropped_share", share));
        let bytes = [("bytes_per_input", self.bytes_per_input())];
        let named = self.metrics.iter().copied().chain(load).chain(dropped).chain(bytes);
        let named = named.map(|(name, value)| (name.to_string(), value));
        named.chain(self.layer_metrics.iter().cloned()).collect()
    }
}

/// Runs the network over a whole split. `model` must be in evaluation mode, from `valid()`.
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
    let all = count.min(task.len(split));
    let mut sums = Sums::new(model, task, split, device);
    let whole = task.as_whole_split().filter(|_| all == task.len(split));
    let mut outputs = vec![Vec::new(); if whole.is_some() { all } else { 0 }];
    for examples in batches(task, all) {
        let output = sums.add(&examples);
        if whole.is_some() {
            keep(&mut outputs, &examples, &output);
        }
    }
    if let Some(whole) = whole {
        whole.measure_whole(split, &outputs, &mut sums.score);
    }
    if all == task.len(split) {
        sums.measure_sequence();
    }
    sums.measure_attacked();
    if let (Split::Test, Some(text)) = (split, task.as_text()) {
        choices::judge(model, text.questions(), &mut sums.score, device);
    }
    let writing = task.as_translation().and_then(|translation| {
        translations::judge(model, translation, (split, all), &mut sums.score, device)
    });
    sums.evaluation(all, writing)
}

/// The sums of an evaluation over the batches so far.
struct Sums<'a> {
    model: &'a AnyBackbone,
    task: &'a dyn Task,
    split: Split,
    device: &'a Device,
    memory: SegmentMemory,
    score: Score,
    layers: Vec<LayerReport>,
    /// The sum of each metric, with each batch weighted by its number of examples.
    layer_metrics: Vec<(String, f64)>,
    /// The number of examples; an example with padding counts as a fraction.
    real: f64,
    examples: Vec<ExampleScore>,
}

impl<'a> Sums<'a> {
    fn new(model: &'a AnyBackbone, task: &'a dyn Task, split: Split, device: &'a Device) -> Self {
        let memory = SegmentMemory::over(task);
        let (layers, layer_metrics, examples) = (Vec::new(), Vec::new(), Vec::new());
        let score = Score::default();
        Self {
            model,
            task,
            split,
            device,
            memory,
            score,
            layers,
            layer_metrics,
            real: 0.0,
            examples,
        }
    }

    /// Adds a batch, and returns its output.
    fn add(&mut self, examples: &[usize]) -> Tensor<3> {
        let batch = self.task.batch(self.split, examples, self.device);
        let batch = batch.drawn(self.split, examples);
        let mut pass = Pass::eval().with_reports();
        let output = self.forward(&mut pass, &batch);
        if self.split == Split::Test && self.task.is_classification() {
            self.examples.extend(example_scores::of_batch(examples, output.clone(), &batch));
        }
        self.task.measure(output.clone(), &batch, &mut self.score);
        let size = real_examples(&batch, self.model.tokens());
        self.real += size;
        let metrics = pass.metrics().into_iter();
        self.layer_metrics.extend(metrics.map(|(name, value)| (name, value * size)));
        add_reports(&mut self.layers, pass.reports());
        output
    }

    fn forward(&mut self, pass: &mut Pass, batch: &Batch) -> Tensor<3> {
        put_batch_facts(pass, self.task, batch);
        self.memory.forward(0, self.model, pass, batch.input.clone())
    }

    /// Measures a task whose inputs depend on the network's own outputs.
    fn measure_sequence(&mut self) {
        if let Some(sequential) = self.task.as_sequential() {
            let mut network = |input| self.model.forward(&mut Pass::eval(), input);
            sequential.measure_sequence(self.split, &mut network, self.device, &mut self.score);
        }
    }

    /// Measures the attacked examples of a task that has some.
    fn measure_attacked(&mut self) {
        self.memory.forget();
        let Some(attacked) = self.task.as_attacked() else { return };
        for examples in batches(self.task, attacked.attacked_len(self.split)) {
            let batch = attacked.attacked(self.split, &examples, self.device);
            let output = self.forward(&mut Pass::eval(), &batch);
            attacked.measure_attacked(output, &batch, &mut self.score);
        }
    }

    /// The evaluation on `all` examples.
    fn evaluation(mut self, all: usize, writing: Option<WritingSpeed>) -> Evaluation {
        self.examples.sort_unstable_by_key(|score: &ExampleScore| score.example);
        let tokens = self.real * self.model.tokens() as f64;
        let routed: f64 = self.layers.iter().map(|layer| layer.flops).sum();
        let idle: f64 = self.layers.iter().map(LayerReport::idle_params).sum();
        let params = self.model.num_params() as f64;
        let dense = self.model.dense_flops() / self.model.tokens() as f64;
        // Not every split has attacked examples.
        let names = self.task.metrics().iter().filter(|name| all == 0 || self.score.has(name));
        Evaluation {
            metrics: names.map(|name| (*name, self.score.mean(name))).collect(),
            layer_metrics: sums(self.layer_metrics, self.real),
            layers: self.layers,
            examples: self.examples,
            writing,
            flops_per_token: dense + routed / tokens,
            params,
            active_params: params - idle,
        }
    }
}

/// Stores the output `[T, outputs]` of each example, row by row.
fn keep(outputs: &mut [Vec<f32>], examples: &[usize], output: &Tensor<3>) {
    let [_, t, v] = output.dims();
    let values = output.to_data();
    let values: Vec<f32> = values.iter::<f32>().collect();
    for (example, own) in examples.iter().zip(values.chunks(t * v)) {
        outputs[*example] = own.to_vec();
    }
}

/// The values of each name, each added up and divided by `size`.
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

/// The first `n` examples in batches, in the order in which they are evaluated.
fn batches(task: &dyn Task, n: usize) -> Vec<Vec<usize>> {
    match task.as_stream().is_some() {
        true => all_in_rows(n, EVALUATION_BATCH),
        false => {
            let all: Vec<usize> = (0..n).collect();
            all.chunks(EVALUATION_BATCH).map(<[usize]>::to_vec).collect()
        }
    }
}
