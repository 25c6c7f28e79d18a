//! The architectures of GGUF files that are read, and the corresponding families: the names of metadata keys
//! and tensors in `config.json` and in the files of the transformers library.
//!
//! The name of the architecture is the prefix of keys, as in `qwen3moe.block_count`; tensors of block N are
//! `blk.N.NAME.weight` (or `.bias`) and become `model.layers.N.NAME.weight`. Stacked experts
//! `blk.N.ffn_{gate,up,down}_exps.weight` `[E, out, in]` become one tensor per expert.
//!
//! The names are those of llama.cpp's `gguf-py/gguf/constants.py` and its converters. Values that a file
//! omits are those that llama.cpp uses: `qwen3moe` divides the weights of the chosen experts by their sum,
//! `qwen2moe` and `olmoe` do not; all of their blocks have experts; values are not clipped (`clip_qkv`).
//!
//! In `granitemoe` all experts stay one tensor, and gate and up are joined to one (`joined.rs`).

use anyhow::anyhow;
use serde_json::{Map, Value};

/// Names in a GGUF file, and those of the transformers library.
type Names = &'static [(&'static str, &'static str)];

/// An architecture.
#[derive(Debug)]
pub(super) struct Architecture {
    /// Its name.
    pub(super) name: &'static str,
    /// The `model_type` of its configs; `llama` with experts is Mixtral.
    pub(super) family: &'static str,
    /// The key of a config that says whether queries, keys and values have biases.
    pub(super) bias: &'static str,
    /// Whether the rows of queries and keys are in another order than in the library: in some architectures
    /// llama.cpp rotates adjacent numbers of a head, in the others those at a distance of d / 2.
    pub(super) pairs: bool,
    /// Keys in addition to `KEYS`.
    keys: Names,
    /// Tensors of a block in addition to `BLOCK`.
    block: Names,
    /// The path of the experts in a block and their maps, gate, up and down, if each expert has separate
    /// tensors.
    experts: Option<(&'static str, [&'static str; 3])>,
}

/// All architectures.
static ARCHITECTURES: [Architecture; 5] = [
    Architecture {
        name: "llama",
        family: "llama",
        bias: "attention_bias",
        pairs: true,
        keys: &[("expert_count", "num_local_experts")],
        block: &[("ffn_gate_inp", "block_sparse_moe.gate")],
        experts: Some(("block_sparse_moe.experts", ["w1", "w3", "w2"])),
    },
    Architecture {
        name: "granitemoe",
        family: "granitemoe",
        bias: "attention_bias",
        pairs: true,
        keys: &[
            ("attention.scale", "attention_multiplier"),
            ("embedding_scale", "embedding_multiplier"),
            ("expert_count", "num_local_experts"),
            ("logit_scale", "logits_scaling"),
            ("residual_scale", "residual_multiplier"),
        ],
        block: &[
            ("ffn_gate_inp", "block_sparse_moe.router.layer"),
            ("ffn_gate_exps", GATE),
            ("ffn_up_exps", UP),
            ("ffn_down_exps", "block_sparse_moe.output_linear"),
        ],
        experts: None,
    },
    Architecture {
        name: "olmoe",
        family: "olmoe",
        bias: "attention_bias",
        pairs: false,
        keys: &[("expert_count", "num_experts")],
        block: &QK_NORM,
        experts: OF_QWEN,
    },
    Architecture {
        name: "qwen2moe",
        family: "qwen2_moe",
        bias: "qkv_bias",
        pairs: false,
        keys: &[
            ("expert_count", "num_experts"),
            ("expert_feed_forward_length", "moe_intermediate_size"),
            ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
        ],
        block: &[
            ("ffn_gate_inp", "mlp.gate"),
            ("ffn_gate_inp_shexp", SHARED_GATE),
            ("ffn_gate_shexp", "mlp.shared_expert.gate_proj"),
            ("ffn_up_shexp", "mlp.shared_expert.up_proj"),
            ("ffn_down_shexp", "mlp.shared_expert.down_proj"),
        ],
        experts: OF_QWEN,
    },
    Architecture {
        name: "qwen3moe",
        family: "qwen3_moe",
        bias: "attention_bias",
        pairs: false,
        keys: &[
            ("expert_count", "num_experts"),
            ("expert_feed_forward_length", "moe_intermediate_size"),
        ],
        block: &QK_NORM,
        experts: OF_QWEN,
    },
];

/// The gate of the shared expert, which is a vector in GGUF files and `[1, D]` in those of the library.
pub(super) const SHARED_GATE: &str = "mlp.shared_expert_gate";

/// The two tensors of Granite that are joined to one.
pub(super) const GATE: &str = "block_sparse_moe.input_linear.gate";
pub(super) const UP: &str = "block_sparse_moe.input_linear.up";

/// The experts of OLMoE and Qwen.
const OF_QWEN: Option<(&str, [&str; 3])> =
    Some(("mlp.experts", ["gate_proj", "up_proj", "down_proj"]));

/// A router's gate, and the norms of queries and keys.
const QK_NORM: [(&str, &str); 3] = [
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_gate_inp", "mlp.gate"),
];

/// Keys of all architectures.
const KEYS: Names = &[
    ("block_count", "num_hidden_layers"),
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.key_length", "head_dim"),
    ("rope.freq_base", "rope_theta"),
    ("vocab_size", "vocab_size"),
    ("expert_used_count", "num_experts_per_tok"),
];

/// Tensors of a block of all architectures.
const BLOCK: Names = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Stacked experts: gate, up and down.
const EXPERTS: [&str; 3] = ["ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"];

impl Architecture {
    /// The architecture of a file.
    ///
    /// # Errors
    /// If the file does not name its architecture, or if it is not supported; lists the supported ones.
    pub(super) fn of(metadata: &Map<String, Value>) -> anyhow::Result<&'static Self> {
        let name = metadata.get("general.architecture");
        let name = name.ok_or_else(|| anyhow!("metadata: general.architecture is missing"))?;
        let found = ARCHITECTURES.iter().find(|known| *name == known.name);
        found.ok_or_else(|| {
            let known = ARCHITECTURES.iter().map(|known| format!("{:?}", known.name));
            let known = known.collect::<Vec<_>>().join(", ");
            anyhow!("metadata: general.architecture = {name} is not supported; known: {known}")
        })
    }

    /// The key of a `config.json` that corresponds to a key of metadata.
    pub(super) fn key(&self, key: &str) -> Option<&'static str> {
        renamed(KEYS, key).or_else(|| renamed(self.keys, key))
    }

    /// The library's name for a tensor of a block.
    pub(super) fn tensor(&self, name: &str) -> Option<&'static str> {
        renamed(BLOCK, name).or_else(|| renamed(self.block, name))
    }

    /// The path in a block and the map of each expert for a stack of this name, if each expert has separate
    /// tensors.
    pub(super) fn experts(&self, name: &str) -> Option<(&'static str, &'static str)> {
        let (place, maps) = self.experts?;
        EXPERTS.iter().position(|known| *known == name).map(|at| (place, maps[at]))
    }
}

fn renamed(names: Names, name: &str) -> Option<&'static str> {
    names.iter().find(|(here, _)| *here == name).map(|(_, there)| *there)
}
