//! A run on several processes, here threads, has the same bits as a run on one.

mod common;

use std::{fs, path::Path, sync::Arc, thread};

use burn::prelude::*;
use common::{StopAfter, network, task};
use distributed::{Communicator, threads};
use moe::{Choice, MoeConfig, Placement};
use training::{
    FaultConfig, Outcome, Penalty, ProcessGroup, Run, SpikesConfig, TrainConfig, TrainError,
    WorkersConfig, follow, supervised_by,
};

/// The network and the task to train.
struct Setting {
    task: Choice,
    backbone: Choice,
    router: Choice,
    config: TrainConfig,
    splits_moments: bool,
    splits_experts: bool,
}

fn vit() -> Choice {
    Choice::of("vit").with("width", 8).with("depth", 2).with("heads", 2)
}

impl Setting {
    fn of(router: Choice) -> Self {
        let config = TrainConfig {
            steps: 7,
            batch: 8,
            accumulate: 4,
            lr: 1e-2,
            warmup: 2,
            log_every: 3,
            eval_every: 4,
            checkpoint_every: 2,
            watch_load: 3,
            ..TrainConfig::default()
        };
        let (splits_moments, splits_experts) = (false, false);
        let task = Choice::of("digits");
        Self { task, backbone: vit(), router, config, splits_moments, splits_experts }
    }

    /// The part of one process. Only rank 0 has an outcome, or an error that matters.
    fn part(
        &self,
        world: Arc<dyn Communicator>,
        folder: &Path,
        stop: Option<usize>,
    ) -> Option<Result<Outcome, TrainError>> {
        let (task, device, config) = (&*task(&self.task), &Device::flex(), &self.config);
        let own_experts = self.backbone.kind == "supernet";
        let moe = MoeConfig {
            layers: if own_experts { Placement::NONE } else { Placement::ALL },
            experts: 4,
            router: self.router.clone(),
            expert: Choice::of("ffn").with("hidden", 8),
            expert_parallel: self.splits_experts,
            ..MoeConfig::default()
        };
        assert_eq!(config.check(), Ok(()));
        assert_eq!(ProcessGroup::check(config, world.size()), Ok(()));
        let run = Run {
            task,
            config,
            seed: 1,
            device,
            folder,
            test: true,
            tracer: None,
            objective: None,
        };
        let model = network(task, &self.backbone, &moe);
        let (leads, group) = (world.rank() == 0, ProcessGroup::of(world));
        let group = if self.splits_moments { group.splits_moments() } else { group };
        let group = if self.splits_experts { group.splits_experts() } else { group };
        if leads {
            return Some(supervised_by(&group, &run, model, &mut StopAfter::new(stop)));
        }
        follow(&group, &run, model).unwrap();
        None
    }

    /// The run on `ranks` processes.
    fn on(&self, ranks: usize, folder: &Path, stop: Option<usize>) -> Result<Outcome, TrainError> {
        thread::scope(|scope| {
            let part = |world| scope.spawn(move || self.part(Arc::new(world), folder, stop));
            let parts: Vec<_> = threads(ranks).into_iter().map(part).collect();
            let ended: Vec<_> = parts.into_iter().map(|part| part.join().unwrap()).collect();
            ended.into_iter().flatten().next().unwrap()
        })
    }

    /// The network, operations, logs without speeds, and measures: all results of a run.
    fn shows(&self, ranks: usize, stops: &[(usize, usize)]) -> (Vec<u8>, u64, String) {
        let folder = tempfile::tempdir().unwrap();
        for (ranks, stop) in stops {
            let err = self.on(*ranks, folder.path(), Some(*stop)).err().unwrap();
            assert!(matches!(err, TrainError::Stopped { .. }), "{err}");
        }
        let outcome = self.on(ranks, folder.path(), None).unwrap();
        let log = fs::read_to_string(folder.path().join("metrics.csv")).unwrap();
        assert!(log.lines().count() > 20, "{log}");
        let flops = outcome.flops.to_bits();
        (outcome.model.into_record().into_bytes().unwrap().to_vec(), flops, log)
    }

