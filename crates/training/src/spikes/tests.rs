//! Tests of whole training runs with damage, with and without spike handling.

use std::{path::Path, sync::Arc};

use backbones::AnyBackbone;
use burn::{module::Module, prelude::*};
use moe::{Choice, MoeConfig, Placement};
use tasks::{Split, Task};

use super::Guard;
use crate::{
    Checkpoint, Damage, DamageKind, Optimizer, Order, Outcome, Persistent, Run, Schedule,
    SpikesConfig, StepLog, StepTracer, TrainConfig, TrainError,
    common::{StopAfter, library, network_of, task},
    learner::{Learner, Now, Replica},
    supervised,
};

fn digits() -> Arc<dyn Task> {
    let digits = Choice::of("digits").with("classes", [0, 1, 2, 3, 4, 5]);
    task(&digits)
}

/// A layer whose output depends on its inputs, with a router that has a state updated by a rule in every
/// pass.
fn network(task: &dyn Task) -> AnyBackbone {
    let moe = MoeConfig {
        router: Choice::of("loss-free"),
        expert: Choice::of("ffn").with("hidden", 8),
        experts: 4,
        layers: Placement::ALL,
        ..MoeConfig::default()
    };
    network_of(&library(), 3, task, &Choice::of("bare"), &moe)
}

fn run_in(
    folder: &Path,
    config: &TrainConfig,
    after: Option<usize>,
    tracer: Option<&StepTracer>,
) -> Result<Outcome, TrainError> {
    assert_eq!(config.check(), Ok(()));
    let (task, device) = (&*digits(), &Device::flex());
    let run = Run { task, config, seed: 3, device, folder, test: false, tracer, objective: None };
    supervised(&run, network(task), &mut StopAfter::new(after))
}

fn run(config: &TrainConfig) -> Result<Outcome, TrainError> {
    run_in(tempfile::tempdir().unwrap().path(), config, None, None)
}

fn bits(outcome: &Outcome) -> Vec<u8> {
    outcome.model.clone().into_record().into_bytes().unwrap().to_vec()
}

fn metric(outcome: &Outcome, name: &str) -> f64 {
    let found = outcome.metrics.iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("{name} is not in {:?}", outcome.metrics)).1
}

fn config() -> TrainConfig {
    let (steps, batch, warmup, log_every) = (30, 8, 3, 5);
    TrainConfig { steps, batch, warmup, log_every, lr: 3e-3, ..TrainConfig::default() }
}

/// Settings that judge after a few steps, with a threshold that only damage exceeds.
fn guarded() -> Option<SpikesConfig> {
    Some(SpikesConfig { window: 6, sigma: 20.0, ..SpikesConfig::default() })
}

fn damage(length: usize, reads: Option<usize>) -> Vec<Damage> {
    let kind = DamageKind::Inputs;
    vec![Damage { step: 15, length, kind, reads, factor: 1e3 }]
}

#[test]
fn without_damage_a_guard_changes_nothing() {
    let plain = run(&config()).unwrap();
    let watched = run(&TrainConfig { spikes: guarded(), ..config() }).unwrap();
    assert_eq!(metric(&watched, "spikes"), 0.0);
    assert!(bits(&watched) == bits(&plain) && watched.tokens == plain.tokens);
}

#[test]
fn damage_that_goes_away_leaves_no_trace() {
    let clean = run(&config()).unwrap();
    for kind in [DamageKind::Inputs, DamageKind::Nan] {
        let faults = damage(2, Some(1)).into_iter().map(|d| Damage { kind, ..d }).collect();
        let found = run(&TrainConfig { spikes: guarded(), faults, ..config() }).unwrap();
        let counts = ["spikes", "retried", "skipped", "quarantined"];
        assert_eq!(counts.map(|name| metric(&found, name)), [2.0, 2.0, 0.0, 0.0], "{kind:?}");
        assert!(bits(&found) == bits(&clean), "{kind:?}");
        // Two steps of 8 images with 8 rows each were computed twice.
        assert_eq!(found.tokens, clean.tokens + 2 * 8 * 8);
    }
}

#[test]
fn damage_that_stays_makes_the_loss_jump_unless_it_is_skipped() {
    let rise = |spikes| {
        let faults = damage(3, None).into_iter().map(|d| Damage { factor: 50.0, ..d }).collect();
        let config = TrainConfig { spikes, faults, ..config() };
        let (steps, schedule, optimizer) = (40, Schedule::Constant, Optimizer::Sgd);
        let config = TrainConfig { steps, schedule, optimizer, lr: 0.02, clip: 0.0, ..config };
        metric(&run(&config).unwrap(), "loss_rise")
    };
    let (plain, skipped) = (rise(None), rise(guarded()));
    assert!(plain > 2.0 && skipped < 1.0, "{plain} {skipped}");
}

#[test]
fn the_third_try_has_the_lower_rate() {
    let twice = TrainConfig { spikes: guarded(), faults: damage(1, Some(2)), ..config() };
    let found = run(&twice).unwrap();
    let counts = |found: &Outcome| {
        ["spikes", "retried", "lowered", "skipped"].map(|name| metric(found, name))
    };
    assert_eq!(counts(&found), [1.0, 2.0, 1.0, 0.0]);
    assert!(bits(&found) != bits(&run(&config()).unwrap()));
    // A persistent spike is applied anyway, if that is requested.
    let spikes = guarded().map(|s| SpikesConfig { persistent: Persistent::Lower, ..s });
    let anyway = run(&TrainConfig { spikes, faults: damage(1, None), ..config() }).unwrap();
    assert_eq!(counts(&anyway), [1.0, 2.0, 1.0, 0.0]);
}

