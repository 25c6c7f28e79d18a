//! Comparison of whole encoder-decoders with the transformers library, to 1e-4: Marian (post-norm, sines,
//! ReLU) and BART (learned positions, a norm after the embedding, GELU), with padded sources; and BERT, an
//! encoder.
//!
//! A fixture in `fixtures/` has a network, the rule by which its parameters are filled, token ids and logits;
//! it was written by `scripts/golden/transformers_seq2seq.py`.

mod common;

use std::collections::BTreeMap;

use backbones::{AnyBackbone, BackboneSpec};
use burn::prelude::*;
use moe::{
    Choice, Domain, Init, Input, MoeConfig, Pass, Placement, RealTokens, SequencePair, parameters,
    with_parameters,
};
use serde::Deserialize;
use serde_json::{Value, json};

use common::{Filled, close_to, fixture, library};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    source: String,
    backbone: Choice,
    vocab: usize,
    lengths: [usize; 2],
    parameters: Vec<Filled>,
    sources: Vec<Vec<i32>>,
    counts: Vec<usize>,
    targets: Vec<Vec<i32>>,
    logits: Vec<f32>,
}

fn tokens(ids: &[Vec<i32>]) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(ids.concat(), [ids.len(), ids[0].len()]), &Device::flex())
}

/// The logits, the number of the network's parameters that the fixture fills, and the number of all.
fn logits(fixture: &Fixture) -> (Vec<f32>, [usize; 2]) {
    let (library, vocab) = (library(), fixture.vocab);
    let moe = MoeConfig { layers: Placement::NONE, ..MoeConfig::default() };
    let [source, target] = fixture.lengths;
    let domain = match fixture.targets.is_empty() {
        true => Domain::Text { vocab, length: source },
        false => Domain::Pair { vocab, source, target },
    };
    let spec = BackboneSpec { domain, outputs: vocab, moe: &moe, library: &library };
    let build = backbones::all().get(&fixture.backbone.kind).unwrap().build.init;
    let network = build(&fixture.backbone, &spec, &Init::new(0, &Device::flex())).unwrap();
    let numbers: BTreeMap<_, _> =
        fixture.parameters.iter().map(|filled| (filled.path.clone(), filled.data())).collect();
    let counts = [numbers.len(), parameters(&network).len()];
    let network = with_parameters(network, numbers).unwrap();
    (answers(&network, fixture), counts)
}

/// The logits at real tokens.
fn answers(network: &AnyBackbone, fixture: &Fixture) -> Vec<f32> {
    let mut pass = Pass::eval();
    let source = tokens(&fixture.sources);
    if fixture.targets.is_empty() {
        pass.put(RealTokens(fixture.counts.clone()));
        let y = network.forward(&mut pass, Input::Tokens(source));
        let row = |(row, count): (usize, &usize)| {
            y.clone().narrow(0, row, 1).narrow(1, 0, *count).into_data().iter::<f32>().collect()
        };
        return fixture.counts.iter().enumerate().map(row).collect::<Vec<Vec<f32>>>().concat();
    }
    let target_counts = vec![fixture.targets[0].len(); fixture.targets.len()];
    let (source_counts, target) = (fixture.counts.clone(), tokens(&fixture.targets));
    let pair = SequencePair { source, source_counts, target, target_counts };
    network.forward(&mut pass, Input::Pair(pair)).into_data().try_to_vec().unwrap()
}

#[test]
fn marian_bart_and_bert_give_the_same_logits() {
    for name in ["marian.json", "bart.json", "bert.json"] {
        let fixture: Fixture = fixture(name);
        assert!(fixture.source.contains("transformers"), "{}", fixture.source);
        let (found, [filled, all]) = logits(&fixture);
        assert_eq!(filled, all, "all parameters are filled");
        close_to(&found, &fixture.logits, 1e-4);
    }
}

#[test]
fn every_setting_is_seen() {
    let far = |name: &str, option: &str, value: Value| {
        let mut fixture: Fixture = fixture(name);
        fixture.backbone.options.insert(option.into(), value);
        let (found, _) = logits(&fixture);
        let gaps = found.iter().zip(&fixture.logits).map(|(a, b)| (a - b).abs());
        assert!(gaps.fold(0.0, f32::max) > 1e-2, "{name}: {option}");
    };
    far("marian.json", "cross_heads", json!(2));
    far("marian.json", "encoder_heads", json!([4, 2]));
    far("marian.json", "encoder_outputs", json!([1, 2]));
    far("marian.json", "scale_embedding", json!(false));
    far("bert.json", "heads", json!([4, 2]));
    far("bert.json", "scale_embedding", json!(true));
    far("bart.json", "dense", json!({ "kind": "ffn", "hidden": 12, "activation": "relu" }));
    let mut fixture: Fixture = fixture("marian.json");
    fixture.counts = vec![7, 7];
    let (found, _) = logits(&fixture);
    let apart = found.iter().zip(&fixture.logits).any(|(a, b)| (a - b).abs() > 1e-2);
    assert!(apart, "padding is hidden");
}
