//! Encoder-decoders against the transformers library: logits, choices of experts, greedy text with a cache and
//! without, and the same bytes after import and export. `scripts/golden/transformers_encoder_decoders.py` wrote
//! the fixtures.

mod common;

use std::fs;

use backbones::{AnyBackbone, SequenceToSequence};
use burn::prelude::*;
use common::{NEAR, expected, fixture, imported, print_row};
use interop::{CheckpointFiles, CheckpointForm, describe, export};
use moe::{Input, Pass, RoutingProbe, SequencePair};
use serde_json::{Value, json};

fn ids(numbers: &[i32], shape: [usize; 2]) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(numbers.to_vec(), shape), &Device::flex())
}

/// Sources with the counts of their real tokens, and targets.
struct Pairs {
    source: Vec<Vec<i32>>,
    counts: Vec<usize>,
    target: Vec<Vec<i32>>,
}

impl Pairs {
    fn of(name: &str) -> Self {
        let expected = expected(name);
        let rows = |tensor: &str| {
            let (shape, numbers) = expected.ints(tensor).unwrap();
            numbers.chunks(shape[1]).map(<[i32]>::to_vec).collect::<Vec<_>>()
        };
        let counts = expected.ints("counts").unwrap().1.iter().map(|n| *n as usize).collect();
        Self { source: rows("source"), counts, target: rows("target") }
    }

    fn all(&self) -> Input {
        let shape = |rows: &[Vec<i32>]| [rows.len(), rows[0].len()];
        Input::Pair(SequencePair {
            source: ids(&self.source.concat(), shape(&self.source)),
            source_counts: self.counts.clone(),
            target: ids(&self.target.concat(), shape(&self.target)),
            target_counts: self.target.iter().map(Vec::len).collect(),
        })
    }

    fn alone(&self, row: usize) -> Input {
        let n = self.counts[row];
        let one = Self {
            source: vec![self.source[row][..n].to_vec()],
            counts: vec![n],
            target: vec![self.target[row].clone()],
        };
        one.all()
    }
}

