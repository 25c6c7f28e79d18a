//! Comparison of whole decoders with published code: Mixtral and Llama of the transformers library to 1e-4,
//! and the language model of rachtsy/MomentumSMoE.
//!
//! A fixture in `fixtures/` has a decoder, the rule by which its parameters are filled, and logits; it was
//! written by `scripts/golden/transformers_decoders.py`.

mod common;

use std::collections::BTreeMap;

use backbones::{AnyBackbone, BackboneSpec};
use burn::{prelude::*, tensor::activation::log_softmax};
use moe::{Choice, Domain, Init, Input, Library, MoeConfig, Pass, parameters, with_parameters};
use serde::Deserialize;
use serde_json::{Value, json};

use common::{Filled, close_to, fill, fixture, library};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    source: String,
    backbone: Choice,
    moe: MoeConfig,
    vocab: usize,
    parameters: Vec<Filled>,
    ids: Vec<Vec<i32>>,
    logits: Vec<f32>,
}

/// The decoder with these parameters, which must be all of its parameters.
fn network(
    backbone: &Choice,
    moe: &MoeConfig,
    domain: Domain,
    library: &Library,
    numbers: BTreeMap<String, TensorData>,
) -> AnyBackbone {
    let Domain::Text { vocab, .. } = domain else { panic!("decoders take text") };
    let spec = BackboneSpec { domain, outputs: vocab, moe, library };
    let build = backbones::all().get(&backbone.kind).unwrap().build.init;
    let network = build(backbone, &spec, &Init::new(0, &Device::flex())).unwrap();
    assert_eq!(parameters(&network).len(), numbers.len());
    with_parameters(network, numbers).unwrap()
}

fn tokens(ids: &[Vec<i32>]) -> Input {
    let data = TensorData::new(ids.concat(), [ids.len(), ids[0].len()]);
    Input::Tokens(Tensor::from_data(data, &Device::flex()))
}

fn logits(fixture: &Fixture) -> Vec<f32> {
    let domain = Domain::Text { vocab: fixture.vocab, length: fixture.ids[0].len() };
    let numbers = fixture.parameters.iter().map(|filled| (filled.path.clone(), filled.data()));
    let network = network(&fixture.backbone, &fixture.moe, domain, &library(), numbers.collect());
    let y = network.forward(&mut Pass::eval(), tokens(&fixture.ids));
    y.into_data().try_to_vec().unwrap()
}

#[test]
fn decoders_of_transformers_give_the_same_logits() {
    for name in ["mixtral.json", "llama.json"] {
        let fixture: Fixture = fixture(name);
        assert!(fixture.source.contains("transformers"), "{}", fixture.source);
        close_to(&logits(&fixture), &fixture.logits, 1e-4);
    }
}

#[test]
fn every_setting_is_seen() {
    let far = |option: &str, value: Value, name: &str| {
        let mut fixture: Fixture = fixture(name);
        fixture.backbone.options.insert(option.into(), value);
        let (found, expected) = (logits(&fixture), fixture.logits);
        let gaps = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
        assert!(gaps.fold(0.0, f32::max) > 1e-3, "{name}: {option}");
    };
    far("theta", json!(500.0), "mixtral.json");
    far("epsilon", json!(0.01), "llama.json");
    far("head", json!({ "tied": true, "norm": "row" }), "llama.json");
    let mut fixture: Fixture = fixture("mixtral.json");
    fixture.moe.router = Choice::of("top-k").with("weights", "softmax");
    let found = logits(&fixture);
    assert!(found.iter().zip(&fixture.logits).any(|(a, b)| (a - b).abs() > 0.1));
}

/// The width, and the hidden width of the experts.
const D: usize = 16;
const H: usize = 16;
/// Experts, vocabulary, span.
const E: usize = 16;
const V: usize = 11;
const A: usize = 6;

/// The published model's parameters, numbered in the order in which that model creates them.
#[derive(Default)]
struct Numbered {
    next: u64,
    ours: BTreeMap<String, TensorData>,
}

impl Numbered {
    fn made<const R: usize>(&mut self, shape: [usize; R]) -> Tensor<R> {
        self.next += 1;
        Tensor::from_data(fill(1999 + self.next, &shape, 0.8), &Device::flex())
    }

    fn put<const R: usize>(&mut self, path: &str, tensor: Tensor<R>) {
        self.ours.insert(path.to_string(), tensor.into_data());
    }

    fn norm(&mut self, path: Option<String>) {
        let (weight, bias) = (self.made([D]) * 0.25 + 1.0, self.made([D]));
        if let Some(path) = path {
            self.put(&format!("{path}.gamma"), weight);
            self.put(&format!("{path}.beta"), bias);
        }
    }

