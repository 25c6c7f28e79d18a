//! Names and layouts of tensors that the decoders share: those of Llama.
//!
//! ```text
//! model.embed_tokens.weight [V, D], model.norm.weight [D], lm_head.weight [V, D] unless tied
//! model.layers.N.{input,post_attention}_layernorm.weight [D]
//! model.layers.N.self_attn.{q,k,v,o}_proj.{weight [out, in], bias [out]}
//! ```
//!
//! Maps are transposed here, and those to queries, keys and values are concatenated.

use anyhow::ensure;
use backbones::{AttentionParts, QkNorm, TransformerLmConfig};
use moe::{Choice, Domain, MoeConfig, Placement};
use serde_json::json;

use super::ImportedNetwork;
use crate::{keys::Keys, rope_scaling::RopeScaling, rules::Rules};

/// A decoder whose description is being built.
pub(super) struct Decoder {
    pub(super) config: TransformerLmConfig,
    pub(super) moe: MoeConfig,
    pub(super) rules: Rules,
    vocab: usize,
    length: usize,
}

/// The values of keys that a config may omit.
pub(super) struct Defaults {
    pub(super) theta: f64,
    pub(super) epsilon: f64,
}

impl Decoder {
    /// Reads the sizes, the positions, the norms and the head.
    pub(super) fn read(keys: &mut Keys, defaults: Defaults) -> anyhow::Result<Self> {
        keys.only("hidden_act", &[json!("silu")])?;
        let dropout = keys.maybe_number("attention_dropout")?.unwrap_or(0.0);
        let (theta, scaling) = RopeScaling::read(keys, defaults.theta)?;
        let heads = keys.size("num_attention_heads")?;
        let mut config = TransformerLmConfig {
            width: keys.size("hidden_size")?,
            depth: keys.size("num_hidden_layers")?,
            heads,
            kv_heads: keys.maybe_size("num_key_value_heads")?.filter(|kv| *kv != heads),
            theta,
            epsilon: keys.number("rms_norm_eps", defaults.epsilon)?,
            ..TransformerLmConfig::default()
        };
        config.head.tied = keys.flag("tie_word_embeddings", false)?;
        scaling.put(&mut config.attention);
        ensure!(
            heads > 0 && config.depth > 0,
            "config.json: at least one head and one layer are needed"
        );
        let note = format!(
            "config.json: attention_dropout = {dropout}: not supported; training uses no attention dropout"
        );
        let notes = (dropout != 0.0).then_some(note).into_iter().collect();
        Ok(Self {
            config,
            moe: MoeConfig { layers: Placement::NONE, ..MoeConfig::default() },
            rules: Rules { notes, ..Rules::default() },
            vocab: keys.size("vocab_size")?,
            length: keys.size("max_position_embeddings")?,
        })
    }

    /// Reads `head_dim`, the width of a head if it is not the width of the stream divided by the number of
    /// heads.
    pub(super) fn head_width(&mut self, keys: &mut Keys) -> anyhow::Result<()> {
        let head = keys.maybe_size("head_dim")?;
        let usual = self.config.width / self.config.heads;
        self.config.head_width = head.filter(|head| *head != usual);
        Ok(())
    }

    /// The additional parts of attention.
    pub(super) fn parts(&mut self) -> &mut AttentionParts {
        &mut self.config.attention
    }

