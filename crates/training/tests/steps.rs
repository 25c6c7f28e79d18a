//! The counts of each step, and the causes of failure: floating-point operations, and numbers that are not
//! finite.

mod common;

use std::path::Path;

use burn::prelude::*;
use common::{StopAfter, network, task};
use moe::{Choice, MoeConfig, Placement};
use tasks::Split;
use training::{ExampleScore, Outcome, Run, Schedule, TrainConfig, TrainError, supervised};

fn train(
    router: Choice,
    config: &TrainConfig,
    folder: &Path,
    stop: Option<usize>,
) -> Result<Outcome, TrainError> {
    let task = &*task(&Choice::of("digits"));
    let moe = MoeConfig { layers: Placement::ALL, experts: 4, router, ..MoeConfig::default() };
    let vit = Choice::of("vit").with("width", 8).with("depth", 1).with("heads", 2);
    let device = &Device::flex();
    let run =
        Run { task, config, seed: 1, device, folder, test: true, tracer: None, objective: None };
    supervised(&run, network(task, &vit, &moe), &mut StopAfter::new(stop))
}

fn config() -> TrainConfig {
    TrainConfig { steps: 12, batch: 8, accumulate: 2, lr: 1e-2, ..TrainConfig::default() }
}

#[test]
fn each_step_counts_the_operations_that_it_took() {
    let folders = [0; 3].map(|_| tempfile::tempdir().unwrap());
    let flops = |router: &Choice, folder: usize, stop| {
        let outcome = train(router.clone(), &config(), folders[folder].path(), stop)?;
        Ok::<_, TrainError>((outcome.flops, outcome.valid.flops_per_token * outcome.tokens as f64))
    };
    // Two of four experts work on each token, in every step.
    let (counted, by_the_end) = flops(&Choice::of("top-k"), 0, None).unwrap();
    assert!((counted / by_the_end - 1.0).abs() < 1e-9, "{counted} {by_the_end}");
    // ReMoE begins with about half of its experts, and a penalty reduces their number.
    let remoe = Choice::of("remoe").with("k", 1);
    let (counted, by_the_end) = flops(&remoe, 1, None).unwrap();
    assert!((counted / by_the_end - 1.0).abs() > 1e-3, "{counted} {by_the_end}");
    for stop in [3, 4] {
        assert!(matches!(flops(&remoe, 2, Some(stop)), Err(TrainError::Stopped { .. })));
    }
    assert_eq!(flops(&remoe, 2, None).unwrap(), (counted, by_the_end));
}

#[test]
fn a_parameter_that_is_no_number_ends_the_run_with_its_name() {
    let config = TrainConfig { steps: 1, warmup: 0, lr: f64::INFINITY, ..config() };
    let folder = tempfile::tempdir().unwrap();
    let err = train(Choice::of("top-k"), &config, folder.path(), None).err().unwrap();
    let text = err.to_string();
    assert!(text.starts_with("a number of parameter ") && text.ends_with("at step 1"), "{text}");
    assert!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .all(|file| { file.unwrap().file_name() != "checkpoint.bin" })
    );
}

#[test]
fn a_measure_that_is_no_number_ends_the_run_with_its_name() {
    // Weights of 1e30 are finite, but the outputs that follow from them are not.
    let config = TrainConfig { steps: 1, warmup: 0, lr: 1e30, ..config() };
    let folder = tempfile::tempdir().unwrap();
    let err = train(Choice::of("top-k"), &config, folder.path(), None).err().unwrap();
    let TrainError::Diverged { step: 1, what, value } = &err else { panic!("{err}") };
    assert!(what.ends_with(&format!(" on the {} split", Split::Valid.name())), "{what}");
    assert!(!value.is_finite());
}

#[test]
fn examples_have_scores_where_classes_are_chosen_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let config = TrainConfig { steps: 1, ..config() };
    let outcome = train(Choice::of("top-k"), &config, folder.path(), None).unwrap();
    let digits = task(&Choice::of("digits")).len(Split::Test);
    assert_eq!(outcome.test.unwrap().examples.len(), digits);
    assert_eq!(
        ExampleScore::parse(&std::fs::read(ExampleScore::path(folder.path())).unwrap())
            .unwrap()
            .len(),
        digits
    );

    // A single output, whose sign is the prediction.
    let patterns = &*task(&Choice::of("patterns"));
    let router = Choice::of("top-tokens").with("tokens", 3);
    let expert = Choice::of("signed-relu").with("hidden", 4);
    let layers = Placement::ALL;
    let moe = MoeConfig { layers, experts: 4, router, expert, ..MoeConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let (device, folder) = (&Device::flex(), folder.path());
    let config = TrainConfig { schedule: Schedule::Constant, clip: 0.0, ..config };
    let run = Run {
        task: patterns,
        config: &config,
        seed: 1,
        device,
        folder,
        test: true,
        tracer: None,
        objective: None,
    };
    let model = network(patterns, &Choice::of("bare"), &moe);
    let outcome = supervised(&run, model, &mut StopAfter::new(None)).unwrap();
    assert!(outcome.test.unwrap().examples.is_empty());
    assert!(!ExampleScore::path(folder).exists());
}
