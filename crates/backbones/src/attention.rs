//! The layer of multi-head self-attention; what it computes is said in `kernels::attention`, and with
//! relative positions in `relative_attention.rs`.
//!
//! In a pass with a [`Cache`], tokens follow those that the cache has seen.

use burn::{module::Module, nn::Linear, prelude::*};
use kernels::{AttentionForm, attention, attention_after, linear_layer};
use moe::{Init, Pass};

use crate::{
    Cache,
    relative_attention::{Distances, relative_attention},
};

/// Positional encodings, and the span of attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Positions {
    /// It does not: the network adds positions elsewhere. Every token sees every other.
    Unordered,
    /// By turns of queries and keys. A token sees itself and those before it.
    Rotary {
        /// The base of the angles.
        theta: f64,
    },
    /// By a learned vector for each distance, which all layers share. A token sees those before it, as
    /// many as this, and itself not.
    Relative {
        /// The number of tokens that it attends to.
        span: usize,
    },
}

/// The sizes of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct AttentionConfig {
    /// D.
    pub width: usize,
    /// Heads of queries; they divide the width, and with rotary positions into an even width each.
    pub heads: usize,
    /// Heads of keys and values; they divide the heads of queries.
    pub kv_heads: usize,
    /// The positional encoding.
    pub positions: Positions,
    /// Whether the linear maps have biases.
    pub bias: bool,
}

impl AttentionConfig {
    /// Checks that the sizes fit each other.
    pub fn check(&self) -> Result<(), String> {
        let Self { width, heads, kv_heads, positions, bias } = *self;
        if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            return Err(format!("heads = {heads} does not divide width = {width}"));
        }
        if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(format!("kv_heads = {kv_heads} does not divide heads = {heads}"));
        }
        let head = width / heads;
        match positions {
            Positions::Rotary { .. } if !head.is_multiple_of(2) => {
                Err(format!("width / heads = {head} is odd; rotary positions need it even"))
            }
            Positions::Rotary { theta } if !(theta >= 1.0 && theta.is_finite()) => {
                Err(format!("theta = {theta}: must be at least 1"))
            }
            Positions::Relative { span: 0 } => Err("span = 0: must be at least 1".into()),
            Positions::Relative { .. } if bias || kv_heads != heads => {
                Err("relative positions go with no bias, and with as many kv_heads as heads".into())
            }
            _ => Ok(()),
        }
    }

    /// A layer `[width, out]` for queries, keys and values side by side.
    fn projection(&self, init: &Init) -> Linear {
        let Self { width, heads, kv_heads, bias, .. } = *self;
        match kv_heads == heads {
            true => init.projection("qkv", [width, width, 3], bias),
            false => init.linear("qkv", width, width + 2 * width / heads * kv_heads, bias),
        }
    }
}

/// Multi-head self-attention.
#[derive(Module, Debug)]
pub struct Attention {
    qkv: Linear,
    output: Linear,
    heads: usize,
    kv_heads: usize,
    #[module(skip)]
    positions: Positions,
}

impl Attention {
    /// A fresh layer.
    pub fn new(config: &AttentionConfig, init: &Init) -> Self {
        Self {
            qkv: config.projection(init),
            output: init.projection("output", [config.width, config.width, 1], config.bias),
            heads: config.heads,
            kv_heads: config.kv_heads,
            positions: config.positions,
        }
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, pass: &mut Pass, x: Tensor<3>) -> Tensor<3> {
        let mixed = match self.positions {
            Positions::Unordered => {
                let form = self.form(kernels::Positions::Unordered);
                attention(linear_layer(&self.qkv, x), form)
            }
            Positions::Rotary { theta } => {
                let form = self.form(kernels::Positions::CausalRotary { theta });
                self.rotary(pass, linear_layer(&self.qkv, x), form)
            }
            Positions::Relative { span } => self.relative(pass, x, span),
        };
        linear_layer(&self.output, mixed)
    }

    fn form(&self, positions: kernels::Positions) -> AttentionForm {
        AttentionForm { heads: self.heads, kv_heads: self.kv_heads, positions }
    }

    fn rotary(&self, pass: &mut Pass, qkv: Tensor<3>, form: AttentionForm) -> Tensor<3> {
        let Some(span) = pass.get::<Cache>().and_then(Cache::span) else {
            return attention(qkv, form);
        };
        let mut cache = pass.take::<Cache>().expect("it was there just now");
        let mixed = attention_after(qkv, form, span, &mut cache.layer().keys_values);
        pass.put(cache);
        mixed
    }

