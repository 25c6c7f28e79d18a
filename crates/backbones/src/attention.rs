//! The layer of multi-head self-attention. Its equations are in `kernels::attention`, those with relative
//! positions in `relative_attention.rs`.
//!
//! In a pass with a [`Cache`], the tokens continue those in the cache.

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
};
use kernels::{AttentionForm, KeyValues, attention, attention_after, linear_layer};
use moe::{Init, Pass};

use crate::{
    Cache,
    parts::{AttentionParts, Form, Latent, QueryKeyNorm, Turns, attend},
    relative_attention::{Distances, relative_attention},
};

/// Positional encodings, and the span of attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Positions {
    /// No encoding: the network adds positions elsewhere. Every token attends to every other.
    Unordered,
    /// Rotary positions of queries and keys. A token attends to itself and to earlier tokens.
    Rotary {
        /// The base of the angles.
        theta: f64,
    },
    /// A learned vector for each distance, which all layers share. A token attends to this many tokens before
    /// it, and not to itself.
    Relative {
        /// The number of tokens that it attends to.
        span: usize,
    },
}

/// The sizes of an attention layer.
#[derive(Clone, Debug)]
pub struct AttentionConfig {
    /// The width of the stream, D.
    pub width: usize,
    /// Heads of queries; they divide the width unless heads have a width of their own.
    pub heads: usize,
    /// The width of a head, even with rotary positions; by default the width divided by the heads.
    pub head: Option<usize>,
    /// Heads of keys and values; they divide the heads of queries.
    pub kv_heads: usize,
    /// The positional encoding.
    pub positions: Positions,
    /// Whether the linear maps have biases.
    pub bias: bool,
    /// Further parts of attention.
    pub parts: AttentionParts,
    /// The epsilon of the layer's norms.
    pub epsilon: f64,
}

impl AttentionConfig {
    /// Attention without positions, with biases.
    pub fn unordered(width: usize, heads: usize) -> Self {
        Self {
            width,
            heads,
            head: None,
            kv_heads: heads,
            positions: Positions::Unordered,
            bias: true,
            parts: AttentionParts::default(),
            epsilon: 1e-5,
        }
    }

    /// Checks that the sizes are consistent.
    pub fn check(&self) -> Result<(), String> {
        let Self { width, heads, kv_heads, positions, bias, head, .. } = *self;
        if heads == 0 || width == 0 || head.is_none() && !width.is_multiple_of(heads) {
            return Err(format!("heads = {heads} does not divide width = {width}"));
        }
        if head == Some(0) {
            return Err("head_width = 0: must be at least 1".into());
        }
        if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(format!("kv_heads = {kv_heads} does not divide heads = {heads}"));
        }
        self.parts.check([heads, kv_heads])?;
        let rotary = matches!(positions, Positions::Rotary { .. });
        if !rotary && (head.is_some() || !self.parts.are_default()) {
            return Err("head_width and attention require rotary positions".into());
        }
        let head = self.head();
        match positions {
            Positions::Rotary { .. } if !head.is_multiple_of(2) && self.parts.latent.is_none() => {
                Err(format!("the head width {head} is odd; rotary positions require an even one"))
            }
            Positions::Rotary { theta } if !(theta >= 1.0 && theta.is_finite()) => {
                Err(format!("theta = {theta}: must be at least 1"))
            }
            Positions::Relative { span: 0 } => Err("span = 0: must be at least 1".into()),
            Positions::Relative { .. } if bias || kv_heads != heads => {
                Err("relative positions need bias = false and kv_heads = heads".into())
            }
            _ => Ok(()),
        }
    }

    /// The width of a head.
    fn head(&self) -> usize {
        self.head.unwrap_or(self.width / self.heads.max(1))
    }

    /// The widths of a token's queries, and of its keys.
    fn widths(&self) -> [usize; 2] {
        [self.heads * self.head(), self.kv_heads * self.head()]
    }

    /// A map of shape `[width, out]` to queries, keys and values side by side.
    fn projection(&self, init: &Init) -> Linear {
        let (width, [query, key]) = (self.width, self.widths());
        let bias = self.bias || self.parts.qkv_bias;
        match query == width && key == width {
            true => init.projection("qkv", [width, width, 3], bias),
            false => init.linear("qkv", width, query + 2 * key, bias),
        }
    }

    /// The maps of latent attention.
    fn latent(&self, init: &Init) -> Option<Latent> {
        let (latent, Positions::Rotary { theta }) = (self.parts.latent.as_ref()?, self.positions)
        else {
            return None;
        };
        let turns = Turns::new(latent.rotary, theta, &self.parts, true);
        let sizes = [self.width, self.heads];
        let init = init.at("latent");
        Some(Latent::new(latent, sizes, self.bias, turns, &init))
    }

    /// The width of a token in the input of the last map.
    fn mixed(&self) -> usize {
        let value = self.parts.latent.as_ref().map(|latent| latent.value);
        self.heads * value.unwrap_or(self.head())
    }
}

