//! Routing at batch level by a condition that the task supplies.

mod common;

use std::sync::Arc;

use burn::prelude::*;
use common::{StopAfter, network, task};
use moe::{Choice, Domain, Input, Level, MoeConfig, Placement};
use tasks::{Batch, ConditionedTask, Score, Split, Task};
use training::{Run, TrainConfig, supervised};

/// Digits in batches with a condition: the mean of their pixels, and of their squares.
struct Conditioned(Arc<dyn Task>);

impl Task for Conditioned {
    fn domain(&self) -> Domain {
        self.0.domain()
    }
    fn outputs(&self) -> usize {
        self.0.outputs()
    }
    fn causal(&self) -> bool {
        self.0.causal()
    }
    fn metrics(&self) -> &[&'static str] {
        self.0.metrics()
    }
    fn len(&self, split: Split) -> usize {
        self.0.len(split)
    }
    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        self.0.batch(split, examples, device)
    }
    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        self.0.measure(output, batch, score);
    }
    fn as_conditioned(&self) -> Option<&dyn ConditionedTask> {
        Some(self)
    }
}

impl ConditionedTask for Conditioned {
    fn condition_width(&self) -> usize {
        2
    }
    fn condition(&self, batch: &Batch) -> Tensor<2> {
        let Input::Image(pixels) = batch.input.clone() else { unreachable!("digits are images") };
        let (mean, square) = (pixels.clone().mean(), pixels.square().mean());
        Tensor::cat(vec![mean, square], 0).unsqueeze::<2>()
    }
}

#[test]
fn a_task_with_a_condition_is_learnt_at_batch_level() {
    let task = Conditioned(task(&Choice::of("digits")));
    let moe = MoeConfig {
        layers: Placement::ALL,
        experts: 4,
        level: Level::Batch(2),
        router: Choice::of("top-k").with("k", 2),
        ..MoeConfig::default()
    };
    moe.level.check_condition(Some(task.condition_width())).unwrap();
    assert!(moe.level.check_condition(Some(3)).unwrap_err().starts_with("level.batch = 2: needs"));
    assert!(moe.level.check_condition(None).is_err());
    let vit = Choice::of("vit").with("width", 8).with("depth", 2).with("heads", 2);
    let (device, model) = (&Device::flex(), network(&task, &vit, &moe));
    let config = TrainConfig { steps: 3, batch: 8, ..TrainConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let (task, folder): (&dyn Task, _) = (&task, folder.path());
    let run = Run {
        task,
        config: &config,
        seed: 1,
        device,
        folder,
        test: true,
        tracer: None,
        objective: None,
    };
    let outcome = supervised(&run, model, &mut StopAfter::default()).unwrap();
    // Each batch is one unit with two experts.
    let [layer, ..] = &outcome.valid.layers[..] else { panic!("there are MoE layers") };
    assert_eq!(layer.units, task.len(Split::Valid).div_ceil(64));
    assert_eq!(layer.load.iter().sum::<f64>(), 2.0 * layer.units as f64);
}
