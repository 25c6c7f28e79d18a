//! GGUF files of families other than Llama, with the numbers of safetensors fixtures, by the names in the
//! tables of llama.cpp's package gguf 0.19.0. Of these architectures, only Granite's has the rows of queries
//! and keys in another order.

mod common;

use std::{fs, ops::Range};

use common::{fixture, gguf, imported_from};
use interop::{CheckpointFiles, describe};
use serde_json::{Map, Value, json};

const ONCE: [(&str, &str); 3] = [
    ("model.embed_tokens.weight", "token_embd.weight"),
    ("model.norm.weight", "output_norm.weight"),
    ("lm_head.weight", "output.weight"),
];

const BLOCK: [(&str, &str); 15] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate", "ffn_gate_inp"),
    ("mlp.shared_expert_gate", "ffn_gate_inp_shexp"),
    ("mlp.shared_expert.gate_proj", "ffn_gate_shexp"),
    ("mlp.shared_expert.up_proj", "ffn_up_shexp"),
    ("mlp.shared_expert.down_proj", "ffn_down_shexp"),
    ("block_sparse_moe.router.layer", "ffn_gate_inp"),
    ("block_sparse_moe.output_linear", "ffn_down_exps"),
];

const EXPERTS: [(&str, &str); 3] =
    [("gate_proj", "ffn_gate_exps"), ("up_proj", "ffn_up_exps"), ("down_proj", "ffn_down_exps")];

/// Whole numbers of the metadata.
const SIZES: [(&str, &str); 11] = [
    ("max_position_embeddings", "context_length"),
    ("hidden_size", "embedding_length"),
    ("intermediate_size", "feed_forward_length"),
    ("num_attention_heads", "attention.head_count"),
    ("num_key_value_heads", "attention.head_count_kv"),
    ("head_dim", "attention.key_length"),
    ("num_experts", "expert_count"),
    ("num_local_experts", "expert_count"),
    ("num_experts_per_tok", "expert_used_count"),
    ("moe_intermediate_size", "expert_feed_forward_length"),
    ("shared_expert_intermediate_size", "expert_shared_feed_forward_length"),
];

/// Factors of the metadata.
const FACTORS: [(&str, &str); 5] = [
    ("rms_norm_eps", "attention.layer_norm_rms_epsilon"),
    ("attention_multiplier", "attention.scale"),
    ("embedding_multiplier", "embedding_scale"),
    ("residual_multiplier", "residual_scale"),
    ("logits_scaling", "logit_scale"),
];

/// Tensors in single precision, stored consecutively.
#[derive(Default)]
struct Tensors {
    entries: Vec<Vec<u8>>,
    numbers: Vec<u8>,
}

impl Tensors {
    fn add(&mut self, name: &str, shape: &[usize], numbers: &[f32]) {
        let shape: Vec<u64> = shape.iter().map(|size| *size as u64).collect();
        self.entries.push(gguf::tensor(name, &shape, 0, self.numbers.len() as u64));
        self.numbers.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
        self.numbers.resize(self.numbers.len().next_multiple_of(32), 0);
    }

    /// Copies the tensor of this name from a folder, if it exists.
    fn copy(&mut self, from: &CheckpointFiles, there: &str, here: &str) {
        let Some(stored) = from.tensor(there) else { return };
        // A map with one output becomes a vector.
        let shape = stored.shape.strip_prefix(&[1]).unwrap_or(&stored.shape[..]);
        let heads = ["q_proj", "k_proj"].iter().zip(["num_attention_heads", "num_key_value_heads"]);
        let heads = heads.into_iter().find(|(map, _)| there.contains(*map));
        let numbers = from.numbers(there).unwrap();
        match heads.filter(|_| from.config["model_type"] == "granitemoe") {
            Some((_, key)) => {
                let heads = from.config[key].as_u64().unwrap() as usize;
                self.add(here, shape, &by_pairs(&numbers, shape[0], heads));
            }
            None => self.add(here, shape, &numbers),
        }
    }

