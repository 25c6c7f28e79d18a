//! Tests of training with local updates: equality with one network, and faults.

use std::{path::Path, sync::Arc};

use backbones::AnyBackbone;
use burn::{module::Module, prelude::*};
use moe::{Choice, Domain, MoeConfig, Placement};
use tasks::{Batch, Score, Split, Task};

use crate::{
    FaultConfig, FaultKind, Optimizer, Outcome, Penalty, Run, Schedule, StepLog, TrainConfig,
    TrainError, Watch, WorkersConfig,
    common::{StopAfter, library, network_of, task},
    supervised,
};

/// A network and a task for it.
struct Fixture {
    task: Arc<dyn Task>,
    backbone: Choice,
    moe: MoeConfig,
}

/// Digits, with a small transformer whose router has a state that a rule updates.
fn digits() -> Fixture {
    let sizes = [("patch", 4), ("width", 8), ("depth", 2), ("heads", 2)];
    Fixture {
        task: task(&Choice::of("digits")),
        backbone: sizes.iter().fold(Choice::of("vit"), |vit, (key, n)| vit.with(key, n)),
        moe: MoeConfig {
            router: Choice::of("loss-free"),
            expert: Choice::of("ffn").with("hidden", 8),
            experts: 4,
            layers: Placement::Every(2),
            ..MoeConfig::default()
        },
    }
}

impl Fixture {
    fn network(&self) -> AnyBackbone {
        network_of(&library(), 3, &*self.task, &self.backbone, &self.moe)
    }

    fn train_in(
        &self,
        folder: &Path,
        config: &TrainConfig,
        watch: &mut dyn Watch,
    ) -> Result<Outcome, TrainError> {
        let (task, device) = (&*self.task, &Device::flex());
        let run = Run {
            task,
            config,
            seed: 3,
            device,
            folder,
            test: false,
            tracer: None,
            objective: None,
        };
        supervised(&run, self.network(), watch)
    }

    fn train(&self, config: &TrainConfig) -> Result<Outcome, TrainError> {
        assert_eq!(config.check(), Ok(()));
        self.train_in(tempfile::tempdir().unwrap().path(), config, &mut StopAfter::default())
    }
}

fn bits(outcome: Outcome) -> Vec<u8> {
    outcome.model.into_record().into_bytes().unwrap().to_vec()
}

fn config(workers: Option<WorkersConfig>) -> TrainConfig {
    let (steps, batch, warmup, log_every) = (14, 8, 3, 5);
    TrainConfig { steps, batch, warmup, log_every, lr: 3e-3, workers, ..TrainConfig::default() }
}

fn few() -> WorkersConfig {
    WorkersConfig { count: 2, local_steps: 3, warmup: 4, ..WorkersConfig::default() }
}

/// Outer steps that move the anchor to the mean of the workers.
fn plain() -> WorkersConfig {
    let penalty = Penalty::Mean;
    WorkersConfig { outer_lr: 1.0, outer_momentum: 0.0, penalty, clip: 0.0, ..few() }
}

#[test]
fn one_worker_that_is_taken_at_its_word_is_ordinary_training() {
    let alone = digits().train(&config(None)).unwrap();
    let group = digits().train(&config(Some(WorkersConfig { count: 1, ..plain() }))).unwrap();
    assert_eq!(group.tokens, alone.tokens);
    assert_eq!(bits(group), bits(alone));
}

#[test]
fn workers_that_never_part_are_micro_batches() {
    let parts = TrainConfig { accumulate: 2, ..config(None) };
    let together = WorkersConfig { warmup: 14, ..few() };
    let together = bits(digits().train(&config(Some(together))).unwrap());
    assert_eq!(together, bits(digits().train(&parts).unwrap()));
    assert_ne!(together, bits(digits().train(&config(Some(few()))).unwrap()));
}

/// A task with a single training example.
struct OneExample(Arc<dyn Task>);

impl Task for OneExample {
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
        if split == Split::Train { 1 } else { self.0.len(split) }
    }
    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        self.0.batch(split, examples, device)
    }
    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        self.0.measure(output, batch, score);
    }
}

