//! The architecture as a config states it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The architecture as a config states it; a value that is left out is the largest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Genes {
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Heads of every attention that has no gene of its own.
    pub heads: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Experts of every layer, of a side that has no gene of its own.
    pub experts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The hidden width of every expert, of a side that has no gene of its own.
    pub hidden: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The width of the encoder.
    pub encoder_width: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The width of the decoder.
    pub decoder_width: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Layers of the decoder.
    pub decoder_layers: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Heads, by layer of the encoder.
    pub encoder_heads: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Experts, by layer of the encoder.
    pub encoder_experts: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The hidden width of each expert, by layer of the encoder.
    pub encoder_hidden: Option<Vec<Vec<usize>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Heads of the attention of the decoder to itself, by layer.
    pub decoder_heads: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Heads of the attention to the source, by layer.
    pub cross_heads: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// To how many outputs of the encoder, by layer of the decoder.
    pub encoder_outputs: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Experts, by layer of the decoder.
    pub decoder_experts: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The hidden width of each expert, by layer of the decoder.
    pub decoder_hidden: Option<Vec<Vec<usize>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The width inside the bottleneck, by layer of the decoder.
    pub decoder_bottleneck: Option<Vec<usize>>,
}

/// Which architecture a network has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, try_from = "Value")]
#[expect(clippy::large_enum_variant, reason = "there is one of them in a config")]
pub enum ArchitectureChoice {
    /// One that has a name.
    Named(Named),
    /// One by its genes.
    Genes(Genes),
}

/// Architectures with names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Named {
    /// Another one in each step of training; the largest otherwise.
    Sampled,
    /// That of the largest sizes.
    Largest,
    /// That of the smallest sizes.
    Smallest,
}

impl Default for ArchitectureChoice {
    fn default() -> Self {
        Self::Named(Named::Sampled)
    }
}

impl TryFrom<Value> for ArchitectureChoice {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match &value {
            Value::String(_) => serde_json::from_value(value).map(Self::Named),
            _ => serde_json::from_value(value).map(Self::Genes),
        }
        .map_err(|err| err.to_string())
    }
}