    /// Copies Granite's first maps of all experts of a block, as gate and up.
    fn halves(&mut self, from: &CheckpointFiles, there: &str, here: [&str; 2]) {
        let Some(stored) = from.tensor(there) else { return };
        let [e, rows, width] = [0, 1, 2].map(|axis| stored.shape[axis]);
        let (numbers, half) = (from.numbers(there).unwrap(), rows / 2 * width);
        for (at, name) in here.into_iter().enumerate() {
            let parts = numbers.chunks(half).skip(at).step_by(2);
            let all: Vec<f32> = parts.flatten().copied().collect();
            self.add(name, &[e, rows / 2, width], &all);
        }
    }

    /// Copies the experts of a block as one stack.
    fn stack(&mut self, from: &CheckpointFiles, block: usize, map: &str, here: &str) {
        let name = |e: usize| format!("model.layers.{block}.mlp.experts.{e}.{map}.weight");
        let n = (0..).take_while(|e| from.tensor(&name(*e)).is_some()).count();
        let Some(first) = from.tensor(&name(0)) else { return };
        let shape = [&[n][..], &first.shape].concat();
        let all: Vec<f32> = (0..n).flat_map(|e| from.numbers(&name(e)).unwrap()).collect();
        self.add(here, &shape, &all);
    }
}

/// Rows in the order of llama.cpp's converter: row (h, j, i) of `[heads, 2, d / 2]` becomes row (h, i, j).
fn by_pairs(numbers: &[f32], rows: usize, heads: usize) -> Vec<f32> {
    let (width, half) = (numbers.len() / rows, rows / heads / 2);
    let row = |at: usize| {
        let (head, i, j) = (at / (2 * half), at / 2 % half, at % 2);
        (head * 2 + j) * half + i
    };
    (0..rows).flat_map(|at| numbers[row(at) * width..][..width].to_vec()).collect()
}

/// The content of a GGUF file with these blocks of a folder.
fn written(from: &CheckpointFiles, architecture: &str, blocks: Range<usize>) -> Vec<u8> {
    let own = |key: &str, kind: u32, value: &[u8]| {
        gguf::entry(&format!("{architecture}.{key}"), kind, value)
    };
    let config = &from.config;
    let number = |value: &Value| (value.as_f64().unwrap() as f32).to_le_bytes();
    let mut entries = vec![
        gguf::architecture(architecture),
        own("block_count", 4, &(blocks.len() as u32).to_le_bytes()),
        own("rope.freq_base", 6, &number(&config["rope_parameters"]["rope_theta"])),
    ];
    for (there, here) in SIZES {
        if let Some(size) = config.get(there).and_then(Value::as_u64) {
            entries.push(own(here, 4, &(size as u32).to_le_bytes()));
        }
    }
    for (there, here) in FACTORS {
        if let Some(factor) = config.get(there) {
            entries.push(own(here, 6, &number(factor)));
        }
    }
    let mut tensors = Tensors::default();
    for (there, here) in ONCE {
        tensors.copy(from, there, here);
    }
    for (to, block) in blocks.enumerate() {
        for (there, here) in BLOCK {
            for kind in ["weight", "bias"] {
                let there = format!("model.layers.{block}.{there}.{kind}");
                tensors.copy(from, &there, &format!("blk.{to}.{here}.{kind}"));
            }
        }
        let both = format!("model.layers.{block}.block_sparse_moe.input_linear.weight");
        let names = ["gate", "up"].map(|map| format!("blk.{to}.ffn_{map}_exps.weight"));
        tensors.halves(from, &both, names.each_ref().map(String::as_str));
        for (map, here) in EXPERTS {
            tensors.stack(from, block, map, &format!("blk.{to}.{here}.weight"));
        }
    }
    gguf::file_with(&entries, &tensors.entries, &tensors.numbers)
}