#[test]
fn workers_that_see_the_same_are_one_worker() {
    let setting = Fixture { task: Arc::new(OneExample(digits().task)), ..digits() };
    for penalty in [Penalty::Mean, Penalty::Softmax, Penalty::Edit] {
        let of = |count, warmup| {
            let workers = WorkersConfig { count, warmup, penalty, ..few() };
            let config = TrainConfig { batch: 2 * count, ..config(Some(workers)) };
            bits(setting.train(&config).unwrap())
        };
        assert_eq!(of(4, 0), of(1, 0), "{penalty:?}");
    }
}

#[test]
fn stopped_at_any_step_it_ends_with_the_same_bits() {
    let faults = FaultConfig { rate: 0.4, after: 6, ..FaultConfig::default() };
    let workers = WorkersConfig { ewma: 0.5, ewma_warmup: 2, faults: Some(faults), ..few() };
    let config = TrainConfig { checkpoint_every: 100, ..config(Some(workers)) };
    let [whole, cut] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let expected =
        bits(digits().train_in(whole.path(), &config, &mut StopAfter::default()).unwrap());
    // Before the workers are separated, when they are, within a round, at its end, and twice in a row.
    for stop in [3, 1, 2, 1, 2, 3] {
        let stopped = digits().train_in(cut.path(), &config, &mut StopAfter::new(Some(stop)));
        assert!(matches!(stopped, Err(TrainError::Stopped { .. })));
    }
    assert_eq!(
        bits(digits().train_in(cut.path(), &config, &mut StopAfter::default()).unwrap()),
        expected
    );
    let [a, b] = [whole, cut].map(|f| StepLog::read_intact(&StepLog::path(f.path())).unwrap());
    assert_eq!(a, b);
    assert!(a.iter().any(|row| row.metric == "anomalous_share"));
}

/// A network without norms, which diverges on large inputs.
fn patterns() -> Fixture {
    let sizes = [("patterns", 16), ("tokens", 4), ("train", 1024), ("test", 256)];
    let choice = sizes.iter().fold(Choice::of("patterns"), |task, (key, n)| task.with(key, n));
    Fixture {
        task: task(&choice),
        backbone: Choice::of("bare"),
        moe: MoeConfig {
            router: Choice::of("top-k"),
            expert: Choice::of("ffn").with("hidden", 16),
            experts: 2,
            layers: Placement::ALL,
            ..MoeConfig::default()
        },
    }
}

#[test]
fn huge_faults_carry_the_plain_mean_away_and_not_edit() {
    let of = |penalty, rate| {
        let kind = FaultKind::Both;
        let faults = FaultConfig { rate, kind, factor: 1000.0, after: 80 };
        let workers = WorkersConfig {
            count: 4,
            local_steps: 4,
            warmup: 8,
            penalty,
            clip: 0.0,
            ewma: 0.2,
            ewma_warmup: 12,
            faults: Some(faults),
            ..WorkersConfig::default()
        };
        let config = TrainConfig {
            steps: 240,
            batch: 64,
            lr: 0.2,
            warmup: 0,
            optimizer: Optimizer::Sgd,
            schedule: Schedule::Constant,
            momentum: 0.0,
            weight_decay: 0.0,
            clip: 0.0,
            workers: Some(workers),
            ..TrainConfig::default()
        };
        patterns().train(&config).map(|outcome| outcome.valid.metrics[0].1)
    };
    let sound = of(Penalty::Edit, 0.0).unwrap();
    assert!(sound > 0.95, "{sound}");
    let edit = of(Penalty::Edit, 0.15).unwrap();
    assert!((edit - sound).abs() < 0.03, "{edit}, without faults {sound}");
    match of(Penalty::Mean, 0.15) {
        Err(err) => assert!(matches!(err, TrainError::Diverged { .. }), "{err}"),
        Ok(accuracy) => assert!(accuracy < sound - 0.2, "{accuracy}"),
    }
}