    /// Checks two and four processes against one.
    fn check(&self) {
        let alone = self.shows(1, &[]);
        for ranks in [2, 4] {
            let together = self.shows(ranks, &[]);
            assert_eq!(together.2, alone.2, "{ranks} ranks, {:?}", self.router);
            assert_eq!(together.1, alone.1);
            assert!(together.0 == alone.0, "{ranks} ranks, {:?}: the weights differ", self.router);
        }
    }
}

#[test]
fn routers_with_states_have_the_bits_of_one_process() {
    for router in [
        Choice::of("deepseek-v3"),
        Choice::of("loss-free"),
        Choice::of("expert-threshold"),
        Choice::of("quantile-balancing"),
        Choice::of("remoe").with("k", 1),
        Choice::of("warm-up"),
        Choice::of("top-k").with("balance", 0.1).with("balance_of", "step"),
        Choice::of("st-moe").with("balance", 0.1).with("balance_of", "step"),
        Choice::of("top-p").with("balance", 0.1).with("balance_of", "step"),
    ] {
        Setting::of(router).check();
    }
}

#[test]
fn a_batch_norm_follows_all_parts() {
    let backbone = serde_json::json!({
        "kind": "conv-net", "widths": [4, 6], "strides": [2, 2], "norm": true, "blocks": 1
    });
    let backbone = serde_json::from_value(backbone).unwrap();
    Setting { backbone, ..Setting::of(Choice::of("top-k")) }.check();
}

/// Values that are measured for evaluations equal those of one process, also after a resume, and do not
/// affect the training.
#[test]
fn batch_norm_is_measured_alike_by_all() {
    let backbone = serde_json::json!({
        "kind": "conv-net", "widths": [4, 6], "strides": [2, 2], "norm": true, "blocks": 1
    });
    let backbone: Choice = serde_json::from_value(backbone).unwrap();
    let of = |norm_batches| {
        let mut setting =
            Setting { backbone: backbone.clone(), ..Setting::of(Choice::of("top-k")) };
        setting.config.norm_batches = norm_batches;
        setting
    };
    let setting = of(3);
    setting.check();
    let alone = setting.shows(1, &[]);
    for (ranks, stops) in [(1, [(1, 3), (1, 2)]), (4, [(2, 3), (1, 4)])] {
        assert!(setting.shows(ranks, &stops) == alone, "{ranks} {stops:?}");
    }
    let lines = |log: &str, split: &str| {
        let of_split = log.lines().filter(|line| line.contains(split));
        of_split.map(str::to_string).collect::<Vec<_>>()
    };
    let plain = of(0).shows(1, &[]);
    assert_eq!(lines(&plain.2, ",train,"), lines(&alone.2, ",train,"));
    assert_ne!(lines(&plain.2, ",valid,"), lines(&alone.2, ",valid,"));
}

#[test]
fn a_run_goes_on_on_another_number_of_processes() {
    let setting = Setting::of(Choice::of("deepseek-v3"));
    let alone = setting.shows(1, &[]);
    for (ranks, stops) in [(1, [(2, 3), (4, 2)]), (4, [(1, 3), (2, 2)]), (2, [(2, 1), (2, 4)])] {
        assert!(setting.shows(ranks, &stops) == alone, "{ranks} {stops:?}");
    }
}

#[test]
fn split_moments_change_no_bit() {
    let backbone = vit().with("width", 24);
    let whole = Setting { backbone, ..Setting::of(Choice::of("loss-free")) };
    let alone = whole.shows(1, &[]);
    let split = Setting { splits_moments: true, ..whole };
    for (ranks, stops) in [(2, &[][..]), (4, &[(2, 3)]), (1, &[(4, 3)]), (3 - 1, &[(1, 2), (4, 3)])]
    {
        assert!(split.shows(ranks, stops) == alone, "{ranks} {stops:?}");
    }
}

