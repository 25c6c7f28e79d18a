//! Checkpoints of `fixtures/`, and the results of another library for them.

#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::print_stdout, reason = "docs/checkpoints.md has the rows that are printed")]

pub(crate) mod gguf;

use std::{
    fs,
    path::{Path, PathBuf},
};

use backbones::{AnyBackbone, Decoding};
use burn::prelude::*;
use interop::{CheckpointFiles, ImportedNetwork, describe, load};
use moe::{Domain, Init, Input, Library, Pass, RoutingProbe};

/// The largest allowed difference of a logit.
pub(crate) const NEAR: f32 = 1e-4;

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The folder of a fixture, or the GGUF file in it.
pub(crate) fn place(name: &str) -> PathBuf {
    let file = fixture(name).join("model.gguf");
    if file.is_file() { file } else { fixture(name) }
}

pub(crate) fn library() -> Library {
    Library { routers: routers::all(), experts: experts::all(), residuals: residuals::all() }
}

/// The network of a fixture, for texts of at most this length.
pub(crate) fn imported(
    name: &str,
    length: usize,
) -> (AnyBackbone, ImportedNetwork, CheckpointFiles) {
    imported_from(&place(name), length)
}

/// The network of a checkpoint, for texts of at most this length.
pub(crate) fn imported_from(
    place: &Path,
    length: usize,
) -> (AnyBackbone, ImportedNetwork, CheckpointFiles) {
    let checkpoint = CheckpointFiles::open(place).unwrap();
    let mut model = describe(&checkpoint.config).unwrap();
    if let Domain::Text { vocab, .. } = model.domain {
        model.domain = Domain::Text { vocab, length };
    }
    let (library, backbones) = (library(), backbones::all());
    let build = backbones.get(&model.backbone.kind).unwrap().build;
    let network = (build.init)(
        &model.backbone,
        &model.backbone_spec(&library),
        &Init::new(0, &Device::flex()),
    );
    let loaded = load(network.unwrap(), &model.rules, &checkpoint).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    (loaded.network, model, checkpoint)
}

/// A tensor of the library's results.
pub(crate) fn expected(name: &str) -> Expected {
    Expected(fs::read(fixture(name).join("expected.safetensors")).unwrap())
}

pub(crate) struct Expected(Vec<u8>);

impl Expected {
    pub(crate) fn bytes(&self, tensor: &str) -> Option<(Vec<usize>, &[u8])> {
        let start = 8 + u64::from_le_bytes(self.0[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&self.0[8..start]).unwrap();
        let entry = header.get(tensor)?;
        let numbers =
            |key: &str| -> Vec<usize> { serde_json::from_value(entry[key].clone()).unwrap() };
        let range = numbers("data_offsets");
        Some((numbers("shape"), &self.0[start + range[0]..start + range[1]]))
    }

    pub(crate) fn ints(&self, tensor: &str) -> Option<(Vec<usize>, Vec<i32>)> {
        let (shape, bytes) = self.bytes(tensor)?;
        let one = |eight: &[u8; 8]| i64::from_le_bytes(*eight) as i32;
        Some((shape, bytes.as_chunks::<8>().0.iter().map(one).collect()))
    }

    pub(crate) fn floats(&self, tensor: &str) -> Vec<f32> {
        let (_, bytes) = self.bytes(tensor).unwrap();
        bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
    }
}

/// Prints the row of a fixture in the table of docs/checkpoints.md, without the columns that tests assert.
pub(crate) fn print_row(name: &str, gap: f32) {
    let tensors = CheckpointFiles::open(&place(name)).unwrap().tensors().count();
    println!("| {name} | {gap:.1e} | {tensors} |");
}

/// The largest difference of a logit, and whether all choices of experts are the same.
pub(crate) fn compared(name: &str) -> (f32, bool) {
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

/// The tokens that greedy decoding appends to the prompt.
pub(crate) fn greedy(name: &str, cached: bool) -> Vec<i32> {
    let expected = expected(name);
    let (_, prompt) = expected.ints("prompt").unwrap();
    let (network, ..) = imported(name, 64);
    let device = Device::flex();
    let mut decoder = Decoding::new(&network, &device, cached);
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