    /// Adds the maps of attention, which are `[out, in]` in the published model: query, output, value, key.
    fn attention(&mut self, path: &str) {
        let [q, o, v, k] = [0; 4].map(|_| self.made([D, D]).transpose());
        self.put(&format!("{path}.qkv.weight"), Tensor::cat(vec![q, k, v], 1));
        self.put(&format!("{path}.output.weight"), o);
    }

    fn networks(&mut self, path: &str, n: usize) {
        for (number, [d_out, d_in]) in [(1, [H, D]), (2, [D, H])] {
            let weight = self.made([n, d_out, d_in]).transpose();
            self.put(&format!("{path}.w{number}"), weight);
            let bias = self.made([n, d_out]).reshape([n, 1, d_out]);
            self.put(&format!("{path}.bias{number}"), bias);
        }
    }

    fn block(&mut self, path: &str, moe: bool) {
        self.attention(&format!("{path}.attention"));
        let at = |name: &str| format!("{path}.{name}");
        if moe {
            let weight = self.made([E, D]).transpose();
            self.put(&at("feed_forward.Moe.router.gate.weight"), weight);
            let bias = self.made([E]);
            self.put(&at("feed_forward.Moe.router.gate.bias"), bias);
            self.networks(&at("feed_forward.Moe.experts"), E);
            self.norm(Some(at("feed_forward_norm")));
        } else {
            self.networks(&at("feed_forward.Dense"), 1);
        }
        // Each block has three norms; with experts the last one is unused, without experts the second one.
        self.norm(Some(at("attention_norm")));
        self.norm(moe.then(|| at("output_norm")));
        self.norm((!moe).then(|| at("feed_forward_norm")));
    }
}

/// The results of the published model: the mean -log p of the next tokens, and five log p of one position.
fn published(moe_in: &[bool], residual: Choice) -> (f32, Vec<f32>) {
    let mut numbers = Numbered::default();
    let distances = numbers.made([1, D / 2, A]).squeeze_dim::<2>(0);
    numbers.put("distances", distances);
    let embedding = numbers.made([V, D]);
    numbers.put("embedding.weight", embedding);
    let head = numbers.made([V, D]).transpose();
    numbers.put("head.weight", head);
    let bias = numbers.made([V]);
    numbers.put("head.bias", bias);
    for (block, moe) in moe_in.iter().enumerate() {
        numbers.block(&format!("blocks.{block}"), *moe);
    }
    let ffn = json!({ "kind": "ffn", "hidden": H, "activation": "relu" });
    let blocks: Vec<usize> = (0..moe_in.len()).filter(|block| moe_in[*block]).collect();
    let router = json!({ "kind": "top-k", "weights": "top-k-softmax", "bias": true });
    let moe = json!({
        "layers": blocks, "experts": E, "expert": ffn, "router": router, "residual": residual,
    });
    let backbone = json!({
        "kind": "transformer-lm", "width": D, "depth": moe_in.len(), "heads": 2, "dense": ffn,
        "wiring": "double-residual", "positions": "relative", "span": A, "head": { "bias": true },
    });
    let network = network(
        &serde_json::from_value(backbone).unwrap(),
        &serde_json::from_value(moe).unwrap(),
        Domain::Text { vocab: V, length: 4 },
        &library(),
        numbers.ours,
    );
    let ids = [vec![1, 2, 3, 4], vec![5, 6, 7, 8]];
    let log_p = log_softmax(network.forward(&mut Pass::eval(), tokens(&ids)), 2);
    let log_p: Vec<f32> = log_p.into_data().iter().collect();
    let of = |(place, id): (usize, &i32)| -log_p[place * V + (*id as usize + 1) % V];
    let loss = ids.concat().iter().enumerate().map(of).sum::<f32>() / 8.0;
    (loss, log_p[3 * V..][..5].to_vec())
}

#[test]
fn the_language_model_of_momentum_smoe() {
    let (loss, log_p) = published(&[true; 3], Choice::of("add"));
    close_to(&[loss], &[2.448_828_5], 1e-5);
    close_to(&log_p, &[-2.79334, -2.07366, -2.63538, -0.96786, -2.73644], 1e-5);
}

#[test]
fn its_glam_with_momentum() {
    let momentum = Choice::of("heavy-ball").with("mu", 0.7).with("gamma", 1.0);
    let (loss, log_p) = published(&[true, false, true, false], momentum);
    close_to(&[loss], &[2.783_954], 1e-5);
    close_to(&log_p, &[-1.12815, -2.90613, -3.22571, -2.17136, -2.88679], 1e-5);
}
