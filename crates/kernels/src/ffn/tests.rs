//! Compares the kernel with the composition, with finite differences, and with itself.

use std::sync::Arc;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

use super::{Ffn, grouped_ffn, portable};
use crate::{Activation, ExpertRow, Rows, math::tests::cdf};

/// The inputs of a problem as plain numbers.
#[derive(Clone, Debug)]
struct Case {
    n: usize,
    d: usize,
    h: usize,
    experts: usize,
    /// Pairs (token, expert); each weight is a choice of its own except for every third.
    pairs: Vec<(usize, usize)>,
    activation: Activation,
    gated: bool,
    biased: bool,
    weighted: bool,
    seed: u64,
}

/// Pseudorandom numbers that depend on the seed and the index alone.
fn numbers(seed: u64, stream: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream.wrapping_mul(0xd1b5_4a32);
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32 * 2.0 - 1.0
    };
    next();
    (0..n).map(|_| next()).collect()
}

impl Case {
    fn rows(&self) -> Arc<Rows> {
        let entry = |(i, &(token, expert)): (usize, &(usize, usize))| ExpertRow {
            expert,
            token,
            choice: i / 3,
        };
        let entries = self.pairs.iter().enumerate().map(entry);
        Arc::new(Rows::new(self.n, self.experts, self.pairs.len() + 1, entries))
    }

    /// The sizes of x, weights, w1, gate, w2, bias1, bias2, and the gradient of the output.
    fn sizes(&self) -> [usize; 8] {
        let Case { n, d, h, experts: e, .. } = *self;
        [n * d, self.pairs.len() + 1, e * d * h, e * d * h, e * h * d, e * h, e * d, n * d]
    }

    fn inputs(&self) -> [Vec<f32>; 8] {
        let sizes = self.sizes();
        std::array::from_fn(|i| numbers(self.seed, i as u64, sizes[i]))
    }
}

type Run = fn(Tensor<2>, &Arc<Rows>, Option<Tensor<1>>, Ffn) -> Tensor<2>;

/// The output and all gradients, without those of absent inputs.
fn run(case: &Case, f: Run) -> Vec<Vec<f32>> {
    let device = Device::flex().autodiff();
    let Case { n, d, h, experts: e, .. } = *case;
    let [x, weights, w1, gate, w2, bias1, bias2, dy] = case.inputs();
    let one = |v: Vec<f32>| {
        let n = v.len();
        Tensor::<1>::from_data(TensorData::new(v, [n]), &device).require_grad()
    };
    let [x, weights, w1, gate, w2, bias1, bias2] =
        [x, weights, w1, gate, w2, bias1, bias2].map(one);
    let ffn = Ffn {
        w1: w1.clone().reshape([e, d, h]),
        gate: case.gated.then(|| gate.clone().reshape([e, d, h])),
        w2: w2.clone().reshape([e, h, d]),
        bias1: case.biased.then(|| bias1.clone().reshape([e, 1, h])),
        bias2: case.biased.then(|| bias2.clone().reshape([e, 1, d])),
        activation: case.activation,
    };
    let weight = case.weighted.then(|| weights.clone());
    let y = f(x.clone().reshape([n, d]), &case.rows(), weight, ffn);
    let dy = Tensor::<1>::from_data(TensorData::new(dy, [n * d]), &device).reshape([n, d]);
    let grads = (y.clone() * dy).sum().backward();
    let mut all = vec![y.into_data().try_into_vec().unwrap()];
    for leaf in [x, weights, w1, gate, w2, bias1, bias2] {
        let zeros = || vec![0.0; leaf.dims()[0]];
        let grad = leaf.grad(&grads);
        all.push(grad.map_or_else(zeros, |grad| grad.into_data().try_into_vec().unwrap()));
    }
    all
}

fn near(a: &[Vec<f32>], b: &[Vec<f32>], tolerance: f32) {
    const NAMES: [&str; 8] = ["y", "x", "weights", "w1", "gate", "w2", "bias1", "bias2"];
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert_eq!(a.len(), b.len());
        let scale = b.iter().fold(1.0_f32, |max, b| max.max(b.abs()));
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= tolerance * scale, "{}: {a} {b}, scale {scale}", NAMES[i]);
        }
    }
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::Gelu),
        Just(Activation::GeluTanh),
        Just(Activation::Relu),
        Just(Activation::Silu)
    ]
}

