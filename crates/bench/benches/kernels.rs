//! The kernels one by one: `cargo bench -p bench`. Filter by name: `cargo bench -p bench -- skew`.
//!
//! Variants that are compared are in one group, so that they are measured in one run: our kernels beside the
//! same computation with Burn's operations, skewed loads beside even ones, few experts beside many.

use std::sync::Arc;

use burn::{
    nn,
    prelude::*,
    tensor::{Distribution, activation},
};
use divan::{Bencher, black_box};
use kernels::{
    Activation, AttentionForm, AttentionPositions, ExpertRow, Ffn, Rows, attention, grouped_ffn,
};

fn main() {
    divan::main();
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 0.1), device)
}

fn stack(experts: usize, width: usize, hidden: usize, device: &Device) -> Ffn {
    Ffn {
        w1: random([experts, width, hidden], device),
        gate: None,
        w2: random([experts, hidden, width], device),
        bias1: None,
        bias2: None,
        activation: Activation::Gelu,
    }
}

/// Tokens with `k` experts each; `crowd` of them choose expert 0 and the following ones.
fn rows(tokens: usize, experts: usize, k: usize, crowd: usize) -> Arc<Rows> {
    let expert = move |token: usize, i: usize| match token < crowd {
        true => i,
        false => (token * k + i) % experts,
    };
    let entries = (0..tokens * k).map(move |choice| {
        let (token, i) = (choice / k, choice % k);
        ExpertRow { expert: expert(token, i), token, choice }
    });
    Arc::new(Rows::new(tokens, experts, tokens * k, entries))
}

fn forward(bencher: Bencher, rows: Arc<Rows>, experts: usize, width: usize, hidden: usize) {
    let device = Device::flex();
    let (ffn, x) = (stack(experts, width, hidden, &device), random([TOKENS, width], &device));
    bencher.bench_local(|| black_box(grouped_ffn(x.clone(), &rows, None, ffn.clone())));
}

fn step(bencher: Bencher, rows: Arc<Rows>, experts: usize, width: usize, hidden: usize) {
    let device = Device::flex().autodiff();
    let ffn = stack(experts, width, hidden, &device);
    let ffn = Ffn { w1: ffn.w1.require_grad(), w2: ffn.w2.require_grad(), ..ffn };
    let x = random([TOKENS, width], &device).require_grad();
    bencher.bench_local(|| {
        black_box(grouped_ffn(x.clone(), &rows, None, ffn.clone()).sum().backward())
    });
}

const TOKENS: usize = 2048;

/// Fixed active FLOPs with an increasing number of experts.
mod experts {
    use super::*;

    #[divan::bench(args = [8, 16, 32, 64, 128, 256, 512])]
    fn forward(bencher: Bencher, experts: usize) {
        super::forward(bencher, rows(TOKENS, experts, 2, 0), experts, 128, 128);
    }

    #[divan::bench(args = [8, 16, 32, 64, 128, 256, 512])]
    fn forward_backward(bencher: Bencher, experts: usize) {
        step(bencher, rows(TOKENS, experts, 2, 0), experts, 128, 128);
    }
}

/// The share of the tokens, in percent, that choose the first expert. With k = 1, half of the tokens is half
/// the load.
mod skew {
    use super::*;

    #[divan::bench(args = [0, 25, 50, 100])]
    fn forward(bencher: Bencher, percent: usize) {
        super::forward(bencher, rows(TOKENS, 8, 1, TOKENS * percent / 100), 8, 256, 512);
    }

    #[divan::bench(args = [0, 25, 50, 100])]
    fn forward_backward(bencher: Bencher, percent: usize) {
        step(bencher, rows(TOKENS, 8, 1, TOKENS * percent / 100), 8, 256, 512);
    }
}

/// The fused operations beside Burn's, forward and backward.
mod fused {
    use super::*;

    /// Measures a function of one tensor, forward and backward.
    fn both(bencher: Bencher, shape: [usize; 3], f: impl Fn(Tensor<3>) -> Tensor<3>) {
        let x = random(shape, &Device::flex().autodiff()).require_grad();
        bencher.bench_local(|| black_box(f(x.clone()).sum().backward()));
    }

    #[divan::bench]
    fn attention_ours(bencher: Bencher) {
        let form = AttentionForm::full(4, AttentionPositions::Unordered);
        both(bencher, [16, 64, 144], |x| attention(x, form));
    }

    #[divan::bench]
    fn attention_burn(bencher: Bencher) {
        both(bencher, [16, 64, 144], |x| {
            let x = x.reshape([16, 64, 3, 4, 12]).permute([2, 0, 3, 1, 4]);
            let [q, k, v] = [0, 1, 2].map(|i| x.clone().narrow(0, i, 1).squeeze_dim::<4>(0));
            let p = activation::softmax(q.matmul(k.transpose()) / 12_f64.sqrt(), 3);
            p.matmul(v).swap_dims(1, 2).reshape([16, 64, 48])
        });
    }

    #[divan::bench]
    fn layer_norm_ours(bencher: Bencher) {
        let norm = nn::LayerNormConfig::new(48).init(&Device::flex().autodiff());
        let beta = norm.beta.as_ref().map(|beta| beta.val());
        both(bencher, [16, 64, 48], |x| {
            kernels::layer_norm(x, norm.gamma.val(), beta.clone(), 1e-5)
        });
    }

    #[divan::bench]
    fn layer_norm_burn(bencher: Bencher) {
        let norm = nn::LayerNormConfig::new(48).init(&Device::flex().autodiff());
        both(bencher, [16, 64, 48], |x| norm.forward(x));
    }

    #[divan::bench]
    fn gelu_ours(bencher: Bencher) {
        both(bencher, [16, 64, 128], kernels::gelu);
    }

    #[divan::bench]
    fn gelu_burn(bencher: Bencher) {
        both(bencher, [16, 64, 128], activation::gelu);
    }
}
