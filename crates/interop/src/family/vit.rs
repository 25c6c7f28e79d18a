//! ViT, dense: Dosovitskiy et al. *An Image is Worth 16x16 Words*. 2020. <https://arxiv.org/abs/2010.11929>;
//! DeiT without distillation is published in the same form (Touvron et al. 2020.
//! <https://arxiv.org/abs/2012.12877>), and DeiT with distillation is `deit.rs`. What V-MoE is upcycled from.
//!
//! Keys: `hidden_size`, `num_hidden_layers`, `num_attention_heads`, `intermediate_size`, `hidden_act`,
//! `layer_norm_eps`, `image_size`, `patch_size`, `num_channels`, `id2label` (the number of classes),
//! `qkv_bias`; `problem_type`, which is the loss, is of classification.
//!
//! Tensors: `vit.embeddings.{cls_token [1, 1, D], position_embeddings [1, N + 1, D]}`,
//! `vit.embeddings.patch_embeddings.projection.{weight [D, C, P, P], bias}`; of each block
//! `layernorm_{before,after}`, `attention.attention.{query,key,value}`, `attention.output.dense`,
//! `intermediate.dense`, `output.dense`; `vit.layernorm`, `classifier`. The convolution of patches is the linear
//! map of cut patches here.

use anyhow::bail;
use backbones::{Pool, VitConfig};
use moe::{Choice, Domain, MoeConfig, Placement};
use serde_json::{Value, json};

use super::ImportedNetwork;
use crate::{
    keys::Keys,
    rules::{Rules, TensorRule},
};

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    let mut model = read_with(keys, Pool::ClassToken, "vit")?;
    model.rules.map("head.weight", "classifier.weight");
    model.rules.same("head.bias", "classifier.bias");
    Ok(model)
}

/// Reads everything but the head, with tensors whose names begin with this prefix.
pub(super) fn read_with(
    keys: &mut Keys,
    pool: Pool,
    there: &str,
) -> anyhow::Result<ImportedNetwork> {
    for dropout in ["hidden_dropout_prob", "attention_probs_dropout_prob"] {
        keys.only(dropout, &[json!(0.0)])?;
    }
    keys.only("qkv_bias", &[json!(true)])?;
    keys.only("problem_type", &[json!("single_label_classification")])?;
    // Labels, the head of another task, and the reconstruction of masked images.
    for unused in ["label2id", "pooler_act", "pooler_output_size", "encoder_stride"] {
        keys.value(unused);
    }
    let dense = Choice::of("ffn").with("hidden", keys.size("intermediate_size")?);
    let config = VitConfig {
        patch: keys.size_or("patch_size", 16)?,
        width: keys.size("hidden_size")?,
        depth: keys.size("num_hidden_layers")?,
        heads: keys.size("num_attention_heads")?,
        dense: dense.with("activation", activation(keys)?),
        pool,
        epsilon: keys.number("layer_norm_eps", 1e-12)?,
        ..VitConfig::default()
    };
    let side = keys.size_or("image_size", 224)?;
    let channels = keys.size_or("num_channels", 3)?;
    let outputs =
        keys.value("id2label").and_then(Value::as_object).map_or(2, |labels| labels.len());
    let rules = rules(&config, channels, there);
    let options = serde_json::to_value(&config)?.as_object().cloned().unwrap_or_default();
    Ok(ImportedNetwork {
        backbone: Choice { kind: "vit".into(), options },
        moe: MoeConfig { layers: Placement::NONE, ..MoeConfig::default() },
        domain: Domain::Image { channels, height: side, width: side },
        outputs,
        rules,
    })
}

fn activation(keys: &mut Keys) -> anyhow::Result<&'static str> {
    Ok(match keys.text("hidden_act", "gelu")?.as_str() {
        "gelu" => "gelu",
        "gelu_new" | "gelu_pytorch_tanh" => "gelu-tanh",
        "relu" => "relu",
        other => bail!(
            "config.json: hidden_act = {other:?}: not supported; known: \"gelu\", \
             \"gelu_new\", \"gelu_pytorch_tanh\", \"relu\""
        ),
    })
}

fn rules(config: &VitConfig, channels: usize, all: &str) -> Rules {
    let (mut rules, d, p) = (Rules::default(), config.width, config.patch);
    let embeddings = format!("{all}.embeddings");
    rules.same("class", format!("{embeddings}.cls_token"));
    rules.same("positions", format!("{embeddings}.position_embeddings"));
    let patches = format!("{embeddings}.patch_embeddings.projection");
    let cut = TensorRule::new("patches.weight", format!("{patches}.weight"));
    rules.all.push(cut.shaped(&[1, 2, 3, 0], &[channels, p, p, d]));
    rules.same("patches.bias", format!("{patches}.bias"));
    norm(&mut rules, "norm", &format!("{all}.layernorm"));
    for block in 0..config.depth {
        let (here, there) = (format!("blocks.{block}"), format!("{all}.encoder.layer.{block}"));
        norm(&mut rules, &format!("{here}.attention_norm"), &format!("{there}.layernorm_before"));
        norm(&mut rules, &format!("{here}.feed_forward_norm"), &format!("{there}.layernorm_after"));
        let own = format!("{here}.attention.qkv");
        let maps = |kind: &str| {
            let one = |name| (format!("{there}.attention.attention.{name}.{kind}"), d);
            ["query", "key", "value"].map(one)
        };
        rules.beside(&format!("{own}.weight"), &maps("weight"));
        rules.joined(&format!("{own}.bias"), &maps("bias"));
        let output = format!("{there}.attention.output.dense");
        rules.map(format!("{here}.attention.output.weight"), format!("{output}.weight"));
        rules.same(format!("{here}.attention.output.bias"), format!("{output}.bias"));
        let dense = format!("{here}.feed_forward.Dense");
        for (i, map) in [(1, "intermediate.dense"), (2, "output.dense")] {
            rules.stack(&format!("{dense}.w{i}"), 1, |_| format!("{there}.{map}.weight"));
            let bias = TensorRule::new(format!("{dense}.bias{i}"), format!("{there}.{map}.bias"));
            rules.all.push(bias.entry(0, 0).entry(0, 0));
        }
    }
    rules
}

fn norm(rules: &mut Rules, here: &str, there: &str) {
    rules.same(format!("{here}.gamma"), format!("{there}.weight"));
    rules.same(format!("{here}.beta"), format!("{there}.bias"));
}