    /// See `relative_attention.rs`. The inputs of the tokens before are kept, not their keys, so that these
    /// are of the weights as they are now.
    fn relative(&self, pass: &mut Pass, x: Tensor<3>, span: usize) -> Tensor<3> {
        let Distances(table) =
            pass.get::<Distances>().expect("the network gives distances").clone();
        let [b, t, d] = x.dims();
        let mut cache = pass.take::<Cache>();
        let before = cache.as_mut().map(|cache| cache.layer().follow(&x, span));
        let qkv = match before {
            Some(before) => linear_layer(&self.qkv, Tensor::cat(vec![before, x], 1)),
            // Without biases, the keys and values of zeros are zeros.
            None => {
                let nothing = Tensor::zeros([b, span, 3 * d], &x.device().inner());
                Tensor::cat(vec![nothing, linear_layer(&self.qkv, x)], 1)
            }
        };
        if let Some(cache) = cache {
            pass.put(cache);
        }
        let heads = |start: usize, n: usize, part: usize| {
            let part = qkv.clone().narrow(1, start, n).narrow(2, part * d, d);
            part.reshape([b, n, self.heads, d / self.heads]).swap_dims(1, 2)
        };
        let (q, k, v) = (heads(span, t, 0), heads(0, span + t, 1), heads(0, span + t, 2));
        relative_attention(q, k, v, table).swap_dims(1, 2).reshape([b, t, d])
    }

    /// Floating-point operations for one token among `tokens`.
    pub fn flops(&self, tokens: usize) -> f64 {
        let elements = |map: &Linear| map.weight.lazy_shape().num_elements();
        let [d, _] = self.output.weight.lazy_shape().dims();
        // Scores and mixture with every token; relative positions have scores of their own.
        let seen = match self.positions {
            Positions::Unordered | Positions::Rotary { .. } => 2 * tokens,
            Positions::Relative { span } => 3 * span,
        };
        (2 * (elements(&self.qkv) + elements(&self.output)) + 2 * seen * d) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: AttentionConfig = AttentionConfig {
        width: 12,
        heads: 4,
        kv_heads: 4,
        positions: Positions::Unordered,
        bias: false,
    };

    fn wrong(config: AttentionConfig) -> String {
        config.check().unwrap_err()
    }

    #[test]
    fn heads_must_divide() {
        assert_eq!(PLAIN.check(), Ok(()));
        let err = wrong(AttentionConfig { width: 10, ..PLAIN });
        assert_eq!(err, "heads = 4 does not divide width = 10");
        let err = wrong(AttentionConfig { kv_heads: 3, ..PLAIN });
        assert_eq!(err, "kv_heads = 3 does not divide heads = 4");
    }

    #[test]
    fn positions_have_conditions() {
        let of = |positions| AttentionConfig { positions, ..PLAIN };
        assert!(wrong(of(Positions::Rotary { theta: 1e4 })).contains("odd"));
        let even = AttentionConfig { width: 16, ..of(Positions::Rotary { theta: -1.0 }) };
        assert_eq!(wrong(even), "theta = -1: must be at least 1");
        assert_eq!(wrong(of(Positions::Relative { span: 0 })), "span = 0: must be at least 1");
        let relative = of(Positions::Relative { span: 5 });
        assert_eq!(relative.check(), Ok(()));
        assert!(wrong(AttentionConfig { bias: true, ..relative }).contains("no bias"));
        assert!(wrong(AttentionConfig { kv_heads: 2, ..relative }).contains("as many kv_heads"));
    }

    #[test]
    fn fewer_heads_of_keys_are_fewer_operations() {
        let layer = |kv_heads| {
            let config = AttentionConfig { kv_heads, ..PLAIN };
            Attention::new(&config, &Init::new(0, &Device::flex()))
        };
        // Maps of 12 x 36 and 12 x 12, and a token among five; then 12 x 18.
        assert_eq!(layer(4).flops(5), 2.0 * (432.0 + 144.0) + 4.0 * 5.0 * 12.0);
        assert_eq!(layer(1).flops(5), 2.0 * (216.0 + 144.0) + 4.0 * 5.0 * 12.0);
        let x = Tensor::<3>::ones([2, 5, 12], &Device::flex());
        assert_eq!(layer(1).forward(&mut Pass::eval(), x).dims(), [2, 5, 12]);
    }
}
