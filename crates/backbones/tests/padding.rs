//! Padding after sources and targets changes nothing, with any router: outputs of real tokens, losses and
//! loads are the same with 0, 1 and 20 tokens of padding, in training and in evaluation.

mod common;

use backbones::{AnyBackbone, BackboneSpec};
use burn::prelude::*;
use moe::{Choice, Domain, Init, Input, MoeConfig, Pass, Placement, SequencePair};

use common::library;

const REAL: usize = 8;
const VOCAB: usize = 11;
const SENTENCES: usize = 3;

/// Rows of real tokens, padded with other tokens.
fn filled(padding: usize, salt: usize) -> Tensor<2, Int> {
    let id = |row: usize, at: usize| match at < REAL {
        true => (row * 5 + at * 3 + at * at * salt) % VOCAB,
        false => (row + at) % VOCAB,
    };
    let length = REAL + padding;
    let ids: Vec<i32> =
        (0..SENTENCES * length).map(|i| id(i / length, i % length) as i32).collect();
    Tensor::from_data(TensorData::new(ids, [SENTENCES, length]), &Device::flex())
}

fn pair(padding: usize) -> Input {
    Input::Pair(SequencePair {
        source: filled(padding, 1),
        source_counts: vec![REAL; SENTENCES],
        target: filled(padding, 2),
        target_counts: vec![REAL; SENTENCES],
    })
}

/// An encoder-decoder whose feed-forward halves all have this router; the reason if there is none.
fn network(router: &str) -> Result<AnyBackbone, String> {
    let library = library();
    let moe = MoeConfig {
        layers: Placement::ALL,
        experts: 4,
        router: Choice::of(router),
        expert: Choice::of("ffn").with("hidden", 8),
        ..MoeConfig::default()
    };
    let domain = Domain::Pair { vocab: VOCAB, source: REAL, target: REAL };
    let spec = BackboneSpec { domain, outputs: VOCAB, moe: &moe, library: &library };
    let choice = Choice::of("transformer-seq2seq").with("width", 16).with("dropout", 0.2);
    let build = backbones::all().get("transformer-seq2seq").unwrap().build;
    let init = Init::new(0, &Device::flex());
    (build.init)(&choice, &spec, &init).map_err(|err| err.to_string())
}

/// The results of a pass: outputs of real tokens, losses, and the loads of all layers, one after the other.
fn found(network: &AnyBackbone, mut pass: Pass, padding: usize) -> [Vec<f64>; 3] {
    let y = network.forward(&mut pass, pair(padding)).narrow(1, 0, REAL);
    let outputs = y.into_data().iter::<f32>().map(f64::from).collect();
    let losses = pass.losses().into_iter().map(|(_, loss)| loss).collect();
    [outputs, losses, pass.reports().iter().flat_map(|report| report.load.clone()).collect()]
}

/// The results of a training pass with this much padding, and of an evaluation with the states after it.
fn with_padding(router: &str, padding: usize) -> Result<[[Vec<f64>; 3]; 2], String> {
    let network = network(router)?;
    let train = Pass::train(0, 3, 0.5).with_reports();
    let trained = found(&network, train, padding);
    Ok([trained, found(&network, Pass::eval().with_reports(), padding)])
}

#[test]
fn padding_changes_nothing_for_every_router() {
    let mut wrong = Vec::new();
    let names: Vec<&str> = library().routers.iter().map(|(name, _)| name).collect();
    for router in names {
        let without = with_padding(router, 0).unwrap_or_else(|err| panic!("{router}: {err}"));
        for padding in [1, 20] {
            let with = with_padding(router, padding).unwrap();
            for (with, without) in with.iter().flatten().zip(without.iter().flatten()) {
                let gaps = with.iter().zip(without).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
                let gap = gaps.fold(0.0, f64::max);
                if with.len() != without.len() || gap > 1e-5 || without.iter().any(|x| x.is_nan()) {
                    wrong.push(format!("{router} with {padding} of padding: {gap}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