    /// The numbers of the blocks, and the path of each block here and in the checkpoint.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (usize, String, String)> + use<> {
        (0..self.config.depth).map(|i| (i, format!("blocks.{i}"), format!("model.layers.{i}")))
    }

    /// Adds the rules of embedding, norms and head.
    pub(super) fn frame(&mut self) {
        self.frame_with("model.embed_tokens.weight");
    }

    /// The same with another name of the embedding.
    pub(super) fn frame_with(&mut self, embedding: &str) {
        self.rules.same("embedding.weight", embedding);
        self.rules.same("norm.gamma", "model.norm.weight");
        match self.config.head.tied {
            true => self.rules.copies.push(("lm_head.weight".into(), embedding.into())),
            false => self.rules.map("head.weight", "lm_head.weight"),
        }
        for (_, here, there) in self.blocks() {
            let norm = |name: &str| format!("{there}.{name}layernorm.weight");
            self.rules.same(format!("{here}.attention_norm.gamma"), norm("input_"));
            self.rules.same(format!("{here}.feed_forward_norm.gamma"), norm("post_attention_"));
            // Found in older files; it follows from the settings.
            self.rules.unused.push(format!("{there}.self_attn.rotary_emb.inv_freq"));
        }
    }

    /// Adds the rules of attention with four maps, with biases if the settings have them.
    pub(super) fn attention(&mut self) {
        let TransformerLmConfig { width, heads, kv_heads, head_width, bias, .. } = self.config;
        let head = head_width.unwrap_or(width / heads);
        let widths = [heads, kv_heads.unwrap_or(heads), kv_heads.unwrap_or(heads)];
        let parts = self.config.attention.clone();
        for (_, here, there) in self.blocks() {
            let (here, there) = (format!("{here}.attention"), format!("{there}.self_attn"));
            let maps = |kind: &str| {
                let one =
                    |(name, n): (&str, usize)| (format!("{there}.{name}_proj.{kind}"), n * head);
                ["q", "k", "v"].into_iter().zip(widths).map(one).collect::<Vec<_>>()
            };
            self.rules.beside(&format!("{here}.qkv.weight"), &maps("weight"));
            self.rules.map(format!("{here}.output.weight"), format!("{there}.o_proj.weight"));
            if bias || parts.qkv_bias {
                self.rules.joined(&format!("{here}.qkv.bias"), &maps("bias"));
            }
            if bias {
                self.rules.same(format!("{here}.output.bias"), format!("{there}.o_proj.bias"));
            }
            if parts.norm != QkNorm::None {
                for (name, short) in [("query", "q"), ("key", "k")] {
                    let path = format!("{here}.qk_norm.{name}");
                    self.rules.same(path, format!("{there}.{short}_norm.weight"));
                }
            }
        }
    }

    /// Adds the rules of a stack of `n` gated networks, each with maps `gate`, `up` and `down`.
    pub(super) fn gated(
        &mut self,
        here: &str,
        n: usize,
        [gate, up, down]: [&str; 3],
        there: impl Fn(usize) -> String,
    ) {
        for (path, map) in [("w", gate), ("v", up), ("w2", down)] {
            self.rules
                .stack(&format!("{here}.{path}"), n, |e| format!("{}.{map}.weight", there(e)));
        }
    }

    /// Adds the rules of a dense gated network, and its settings.
    pub(super) fn dense(&mut self, block: usize, hidden: usize) {
        self.config.dense = swiglu(hidden);
        let here = format!("blocks.{block}.feed_forward.Dense");
        self.gated(&here, 1, PROJECTIONS, |_| format!("model.layers.{block}.mlp"));
    }

    /// The path of the MoE layer of a block.
    pub(super) fn moe_path(block: usize) -> String {
        format!("blocks.{block}.feed_forward.Moe")
    }

    /// Adds the rule of a router's linear gate.
    pub(super) fn gate(&mut self, block: usize, tensor: String) {
        self.rules.map(format!("{}.router.gate.weight", Self::moe_path(block)), tensor);
    }

    /// Places MoE layers in these blocks.
    pub(super) fn place(&mut self, blocks: Vec<usize>) {
        let all = blocks.len() == self.config.depth;
        self.moe.layers = if all { Placement::ALL } else { Placement::Blocks(blocks) };
    }

    /// The network as described so far.
    pub(super) fn done(self) -> ImportedNetwork {
        let Self { config, moe, rules, vocab, length } = self;
        let options = serde_json::to_value(&config).ok();
        let options = options.and_then(|value| value.as_object().cloned()).unwrap_or_default();
        ImportedNetwork {
            backbone: Choice { kind: "transformer-lm".into(), options },
            moe,
            domain: Domain::Text { vocab, length },
            outputs: vocab,
            rules,
        }
    }
}

/// The usual names of the maps of a gated network.
pub(super) const PROJECTIONS: [&str; 3] = ["gate_proj", "up_proj", "down_proj"];

/// A gated network of this hidden width.
pub(super) fn swiglu(hidden: usize) -> Choice {
    Choice::of("swiglu").with("hidden", hidden)
}

/// A top-k router.
pub(super) fn top_k(keys: &mut Keys, weights: &str) -> anyhow::Result<Choice> {
    let k = keys.size("num_experts_per_tok")?;
    let balance = keys.number("router_aux_loss_coef", 0.0)?;
    Ok(Choice::of("top-k").with("k", k).with("weights", weights).with("balance", balance))
}

/// The weights of the chosen experts: the probabilities over all experts, or these divided by their sum.
pub(super) fn weights(keys: &mut Keys) -> anyhow::Result<&'static str> {
    Ok(if keys.flag("norm_topk_prob", false)? { "renormalised" } else { "softmax" })
}
