//! Each family against the transformers library: logits, choices of experts, greedy text, and the same bytes
//! after import and export.
//!
//! A folder in `fixtures/` has a tiny random checkpoint and what the library computes with it;
//! `scripts/golden/transformers_checkpoints.py` wrote them.

#![allow(clippy::print_stdout, reason = "docs/checkpoints.md has what is printed")]

use std::{fs, path::PathBuf};

use backbones::{AnyBackbone, Decoder};
use burn::prelude::*;
use interop::{Checkpoint, Model, Source, describe, export, load};
use moe::{Domain, Init, Input, Library, Pass, RoutingProbe};

/// The largest difference of a logit.
const NEAR: f32 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn library() -> Library {
    Library { routers: routers::all(), experts: experts::all(), residuals: residuals::all() }
}

/// The network of a checkpoint for texts of at most this length.
fn imported(name: &str, length: usize) -> (AnyBackbone, Model, Checkpoint) {
    let checkpoint = Checkpoint::open(&fixture(name)).unwrap();
    let mut model = describe(&checkpoint.config).unwrap();
    let Domain::Text { vocab, .. } = model.domain else { panic!("{name} is text") };
    model.domain = Domain::Text { vocab, length };
    let (library, backbones) = (library(), backbones::all());
    let build = backbones.get(&model.backbone.kind).unwrap().build;
    let network =
        (build.init)(&model.backbone, &model.brief(&library), &Init::new(0, &Device::flex()));
    let loaded = load(network.unwrap(), &model.rules, &checkpoint).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    (loaded.network, model, checkpoint)
}

/// A tensor of what the library computed.
fn expected(name: &str) -> Expected {
    Expected(fs::read(fixture(name).join("expected.safetensors")).unwrap())
}

struct Expected(Vec<u8>);

impl Expected {
    fn bytes(&self, tensor: &str) -> Option<(Vec<usize>, &[u8])> {
        let start = 8 + u64::from_le_bytes(self.0[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&self.0[8..start]).unwrap();
        let entry = header.get(tensor)?;
        let numbers =
            |key: &str| -> Vec<usize> { serde_json::from_value(entry[key].clone()).unwrap() };
        let range = numbers("data_offsets");
        Some((numbers("shape"), &self.0[start + range[0]..start + range[1]]))
    }

    fn ints(&self, tensor: &str) -> Option<(Vec<usize>, Vec<i32>)> {
        let (shape, bytes) = self.bytes(tensor)?;
        let one = |eight: &[u8; 8]| i64::from_le_bytes(*eight) as i32;
        Some((shape, bytes.as_chunks::<8>().0.iter().map(one).collect()))
    }

    fn floats(&self, tensor: &str) -> Vec<f32> {
        let (_, bytes) = self.bytes(tensor).unwrap();
        bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
    }
}

/// The largest difference of a logit, and whether all choices of experts are the same.
fn compared(name: &str) -> (f32, bool) {
    let expected = expected(name);
    let (shape, ids) = expected.ints("ids").unwrap();
    let (network, ..) = imported(name, shape[1]);
    let ids = Tensor::from_data(TensorData::new(ids, shape), &Device::flex());
    let mut pass = Pass::eval();
    pass.put(RoutingProbe::default());
    let y = network.forward(&mut pass, Input::Tokens(ids));
    let found: Vec<f32> = y.into_data().iter().collect();
    let logits = expected.floats("logits");
    assert_eq!(found.len(), logits.len());
    let gap = found.iter().zip(&logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let layers = pass.take::<RoutingProbe>().unwrap().layers;
    let mut choices = Vec::new();
    for layer in &layers {
        for unit in layer.plan.choices() {
            let mut experts: Vec<i32> = unit.iter().map(|(expert, _)| *expert as i32).collect();
            experts.sort_unstable();
            choices.extend(experts);
        }
    }
    let wanted = expected.ints("choices").map_or_else(Vec::new, |(_, choices)| choices);
    (gap, choices == wanted)
}

/// What greedy decoding adds to the prompt.
fn greedy(name: &str, cached: bool) -> Vec<i32> {
    let expected = expected(name);
    let (_, prompt) = expected.ints("prompt").unwrap();
    let (network, ..) = imported(name, 64);
    let device = Device::flex();
    let mut decoder = Decoder::new(&network, &device, cached);
    let (mut scores, mut text) = (decoder.read(&prompt), Vec::new());
    let best = |scores: &[f32]| {
        (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap() as i32
    };
    for _ in 0..32 {
        text.push(best(&scores));
        scores = decoder.read(&text[text.len() - 1..]);
    }
    text
}

fn computes_the_same(name: &str) {
    let (gap, same) = compared(name);
    println!("{name}: {gap:.1e}, choices equal: {same}");
    assert!(gap < NEAR, "{name}: {gap}");
    assert!(same, "{name}");
}

fn writes_the_same(name: &str) {
    let (_, wanted) = expected(name).ints("greedy").unwrap();
    assert_eq!(wanted.len(), 32);
    assert_eq!(greedy(name, true), wanted, "with a cache");
    assert_eq!(greedy(name, false), wanted, "without a cache");
}

fn comes_back_to_the_byte(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (network, model, checkpoint) = imported(name, 8);
    let to = folder.path().join(name);
    export(&network, &model.rules, &Source::of(&checkpoint), &to).unwrap();
    let again = Checkpoint::open(&to).unwrap();
    assert_eq!(again.config, checkpoint.config);
    assert!(again.tensors().eq(checkpoint.tensors()));
    for (tensor, _) in checkpoint.tensors() {
        assert_eq!(again.bytes(tensor).unwrap(), checkpoint.bytes(tensor).unwrap(), "{tensor}");
    }
    // Whole files too: tensors are in the order in which the library writes them.
    for file in checkpoint.files() {
        let [here, there] =
            [&fixture(name), &to].map(|folder| fs::read(folder.join(&file)).unwrap());
        assert!(here == there, "{file}");
    }
    let twice = export(&network, &model.rules, &Source::of(&checkpoint), &to).unwrap_err();
    assert!(twice.to_string().ends_with("it is there already"), "{twice}");
}

macro_rules! families {
    ($($test:ident $folder:literal;)*) => { $(
        mod $test {
            #[test]
            fn logits_and_choices_are_those_of_the_library() {
                super::computes_the_same($folder);
            }

            #[test]
            fn greedy_text_is_that_of_the_library() {
                super::writes_the_same($folder);
            }

            #[test]
            fn import_and_export_give_the_same_bytes() {
                super::comes_back_to_the_byte($folder);
            }
        }
    )* };
}

families! {
    mixtral "mixtral";
    olmoe "olmoe";
    qwen2_moe "qwen2-moe";
    qwen3_moe "qwen3-moe";
    granite_moe "granite-moe";
    gpt_oss "gpt-oss";
    deepseek_v2 "deepseek-v2";
    deepseek_v3 "deepseek-v3";
    llama "llama";
}
