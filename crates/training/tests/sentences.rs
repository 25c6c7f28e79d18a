//! Training on sentences: translation with an encoder-decoder, hidden tokens with an encoder.

mod common;

use burn::prelude::*;
use common::{StopAfter, network, task};
use moe::{Choice, MoeConfig, Placement};
use serde_json::json;
use tasks::{Split, Task};
use training::{Outcome, Run, TrainConfig, supervised};

fn choice(value: serde_json::Value) -> Choice {
    serde_json::from_value(value).unwrap()
}

/// The outcome of a run with `steps` steps.
fn trained(task: &dyn Task, backbone: &Choice, steps: usize, batch: usize) -> Outcome {
    let moe = MoeConfig {
        layers: Placement::ALL,
        experts: 3,
        router: Choice::of("switch"),
        expert: Choice::of("ffn").with("hidden", 16),
        ..MoeConfig::default()
    };
    let (device, model) = (&Device::flex(), network(task, backbone, &moe));
    let config = TrainConfig { steps, batch, lr: 5e-3, warmup: 2, ..TrainConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
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
    supervised(&run, model, &mut StopAfter::default()).unwrap()
}

fn value(outcome: &Outcome, name: &str) -> f64 {
    let found = outcome.valid.metrics.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("{name} is measured")).1
}

#[test]
fn a_translator_is_trained_and_its_translations_are_measured() {
    let task = task(&choice(json!({
        "kind": "translation", "pairs": 60, "tokens": "byte", "length": 40, "batch_tokens": 300,
        "valid_sentences": 5, "test_sentences": 7, "latency_runs": 3,
    })));
    let backbone = choice(json!({
        "kind": "transformer-seq2seq", "width": 16, "encoder_layers": 1, "decoder_layers": 1,
    }));
    let before = trained(&*task, &backbone, 0, 1);
    let after = trained(&*task, &backbone, 25, 1);
    let nats = |outcome: &Outcome| value(outcome, "loss");
    assert!(nats(&after) < nats(&before) - 0.5, "{} to {}", nats(&before), nats(&after));
    assert!((value(&after, "perplexity") - nats(&after).exp()).abs() < 1e-6 * nats(&after).exp());
    for name in ["bleu", "chrf"] {
        assert!((0.0..=100.0).contains(&value(&after, name)), "{name}");
    }
    let writing = after.valid.writing.expect("five sentences were written");
    assert!(writing.tokens >= 5 && writing.tokens_per_second().unwrap() > 0.0);
    assert_eq!(after.test.as_ref().unwrap().examples.len(), task.len(Split::Test));
    // The latency is measured on the test split alone.
    let latency = after.test.as_ref().and_then(|test| test.writing?.latency).unwrap();
    assert!(latency > 0.0 && latency < 60_000.0 && writing.latency.is_none(), "{latency} ms");
    // One layer in the encoder, one in the decoder: each counts its own real tokens.
    let units: Vec<usize> = after.valid.layers.iter().map(|layer| layer.units).collect();
    let translation = task.as_translation().unwrap();
    let sources = (0..task.len(Split::Valid)).map(|i| translation.source(Split::Valid, i).len());
    assert_eq!((units.len(), units[0]), (2, sources.sum::<usize>()));
    assert!(units[1] != units[0]);
    let tokens = 25.0 * translation.tokens_of_example();
    assert_eq!(after.tokens, tokens as usize);
}

#[test]
fn hidden_tokens_are_learned() {
    let text = json!({ "kind": "tanaka-lm", "length": 32 });
    let task = task(&choice(json!({ "kind": "masked-lm", "text": text })));
    let backbone = choice(json!({ "kind": "transformer-encoder", "width": 16, "depth": 1 }));
    let (before, after) = (trained(&*task, &backbone, 0, 8), trained(&*task, &backbone, 25, 8));
    let nats = |outcome: &Outcome| value(outcome, "loss");
    assert!(nats(&after) < nats(&before) - 0.5, "{} to {}", nats(&before), nats(&after));
    assert!(value(&after, "accuracy") > value(&before, "accuracy"));
}