/// Multi-head self-attention.
#[derive(Module, Debug)]
pub struct Attention {
    /// The map to queries, keys and values; none with latent attention.
    qkv: Option<Linear>,
    latent: Option<Latent>,
    output: Linear,
    qk_norm: Option<QueryKeyNorm>,
    /// The learned scores of the sinks, `[heads]`.
    sinks: Option<Param<Tensor<1>>>,
    heads: usize,
    kv_heads: usize,
    head: usize,
    #[module(skip)]
    positions: Positions,
    #[module(skip)]
    parts: AttentionParts,
}

/// The message of an error that is excluded when the layer is built.
const MAPS: &str = "attention without latent vectors must have maps to queries, keys and values";

impl Attention {
    /// A fresh layer.
    pub fn new(config: &AttentionConfig, init: &Init) -> Self {
        let latent = config.latent(init);
        let (head, widths) = (config.head(), config.widths());
        let sinks = || init.constant("sinks", [config.heads], 0.0);
        Self {
            qkv: latent.is_none().then(|| config.projection(init)),
            latent,
            output: init.projection("output", [config.mixed(), config.width, 1], config.bias),
            qk_norm: QueryKeyNorm::new(config.parts.norm, head, widths, config.epsilon, init),
            sinks: config.parts.sinks.then(sinks),
            heads: config.heads,
            kv_heads: config.kv_heads,
            head,
            positions: config.positions,
            parts: config.parts.clone(),
        }
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, pass: &mut Pass, x: Tensor<3>) -> Tensor<3> {
        let mixed = match self.positions {
            Positions::Unordered => {
                let form = self.form(kernels::AttentionPositions::Unordered);
                attention(self.project(x), form)
            }
            Positions::Rotary { theta } if self.is_fused() => {
                let form = self.form(kernels::AttentionPositions::CausalRotary { theta });
                let qkv = self.scaled(self.prepared(self.project(x)));
                self.rotary(pass, qkv, form)
            }
            Positions::Rotary { theta } => self.composed(pass, x, theta),
            Positions::Relative { span } => self.relative(pass, x, span),
        };
        linear_layer(&self.output, mixed)
    }

    fn form(&self, positions: kernels::AttentionPositions) -> AttentionForm {
        let span = self.parts.window.unwrap_or(usize::MAX);
        AttentionForm { heads: self.heads, kv_heads: self.kv_heads, positions, span }
    }

    /// Queries, keys and values side by side.
    fn project(&self, x: Tensor<3>) -> Tensor<3> {
        linear_layer(self.qkv.as_ref().expect(MAPS), x)
    }

    /// The queries, keys and values, normalised and clipped.
    fn prepared(&self, qkv: Tensor<3>) -> Tensor<3> {
        let widths = [self.heads * self.head, self.kv_heads * self.head];
        let qkv = match &self.qk_norm {
            Some(norm) => norm.forward(qkv, widths),
            None => qkv,
        };
        match self.parts.clip {
            Some(clip) => qkv.clamp(-clip, clip),
            None => qkv,
        }
    }

    /// Multiplies queries by a factor if another scale than the kernel's is configured.
    fn scaled(&self, qkv: Tensor<3>) -> Tensor<3> {
        let Some(scale) = self.parts.scale else { return qkv };
        let (query, [.., line]) = (self.heads * self.head, qkv.dims());
        let q = qkv.clone().narrow(2, 0, query) * (scale * (self.head as f64).sqrt());
        Tensor::cat(vec![q, qkv.narrow(2, query, line - query)], 2)
    }

    /// Whether the fused kernel computes this attention.
    fn is_fused(&self) -> bool {
        self.latent.is_none() && self.sinks.is_none() && !self.parts.stretch()
    }

    /// Attention step by step, see `parts`.
    fn composed(&self, pass: &mut Pass, x: Tensor<3>, theta: f64) -> Tensor<3> {
        let ([_, t, _], mut cache) = (x.dims(), pass.take::<Cache>());
        let streams = cache.as_ref().is_some_and(|cache| cache.span().is_some());
        let past = match (&mut cache, streams) {
            (Some(cache), true) => cache.layer().keys_values.take(),
            _ => None,
        };
        let start = KeyValues::seen(past.as_ref());
        let [q, k, v] = match &self.latent {
            Some(latent) => latent.forward(x, start),
            None => self.turned(self.prepared(self.project(x)), theta, start),
        };
        let [.., d] = q.dims();
        let past = KeyValues::joined(past, k, v);
        let own = cache.as_ref().and_then(Cache::span).unwrap_or(t);
        let window = own.min(self.parts.window.unwrap_or(usize::MAX));
        let scale = self.parts.scale.unwrap_or(1.0 / (d as f64).sqrt());
        let sinks = self.sinks.as_ref().map(Param::val);
        let mixed = attend(q, &past, &Form { scale, window, sinks });
        if let Some(mut cache) = cache {
            if streams {
                cache.again().keys_values = Some(past.last(window));
            }
            pass.put(cache);
        }
        mixed
    }

