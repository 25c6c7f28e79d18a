//! ViT and DeiT against the transformers library; `scripts/golden/transformers_vision.py` wrote the fixtures.

mod common;

use std::fs;

use burn::prelude::*;
use common::{NEAR, expected, fixture, imported, print_row};
use interop::{CheckpointFiles, CheckpointForm, describe, export};
use moe::{Input, Pass};
use serde_json::json;

#[test]
fn logits_are_those_of_the_library() {
    for name in ["vit", "deit"] {
        let expected = expected(name);
        let (network, ..) = imported(name, 0);
        let pixels = TensorData::new(expected.floats("pixels"), [3, 2, 6, 6]);
        let pixels = Tensor::from_data(pixels, &Device::flex());
        let y = network.forward(&mut Pass::eval(), Input::Image(pixels));
        assert_eq!(y.dims(), [3, 1, 5]);
        let (found, logits): (Vec<f32>, _) =
            (y.into_data().iter().collect(), expected.floats("logits"));
        let gap = found.iter().zip(&logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        print_row(name, gap);
        assert!(gap < NEAR, "{name}: {gap}");
    }
}

#[test]
fn import_and_export_give_the_same_bytes() {
    for name in ["vit", "deit"] {
        let folder = tempfile::tempdir().unwrap();
        let (network, model, checkpoint) = imported(name, 0);
        let to = folder.path().join("out");
        export(&network, &model.rules, &CheckpointForm::of(&checkpoint), &to, None).unwrap();
        let read = |folder: std::path::PathBuf| fs::read(folder.join("model.safetensors")).unwrap();
        assert!(read(fixture(name)) == read(to), "{name}");
    }
}

#[test]
fn what_the_network_does_not_honour() {
    let said = |key: &str, value: serde_json::Value| {
        let mut config = CheckpointFiles::open(&fixture("vit")).unwrap().config;
        config.insert(key.into(), value);
        format!("{:#}", describe(&config).unwrap_err())
    };
    assert!(said("qkv_bias", json!(false)).contains("qkv_bias = false"));
    assert!(said("hidden_act", json!("silu")).contains("hidden_act = \"silu\""));
    assert!(said("hidden_dropout_prob", json!(0.1)).contains("hidden_dropout_prob = 0.1"));
    assert!(said("architectures", json!(["ViTModel"])).contains("\"ViTModel\" is not"));
    let deit = said("model_type", json!("deit"));
    assert!(deit.contains("is not \"DeiTForImageClassificationWithTeacher\""), "{deit}");
    let ling = said("model_type", json!("bailing_moe_v2"));
    assert!(ling.contains("its attention and router differ") && ling.contains("known: mixtral"));
}
