//! Training on windows that continue each other: earlier windows are seen, and a run that stops continues to
//! the same bits.

mod common;

use std::{path::Path, sync::Arc};

use backbones::{AnyBackbone, Cache};
use burn::{module::Module, prelude::*};
use common::{StopAfter, network, task};
use moe::{Choice, MoeConfig, Pass, Placement};
use serde_json::json;
use tasks::{Score, Split, Task};
use training::{
    ExampleScore, Outcome, Run, TrainConfig, TrainError, all_in_rows, evaluate, supervised,
};

fn texts(stream: &str) -> Arc<dyn Task> {
    task(&Choice::of("tanaka-lm").with("length", 32).with("stream", stream))
}

fn decoder(task: &dyn Task, positions: &str) -> AnyBackbone {
    let moe = MoeConfig { layers: Placement::Every(2), experts: 4, ..MoeConfig::default() };
    let choice =
        json!({ "kind": "transformer-lm", "width": 8, "heads": 2, "positions": positions });
    network(task, &serde_json::from_value(choice).unwrap(), &moe)
}

fn train(
    task: &dyn Task,
    positions: &str,
    folder: &Path,
    stop: Option<usize>,
) -> Result<Outcome, TrainError> {
    let config =
        TrainConfig { steps: 12, batch: 8, accumulate: 2, lr: 1e-2, ..TrainConfig::default() };
    let device = &Device::flex();
    let run = Run {
        task,
        config: &config,
        seed: 1,
        device,
        folder,
        test: false,
        tracer: None,
        objective: None,
    };
    supervised(&run, decoder(task, positions), &mut StopAfter::new(stop))
}

fn bits(outcome: Outcome) -> Vec<u8> {
    outcome.model.into_record().into_bytes().unwrap().to_vec()
}

#[test]
fn a_run_that_stops_goes_on_to_the_same_bits() {
    let task = texts("contiguous");
    let folders = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let whole = bits(train(&*task, "relative", folders[0].path(), None).unwrap());
    for (stop, at) in [(3, 3), (5, 8)] {
        let stopped = train(&*task, "relative", folders[1].path(), Some(stop)).err();
        assert!(matches!(stopped, Some(TrainError::Stopped { step }) if step == at));
    }
    assert_eq!(bits(train(&*task, "relative", folders[1].path(), None).unwrap()), whole);
}

#[test]
fn what_went_before_is_seen_in_evaluation_with_relative_positions_alone() {
    let task = texts("contiguous");
    let (device, windows) = (Device::flex(), task.len(Split::Valid));
    for (positions, sees) in [("relative", true), ("rotary", false)] {
        let folder = tempfile::tempdir().unwrap();
        let model = train(&*task, positions, folder.path(), None).unwrap().model;
        let found = evaluate(&model, &*task, Split::Valid, &device);
        // Windows evaluated independently, and as 64 streams by hand.
        let (mut alone, mut streams) = (Score::default(), Score::default());
        let mut cache = Cache::of_stream();
        for batch in all_in_rows(windows, 64) {
            let batch = task.batch(Split::Valid, &batch, &device);
            let y = model.forward(&mut Pass::eval(), batch.input.clone());
            task.measure(y, &batch, &mut alone);
            let mut pass = Pass::eval();
            pass.put(cache);
            let y = model.forward(&mut pass, batch.input.clone());
            task.measure(y, &batch, &mut streams);
            cache = pass.take().unwrap();
        }
        assert_eq!(found.metrics[0].1, streams.mean("bits_per_byte"), "{positions}");
        assert!(found.examples.is_empty()); // those of the test split alone are kept
        let test = evaluate(&model, &*task, Split::Test, &device);
        let numbers: Vec<usize> = test.examples.iter().map(|score| score.example).collect();
        assert_eq!(numbers, (0..task.len(Split::Test)).collect::<Vec<_>>());
        let sum = |of: fn(&ExampleScore) -> f64| test.examples.iter().map(of).sum::<f64>();
        let bits = sum(|score| score.loss) / std::f64::consts::LN_2 / sum(|s| s.bytes as f64);
        assert!((bits - test.metrics[0].1).abs() < 1e-6, "{bits} {:?}", test.metrics);
        let (right, units) = (sum(|s| s.correct as f64), sum(|s| s.units as f64));
        let accuracy = test.metrics.iter().find(|(name, _)| *name == "accuracy").unwrap().1;
        assert_eq!(right / units, accuracy);
        // The last window is padded; the padding is not a unit of any layer.
        assert!((units as usize) < task.len(Split::Test) * 32, "there is padding");
        for layer in &test.layers {
            assert_eq!(layer.units, units as usize);
            assert_eq!(layer.load.iter().sum::<f64>(), 2.0 * units);
            let (of_test, of_valid) = (layer.flops / units, &found.layers[0]);
            let of_valid = of_valid.flops / of_valid.units as f64;
            assert!((of_test / of_valid - 1.0).abs() < 1e-9, "{of_test} {of_valid}");
        }
        let gap = (found.metrics[0].1 - alone.mean("bits_per_byte")).abs();
        assert_eq!(gap > 1e-4, sees, "{positions}: {gap}");
    }
}
