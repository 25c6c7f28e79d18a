//! `route`: a plan from a file, in a separate process, and errors of the user.

mod common;

use std::fs;

use common::{Place, ended};
use serde_json::{Value, json};

/// A safetensors file of these tensors: name, shape, numbers.
fn file(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let (mut header, mut numbers) = (json!({}), Vec::new());
    for (name, shape, values) in tensors {
        let start = numbers.len();
        numbers.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let places = [start, numbers.len()];
        header[*name] = json!({ "dtype": "F32", "shape": shape, "data_offsets": places });
    }
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &numbers].concat()
}

/// A tensor of a safetensors file: its shape, and its numbers.
fn tensor(file: &[u8], name: &str) -> (Vec<usize>, Vec<f64>) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let entry = &header[name];
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let numbers = |key: &str| entry[key].as_array().unwrap().iter().map(number).collect::<Vec<_>>();
    let places = numbers("data_offsets");
    let bytes = &file[8 + length..][places[0]..places[1]];
    let values = match entry["dtype"].as_str().unwrap() {
        "F32" => bytes.as_chunks().0.iter().map(|x| f64::from(f32::from_le_bytes(*x))).collect(),
        "I64" => bytes.as_chunks().0.iter().map(|x| i64::from_le_bytes(*x) as f64).collect(),
        other => panic!("{other}"),
    };
    (numbers("shape"), values)
}

const ARGS: [&str; 7] =
    ["route", "--input", "in.safetensors", "--out", "plan.safetensors", "--experts", "4"];

fn place(input: &[u8]) -> Place {
    let place = Place::new();
    fs::write(place.path("in.safetensors"), input).unwrap();
    place
}

/// Two units with the scores ln (1, 4, 2, 1) and ln (8, 1, 1, 6).
fn two_units() -> Vec<u8> {
    let gate: Vec<f32> =
        [1.0, 4.0, 2.0, 1.0, 8.0, 1.0, 1.0, 6.0].iter().map(|x: &f32| x.ln()).collect();
    file(&[("x", &[1, 2, 2], &[1.0, 0.0, 0.0, 1.0]), ("gate.weight", &[2, 4], &gate)])
}