fn cases(most: usize) -> impl Strategy<Value = Case> {
    let sizes = (1..most, 1_usize..24, 1_usize..40, 1_usize..6);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), activation(), any::<u64>());
    (sizes, flags).prop_flat_map(move |((n, d, h, experts), flags)| {
        let (gated, biased, weighted, activation, seed) = flags;
        // Skewed: experts of low index are likelier, and some have no row.
        let expert = (0..experts, 0..experts).prop_map(|(a, b)| a.min(b));
        prop::collection::vec((0..n, expert), 0..4 * most).prop_map(move |pairs| Case {
            n,
            d,
            h,
            experts,
            pairs,
            activation,
            gated,
            biased,
            weighted,
            seed,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_kernel_is_the_composition(case in cases(200)) {
        near(&run(&case, grouped_ffn), &run(&case, portable::grouped_ffn), 1e-5);
    }
}

/// Rounds the matrices with a straight-through gradient; Burn would round the gradient too.
fn rounded(ffn: Ffn, numbers: FloatDType) -> Ffn {
    let round = |w: Tensor<3>| {
        let rounded = w.clone().detach().cast(numbers).cast(FloatDType::F32);
        w.clone() + (rounded - w.detach())
    };
    Ffn { w1: round(ffn.w1), gate: ffn.gate.map(round), w2: round(ffn.w2), ..ffn }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn half_precision_is_the_rounding_of_the_matrices_and_nothing_else(case in cases(60)) {
        use FloatDType::{BF16, F16};
        let kernel: [Run; 2] = [
            |x, rows, weights, ffn| grouped_ffn(x, rows, weights, ffn.stored(BF16)),
            |x, rows, weights, ffn| grouped_ffn(x, rows, weights, ffn.stored(F16)),
        ];
        let expected: [Run; 2] = [
            |x, rows, weights, ffn| portable::grouped_ffn(x, rows, weights, rounded(ffn, BF16)),
            |x, rows, weights, ffn| portable::grouped_ffn(x, rows, weights, rounded(ffn, F16)),
        ];
        for (kernel, expected) in kernel.into_iter().zip(expected) {
            near(&run(&case, kernel), &run(&case, expected), 1e-5);
        }
        // On other devices the gradients of the matrices are rounded too.
        let elsewhere: Run =
            |x, rows, weights, ffn| portable::grouped_ffn(x, rows, weights, ffn.stored(BF16));
        let (elsewhere, expected) = (run(&case, elsewhere), run(&case, expected[0]));
        near(&elsewhere[..3], &expected[..3], 1e-5);
        near(&elsewhere, &expected, 1e-2);
    }
}

#[test]
fn one_expert_may_get_everything_and_all_rows_may_go() {
    let all = |pairs| Case {
        n: 900,
        d: 16,
        h: 32,
        experts: 3,
        pairs,
        activation: Activation::Gelu,
        gated: false,
        biased: true,
        weighted: true,
        seed: 3,
    };
    let case = all((0..900).map(|token| (token, 1)).collect());
    near(&run(&case, grouped_ffn), &run(&case, portable::grouped_ffn), 1e-5);
    let nothing = run(&all(Vec::new()), grouped_ffn);
    assert!(nothing.iter().flatten().all(|x| *x == 0.0));
}

/// The loss in `f64`, transcribed from the formula, row by row.
fn loss(case: &Case, [x, weights, w1, gate, w2, bias1, bias2, dy]: &[Vec<f64>; 8]) -> f64 {
    let Case { d, h, .. } = *case;
    let f = |x: f64| match case.activation {
        Activation::Gelu => x * cdf(x),
        Activation::GeluTanh => {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + u.tanh())
        }
        Activation::Relu => x.max(0.0),
        Activation::Silu => x / (1.0 + (-x).exp()),
    };
    let biased = f64::from(u8::from(case.biased));
    let mut loss = 0.0;
    for (i, &(token, e)) in case.pairs.iter().enumerate() {
        let x = &x[token * d..][..d];
        let times =
            |w: &[f64], j: usize| (0..d).map(|i| x[i] * w[e * d * h + i * h + j]).sum::<f64>();
        let hidden: Vec<f64> = (0..h)
            .map(|j| {
                let value = f(times(w1, j) + biased * bias1[e * h + j]);
                if case.gated { value * times(gate, j) } else { value }
            })
            .collect();
        let weight = if case.weighted { weights[i / 3] } else { 1.0 };
        for c in 0..d {
            let y: f64 = (0..h).map(|j| hidden[j] * w2[e * d * h + j * d + c]).sum();
            loss += dy[token * d + c] * weight * (y + biased * bias2[e * d + c]);
        }
    }
    loss
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn gradients_are_finite_differences(case in cases(6)) {
        let found = run(&case, grouped_ffn);
        let inputs = case.inputs().map(|v| v.into_iter().map(f64::from).collect::<Vec<f64>>());
        for (which, grads) in found[1..].iter().enumerate() {
            for (i, grad) in grads.iter().enumerate() {
                let at = |step: f64| {
                    let mut inputs = inputs.clone();
                    inputs[which][i] += step;
                    loss(&case, &inputs)
                };
                let step = 1e-6;
                let slope = (at(step) - at(-step)) / (2.0 * step);
                let gap = (slope - f64::from(*grad)).abs();
                prop_assert!(gap < 1e-4 * slope.abs().max(1.0), "{which} {i}: {slope} {grad}");
            }
        }
    }
}

#[test]
fn the_same_bits_for_every_number_of_threads() {
    let n = 1500;
    let case = Case {
        n,
        d: 48,
        h: 80,
        experts: 5,
        // Half of all rows belong to expert 0.
        pairs: (0..2 * n).map(|i| (i / 2, if i % 2 == 0 { 0 } else { 1 + i * 7 % 4 })).collect(),
        activation: Activation::Silu,
        gated: true,
        biased: true,
        weighted: true,
        seed: 11,
    };
    let on = |threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&case, grouped_ffn))
    };
    let one = on(1);
    assert!(one == on(2) && one == on(4));
}