    /// Queries `[B, heads, T, head]`, keys and values, with rotary positions from `start`.
    fn turned(&self, qkv: Tensor<3>, theta: f64, start: usize) -> [Tensor<4>; 3] {
        let ([b, t, _], head) = (qkv.dims(), self.head);
        let turns = Turns::new(head, theta, &self.parts, false);
        let part = |first: usize, n: usize| {
            let part = qkv.clone().narrow(2, first * head, n * head);
            part.reshape([b, t, n, head]).swap_dims(1, 2)
        };
        let (heads, kv_heads) = (self.heads, self.kv_heads);
        let (q, k) = (part(0, heads), part(heads, kv_heads));
        let v = part(heads + kv_heads, kv_heads);
        [turns.turn(q, start), turns.turn(k, start), v]
    }

    fn rotary(&self, pass: &mut Pass, qkv: Tensor<3>, form: AttentionForm) -> Tensor<3> {
        let Some(span) = pass.get::<Cache>().and_then(Cache::span) else {
            return attention(qkv, form);
        };
        let form = AttentionForm { span: span.min(form.span), ..form };
        let mut cache = pass.take::<Cache>().expect("the pass has a cache");
        let mixed = attention_after(qkv, form, &mut cache.layer().keys_values);
        pass.put(cache);
        mixed
    }

    /// Attention with relative positions, see `relative_attention.rs`. The inputs of earlier tokens are
    /// cached and not their keys, so that keys are computed with the current weights.
    fn relative(&self, pass: &mut Pass, x: Tensor<3>, span: usize) -> Tensor<3> {
        let Distances(table) =
            pass.get::<Distances>().expect("relative positions require Distances").clone();
        let [b, t, d] = x.dims();
        let mut cache = pass.take::<Cache>();
        let before = cache.as_mut().map(|cache| cache.layer().follow(&x, span));
        let qkv = match before {
            Some(before) => self.project(Tensor::cat(vec![before, x], 1)),
            // Without biases, the keys and values of zeros are zeros.
            None => {
                let nothing = Tensor::zeros([b, span, 3 * d], &x.device().inner());
                Tensor::cat(vec![nothing, self.project(x)], 1)
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
        // Scores and mixture with every token; relative positions have additional scores.
        let seen = match self.positions {
            Positions::Unordered | Positions::Rotary { .. } => {
                2 * tokens.min(self.parts.window.unwrap_or(tokens))
            }
            Positions::Relative { span } => 3 * span,
        };
        let qkv = self.qkv.as_ref().map_or(0, elements);
        let latent = self.latent.as_ref().map_or(0, Latent::elements);
        // A head's scores take the width of its queries, its mixture that of its values.
        let both = match &self.parts.latent {
            Some(latent) => self.heads * latent.head() + d,
            None => 2 * d,
        };
        (2 * (qkv + latent + elements(&self.output)) + seen * both) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> AttentionConfig {
        AttentionConfig { bias: false, ..AttentionConfig::unordered(12, 4) }
    }

    fn wrong(config: AttentionConfig) -> String {
        config.check().unwrap_err()
    }

    #[test]
    fn heads_must_divide() {
        assert_eq!(plain().check(), Ok(()));
        let err = wrong(AttentionConfig { width: 10, ..plain() });
        assert_eq!(err, "heads = 4 does not divide width = 10");
        let err = wrong(AttentionConfig { kv_heads: 3, ..plain() });
        assert_eq!(err, "kv_heads = 3 does not divide heads = 4");
    }

    #[test]
    fn positions_have_conditions() {
        let of = |positions| AttentionConfig { positions, ..plain() };
        assert!(wrong(of(Positions::Rotary { theta: 1e4 })).contains("odd"));
        let even = AttentionConfig { width: 16, ..of(Positions::Rotary { theta: -1.0 }) };
        assert_eq!(wrong(even), "theta = -1: must be at least 1");
        assert_eq!(wrong(of(Positions::Relative { span: 0 })), "span = 0: must be at least 1");
        let relative = || of(Positions::Relative { span: 5 });
        assert_eq!(relative().check(), Ok(()));
        assert!(wrong(AttentionConfig { bias: true, ..relative() }).contains("bias = false"));
        assert!(wrong(AttentionConfig { kv_heads: 2, ..relative() }).contains("kv_heads = heads"));
    }

    #[test]
    fn fewer_heads_of_keys_are_fewer_operations() {
        let layer = |kv_heads| {
            let config = AttentionConfig { kv_heads, ..plain() };
            Attention::new(&config, &Init::new(0, &Device::flex()))
        };
        // Maps of 12 x 36 and 12 x 12, and a token among five; then 12 x 18.
        assert_eq!(layer(4).flops(5), 2.0 * (432.0 + 144.0) + 4.0 * 5.0 * 12.0);
        assert_eq!(layer(1).flops(5), 2.0 * (216.0 + 144.0) + 4.0 * 5.0 * 12.0);
        let x = Tensor::<3>::ones([2, 5, 12], &Device::flex());
        assert_eq!(layer(1).forward(&mut Pass::eval(), x).dims(), [2, 5, 12]);
    }
}
