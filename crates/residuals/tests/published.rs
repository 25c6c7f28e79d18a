//! One layer of the published language model, rachtsy/MomentumSMoE: experts, gate, rule and norm, compared
//! with numbers of its code to 1e-5. Width 8, four experts of width 8, two for each of five tokens.

use burn::prelude::*;
use moe::{Choice, Init, Pass};

/// Reproducible numbers, the same as the inputs of the published code.
fn fill(salt: u64, n: usize, scale: f64) -> Vec<f64> {
    let mix = |x: u64| {
        let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let value = |i| {
        let u = (mix((salt << 32) + i as u64) >> 11) as f64 * 2_f64.powi(-53) - 0.5;
        f64::from((u * scale) as f32)
    };
    (0..n).map(value).collect()
}

const D: usize = 8;

/// A row of x times the transpose of a matrix `[D, D]`, plus a bias.
fn linear(x: &[f64], matrix: &[f64], bias: &[f64]) -> Vec<f64> {
    let row = |(row, bias): (&[f64], &f64)| bias + dot(row, x);
    matrix.chunks(D).zip(bias).map(row).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The two best experts of a token with their weights: top-2 of raw logits, then softmax.
fn gate(x: &[f64]) -> [(usize, f64); 2] {
    let logits = linear(x, &fill(100, 4 * D, 1.0), &fill(101, 4, 1.0));
    let mut order: Vec<usize> = (0..4).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    let second = (logits[order[1]] - logits[order[0]]).exp();
    [(order[0], 1.0 / (1.0 + second)), (order[1], second / (1.0 + second))]
}

/// The weighted sum of two experts, ReLU between two matrices.
fn output(x: &[f64]) -> Vec<f64> {
    let (w1, b1) = (fill(102, 4 * D * D, 1.0), fill(103, 4 * D, 1.0));
    let (w2, b2) = (fill(104, 4 * D * D, 1.0), fill(105, 4 * D, 1.0));
    let mut sum = vec![0.0; D];
    for (e, weight) in gate(x) {
        let (matrix, bias) = (e * D * D..(e + 1) * D * D, e * D..(e + 1) * D);
        let mut hidden = linear(x, &w1[matrix.clone()], &b1[bias.clone()]);
        hidden.iter_mut().for_each(|h| *h = h.max(0.0));
        let y = linear(&hidden, &w2[matrix], &b2[bias]);
        sum.iter_mut().zip(y).for_each(|(sum, y)| *sum += weight * y);
    }
    sum
}

fn norm(x: &[f64]) -> Vec<f64> {
    let mean = x.iter().sum::<f64>() / D as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / D as f64;
    x.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt()).collect()
}

fn close(found: &[f64], expected: &[f64]) {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-5 + 1e-5 * b.abs();
    let same = found.len() == expected.len() && found.iter().zip(expected).all(near);
    assert!(same, "{found:?}, and not {expected:?}");
}

fn x() -> Vec<f64> {
    fill(50, 5 * D, 2.0)
}

/// The reference layer, `[1, 5, 8] -> [1, 5, 8]`.
fn layer(z: Tensor<3>) -> Tensor<3> {
    tensor(&values(z).chunks(D).flat_map(output).collect::<Vec<f64>>())
}

fn tensor(values: &[f64]) -> Tensor<3> {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    Tensor::from_data(TensorData::new(values, [1, 5, D]), &Device::flex())
}

fn values(x: Tensor<3>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// The first token after this number of layers with the rule and the norm.
fn after(rule: &str, layers: usize) -> Vec<f64> {
    let build = residuals::all().get(rule).unwrap().build;
    let rule = (build.init)(&Choice::of(rule), D, &Init::new(0, &Device::flex())).unwrap();
    let (mut pass, mut stream) = (Pass::eval(), tensor(&x()));
    for _ in 0..layers {
        let y = rule.step(&mut pass, stream.clone(), stream, &|_, z| layer(z));
        stream = tensor(&values(y).chunks(D).flat_map(norm).collect::<Vec<f64>>());
    }
    values(stream)[..D].to_vec()
}

#[test]
fn the_gate_and_the_experts() {
    for row in x().chunks(D).take(3) {
        assert_eq!(gate(row).map(|(expert, _)| expert), [3, 0]);
    }
    close(&gate(&x()[..D]).map(|(_, weight)| weight), &[0.698_687, 0.301_313]);
    let f = [
        0.194_913, -0.204_741, -0.480_087, -0.263_111, -0.526_636, 0.403_671, -0.554_471, 0.046_631,
    ];
    close(&output(&x()[..D]), &f);
}

#[test]
fn without_momentum() {
    let y = [
        -1.085_975, 1.213_291, -1.718_605, 0.919_869, -0.268_573, -0.509_965, 0.437_589, 1.012_370,
    ];
    close(&after("add", 1), &y);
}

#[test]
fn the_moment_of_a_later_layer() {
    let m = [
        0.217_839, -0.096_376, -0.467_315, -0.300_081, -0.427_860, 0.536_655, -0.672_481,
        -0.102_007,
    ];
    // A first layer with the output `before` leaves it as the moment. The moment of the next layer is
    // x - y.
    let build = residuals::all().get("heavy-ball").unwrap().build;
    let choice = Choice::of("heavy-ball");
    let rule = (build.init)(&choice, D, &Init::new(0, &Device::flex())).unwrap();
    let (mut pass, before) = (Pass::eval(), tensor(&fill(51, 5 * D, 0.5)));
    rule.step(&mut pass, tensor(&x()), tensor(&x()), &|_, _| before.clone());
    let y = values(rule.step(&mut pass, tensor(&x()), tensor(&x()), &|_, z| layer(z)));
    let found: Vec<f64> = x().iter().zip(&y).map(|(x, y)| x - y).collect();
    close(&found[..D], &m);
}

#[test]
fn the_first_layer_of_adam() {
    let y =
        [-1.291_703, 0.774_524, 0.774_625, 0.774_573, 0.774_628, -1.291_807, 0.774_630, -1.289_471];
    close(&after("adam", 1), &y);
}
