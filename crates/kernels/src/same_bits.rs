//! Tests that every kernel gives the same bits at each width of registers, forward and backward.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use proptest::prelude::*;

use crate::{
    Activation, AdamW, AttentionForm, AttentionPositions, ExpertRow, Ffn, Rows, adamw, attention,
    cross_entropy, gelu, grouped_ffn, layer_norm, rms_norm, rms_norm_parts, softmax, sum,
    width::testing::at_each_width,
};

/// Pseudorandom numbers of both signs, some of them large.
fn random<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let uniform = (state >> 40) as f32 / (1 << 24) as f32 - 0.5;
        uniform * 5.0 / (1.02 - 2.0 * uniform.abs())
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
}

fn bits<const D: usize>(x: Tensor<D>) -> Vec<u32> {
    x.into_data().iter::<f32>().map(f32::to_bits).collect()
}

/// The bits of `f` applied to a leaf of this shape, and of the leaf's gradient for a weighted sum of the
/// output.
fn through<const D: usize, const E: usize>(
    shape: [usize; D],
    f: impl Fn(Tensor<D>) -> Tensor<E>,
) -> Vec<Vec<u32>> {
    let x = random(1, shape).require_grad();
    let y = f(x.clone());
    let grads = (y.clone() * random(2, y.dims())).sum().backward();
    vec![bits(y), bits(x.grad(&grads).expect("x is a leaf"))]
}

fn same(f: impl FnMut() -> Vec<Vec<u32>>) -> bool {
    let all = at_each_width(f);
    assert!(all[0].iter().all(|part| !part.is_empty()));
    all.windows(2).all(|pair| pair[0] == pair[1])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn gelu_and_softmax(lines in 1_usize..9, width in 1_usize..90) {
        prop_assert!(same(|| through([lines, width], gelu)));
        prop_assert!(same(|| through([lines, width], |x| softmax(x, 1))));
    }

    #[test]
    fn sums(lines in 1_usize..200, width in 1_usize..90) {
        prop_assert!(same(|| through([lines, width], sum)));
    }

    #[test]
    fn norms(lines in 1_usize..9, width in 1_usize..90) {
        let (gamma, beta) = (random(3, [width]), random(4, [width]));
        let layer = |x| layer_norm(x, gamma.clone(), Some(beta.clone()), 1e-5);
        prop_assert!(same(|| through([lines, width], layer)));
        prop_assert!(same(|| through([lines, width], |x| rms_norm(x, gamma.clone(), 1e-5))));
        let parts = |x| rms_norm_parts(x, [gamma.clone(), beta.clone()], [2, 1], 1e-5);
        prop_assert!(same(|| through([lines, 3 * width + 2], parts)));
        let of_gamma = |gamma| rms_norm(random(5, [lines, width]), gamma, 1e-5);
        prop_assert!(same(|| through([width], of_gamma)));
    }

    #[test]
    fn cross_entropies(lines in 1_usize..9, classes in 1_usize..90) {
        let labels: Vec<i32> = (0..lines).map(|i| (i * 11 % classes) as i32).collect();
        let labels = TensorData::new(labels, [lines]);
        let labels = Tensor::<1, Int>::from_data(labels, &Device::flex());
        let loss = |scores| cross_entropy(scores, labels.clone());
        prop_assert!(same(|| through([lines, classes], loss)));
    }

    #[test]
    fn steps_of_adamw(n in 1_usize..200, time in 1_i32..50) {
        let by = AdamW { betas: [0.9, 0.95], epsilon: 1e-8, lr: 0.01, decay: 0.1, time };
        let agree = same(|| {
            let of = |seed| random::<1>(seed, [n]).inner();
            let (w, [m, v]) = adamw(of(1), of(2), [of(3), of(4).abs()], by);
            vec![bits(w), bits(m), bits(v)]
        });
        prop_assert!(agree);
    }

    #[test]
    fn attentions(
        tokens in 1_usize..70,
        half in 1_usize..12,
        groups in prop::sample::select(vec![(1, 1), (2, 1), (4, 2)]),
        causal in any::<bool>(),
        span in prop::sample::select(vec![1, 9, 40, usize::MAX]),
    ) {
        let (heads, kv_heads) = groups;
        let positions = if causal { AttentionPositions::ROTARY } else { AttentionPositions::Unordered };
        let form = AttentionForm { heads, kv_heads, positions, span };
        let line = (heads + 2 * kv_heads) * 2 * half;
        prop_assert!(same(|| through([2, tokens, line], |qkv| attention(qkv, form))));
    }

    #[test]
    fn networks_of_experts(
        tokens in 1_usize..50,
        d in 1_usize..40,
        h in 1_usize..40,
        gated in any::<bool>(),
        activation in prop::sample::select(vec![
            Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu,
        ]),
    ) {
        let entry = |i: usize| ExpertRow { expert: i * 7 % 3, token: i / 2, choice: i };
        let rows = Arc::new(Rows::new(tokens, 3, 2 * tokens, (0..2 * tokens).map(entry)));
        let agree = same(|| {
            let leaf = |seed, shape| random::<3>(seed, shape).require_grad();
            let parameters = [
                leaf(1, [3, d, h]), leaf(2, [3, d, h]), leaf(3, [3, h, d]),
                leaf(4, [3, 1, h]), leaf(5, [3, 1, d]),
            ];
            let [w1, gate, w2, bias1, bias2] = parameters.clone();
            let ffn = Ffn {
                w1, gate: gated.then_some(gate), w2,
                bias1: Some(bias1), bias2: Some(bias2), activation,
            };
            let x = random(6, [tokens, d]).require_grad();
            let weights = random(7, [2 * tokens]).require_grad();
            let y = grouped_ffn(x.clone(), &rows, Some(weights.clone()), ffn);
            let grads = (y.clone() * random(8, [tokens, d])).sum().backward();
            let mut all = vec![bits(y), bits(x.grad(&grads).unwrap())];
            all.push(bits(weights.grad(&grads).unwrap()));
            all.extend(parameters.iter().filter_map(|p| p.grad(&grads)).map(bits));
            all
        });
        prop_assert!(agree);
    }
}