fn gap(network: &AnyBackbone, name: &str) -> f32 {
    let y = network.forward(&mut Pass::eval(), Pairs::of(name).all());
    let (found, logits): (Vec<f32>, _) =
        (y.into_data().iter().collect(), expected(name).floats("logits"));
    assert_eq!(found.len(), logits.len());
    found.iter().zip(&logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The expert of each token, or -1 for a token without a slot: row by row, layer by layer.
fn choices(network: &AnyBackbone, name: &str) -> Vec<i32> {
    let pairs = Pairs::of(name);
    let mut found = Vec::new();
    for row in 0..pairs.counts.len() {
        let mut pass = Pass::eval();
        pass.put(RoutingProbe::default());
        network.forward(&mut pass, pairs.alone(row));
        for layer in pass.take::<RoutingProbe>().unwrap().layers {
            let choices = layer.plan.choices();
            found.extend(choices.iter().map(|unit| unit.first().map_or(-1, |(e, _)| *e as i32)));
        }
    }
    found
}

/// The output of greedy decoding for the first source.
fn greedy(network: &dyn SequenceToSequence, name: &str, cached: bool) -> Vec<i32> {
    let (source, mut text) = (Pairs::of(name).source.swap_remove(0), vec![0]);
    let mut pass = Pass::eval();
    let fresh = network.read(&mut pass, ids(&source, [1, source.len()]), vec![source.len()]);
    let mut memory = fresh.clone();
    for _ in 0..32 {
        let new = if cached { &text[text.len() - 1..] } else { &text[..] };
        if !cached {
            memory = fresh.clone();
        }
        let scores = network.answer(&mut pass, ids(new, [1, new.len()]), &mut memory);
        let scores: Vec<f32> = scores.narrow(1, new.len() - 1, 1).into_data().iter().collect();
        let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        text.push(best as i32);
    }
    text.split_off(1)
}

fn as_the_library(name: &str) {
    let (network, ..) = imported(name, 0);
    let (gap, chosen) = (gap(&network, name), choices(&network, name));
    let wanted = expected(name).ints("choices").map_or_else(Vec::new, |(_, choices)| choices);
    print_row(name, gap);
    assert!(gap < NEAR, "{name}: {gap}");
    assert_eq!(chosen, wanted, "{name}");
    let translates = network.sequence_to_sequence().unwrap();
    for (tensor, cached) in [("greedy", true), ("whole", false)] {
        let (_, wanted) = expected(name).ints(tensor).unwrap();
        assert_eq!(wanted.len(), 32);
        assert_eq!(greedy(translates, name, cached), wanted, "{name}: {tensor}");
    }
}

fn comes_back_to_the_byte(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (network, model, checkpoint) = imported(name, 0);
    let to = folder.path().join(name);
    export(&network, &model.rules, &CheckpointForm::of(&checkpoint), &to, None).unwrap();
    let file = "model.safetensors";
    let [found, wanted] = [&to, &fixture(name)].map(|folder| fs::read(folder.join(file)).unwrap());
    assert!(found == wanted, "{name}");
    assert_eq!(CheckpointFiles::open(&to).unwrap().config, checkpoint.config);
}

#[test]
fn switch() {
    as_the_library("switch");
    comes_back_to_the_byte("switch");
    let dropped = expected("switch").ints("choices").unwrap().1.contains(&-1);
    assert!(dropped, "capacity binds in the fixture");
}

#[test]
fn t5() {
    as_the_library("t5");
    comes_back_to_the_byte("t5");
}

#[test]
fn t5_with_gated_networks_and_a_head_of_its_own() {
    as_the_library("t5-gated");
    comes_back_to_the_byte("t5-gated");
}

#[test]
fn capacity_is_that_of_the_config() {
    let (network, ..) = imported("switch", 0);
    let narrow = choices(&network, "switch");
    let mut config = CheckpointFiles::open(&fixture("switch")).unwrap().config;
    config.insert("expert_capacity".into(), json!(64));
    let model = describe(&config).unwrap();
    assert_eq!(model.moe.capacity.slots, Some(64));
    let (library, build) =
        (common::library(), backbones::all().get("transformer-seq2seq").unwrap().build);
    let init = moe::Init::new(0, &Device::flex());
    let wide = (build.init)(&model.backbone, &model.backbone_spec(&library), &init).unwrap();
    let checkpoint = CheckpointFiles::open(&fixture("switch")).unwrap();
    let wide = interop::load(wide, &model.rules, &checkpoint).unwrap().network;
    let wide = choices(&wide, "switch");
    assert!(narrow.contains(&-1) && !wide.contains(&-1));
}

#[test]
fn what_the_networks_do_not_honour() {
    let said = |name: &str, key: &str, value: Value| {
        let mut config = CheckpointFiles::open(&fixture(name)).unwrap().config;
        config.insert(key.into(), value);
        format!("{:#}", describe(&config).unwrap_err())
    };
    for (key, value) in [
        ("router_dtype", json!("bfloat16")),
        ("dense_act_fn", json!("gelu")),
        ("is_decoder", json!(true)),
        ("batch_prioritized_routing", json!(true)),
    ] {
        let err = said("switch", key, value.clone());
        assert!(err.contains(&format!("{key} = {value}: not supported")), "{err}");
    }
    let err = said("switch", "router_top_k", json!(2));
    assert!(err.ends_with("this network does not support router_top_k = 2"), "{err}");
    let err = said("t5", "feed_forward_proj", json!("gated-relu"));
    assert!(err.contains("feed_forward_proj = \"gated-relu\": not supported"), "{err}");
    let err = said("t5", "is_gated_act", json!(true));
    assert!(err.contains("is_gated_act = true: not supported; known: false"), "{err}");
    let err = said("t5", "num_decoder_layers", json!(100_000));
    assert!(err.contains("num_decoder_layers = 100000: must be at most 1000"), "{err}");
    let err = said("t5", "architectures", json!(["T5EncoderModel"]));
    assert!(err.contains("T5EncoderModel\" is not \"T5ForConditionalGeneration\""), "{err}");
}

#[test]
fn sparse_layers_are_where_the_steps_say() {
    let blocks = |changes: &[(&str, Value)]| {
        let mut config = CheckpointFiles::open(&fixture("switch")).unwrap().config;
        for (key, value) in changes {
            config.insert(key.to_string(), value.clone());
        }
        describe(&config).unwrap().moe.layers
    };
    let of = |blocks: &[usize]| moe::Placement::Blocks(blocks.to_vec());
    assert_eq!(blocks(&[]), of(&[1, 3, 4, 5]));
    let steps = [("encoder_sparse_step", json!(1)), ("decoder_sparse_step", json!(2))];
    assert_eq!(blocks(&steps), of(&[0, 1, 2, 3, 5]));
    let counts = [("encoder_sparse_step", Value::Null), ("num_sparse_encoder_layers", json!(1))];
    assert_eq!(blocks(&counts), of(&[1, 4, 5]), "four layers, one of them sparse");
}
