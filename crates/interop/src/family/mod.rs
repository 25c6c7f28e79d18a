//! Families of published models, one file each: the keys of the config that are read, the names of the
//! tensors, their layout, and what differs.
//!
//! A family converts a config to the settings of a network and the rules that map tensors to its parameters.

mod bailing_moe;
mod decoder;
mod deepseek_v2;
mod deepseek_v3;
mod deit;
mod encoder_decoder;
mod gpt_oss;
mod granite_moe;
mod llama;
mod mixtral;
mod olmoe;
mod qwen2_moe;
mod qwen3_moe;
mod switch;
mod t5;
mod vit;

use anyhow::{Context, anyhow, bail, ensure};
use backbones::BackboneSpec;
use moe::{Choice, Domain, MoeConfig};
use serde_json::{Map, Value, json};

use crate::{keys::Keys, rules::Rules};

/// The network of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedNetwork {
    /// The backbone with its settings.
    pub backbone: Choice,
    /// Its MoE layers.
    pub moe: MoeConfig,
    /// The form of its inputs; for a text with the largest length.
    pub domain: Domain,
    /// The number of outputs at each position.
    pub outputs: usize,
    /// The rules that map tensors to parameters.
    pub rules: Rules,
}

impl ImportedNetwork {
    /// The inputs and outputs for which the backbone is built.
    pub fn backbone_spec<'a>(&'a self, library: &'a moe::Library) -> BackboneSpec<'a> {
        BackboneSpec { domain: self.domain, outputs: self.outputs, moe: &self.moe, library }
    }
}

/// A family: the `model_type` of its configs, its architecture, and the function that reads a config.
struct Family {
    kind: &'static str,
    architecture: &'static str,
    read: fn(&mut Keys) -> anyhow::Result<ImportedNetwork>,
}

macro_rules! families {
    ($($kind:literal, $architecture:literal, $file:ident;)*) => {
        [$(Family { kind: $kind, architecture: $architecture, read: $file::read },)*]
    };
}

/// All families. The list is the table of contents.
const FAMILIES: &[Family] = &families![
    "mixtral", "MixtralForCausalLM", mixtral;
    "olmoe", "OlmoeForCausalLM", olmoe;
    "qwen2_moe", "Qwen2MoeForCausalLM", qwen2_moe;
    "qwen3_moe", "Qwen3MoeForCausalLM", qwen3_moe;
    "granitemoe", "GraniteMoeForCausalLM", granite_moe;
    "gpt_oss", "GptOssForCausalLM", gpt_oss;
    "deepseek_v2", "DeepseekV2ForCausalLM", deepseek_v2;
    "deepseek_v3", "DeepseekV3ForCausalLM", deepseek_v3;
    "bailing_moe", "BailingMoeForCausalLM", bailing_moe;
    "switch_transformers", "SwitchTransformersForConditionalGeneration", switch;
    "t5", "T5ForConditionalGeneration", t5;
    "llama", "LlamaForCausalLM", llama;
    "vit", "ViTForImageClassification", vit;
    "deit", "DeiTForImageClassificationWithTeacher", deit;
];

/// Families that are not supported, with the reason.
const NOT_READ: [(&str, &str); 1] =
    [("bailing_moe_v2", "its attention and router differ from those of \"bailing_moe\"")];

/// The names of the families in configs.
pub fn known() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.kind)
}

/// The largest number of layers.
const LAYERS: usize = 1000;
/// The largest number of experts in all layers; there is a rule for each tensor of each of them.
const EXPERTS: usize = 200_000;

/// Refuses more layers and experts than these limits, before rules are made for them.
fn check_layers(config: &Map<String, Value>) -> anyhow::Result<()> {
    let size = |key: &str| config.get(key).and_then(Value::as_u64).unwrap_or(0) as usize;
    let sides = ["num_hidden_layers", "num_layers", "num_decoder_layers"];
    for key in sides {
        let layers = size(key);
        ensure!(layers <= LAYERS, "config.json: {key} = {layers}: must be at most {LAYERS}");
    }
    let layers: usize = sides.iter().map(|key| size(key)).sum();
    for key in config.keys().filter(|key| key.contains("experts")) {
        let most = EXPERTS / layers.max(1);
        ensure!(
            size(key) <= most,
            "config.json: {key} = {}: must be at most {most} with {layers} layers",
            size(key)
        );
    }
    Ok(())
}

/// The network that a `config.json` describes.
///
/// # Errors
/// If the family is unknown, with a list of the known ones; if a key is missing or has a value that the
/// network does not support; if there are keys that the network does not honour.
pub fn describe(config: &Map<String, Value>) -> anyhow::Result<ImportedNetwork> {
    let kind = config.get("model_type").and_then(Value::as_str);
    let kind = kind.ok_or_else(|| anyhow!("config.json: model_type is missing"))?;
    let Some(family) = FAMILIES.iter().find(|family| family.kind == kind) else {
        let known = known().collect::<Vec<_>>().join(", ");
        if let Some((_, why)) = NOT_READ.iter().find(|(other, _)| *other == kind) {
            bail!("config.json: family {kind:?} is not supported: {why}; known: {known}")
        }
        bail!("config.json: no family is named {kind:?}; known: {known}")
    };
    match config.get("architectures") {
        None | Some(Value::Null) => {}
        Some(Value::Array(names)) => {
            if let Some(other) = names.iter().find(|name| **name != family.architecture) {
                bail!("config.json: architectures: {other} is not {:?}", family.architecture)
            }
        }
        Some(other) => bail!("config.json: architectures = {other}: expected a list"),
    }
    check_layers(config)?;
    let mut keys = Keys::new(config);
    let two_sides = ["switch_transformers", "t5"].contains(&kind);
    keys.only("is_encoder_decoder", &[json!(two_sides)])?;
    let model = (family.read)(&mut keys).with_context(|| format!("family {kind:?}"))?;
    keys.finish().with_context(|| format!("family {kind:?}"))?;
    Ok(model)
}