#[test]
fn a_plan_worked_by_hand() {
    let place = place(&two_units());
    let args = ["--router", "top-k", "--config", r#"{"k": 2, "balance": 1.0}"#];
    let (out, _) = ended(&place.run(&[&ARGS[..], &args].concat()), 0);
    let plan = fs::read(place.path("plan.safetensors")).unwrap();
    assert_eq!(tensor(&plan, "experts"), (vec![1, 2, 2], vec![1.0, 2.0, 0.0, 3.0]));
    let (shape, weights) = tensor(&plan, "weights");
    assert_eq!(shape, [1, 2, 2]);
    let expected = [4.0 / 6.0, 2.0 / 6.0, 8.0 / 14.0, 6.0 / 14.0];
    assert!(weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{weights:?}");
    let report: Value = serde_json::from_str(&out).unwrap();
    // f = 1/4 each, so 4 * 1/4 * the sum of P = 1.
    assert!((report["losses"]["balance"].as_f64().unwrap() - 1.0).abs() < 1e-6, "{out}");
    assert_eq!(report["plan"], "token-choice");
    assert_eq!(report["router"]["weights"], "renormalised", "defaults are written out");
    assert_eq!(report["load"]["slots"], json!([1.0, 1.0, 1.0, 1.0]));
    assert_eq!(report["load"]["max_over_mean"], 1.0);
    let gate = json!({ "path": "gate.weight", "shape": [2, 4], "trained": true, "from": "file" });
    assert_eq!(report["parameters"], json!([gate]));
}

#[test]
fn scores_are_written_and_noise_is_taken() {
    let noise = [0.5, -0.5, 0.0, 1.0];
    let gate = [1.0, 2.0, 0.0, 0.0];
    let place = place(&file(&[
        ("x", &[1, 1, 1], &[1.0]),
        ("gate.weight", &[1, 4], &gate),
        ("noise", &[1, 1, 4], &noise),
    ]));
    ended(&place.run(&[&ARGS[..], &["--router", "v-moe", "--train"]].concat()), 0);
    let plan = fs::read(place.path("plan.safetensors")).unwrap();
    assert_eq!(tensor(&plan, "scores"), (vec![1, 1, 4], vec![1.0, 2.0, 0.0, 0.0]));
    // s + N / E = 1.125, 1.875, 0, 0.25.
    assert_eq!(tensor(&plan, "experts").1, [1.0, 0.0]);
    let odds = [1.125_f64, 1.875, 0.0, 0.25].map(f64::exp);
    let sum: f64 = odds.iter().sum();
    let weights = tensor(&plan, "weights").1;
    assert!((weights[0] - odds[1] / sum).abs() < 1e-6, "{weights:?}");
    assert!((weights[1] - odds[0] / sum).abs() < 1e-6, "{weights:?}");
}

#[test]
fn states_are_written_as_they_are_after_the_pass() {
    let gate = [3.0, 2.0, -1.0, -2.0];
    let place = place(&file(&[
        ("x", &[1, 2, 1], &[1.0, 1.0]),
        ("gate.weight", &[1, 4], &gate),
        ("bias.bias", &[4], &[0.0, 0.0, 0.5, 0.0]),
    ]));
    let args = ["--router", "loss-free", "--config", r#"{"k": 1, "bias_step": 0.25}"#];
    ended(&place.run(&[&ARGS[..], &args].concat()), 0);
    let plan = fs::read(place.path("plan.safetensors")).unwrap();
    assert!(!String::from_utf8_lossy(&plan).contains("bias.bias"), "evaluation moves nothing");
    ended(&place.run(&[&ARGS[..], &args, &["--train"]].concat()), 0);
    let plan = fs::read(place.path("plan.safetensors")).unwrap();
    // Both units choose expert 0, whose load 2 is above the mean of 1/2.
    let (shape, bias) = tensor(&plan, "bias.bias");
    assert_eq!((shape, bias), (vec![4], vec![-0.25, 0.25, 0.75, 0.25]));
    assert!(!String::from_utf8_lossy(&plan).contains("gate.weight"), "parameters do not move");
}

#[test]
fn every_form_of_plan_is_written() {
    let place = place(&file(&[("x", &[2, 3, 4], &[0.5; 24])]));
    for (router, form, tensors) in [
        ("expert-choice", "expert-choice", [("units", vec![2, 4, 2]), ("weights", vec![2, 4, 2])]),
        ("soft", "soft", [("dispatch", vec![2, 3, 4, 2]), ("combine", vec![2, 3, 4, 2])]),
        ("dense", "dense", [("weights", vec![2, 3, 4]), ("weights", vec![2, 3, 4])]),
    ] {
        let (out, _) = ended(&place.run(&[&ARGS[..], &["--router", router]].concat()), 0);
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["plan"], form);
        let plan = fs::read(place.path("plan.safetensors")).unwrap();
        for (name, shape) in tensors {
            assert_eq!(tensor(&plan, name).0, shape, "{router}: {name}");
        }
    }
}

#[test]
fn the_seed_makes_parameters_and_noise() {
    let place = place(&file(&[("x", &[1, 3, 4], &[0.5; 12])]));
    let weights = |more: &[&str]| {
        ended(&place.run(&[&ARGS[..], &["--router", "noisy-top-k"], more].concat()), 0);
        tensor(&fs::read(place.path("plan.safetensors")).unwrap(), "weights").1
    };
    assert_eq!(weights(&["--seed", "1"]), weights(&["--seed", "1"]));
    assert_ne!(weights(&["--seed", "1"]), weights(&["--seed", "2"]));
    assert_eq!(weights(&["--train"]), weights(&["--train"]));
    assert_ne!(weights(&["--train"]), weights(&[]));
}

#[test]
fn what_a_person_can_get_wrong_is_named_and_nothing_is_written() {
    let gate: &[f32] = &[0.0; 12];
    for (input, args, expected) in [
        (two_units(), vec!["--router", "topk"], "no router is named \"topk\"; known: top-k"),
        (two_units(), vec!["--router", "top-k", "--config", "{k: 2}"], "--config {k: 2}: key must"),
        (two_units(), vec!["--router", "top-k", "--config", "3"], "--config 3: expected a table"),
        (
            two_units(),
            vec!["--router", "top-k", "--config", r#"{"kk": 2}"#],
            "kk: unknown key `kk`, expected one of `k`",
        ),
        (
            two_units(),
            vec!["--router", "top-k", "--config", r#"{"k": 5}"#],
            "k = 5 is larger than experts = 4",
        ),
        (
            file(&[("y", &[1, 1, 1], &[1.0])]),
            vec!["--router", "top-k"],
            "in.safetensors: expected a tensor x, [G, U, D]; found: y",
        ),
        (
            file(&[("x", &[1, 1, 2], &[1.0; 2])]),
            vec!["--router", "peer", "--config", r#"{"heads": 9223372036854775807}"#],
            "heads = 9223372036854775807: must be at most 100000",
        ),
        (
            file(&[("x", &[1, 1, 512], &[1.0; 512])]),
            vec!["--router", "ada-moe", "--config", r#"{"nulls": 1000000000}"#],
            "router \"ada-moe\": its weights need about 2048.0 GB",
        ),
        (
            file(&[("x", &[2, 2], &[1.0; 4])]),
            vec!["--router", "top-k"],
            "in.safetensors: x has the shape [2, 2]; expected three dimensions, [G, U, D]",
        ),
        (
            file(&[("x", &[1, 0, 2], &[])]),
            vec!["--router", "top-k"],
            "in.safetensors: x has the shape [1, 0, 2]; every dimension must be at least 1",
        ),
        (
            file(&[("x", &[1, 1, 1], &[f32::NAN])]),
            vec!["--router", "top-k"],
            "in.safetensors: x has numbers that are not finite",
        ),
        (
            file(&[("x", &[1, 1, 2], &[1.0; 2]), ("gate.weight", &[3, 4], gate)]),
            vec!["--router", "top-k"],
            "in.safetensors: router \"top-k\": gate.weight has the shape [2, 4], not [3, 4]; shapes follow from the \
             width of x, 2, and from --experts 4",
        ),
        (
            file(&[
                ("x", &[1, 1, 1], &[1.0]),
                ("gate.weight", &[1, 4], &[0.0, f32::NAN, 1.0, f32::INFINITY]),
            ]),
            vec!["--router", "top-k"],
            "router \"top-k\": 2 of the 4 numbers of gate.weight are not finite",
        ),
        (
            file(&[("x", &[1, 1, 1], &[1e30]), ("gate.weight", &[1, 4], &[1e30, 0.0, 1.0, -1e30])]),
            vec!["--router", "top-k"],
            "router \"top-k\": 2 of the 4 numbers of scores are not finite",
        ),
        (
            file(&[("x", &[1, 1, 1], &[1.0]), ("bias.bias", &[4], &[0.0, 1.0, f32::NAN, 0.0])]),
            vec!["--router", "loss-free"],
            "router \"loss-free\": 1 of the 4 numbers of bias.bias are not finite",
        ),
        (
            file(&[("x", &[1, 1, 1], &[1.0]), ("noise", &[1, 1, 4], &[0.0; 4])]),
            vec!["--router", "v-moe"],
            "noise: only used in training; add --train",
        ),
        (
            file(&[("x", &[1, 1, 1], &[1.0]), ("noise", &[1, 4], &[0.0; 4])]),
            vec!["--router", "v-moe", "--train"],
            "noise has the shape [1, 4], but the router draws [1, 1, 4]",
        ),
        (
            file(&[("x", &[1, 1, 1], &[1.0]), ("noise", &[1, 4], &[0.0; 4])]),
            vec!["--router", "top-k", "--train"],
            "noise has the shape [1, 4], but the router draws none",
        ),
        (
            file(&[("x", &[1, 1, 3], &[1.0; 3]), ("gate.wieght", &[3, 4], gate)]),
            vec!["--router", "top-k"],
            "no parameter is named gate.wieght; known: gate.weight [3, 4]",
        ),
        (
            file(&[("x", &[1, 1, 1], &[1.0]), ("ids", &[1, 2], &[1.0; 2])]),
            vec!["--router", "hash"],
            "in.safetensors: ids has the shape [1, 2]; expected [G, U] = [1, 1]",
        ),
        (b"no tensors".to_vec(), vec!["--router", "top-k"], "not a safetensors file, or damaged"),
    ] {
        let place = place(&input);
        let (out, err) = ended(&place.run(&[&ARGS[..], &args].concat()), 2);
        assert!(err.contains(expected), "{args:?}: {err}");
        assert_eq!(out, "");
        assert!(!place.path("plan.safetensors").exists() && place.runs(".").is_empty());
    }
    let place = place(&two_units());
    let args = ["route", "--router", "top-k", "--input", "no.safetensors", "--out", "a"];
    let (_, err) = ended(&place.run(&args), 2);
    assert!(err.contains("no.safetensors: No such file"), "{err}");
    let args =
        ["--router", "top-k", "--experts", "4", "--input", "in.safetensors", "--out", "no/a"];
    let (_, err) = ended(&place.run(&[&["route"][..], &args].concat()), 2);
    assert!(err.contains("no/a"), "{err}");
}

#[test]
fn routers_are_listed_with_what_they_are() {
    let place = Place::new();
    let (out, _) = ended(&place.run(&["list", "routers"]), 0);
    let mut lines = out.lines().skip_while(|line| !line.starts_with("  expert-choice "));
    assert!(lines.next().is_some(), "{out}");
    for words in [
        "expert-choice, not causal, no state, trains gate.weight",
        "https://arxiv.org/abs/2202.09368",
    ] {
        assert_eq!(lines.next().unwrap().trim(), words, "{out}");
    }
}

#[test]
fn the_input_is_not_replaced() {
    let input = file(&[("x", &[1, 1, 2], &[1.0; 2])]);
    let place = place(&input);
    let call =
        ["route", "--router", "top-k", "--input", "in.safetensors", "--experts", "4", "--out"];
    let (_, err) = ended(&place.run(&[&call[..], &["./in.safetensors"]].concat()), 2);
    assert!(
        err.contains("--out ./in.safetensors: this is the input; choose another file"),
        "{err}"
    );
    assert_eq!(fs::read(place.path("in.safetensors")).unwrap(), input);
}
