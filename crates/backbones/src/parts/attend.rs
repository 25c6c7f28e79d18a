//! Causal attention of queries to keys of any width, with a window and with sinks.
//!
//! Xiao et al. *Efficient Streaming Language Models with Attention Sinks*. ICLR 2024.
//! <https://arxiv.org/abs/2309.17453>, there as an option ("SoftMax-off-by-one" with a learned score); as in
//! OpenAI. *gpt-oss-120b & gpt-oss-20b Model Card*. 2025. <https://arxiv.org/abs/2508.10925>:
//!
//! a_ij = exp(s q_i k_j) / (exp(b) + sum_j' exp(s q_i k_j'))      (1), b a learned number of each head
//! y_i  = sum_j a_ij v_j                                          (2)

use burn::prelude::*;
use kernels::{KeyValues, causal_mask, matmul, softmax};

/// The scale, the window and the sinks of attention.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// The factor s.
    pub(crate) scale: f64,
    /// The number of tokens that a token attends to, itself the last.
    pub(crate) window: usize,
    /// The scores of the sinks b, `[heads]`.
    pub(crate) sinks: Option<Tensor<1>>,
}

/// Attention of queries `[B, heads, T, d]`, those of the last T tokens of the past: `[B, heads, T, d] -> [B,
/// T, heads d']`. kv_heads divide the heads.
pub(crate) fn attend(q: Tensor<4>, past: &KeyValues, form: &Form) -> Tensor<3> {
    let ([b, heads, t, d], [_, kv_heads, s, _]) = (q.dims(), past.keys.dims());
    let [.., width] = past.values.dims();
    // Heads that share keys are put one after the other, like additional queries.
    let q = q.reshape([b, kv_heads, heads / kv_heads * t, d]);
    let scores = matmul(q, past.keys.clone().transpose()) * form.scale;
    let mask = causal_mask([t, s], form.window, &past.keys.device());
    let scores = scores.reshape([b, heads, t, s]) + mask;
    let shares = match &form.sinks {
        None => softmax(scores, 3),
        Some(sinks) => {
            let sinks = sinks.clone().reshape([1, heads, 1, 1]).expand([b, heads, t, 1]);
            softmax(Tensor::cat(vec![scores, sinks], 3), 3).narrow(3, 0, s) // (1)
        }
    };
    let shares = shares.reshape([b, kv_heads, heads / kv_heads * t, s]);
    let mixed = matmul(shares, past.values.clone()).reshape([b, heads, t, width]); // (2)
    mixed.swap_dims(1, 2).reshape([b, t, heads * width])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_takes_its_share_and_a_window_hides() {
        let device = Device::flex();
        let at = |x: [f32; 3]| Tensor::<1>::from_floats(x, &device).reshape([1, 1, 3, 1]);
        let past = KeyValues::joined(None, at([0.0, 2_f32.ln(), 0.0]), at([1.0, 10.0, 100.0]));
        let run = |window, sink: Option<f32>| {
            let sinks = sink.map(|sink| Tensor::from_floats([sink], &device));
            let y = attend(at([1.0; 3]), &past, &Form { scale: 1.0, window, sinks });
            y.into_data().try_to_vec::<f32>().unwrap()
        };
        let near = |found: Vec<f32>, expected: [f32; 3]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?}");
        };
        // Weights 1, 2, 1 of the keys; the sink has exp(ln 4) = 4.
        near(run(9, None), [1.0, 21.0 / 3.0, 121.0 / 4.0]);
        near(run(9, Some(4_f32.ln())), [1.0 / 5.0, 21.0 / 7.0, 121.0 / 8.0]);
        near(run(2, None), [1.0, 21.0 / 3.0, 120.0 / 3.0]);
    }
}