/// All parameters and states of a run, its operations, and its gradient norms and validation losses.
fn numbers(setting: &Setting, ranks: usize, stops: &[(usize, usize)]) -> (Vec<f32>, f64, Vec<f64>) {
    let folder = tempfile::tempdir().unwrap();
    for (ranks, stop) in stops {
        let err = setting.on(*ranks, folder.path(), Some(*stop)).err().unwrap();
        assert!(matches!(err, TrainError::Stopped { .. }), "{err}");
    }
    let outcome = setting.on(ranks, folder.path(), None).unwrap();
    let all = moe::numbers_of(&outcome.model, |_| true).into_iter();
    let all = all.flat_map(|(_, data)| data.iter::<f32>().collect::<Vec<_>>()).collect();
    let loss = outcome.valid.metrics.iter().find(|(name, _)| *name == "loss").unwrap().1;
    let log = fs::read_to_string(folder.path().join("metrics.csv")).unwrap();
    let norms = log.lines().filter(|line| line.contains(",grad_norm,"));
    let norms = norms.map(|line| line.rsplit(',').next().unwrap().parse::<f64>().unwrap());
    (all, outcome.flops, norms.chain([loss]).collect())
}

/// Sums over the rows of an expert have another order, so the bits differ. Every unit has the same experts as
/// in one process: the operations are the same.
#[test]
fn split_experts_have_the_numbers_of_one_process() {
    for router in [Choice::of("top-k"), Choice::of("loss-free")] {
        let mut setting = Setting { splits_experts: true, ..Setting::of(router) };
        // With a small epsilon AdamW turns the last bits of gradients near 0 into full updates.
        setting.config.epsilon = 1e-3;
        let (alone, flops, logged) = numbers(&setting, 1, &[]);
        assert_eq!(logged.len(), 3, "two norms and a loss");
        for (ranks, stops) in
            [(2, &[][..]), (4, &[]), (4, &[(2, 3)]), (1, &[(4, 3)]), (2, &[(1, 2)])]
        {
            let found = numbers(&setting, ranks, stops);
            let case = format!("{:?}, {ranks} ranks after {stops:?}", setting.router);
            let gaps = found.0.iter().zip(&alone).map(|(a, b)| (a - b).abs());
            let gap = gaps.fold(0.0_f32, f32::max);
            assert_eq!(found.0.len(), alone.len(), "{case}: the network is whole");
            assert!(gap < 1e-4, "{case}: {gap}");
            for (a, b) in found.2.iter().zip(&logged) {
                assert!((a - b).abs() < 1e-4 * b.max(1.0), "{case}: {:?} {logged:?}", found.2);
            }
            assert_eq!(found.2.len(), logged.len(), "{case}");
            assert_eq!(found.1.to_bits(), flops.to_bits(), "{case}");
        }
    }
}

#[test]
fn experts_that_cannot_be_split_are_refused() {
    let err = |config: TrainConfig, experts| {
        ProcessGroup::check_experts(&config, experts, 4).unwrap_err()
    };
    let default = TrainConfig::default;
    let uneven = "moe.experts = 6: 4 processes cannot share them equally; possible: 1, 2, 3 or 6 \
                  processes";
    assert_eq!(err(default(), 6), uneven);
    let sgd = TrainConfig { optimizer: training::Optimizer::Sgd, ..default() };
    let expected = "train.optimizer = \"sgd\" does not support experts split over 4 processes";
    assert_eq!(err(sgd.clone(), 8), expected);
    let spikes = TrainConfig { spikes: Some(SpikesConfig::default()), ..default() };
    assert!(err(spikes, 8).starts_with("train.spikes does not support"));
    assert_eq!(ProcessGroup::check_experts(&sgd, 7, 1), Ok(()));
    assert_eq!(ProcessGroup::check_experts(&default(), 8, 4), Ok(()));
}

#[test]
fn streams_go_on_on_all_processes() {
    let task = Choice::of("tanaka-lm").with("length", 32).with("stream", "contiguous");
    let backbone = serde_json::json!({
        "kind": "transformer-lm", "width": 8, "heads": 2, "positions": "relative"
    });
    let backbone = serde_json::from_value(backbone).unwrap();
    let mut setting = Setting { task, backbone, ..Setting::of(Choice::of("top-k")) };
    setting.config.steps = 4;
    let alone = setting.shows(1, &[]);
    for (ranks, stops) in [(2, &[][..]), (4, &[(2, 1), (1, 1)])] {
        assert!(setting.shows(ranks, stops) == alone, "{ranks} {stops:?}");
    }
}

