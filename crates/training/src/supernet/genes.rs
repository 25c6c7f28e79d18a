//! The architecture as written in a config.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The architecture as written in a config; a value that is left out is the largest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Genes {
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The number of heads of every attention without a separate gene.
    pub heads: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The number of experts of every layer, on a side without a separate gene.
    pub experts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The hidden width of every expert, on a side without a separate gene.
    pub hidden: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The width of the encoder.
    pub encoder_width: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The width of the decoder.
    pub decoder_width: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The number of layers of the decoder.
    pub decoder_layers: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The number of heads, by layer of the encoder.
    pub encoder_heads: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The number of experts, by layer of the encoder.
    pub encoder_experts: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The hidden width of each expert, by layer of the encoder.
    pub encoder_hidden: Option<Vec<Vec<usize>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The number of heads of the decoder's self-attention, by layer.
    pub decoder_heads: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The number of heads of the attention to the source, by layer.
    pub cross_heads: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The number of attended encoder outputs, by layer of the decoder.
    pub encoder_outputs: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The number of experts, by layer of the decoder.
    pub decoder_experts: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The hidden width of each expert, by layer of the decoder.
    pub decoder_hidden: Option<Vec<Vec<usize>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The width inside the bottleneck, by layer of the decoder.
    pub decoder_bottleneck: Option<Vec<usize>>,
}

/// The architecture of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, try_from = "Value")]
#[expect(clippy::large_enum_variant, reason = "there is one of them in a config")]
pub enum ArchitectureChoice {
    /// An architecture by its name.
    Named(Named),
    /// An architecture by its genes.
    Genes(Genes),
}

/// Architectures with names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Named {
    /// A different one in each step of training; the largest in evaluation.
    Sampled,
    /// The architecture with the largest sizes.
    Largest,
    /// The architecture with the smallest sizes.
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
