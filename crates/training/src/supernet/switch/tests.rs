//! Tests against the published numbers and the published code.

use moe::{RealTokens, with_parameters};
use serde::Deserialize;

use super::*;
use crate::{
    supernet::{
        BalanceOver,
        testing::{fill, given_linear, numbers},
    },
    worked::agrees,
};

/// The published layer: three experts, d = 4, f = 6.
fn layer(config: &SupernetConfig) -> SwitchLayer {
    let init = Init::new(0, &Device::flex());
    let mut layer = SwitchLayer::new(config, 4, &[6, 6, 6], &init);
    for (i, expert) in layer.experts.iter_mut().enumerate() {
        let (Some(expert), base) = (expert, 400 + 4 * i as u64) else { continue };
        expert.first = given_linear(base, base + 1, [4, 6]);
        expert.second = given_linear(base + 2, base + 3, [6, 4]);
    }
    layer.router = Some(given_linear(412, 413, [4, 3]));
    layer
}

fn x(d: usize) -> Tensor<3> {
    let x = Tensor::from_data(TensorData::new(fill(430, 12, 2.0), [3, 1, 4]), &Device::flex());
    x.narrow(2, 0, d)
}

fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 2e-5, "{found:?}, not {expected:?}");
    }
}

/// The tokens of each expert of the only layer.
fn load(pass: &Pass) -> Vec<f32> {
    pass.reports()[0].load.iter().map(|load| *load as f32).collect()
}

#[test]
pub(crate) fn the_published_numbers_at_full_size() {
    let layer = layer(&SupernetConfig { balance: 1.0, ..SupernetConfig::default() });
    let p = softmax(front_linear(layer.router.as_ref().unwrap(), x(4), 3), 2);
    let most = numbers(p.clone().max_dim(2));
    agrees("d = 4, f = 6, largest p of each token", &most, &[0.397842, 0.512884, 0.402911]);
    agrees("d = 4, f = 6, sum of p", &numbers(p.sum_dim(0)), &[0.768167, 1.20584, 1.025993]);
    let mut pass = Pass::eval().with_reports();
    let y = numbers(layer.forward(&mut pass, x(4), &[6, 6, 6]));
    let given = [-0.031373, -0.135067, -0.016203, -0.063701];
    agrees("d = 4, f = 6, y of token 0", &y[..4], &given);
    agrees("d = 4, f = 6, tokens of each expert", &load(&pass), &[0.0, 1.0, 2.0]);
    let balance = pass.losses()[0].1 as f32;
    agrees("d = 4, f = 6, N sum f P", &[balance], &[1.085942]);
}

#[test]
pub(crate) fn the_published_numbers_of_a_slice() {
    let layer = layer(&SupernetConfig::default());
    let p = softmax(front_linear(layer.router.as_ref().unwrap(), x(3), 3), 2);
    let most = numbers(p.max_dim(2));
    agrees("d = 3, f = 2, 4, 6, largest p of each token", &most, &[0.514767, 0.378978, 0.433539]);
    let mut pass = Pass::eval().with_reports();
    let y = numbers(layer.forward(&mut pass, x(3), &[2, 4, 6]));
    let expected = [
        -0.167756, -0.096819, -0.122589, -0.098523, -0.065798, -0.093078, -0.228344, -0.121403,
        0.172487,
    ];
    agrees("d = 3, f = 2, 4, 6, y", &y, &expected);
    agrees("d = 3, f = 2, 4, 6, tokens of each expert", &load(&pass), &[0.0, 2.0, 1.0]);
    // Router 2 * 3 * 3 a token; experts 4 * 3 * width.
    assert_eq!(pass.reports()[0].flops, 3.0 * 18.0 + 2.0 * 48.0 + 72.0);
    // An architecture of one expert is bitwise that expert.
    let p = softmax(front_linear(layer.router.as_ref().unwrap(), x(4), 1), 2);
    agrees("one expert, p of each token", &numbers(p), &[1.0; 3]);
    let one = layer.forward(&mut Pass::eval(), x(4), &[5]);
    assert_eq!(one.into_data(), layer.first().forward(x(4), 5).into_data());
    // The weights of only that architecture give the same bits.
    let alone = layer.cut(&SupernetConfig::default(), 3, &[2, 4, 6]);
    assert_eq!(numbers(alone.forward(&mut Pass::eval(), x(3), &[2, 4, 6])), y);
    assert_eq!(alone.num_params(), 3 * 3 + 3 + (3 * 2 * 12 + 12 + 9));
}