#[test]
fn passes_over_the_same_examples_have_the_bits_of_one_process() {
    let backbone = serde_json::json!({
        "kind": "supernet", "paths": "sandwich", "inner": 8, "balance": 0.1,
        "space": {
            "decoder_width": [8, 12], "decoder_layers": [1, 2], "heads": [2, 4],
            "experts": [1, 2], "hidden": [6, 10]
        }
    });
    let task = Choice::of("tanaka-lm").with("length", 32);
    let backbone = serde_json::from_value(backbone).unwrap();
    let mut setting = Setting { task, backbone, ..Setting::of(Choice::of("top-k")) };
    setting.config = TrainConfig { steps: 6, log_every: 1, eval_every: 0, ..setting.config };
    let alone = setting.shows(1, &[]);
    for (ranks, stops) in [(2, &[][..]), (4, &[]), (4, &[(2, 3), (1, 1)])] {
        assert!(setting.shows(ranks, stops) == alone, "{ranks} {stops:?}");
    }
}

#[test]
fn spikes_are_guarded_alike() {
    let mut setting = Setting::of(Choice::of("loss-free"));
    setting.config.spikes = Some(SpikesConfig { sigma: 0.5, window: 2, ..SpikesConfig::default() });
    setting.check();
}

#[test]
fn workers_meet_over_processes_as_they_do_in_one() {
    for penalty in [Penalty::Mean, Penalty::Edit] {
        let mut setting = Setting::of(Choice::of("loss-free"));
        let faults = Some(FaultConfig { rate: 0.5, ..FaultConfig::default() });
        let workers = WorkersConfig {
            count: 4,
            local_steps: 2,
            warmup: 2,
            ewma_warmup: 2,
            penalty,
            faults,
            ..WorkersConfig::default()
        };
        setting.config.accumulate = 1;
        setting.config.workers = Some(workers);
        setting.check();
        let alone = setting.shows(1, &[]);
        assert!(setting.shows(2, &[(4, 1), (1, 2), (2, 1)]) == alone);
    }
}

#[test]
fn what_cannot_be_shared_out_is_refused_with_what_can() {
    let config = |batch, accumulate| TrainConfig { batch, accumulate, ..TrainConfig::default() };
    let refused = |batch, accumulate, ranks| {
        ProcessGroup::check(&config(batch, accumulate), ranks).unwrap_err()
    };
    let few =
        "batch = 2: 4 processes are more than the examples of a step; possible: 1 or 2 processes";
    assert_eq!(refused(2, 1, 4), few);
    let uneven = "batch = 6: 4 processes cannot share the examples of a step equally; possible: \
                  1, 2, 3 or 6 processes";
    assert_eq!((refused(6, 1, 4), refused(6, 2, 4)), (uneven.into(), uneven.into()));
    let parts = "accumulate = 3: 2 processes cannot share the parts equally; possible: 1 or 3 processes, \
                 or accumulate = 2 or 6";
    assert_eq!(refused(6, 3, 2), parts);
    let one = "accumulate = 1: 5 processes cannot share the parts equally; possible: 1 process, or \
               accumulate = 5";
    assert_eq!(refused(5, 1, 5), one);
    let workers = Some(WorkersConfig { count: 3, ..WorkersConfig::default() });
    let err = ProcessGroup::check(&TrainConfig { workers, ..config(6, 1) }, 2).unwrap_err();
    let expected =
        "workers.count = 3: 2 processes cannot share them equally; possible: 1 or 3 processes";
    assert_eq!(err, expected);
    assert_eq!(ProcessGroup::check(&config(6, 1), 1), Ok(()));
    assert_eq!(ProcessGroup::check(&config(36, 12), 6), Ok(()));
    assert_eq!(ProcessGroup::check_examples(&config(6, 1), 3), Ok(()));
}
