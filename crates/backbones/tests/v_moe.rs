//! Comparison of a whole V-MoE with the published code, google-research/vmoe: logits, the layer's output, the
//! kept pairs, the balance loss, to 1e-5. And a layer of one expert against a dense network.

mod common;

use std::collections::BTreeMap;

use backbones::{AnyBackbone, BackboneSpec, zoomed};
use burn::{module::Module, prelude::*};
use moe::{
    Choice, Domain, Gone, Init, Input, Library, MoeConfig, NoConfig, Pass, Pruned, ResidualRule,
    parameters, with_parameters,
};
use serde_json::json;

use common::{close, fill};

/// A residual rule that adds, and records what was added.
#[derive(Module, Debug)]
struct Spy {
    nothing: usize,
}

struct Output(Tensor<3>);

impl ResidualRule for Spy {
    type Config = NoConfig;
    const NAME: &'static str = "spy";
    const ABOUT: &'static str = "";

    fn init(_config: &NoConfig, _width: usize, _init: &Init) -> Self {
        Self { nothing: 0 }
    }

    fn join(&self, pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        pass.put(Output(output.clone()));
        x + output
    }
}

fn library() -> Library {
    let common = common::library();
    Library { residuals: common.residuals.with::<Spy>(), ..common }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn network(vit: serde_json::Value, moe: serde_json::Value, side: usize) -> AnyBackbone {
    let moe: MoeConfig = serde_json::from_value(moe).unwrap();
    network_of(vit, &moe, side)
}

fn network_of(vit: serde_json::Value, moe: &MoeConfig, side: usize) -> AnyBackbone {
    let domain = Domain::Image { channels: 1, height: side, width: side };
    let library = library();
    let spec = BackboneSpec { domain, outputs: 10, moe, library: &library };
    let choice: Choice = serde_json::from_value(vit).unwrap();
    let build = backbones::all().get("vit").unwrap().build.init;
    build(&choice, &spec, &Init::new(0, &Device::flex())).unwrap()
}

/// The published network: two blocks of width 16, four experts in the second one.
fn published(capacity: serde_json::Value) -> AnyBackbone {
    published_without(&[], capacity)
}

/// The same network without some of its experts: their outputs are 0.
fn published_without(gone: &[usize], capacity: serde_json::Value) -> AnyBackbone {
    let kept: Vec<usize> = (0..4).filter(|expert| !gone.contains(expert)).collect();
    let vit = json!({
        "kind": "vit", "width": 16, "depth": 2, "heads": 2, "pool": "class-token", "epsilon": 1e-6,
        "dense": { "kind": "ffn", "hidden": 32, "activation": "gelu-tanh" },
    });
    let moe = json!({
        "layers": [1], "experts": 4, "residual": "spy",
        "expert": { "kind": "ffn", "hidden": 32, "activation": "gelu-tanh" },
        "router": { "kind": "v-moe", "k": 2 }, "capacity": capacity,
    });
    let mut moe: MoeConfig = serde_json::from_value(moe).unwrap();
    moe.pruned = Some(Pruned { gone: Gone::Zero, kept: vec![kept.clone()] });
    let mut leaves = leaves();
    for (path, data) in &mut leaves {
        if path.contains("experts") {
            let all = Tensor::<3>::from_data(data.clone(), &Device::flex());
            let one = |expert: &usize| all.clone().narrow(0, *expert, 1);
            *data = Tensor::cat(kept.iter().map(one).collect(), 0).into_data();
        }
    }
    with_parameters(network_of(vit, &moe, 8), leaves).unwrap()
}

/// The parameters by path. The published ones are numbered in the order of their sorted tree, and each is
/// filled with its own numbers.
fn leaves() -> BTreeMap<String, TensorData> {
    let leaf = |number: u64, shape: &[usize]| fill(1000 + number, shape, 0.8);
    let mut leaves = BTreeMap::new();
    let mut norm = |path: &str, bias: u64| {
        let scale: Vec<f32> = leaf(bias + 1, &[16]).iter::<f32>().map(|x| 1.0 + 0.25 * x).collect();
        leaves.insert(format!("{path}.beta"), leaf(bias, &[16]));
        leaves.insert(format!("{path}.gamma"), TensorData::new(scale, [16]));
    };
    norm("norm", 0);
    for (block, first) in [(0, 2), (1, 18)] {
        norm(&format!("blocks.{block}.attention_norm"), first);
        norm(&format!("blocks.{block}.feed_forward_norm"), first + 2);
    }
    for (block, key) in [(0, 10), (1, 27)] {
        let path = format!("blocks.{block}.attention");
        let part = |number, shape: &[usize; 2]| {
            Tensor::<2>::from_data(leaf(number, shape), &Device::flex())
        };
        // The published order is key, output, query, value; here it is query, key, value side by side.
        let side_by_side = |bias: u64, shape: &[usize; 2]| {
            Tensor::cat([key + 4, key, key + 6].map(|first| part(first + bias, shape)).into(), 1)
        };
        let weight = side_by_side(1, &[16, 16]).into_data();
        let bias = side_by_side(0, &[1, 16]).reshape([48]).into_data();
        leaves.insert(format!("{path}.qkv.weight"), weight);
        leaves.insert(format!("{path}.qkv.bias"), bias);
        leaves.insert(format!("{path}.output.bias"), leaf(key + 2, &[16]));
        leaves.insert(format!("{path}.output.weight"), leaf(key + 3, &[16, 16]));
    }
    for (path, n, first) in
        [("blocks.0.feed_forward.Dense", 1, 6), ("blocks.1.feed_forward.Moe.experts", 4, 22)]
    {
        leaves.insert(format!("{path}.bias1"), leaf(first, &[n, 1, 32]));
        leaves.insert(format!("{path}.w1"), leaf(first + 1, &[n, 16, 32]));
        leaves.insert(format!("{path}.bias2"), leaf(first + 2, &[n, 1, 16]));
        leaves.insert(format!("{path}.w2"), leaf(first + 3, &[n, 32, 16]));
    }
    leaves.insert("blocks.1.feed_forward.Moe.router.gate.weight".into(), leaf(26, &[16, 4]));
    leaves.insert("positions".into(), leaf(35, &[1, 17, 16]));
    leaves.insert("class".into(), leaf(36, &[1, 1, 16]));
    leaves.insert("patches.bias".into(), leaf(37, &[16]));
    leaves.insert("patches.weight".into(), leaf(38, &[4, 16]));
    leaves.insert("head.bias".into(), leaf(39, &[10]));
    leaves.insert("head.weight".into(), leaf(40, &[16, 10]));
    leaves
}

/// Logits, the sum of squares of the layer's output, and the number of kept pairs, for two images that share
/// their buffers.
fn run(capacity: serde_json::Value) -> (Vec<f32>, f32, f64, Pass) {
    look(published(capacity))
}

fn look(network: AnyBackbone) -> (Vec<f32>, f32, f64, Pass) {
    assert_eq!(parameters(&network).len(), leaves().len());
    let pixels = Tensor::<4>::from_data(fill(999, &[2, 1, 8, 8], 2.0), &Device::flex());
    let mut pass = Pass::eval().with_reports();
    let logits = values(network.forward(&mut pass, Input::Image(pixels)));
    let Output(y) = pass.take().expect("the layer has joined the stream");
    let kept = pass.reports()[0].load.iter().sum();
    (logits, values(y.square().sum())[0], kept, pass)
}

#[test]
fn a_whole_network_gives_the_published_logits() {
    // The published code rounds slots up to a multiple of four.
    let (logits, squares, kept, pass) =
        run(json!({ "factor": 1.05, "multiple": 4, "group": 2, "drop": "position" }));
    let first = [
        0.253373, 0.266069, -1.403884, -0.288695, -0.22096, 0.951415, 0.274448, 1.693793,
        -0.590301, 1.368121,
    ];
    close(&logits[..10], &first);
    close(&logits[10..13], &[0.32262, 0.21065, -1.297768]);
    close(&[squares], &[123.26349]);
    assert_eq!(kept, 54.0);
    let importance = pass.scalars().into_iter().find(|(name, _)| name == "importance").unwrap();
    close(&[importance.1 as f32], &[0.0053395265]);
}

#[test]
fn with_priority_and_few_slots_too() {
    let (logits, squares, kept, _) =
        run(json!({ "factor": 0.3, "multiple": 4, "group": 2, "drop": "priority" }));
    let first = [
        0.159014, 0.4141, -1.644876, -0.357851, 0.044039, 0.502649, 0.049059, 2.205672, -0.206158,
        1.310952,
    ];
    close(&logits[..10], &first);
    close(&logits[10..13], &[0.227088, 0.307889, -1.536553]);
    close(&[squares], &[51.084685]);
    assert_eq!(kept, 24.0);
}

#[test]
fn without_an_expert_its_choices_give_nothing() {
    // Nothing is dropped: the buffers are twice as large as needed.
    let capacity = || json!({ "factor": 2.0, "multiple": 4, "group": 2, "drop": "position" });
    let (_, squares, kept, _) = run(capacity());
    close(&[squares], &[202.31887]);
    assert_eq!(kept, 68.0);
    // The numbers were computed by the published rule in double precision.
    let (logits, squares, kept, _) = look(published_without(&[3], capacity()));
    let first = [
        0.330849, 0.314817, -1.691215, -0.452999, 0.186820, 0.456934, 0.087145, 2.328457,
        -0.382913, 1.614686,
    ];
    close(&logits[..10], &first);
    close(&[squares], &[11.800106]);
    assert_eq!(kept, 34.0); // experts 0 to 2 have 0, 15 and 19 of the 68 choices
}

/// The same network with one expert in each block, or dense; parameters with the same name are equal.
fn one_expert(router: Option<&str>, width: usize, salt: u64) -> AnyBackbone {
    let hidden = 2 * width + 3;
    let vit = json!({
        "kind": "vit", "width": width, "depth": 2, "heads": 2,
        "dense": { "kind": "ffn", "hidden": hidden },
    });
    let moe = match router {
        None => json!({ "layers": "none" }),
        Some(router) => json!({
            "layers": "all", "experts": 1, "router": { "kind": router, "k": 1 },
            "expert": { "kind": "ffn", "hidden": hidden },
        }),
    };
    let network = network(vit, moe, 6);
    let numbers = parameters(&network).into_iter().map(|parameter| {
        let name = parameter.path.replace(".Dense.", ".").replace(".Moe.experts.", ".");
        let salt = moe::stable_hash(&format!("{name}/{salt}")) >> 32;
        (parameter.path, fill(salt, &parameter.shape, 1.0))
    });
    let numbers = numbers.collect();
    with_parameters(network, numbers).unwrap()
}

#[test]
fn one_expert_of_weight_one_is_the_dense_network_to_the_bit() {
    for (width, salt) in [(4, 1), (8, 2), (16, 3), (32, 4), (48, 5), (64, 6)] {
        let pixels = fill(salt, &[salt as usize + 1, 1, 6, 6], 2.0);
        let output = |network: AnyBackbone| {
            let pixels = Tensor::<4>::from_data(pixels.clone(), &Device::flex());
            values(network.forward(&mut Pass::eval(), Input::Image(pixels)))
        };
        let dense = output(one_expert(None, width, salt));
        for router in ["top-k", "v-moe"] {
            assert_eq!(output(one_expert(Some(router), width, salt)), dense, "{router}, {width}");
        }
    }
}

#[test]
fn a_network_goes_on_at_another_resolution() {
    let network = published(json!({}));
    let before = network.dense_flops();
    let larger = zoomed(network.clone(), 6 * 6 + 1).unwrap();
    assert_eq!(larger.tokens(), 37);
    assert!(larger.dense_flops() > 2.0 * before);
    let pixels = Tensor::<4>::from_data(fill(999, &[2, 1, 12, 12], 2.0), &Device::flex());
    let logits = larger.forward(&mut Pass::eval(), Input::Image(pixels));
    assert_eq!(logits.dims(), [2, 1, 10]);
    // Resized up and down again: the corners of the grid are the same vectors, and so is everything else.
    let again = zoomed(larger, 4 * 4 + 1).unwrap();
    let of = |network: &AnyBackbone| {
        let pixels = Tensor::<4>::from_data(fill(999, &[2, 1, 8, 8], 2.0), &Device::flex());
        values(network.forward(&mut Pass::eval(), Input::Image(pixels)))
    };
    assert_eq!(of(&zoomed(network.clone(), 17).unwrap()), of(&network));
    assert_eq!(again.tokens(), 17);
    assert!(zoomed(network, 16).unwrap_err().contains("with a class token"));
}