fn routing(switch: SupernetRouting) -> SupernetConfig {
    SupernetConfig { balance: 1.0, switch, ..SupernetConfig::default() }
}

#[test]
fn padding_counts_in_no_load_and_no_loss() {
    let plain = SupernetRouting::default;
    for switch in [
        plain(),
        SupernetRouting { k: 2, ..plain() },
        SupernetRouting { capacity_factor: Some(1.0), ..plain() },
        SupernetRouting { identity: true, balance_over: BalanceOver::Side, ..plain() },
    ] {
        let layer = layer(&routing(switch));
        let of = |filling: usize| {
            let real = x(4).swap_dims(0, 1); // one example of three tokens
            let more = Tensor::ones([1, filling.max(1), 4], &Device::flex()) * 3.0;
            let all = if filling > 0 { Tensor::cat(vec![real, more], 1) } else { real };
            let mut pass = Pass::eval().with_reports();
            pass.put(RealTokens(vec![3]));
            let y = layer.forward(&mut pass, all, &[6, 6, 6]).narrow(1, 0, 3);
            balance_of_side(&mut pass, 1.0);
            (numbers(y), pass.reports()[0].clone(), pass.losses()[0].1 as f32)
        };
        let (y, report, loss) = of(0);
        assert_eq!(report.units, 3);
        for filling in [1, 20] {
            let found = of(filling);
            assert_eq!((&found.0, &found.1), (&y, &report), "{:?}", layer.routing);
            assert!((found.2 - loss).abs() < 1e-6, "{:?}: {} {loss}", layer.routing, found.2);
        }
    }
}

/// The outputs of the published code for an input.
#[derive(Deserialize)]
struct Published {
    cases: Vec<Case>,
    drops: Vec<Dropping>,
    passed: Vec<f32>,
    balance: SideLoss,
}

#[derive(Deserialize)]
struct Case {
    switch: SupernetRouting,
    width: usize,
    hidden: Vec<usize>,
    y: Vec<f32>,
    router_gradient: Vec<f32>,
}

#[derive(Deserialize)]
struct Dropping {
    switch: SupernetRouting,
    dropped: usize,
    kept: Vec<f64>,
}

#[derive(Deserialize)]
struct SideLoss {
    switch: SupernetRouting,
    loss: f32,
}

fn published() -> Published {
    serde_json::from_str(include_str!("../../../fixtures/switch-layer.json")).unwrap()
}

/// The input of the fixture.
fn tokens(d: usize, device: &Device) -> Tensor<3> {
    let x = Tensor::from_data(TensorData::new(fill(437, 32, 6.0), [8, 1, 4]), device);
    x.narrow(2, 0, d)
}

/// The published layer with these options, for training.
fn trained(switch: &SupernetRouting) -> SwitchLayer {
    let given = layer(&SupernetConfig::default());
    let numbers = moe::numbers_of(&given, |_| true).into_iter();
    let init = Init::new(0, &Device::flex().autodiff());
    let fresh = SwitchLayer::new(&routing(switch.clone()), 4, &[6, 6, 6], &init);
    with_parameters(fresh, numbers.map(|(of, data)| (of.path, data)).collect()).unwrap()
}