/// Compares a file of these blocks with the folder, with the folder's config changed to that of the file.
fn same(name: &str, architecture: &str, blocks: Range<usize>, change: &[(&str, Value)]) {
    let from = CheckpointFiles::open(&fixture(name)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, written(&from, architecture, blocks.clone())).unwrap();
    // All tensors are used, and all parameters are set.
    let (_, _, file) = imported_from(&path, 8);
    let mut config: Map<String, Value> = from.config.clone();
    config.insert("num_hidden_layers".into(), json!(blocks.len()));
    // The file does not contain the weight of the balance loss in training.
    config.insert("router_aux_loss_coef".into(), json!(0.0));
    config.extend(change.iter().map(|(key, value)| (key.to_string(), value.clone())));
    assert_eq!(describe(&file.config).unwrap(), describe(&config).unwrap(), "{name}");
    for (own, stored) in file.tensors() {
        let there = match own.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) {
            None => own.to_string(),
            Some((block, rest)) => {
                let block = blocks.start + block.parse::<usize>().unwrap();
                format!("model.layers.{block}.{rest}")
            }
        };
        assert_eq!(stored.shape, from.tensor(&there).unwrap().shape, "{there}");
        assert_eq!(file.numbers(own).unwrap(), from.numbers(&there).unwrap(), "{there}");
    }
}

#[test]
fn olmoe_has_the_numbers_of_its_folder() {
    // llama.cpp does not clip values, and its files do not have the limit.
    same("olmoe", "olmoe", 0..2, &[("clip_qkv", Value::Null), ("norm_topk_prob", json!(false))]);
}

#[test]
fn granite_moe_has_the_numbers_of_its_folder() {
    same("granite-moe", "granitemoe", 0..2, &[]);
}

#[test]
fn qwen2_moe_has_the_numbers_of_its_folder() {
    // The first block of the fixture has no experts; llama.cpp does not support such blocks.
    let change = [
        ("layer_types", Value::Null),
        ("mlp_only_layers", json!([])),
        ("norm_topk_prob", json!(false)),
    ];
    same("qwen2-moe", "qwen2moe", 1..3, &change);
}

#[test]
fn qwen3_moe_has_the_numbers_of_its_folder() {
    // Only the second block of the fixture has experts.
    let change = [("decoder_sparse_step", json!(1)), ("norm_topk_prob", json!(true))];
    same("qwen3-moe", "qwen3moe", 1..2, &change);
}

/// The widths follow llama.cpp's reading of files from old converters.
#[test]
fn widths_of_experts_that_are_not_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let own = |key: &str, n: u32| gguf::entry(&format!("qwen2moe.{key}"), 4, &n.to_le_bytes());
    let entries = [own("feed_forward_length", 24), own("expert_used_count", 4)];
    let entries = [&[gguf::architecture("qwen2moe")][..], &entries].concat();
    fs::write(&path, gguf::file(&entries, &[], 0)).unwrap();
    let config = CheckpointFiles::open(&path).unwrap().config;
    assert_eq!(config["moe_intermediate_size"], 6);
    assert_eq!(config["shared_expert_intermediate_size"], 24);
    assert_eq!(config["qkv_bias"], false);
}

/// llama.cpp uses the usual scale if a file of Granite omits it, and the transformers library uses 1.
#[test]
fn a_scale_of_attention_that_is_not_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let own = |key: &str, n: u32| gguf::entry(&format!("granitemoe.{key}"), 4, &n.to_le_bytes());
    let entries = [own("embedding_length", 64), own("attention.head_count", 4)];
    let entries = [&[gguf::architecture("granitemoe")][..], &entries].concat();
    fs::write(&path, gguf::file(&entries, &[], 0)).unwrap();
    let config = CheckpointFiles::open(&path).unwrap().config;
    assert_eq!(config["attention_multiplier"], 0.25);
}