#[test]
fn what_is_no_number_ends_a_run_that_nothing_guards() {
    let faults: Vec<Damage> =
        damage(1, None).into_iter().map(|d| Damage { kind: DamageKind::Nan, ..d }).collect();
    let err = run(&TrainConfig { faults: faults.clone(), ..config() }).err().unwrap();
    assert!(matches!(err, TrainError::Diverged { step: 16, .. }), "{err}");
    let found = run(&TrainConfig { faults, spikes: guarded(), ..config() }).unwrap();
    assert_eq!(metric(&found, "skipped"), 1.0);
    assert!(found.valid.metrics.iter().all(|(_, value)| value.is_finite()));
}

#[test]
fn a_step_that_is_left_out_moves_nothing() {
    let config = TrainConfig { spikes: guarded(), faults: damage(1, None), ..config() };
    let (task, device, folder) = (digits(), Device::flex(), tempfile::tempdir().unwrap());
    let (task, device, folder) = (&*task, &device, folder.path());
    let run = Run {
        task,
        config: &config,
        seed: 3,
        device,
        folder,
        test: false,
        tracer: None,
        objective: None,
    };
    let mut guard = Guard::new(Replica::new(&crate::ProcessGroup::alone(), &run, network(task)));
    let fresh_order = || Order::new(3, task.len(Split::Train));
    let weights = |guard: &Guard| guard.network().into_record().into_bytes().unwrap().to_vec();
    // The weights with the routers' states, before and after a normal step, which depends on the moments of
    // AdamW.
    let record = |guard: &Guard| {
        guard.save(&Checkpoint::default(), folder).unwrap();
        let state = Checkpoint::load_state(folder).unwrap().unwrap();
        let mut again =
            Guard::new(Replica::new(&crate::ProcessGroup::alone(), &run, network(task)))
                .restored(&state)
                .unwrap();
        let before = weights(&again);
        again.step(Now { run: &run, step: 20, logs: false }, &mut fresh_order());
        (before, weights(&again))
    };
    let mut order = fresh_order();
    let mut step = |guard: &mut Guard, step| {
        guard.step(Now { run: &run, step, logs: false }, &mut order);
    };
    (0..15).for_each(|at| step(&mut guard, at));
    let before = record(&guard);
    step(&mut guard, 15);
    assert_eq!(guard.metrics(&run)[3], ("skipped".to_string(), 1.0));
    assert!(record(&guard) == before, "something moved");
    step(&mut guard, 16);
    let after = record(&guard);
    assert!(after.0 != before.0 && after.1 != before.1, "nothing moved");
}

#[test]
fn examples_come_back_and_a_stopped_run_goes_on_to_the_same_bits() {
    let (spikes, faults) = (guarded(), damage(2, None));
    let config = TrainConfig { spikes, faults, watch_load: 20, steps: 40, ..config() };
    let whole = tempfile::tempdir().unwrap();
    let expected = run_in(whole.path(), &config, None, None).unwrap();
    assert_eq!(metric(&expected, "skipped"), 2.0);
    // Steps of 8 examples are skipped; 1 in 8 of the 23 following steps uses one of them again.
    assert_eq!((metric(&expected, "reinjected"), metric(&expected, "quarantined")), (3.0, 13.0));
    assert!(metric(&expected, "early_load") >= 1.0);
    let computed = config.examples_before(40) + 2 * 2 * 8 + 3;
    assert_eq!(expected.tokens, 8 * computed);
    for after in [5, 17, 25] {
        let folder = tempfile::tempdir().unwrap();
        let stopped = run_in(folder.path(), &config, Some(after), None);
        assert!(matches!(stopped, Err(TrainError::Stopped { step }) if step == after));
        let found = run_in(folder.path(), &config, None, None).unwrap();
        assert!(bits(&found) == bits(&expected), "{after}");
        assert_eq!((found.metrics, found.tokens), (expected.metrics.clone(), expected.tokens));
        let log = |folder: &Path| std::fs::read(StepLog::path(folder)).unwrap();
        assert_eq!(log(folder.path()), log(whole.path()), "{after}");
    }
}

#[test]
fn who_takes_the_time_changes_nothing() {
    let tracer = StepTracer::default();
    let config = TrainConfig { eval_every: 10, checkpoint_every: 10, accumulate: 2, ..config() };
    let folder = tempfile::tempdir().unwrap();
    let watched = run_in(folder.path(), &config, None, Some(&tracer)).unwrap();
    assert!(bits(&watched) == bits(&run(&config).unwrap()));
    let visits: Vec<(&str, usize)> =
        tracer.times().iter().map(|times| (times.span.name(), times.visits)).collect();
    let parts = 30 * 2;
    let expected = [
        ("data", parts),
        ("forward", parts),
        ("backward", parts),
        ("clip", 30),
        ("optimizer", 30),
        ("evaluation", 3),
        ("checkpoint", 3),
    ];
    assert_eq!(visits, expected);
}
