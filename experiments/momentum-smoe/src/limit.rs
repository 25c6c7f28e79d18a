//! The largest curvature at which a rule is stable, measured on mixtures of random convex quadratics:
//! `runs.csv` for the claims of `stability.toml`.
//!
//! Each of eight experts is the gradient of a convex quadratic, z -> A_e z, and a frozen gate mixes them,
//! so a layer is f(z) = H z. H is scaled to the largest factor at which a disturbance still dies out over
//! many layers; the largest eigenvalue of the scaled H is the limit.

use lab::{OwnResults, prelude::*};
use moe::AnyResidual;
use report::Runs;

const WIDTH: usize = 8;
const EXPERTS: usize = 8;
const DEPTH: usize = 300;
const SEEDS: u64 = 5;

/// The rules, with their mu.
const RULES: [(&str, f64); 4] =
    [("descent", 0.0), ("heavy ball 0.3", 0.3), ("heavy ball 0.7", 0.7), ("heavy ball 0.9", 0.9)];

const RESULTS: OwnResults = OwnResults {
    suite: "momentum-smoe-stability",
    task: "quadratics",
    backbone: "layers",
    router: "frozen",
    metric: "stable_up_to",
};

/// `stable_up_to` for each rule and seed.
pub(crate) fn limits() -> Runs {
    let row = |(name, mu): &(&str, f64), seed: u64| {
        let rule = crate::stability::rule("heavy-ball", Some(*mu));
        RESULTS.row(*name, seed, limit(&rule, &layer(seed)))
    };
    let rows = RULES.iter().flat_map(|rule| (0..SEEDS).map(move |seed| row(rule, seed)));
    Runs::of(rows)
}

/// A mixture of experts `[D, D]`, weighted by a frozen gate and scaled so that its largest eigenvalue is 1.
fn layer(seed: u64) -> Tensor<2> {
    let init = Init::new(seed, &Device::flex());
    let gate: Vec<f64> = init.uniform("gate", [EXPERTS], 1.0).val().into_data().iter().collect();
    let experts = gate.iter().enumerate().map(|(e, score)| {
        let root = init.at(e).normal("root", [WIDTH, WIDTH], 1.0).val();
        root.clone().transpose().matmul(root) * score.exp()
    });
    let mixed = experts.reduce(|a, b| a + b).expect("there are experts");
    let mixed = mixed.detach();
    let mut top = Tensor::<2>::ones([WIDTH, 1], &Device::flex());
    for _ in 0..200 {
        let next = mixed.clone().matmul(top);
        top = next.clone() / length(&next);
    }
    mixed.clone() / length(&mixed.matmul(top))
}

fn length(x: &Tensor<2>) -> f64 {
    x.clone().square().sum().into_scalar::<f32>().sqrt().into()
}

/// The largest eigenvalue at which a disturbance still dies out, found by bisection.
fn limit(rule: &AnyResidual, layer: &Tensor<2>) -> f64 {
    let (mut stable, mut unstable) = (0.5, 8.0);
    for _ in 0..14 {
        let middle = 0.5 * (stable + unstable);
        match dies_out(rule, layer.clone() * middle) {
            true => stable = middle,
            false => unstable = middle,
        }
    }
    0.5 * (stable + unstable)
}

/// Whether a disturbance is no larger in the last third of the layers than in the second third.
fn dies_out(rule: &AnyResidual, layer: Tensor<2>) -> bool {
    let layer = layer.unsqueeze::<3>();
    let mut x = Tensor::<3>::ones([1, 1, WIDTH], &Device::flex());
    let mut pass = Pass::eval();
    let sizes: Vec<f32> = (0..DEPTH)
        .map(|_| {
            x = rule.step(&mut pass, x.clone(), x.clone(), &|_, z| z.matmul(layer.clone()));
            x.clone().abs().max().into_scalar::<f32>()
        })
        .collect();
    let largest = |range: &[f32]| range.iter().copied().fold(0.0, f32::max);
    let (before, last) = (&sizes[DEPTH / 3..2 * DEPTH / 3], &sizes[2 * DEPTH / 3..]);
    last.iter().all(|size| size.is_finite()) && largest(last) <= largest(before)
}

#[test]
fn a_mixture_has_the_largest_eigenvalue_one() {
    let layer = layer(3);
    let mut x = Tensor::<2>::ones([WIDTH, 1], &Device::flex());
    for _ in 0..300 {
        x = layer.clone().matmul(x);
    }
    let longer = layer.matmul(x.clone());
    assert!((length(&longer) / length(&x) - 1.0).abs() < 1e-3);
}
