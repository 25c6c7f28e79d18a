//! Ranges of stability and spectral radii on quadratic functions, measured on the rules themselves.

use burn::prelude::*;
use moe::{AnyResidual, Choice, Init, Pass};
use residuals::growth;

fn rule(choice: Choice) -> AnyResidual {
    let build = residuals::all().get(&choice.kind).unwrap().build;
    (build.init)(&choice, 1, &Init::new(0, &Device::flex())).unwrap()
}

fn heavy_ball(mu: f64) -> AnyResidual {
    rule(Choice::of("heavy-ball").with("mu", mu))
}

/// The values of the stream through layers f(z) = curvature z, starting at 1.
fn stream(rule: &AnyResidual, curvature: f64) -> [f64; 4] {
    let (mut pass, mut x) = (Pass::eval(), Tensor::<3>::ones([1, 1, 1], &Device::flex()));
    std::array::from_fn(|_| {
        let here = f64::from(x.clone().into_scalar::<f32>());
        x = rule.step(&mut pass, x.clone(), x.clone(), &|_, z| z * curvature);
        here
    })
}

/// a and b of x_{t+1} = a x_t + b x_{t-1}, from four values.
fn recurrence([x0, x1, x2, x3]: [f64; 4]) -> [f64; 2] {
    let det = x1 * x1 - x0 * x2;
    match det.abs() < 1e-6 {
        true => [x1 / x0, 0.0],
        false => [(x1 * x2 - x0 * x3) / det, (x1 * x3 - x2 * x2) / det],
    }
}

/// The larger absolute value of the roots of r^2 = a r + b.
fn radius([a, b]: [f64; 2]) -> f64 {
    let d = a * a / 4.0 + b;
    if d < 0.0 { (-b).sqrt() } else { a.abs() / 2.0 + d.sqrt() }
}

fn spectral_radius(rule: &AnyResidual, curvature: f64) -> f64 {
    radius(recurrence(stream(rule, curvature)))
}

/// The curvature from which on perturbations grow.
fn limit(rule: &AnyResidual) -> f64 {
    let (mut stable, mut not) = (0.05, 5.0);
    for _ in 0..24 {
        let middle = (stable + not) / 2.0;
        match spectral_radius(rule, middle) < 1.0 {
            true => stable = middle,
            false => not = middle,
        }
    }
    stable
}

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() < tolerance, "{found}, and not {expected}");
}

#[test]
fn momentum_widens_the_stable_range_to_two_plus_two_mu() {
    for (mu, expected) in [(0.0, 2.0), (0.3, 2.6), (0.7, 3.4), (0.9, 3.8)] {
        near(limit(&heavy_ball(mu)), expected, 1e-3);
    }
}

#[test]
fn spectral_radii_as_published() {
    let mus = [0.0, 0.3, 0.7, 0.9];
    for (curvature, radii) in [(1.0, [0.0, 0.548, 0.837, 0.949]), (2.5, [1.5, 0.845, 0.837, 0.949])]
    {
        for (mu, expected) in mus.into_iter().zip(radii) {
            near(spectral_radius(&heavy_ball(mu), curvature), expected, 1e-3);
        }
    }
}

#[test]
fn other_rules_follow_their_recurrences() {
    let of = |name, curvature| recurrence(stream(&rule(Choice::of(name)), curvature));
    for s in [0.5, 1.5] {
        // With d = x_t - x_{t-1}: robust is x - 0.96 s (x + d / 24) + 0.04 d.
        let [a, b] = of("robust", s);
        near(a, 1.0 - 0.96 * s * (1.0 + 1.0 / 24.0) + 0.04, 1e-3);
        near(b, 0.96 * s / 24.0 - 0.04, 1e-3);
        // nag is (1 - s) (x + 0.7 d).
        let [a, b] = of("nag", s);
        near(a, (1.0 - s) * 1.7, 1e-3);
        near(b, (s - 1.0) * 0.7, 1e-3);
    }
    // Curvatures at which -1 is a root: 1 + 1 / (1 + 2 mu), 2 - 2 mu, and for robust 2.04 + 0.04 = 0.96 s
    // (1 + 2 / 24).
    near(limit(&rule(Choice::of("nag"))), 1.0 + 1.0 / 2.4, 1e-3);
    near(limit(&rule(Choice::of("negative"))), 1.4, 1e-3);
    near(limit(&rule(Choice::of("robust"))), 2.0, 1e-3);
}

#[test]
fn growth_is_the_spectral_radius() {
    let curvatures = [0.5, 1.5, 2.5, 3.0, 3.9];
    for mu in [0.3, 0.7] {
        let rule = heavy_ball(mu);
        for (s, found) in curvatures.into_iter().zip(growth(&rule, &curvatures, &Device::flex())) {
            near(found, spectral_radius(&rule, s), 0.02);
        }
    }
    let add = rule(Choice::of("add"));
    near(growth(&add, &[0.5], &Device::flex())[0], 1.5, 1e-4); // it grows: its sign is opposite
}

#[test]
fn a_disturbance_that_grows_without_momentum_dies_out_with_it() {
    // Four experts, gradients of quadratic functions A = B B^T, mixed by a frozen gate, and scaled so that
    // the largest curvature is 2.5.
    const N: usize = 6;
    let b = |e: usize| {
        let value = |i: usize| ((i * 7 + e * 13) % 11) as f32 / 11.0 - 0.45;
        let values = (0..N * N).map(value).collect::<Vec<f32>>();
        Tensor::<2>::from_data(TensorData::new(values, [N, N]), &Device::flex())
    };
    let gate = [0.4, 0.3, 0.2, 0.1];
    let expert = |(e, weight): (usize, f64)| b(e).matmul(b(e).transpose()) * weight;
    let a = gate.into_iter().enumerate().map(expert).reduce(|a, b| a + b).unwrap();
    let mut direction = Tensor::<2>::ones([N, 1], &Device::flex());
    for _ in 0..200 {
        let image = a.clone().matmul(direction);
        direction = image.clone() / image.square().sum().sqrt().unsqueeze::<2>();
    }
    let largest = a.clone().matmul(direction).square().sum().sqrt().into_scalar::<f32>();
    let a = a * (2.5 / largest);

    let end = |rule: &AnyResidual, start: Vec<f32>| {
        let mut x = Tensor::<3>::from_data(TensorData::new(start, [1, 1, N]), &Device::flex());
        let mut pass = Pass::eval();
        for _ in 0..50 {
            x = rule.step(&mut pass, x.clone(), x, &|_, z| {
                (z - 0.3).matmul(a.clone().unsqueeze::<3>()) // the fixed point is 0.3
            });
        }
        x
    };
    let growth = |rule: AnyResidual| {
        let start: Vec<f32> = (0..N).map(|i| i as f32 / 3.0 - 0.7).collect();
        let moved: Vec<f32> = start.iter().map(|x| x + 0.01).collect();
        let apart = end(&rule, moved) - end(&rule, start);
        apart.square().sum().sqrt().into_scalar::<f32>() / (0.01 * (N as f32).sqrt())
    };
    let without = growth(heavy_ball(0.0));
    let robust = growth(rule(Choice::of("robust")));
    let with = growth(heavy_ball(0.7));
    // 1.5^50 = 6e8 in the worst direction; robust has a limit of 2, so it grows too, a little slower.
    assert!(without > 1e4 && robust > 1e2 && robust < without, "{without} {robust} {with}");
    assert!(with < 2.0, "{with}");
}
