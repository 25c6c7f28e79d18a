//! Distillation module by module: frozen weights do not change, a student that equals its teacher has nothing
//! to learn, and modules of several teachers can be assembled to a network.

mod common;

use std::path::Path;

use backbones::AnyBackbone;
use burn::{module::Module, prelude::*};
use common::{StopAfter, network, task};
use moe::{Choice, MoeConfig, Placement, numbers_of};
use serde_json::json;
use training::{
    Distill, DistillConfig, Outcome, Part, Reduction, Run, TrainConfig, TrainError, supervised,
    take_over,
};

const SLOTS: usize = 2;

fn dense() -> MoeConfig {
    MoeConfig { layers: Placement::NONE, ..MoeConfig::default() }
}

fn sparse() -> MoeConfig {
    MoeConfig { layers: Placement::ALL, experts: 4, ..MoeConfig::default() }
}

fn sizes(width: usize, depth: usize) -> serde_json::Value {
    json!({ "width": width, "depth": depth, "heads": 2, "dense": { "kind": "ffn", "hidden": 16 } })
}

fn vit(width: usize, depth: usize) -> Choice {
    let options = sizes(width, depth);
    let options = options.as_object().expect("a table").iter();
    options.fold(Choice::of("vit"), |vit, (key, value)| vit.with(key, value.clone()))
}

fn hybrid(slot: usize, module: serde_json::Value, stitch: &str) -> Choice {
    let hybrid = Choice::of("hybrid").with("slot", slot).with("slots", SLOTS);
    hybrid.with("meta", sizes(8, 2)).with("module", module).with("stitch", stitch)
}

fn into(from: &AnyBackbone, to: AnyBackbone, take: &str, into: &str) -> AnyBackbone {
    take_over(from, to, Part { take, into }).unwrap()
}

/// The meta network with a teacher's module in a slot, in evaluation mode.
fn taught(meta: &AnyBackbone, teacher: &AnyBackbone, slot: usize) -> AnyBackbone {
    let digits = task(&Choice::of("digits"));
    let hybrid = network(&*digits, &hybrid(slot, sizes(8, 4), "none"), &dense());
    into(teacher, into(meta, hybrid, "", "meta"), "", "module").valid()
}

fn numbers(model: &AnyBackbone, part: &str) -> Vec<(String, TensorData)> {
    let found = numbers_of(model, |parameter| parameter.path.starts_with(part));
    found.into_iter().map(|(of, data)| (of.path, data)).collect()
}

fn train(
    model: AnyBackbone,
    distill: &Distill,
    steps: usize,
    folder: &Path,
    stop: Option<usize>,
) -> Result<Outcome, TrainError> {
    let digits = task(&Choice::of("digits"));
    let config = TrainConfig {
        steps,
        batch: 8,
        warmup: 0,
        lr: 1e-2,
        log_every: 1,
        ..TrainConfig::default()
    };
    let (objective, device) = (Some(distill as _), &Device::flex());
    let (task, config) = (&*digits, &config);
    let run = Run { task, config, seed: 1, device, folder, test: true, tracer: None, objective };
    supervised(&run, model, &mut StopAfter::new(stop))
}

#[test]
fn the_frozen_network_is_the_same_to_the_bit_after_distillation_and_after_a_stop() {
    let digits = task(&Choice::of("digits"));
    let (meta, teacher) =
        (network(&*digits, &vit(8, 2), &dense()), network(&*digits, &vit(8, 4), &dense()));
    for slot in 0..SLOTS {
        let start = || {
            let student = hybrid(slot, sizes(6, 2), "norm-linear");
            into(&meta, network(&*digits, &student, &sparse()), "", "meta")
        };
        let before = numbers(&start(), "");
        let distill = Distill::new(DistillConfig::default(), taught(&meta, &teacher, slot));
        let folders = [0; 2].map(|_| tempfile::tempdir().unwrap());
        let after = train(start(), &distill, 6, folders[0].path(), None).unwrap();
        assert!(train(start(), &distill, 6, folders[1].path(), Some(3)).is_err());
        let resumed = train(start(), &distill, 6, folders[1].path(), None).unwrap();
        assert_eq!(numbers(&after.model, ""), numbers(&resumed.model, ""));
        let frozen = |(path, _): &&(String, TensorData)| path.starts_with("meta.");
        let (then, now) = (before.iter(), numbers(&after.model, ""));
        assert_eq!(
            then.clone().filter(frozen).collect::<Vec<_>>(),
            now.iter().filter(frozen).collect::<Vec<_>>(),
        );
        let module = then.zip(&now).filter(|(then, _)| !frozen(then));
        assert!(module.clone().count() > 8);
        assert!(module.into_iter().all(|(then, now)| then != now), "slot {slot}");
    }
}

#[test]
fn a_student_that_is_its_teacher_stays_as_it_is() {
    let digits = task(&Choice::of("digits"));
    let (meta, teacher) =
        (network(&*digits, &vit(8, 2), &dense()), network(&*digits, &vit(8, 4), &dense()));
    let config =
        DistillConfig { alpha: 1.0, reduction: Reduction::Batch, ..DistillConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let student = network(&*digits, &hybrid(0, sizes(8, 4), "none"), &dense());
    let student = into(&teacher, into(&meta, student, "", "meta"), "", "module");
    let distill = Distill::new(config, taught(&meta, &teacher, 0));
    train(student, &distill, 1, folder.path(), None).unwrap();
    let rows = training::StepLog::read_intact(&training::StepLog::path(folder.path())).unwrap();
    let of = |metric: &str| rows.iter().find(|row| row.metric == metric).unwrap().value;
    assert_eq!(of("kd"), 0.0);
    assert!(of("grad_norm") < 1e-6 && of("loss") > 1.0, "{rows:?}");
}

#[test]
fn modules_of_several_teachers_make_a_student_without_stitches() {
    let digits = task(&Choice::of("digits"));
    let meta = network(&*digits, &vit(8, 2), &dense());
    let mut built = network(&*digits, &vit(6, 2), &sparse());
    // The teachers of the slots have different numbers of blocks.
    for (slot, depth) in [(0, 4), (1, 6)] {
        let teacher = network(&*digits, &vit(8, depth), &dense());
        let taught = hybrid(slot, sizes(8, depth), "none");
        let taught = into(&meta, network(&*digits, &taught, &dense()), "", "meta");
        let taught = into(&teacher, taught, "", "module").valid();
        let student = hybrid(slot, sizes(6, 2), "norm-linear");
        let student = into(&meta, network(&*digits, &student, &sparse()), "", "meta");
        let distill = Distill::new(DistillConfig::default(), taught);
        let folder = tempfile::tempdir().unwrap();
        let module = train(student, &distill, 2, folder.path(), None).unwrap().model;
        built = into(&module, built, "module", "");
        let blocks = numbers(&module, &format!("module.blocks.{slot}."));
        assert!(blocks.len() > 8);
        for (path, data) in blocks {
            let path = path.trim_start_matches("module.");
            assert_eq!(numbers(&built, path)[0].1, data, "{path}");
        }
    }
}