#[test]
fn outputs_and_gradients_are_those_of_the_published_code() {
    let device = Device::flex().autodiff();
    let Published { cases, .. } = published();
    assert_eq!(cases.len(), 6);
    for Case { switch, width, hidden, y: expected, router_gradient } in cases {
        let layer = trained(&switch);
        let y = layer.forward(&mut Pass::eval(), tokens(width, &device), &hidden);
        close(&numbers(y.clone()), &expected);
        let router = layer.router.as_ref().unwrap().weight.val();
        let gradient = router.grad(&y.square().sum().backward()).unwrap();
        let found = numbers(gradient.narrow(0, 0, width).transpose());
        assert_eq!(found.len(), router_gradient.len());
        for (a, b) in found.iter().zip(&router_gradient) {
            assert!((a - b).abs() < 2e-5 * (1.0 + b.abs()), "{switch:?}: {a} {b}");
        }
    }
}

#[test]
fn as_many_tokens_are_dropped_as_in_the_published_code() {
    let Published { cases, drops, passed, .. } = published();
    let (served, device) = (&cases[0].y, Device::flex());
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-5);
    for Dropping { switch, dropped, kept } in drops {
        let layer = layer(&routing(switch.clone()));
        let at = |step: usize| {
            let mut pass = Pass::train(0, step, 0.0).with_reports();
            let y = numbers(layer.forward(&mut pass, tokens(4, &device), &[6, 6, 6]));
            let report = &pass.reports()[0];
            assert_eq!((report.dropped, &report.load), (dropped, &kept), "{switch:?}");
            let token = |i: usize| 4 * i..4 * i + 4;
            let passes: Vec<bool> = (0..8).map(|i| near(&y[token(i)], &passed[token(i)])).collect();
            let of_experts = (0..8).filter(|i| near(&y[token(*i)], &served[token(*i)]));
            assert_eq!(of_experts.count(), 8 - dropped, "{switch:?}");
            assert_eq!(passes.iter().filter(|passes| **passes).count(), dropped, "{switch:?}");
            passes
        };
        assert_eq!(at(0), at(0), "chance follows from seed and step");
        let differ = (1..20).any(|step| at(step) != at(0));
        assert_eq!(differ, dropped > 0, "{switch:?}: which ones is random");
    }
}

#[test]
fn the_balance_of_a_side_is_that_of_the_published_code() {
    let Published { balance: SideLoss { switch, loss }, .. } = published();
    let layer = layer(&routing(switch));
    let mut pass = Pass::eval();
    layer.forward(&mut pass, x(4), &[6, 6, 6]);
    layer.forward(&mut pass, tokens(4, &Device::flex()), &[6, 6, 6]);
    assert!(pass.losses().is_empty(), "it is of all layers together");
    balance_of_side(&mut pass, 1.0);
    close(&[pass.losses()[0].1 as f32], &[loss]);
    // A layer of fewer experts contributes nothing for the missing ones.
    let mut pass = Pass::eval();
    layer.forward(&mut pass, x(4), &[6, 6, 6]);
    layer.forward(&mut pass, x(4), &[6, 6]);
    balance_of_side(&mut pass, 1.0);
    assert!(pass.losses()[0].1.is_finite());
}

#[test]
fn an_identity_has_no_weights_but_in_a_dense_network() {
    let config = routing(SupernetRouting { identity: true, ..SupernetRouting::default() });
    let layer = layer(&config);
    let alone = layer.cut(&config, 3, &[2, 4, 6]);
    assert_eq!(alone.num_params(), 3 * 3 + 3 + (3 * 2 * 10 + 10 + 6));
    let y = |layer: &SwitchLayer| {
        numbers(layer.forward(&mut Pass::eval(), tokens(3, &Device::flex()), &[2, 4, 6]))
    };
    assert_eq!(y(&alone), y(&layer));
    let dense = layer.cut(&config, 4, &[5]);
    let y = numbers(dense.forward(&mut Pass::eval(), x(4), &[5]));
    assert_eq!(y, numbers(layer.first().forward(x(4), 5)));
}
