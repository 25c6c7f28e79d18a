//! Parts of a decoder's attention that published models have beyond Llama's, one file each.
//!
//! | part | models |
//! | --- | --- |
//! | `qkv_bias` | Qwen2 |
//! | `norm`, see `qk_norm.rs` | OLMoE, Qwen3 |
//! | `clip` | OLMoE, DBRX |
//! | `scale` | Granite |
//! | `sinks`, see `attend.rs` | GPT-OSS |
//! | `window` | Mistral, GPT-OSS |
//! | `yarn`, see `rotary.rs` | GPT-OSS, DeepSeek |
//! | `interpolation`, see `rotary.rs` | long variants of Llama 2 |
//! | `llama3`, see `llama3.rs` | Llama 3.1 and later |
//! | `latent`, see `latent.rs` | DeepSeek-V2, V3 |

mod attend;
mod latent;
mod llama3;
mod qk_norm;
mod rotary;

use moe::{Placement, config};

pub(crate) use attend::{Form, attend};
pub(crate) use latent::Latent;
pub use latent::LatentConfig;
pub use llama3::Llama3Config;
pub use qk_norm::QkNorm;
pub(crate) use qk_norm::QueryKeyNorm;
pub(crate) use rotary::Turns;
pub use rotary::YarnConfig;

config! {
    /// Parts of attention besides heads, rotary positions and biases; none by default.
    pub struct AttentionParts {
        /// Whether the maps to queries, keys and values have biases, even if the output map has none.
        pub qkv_bias: bool = false,
        /// A norm of queries and keys before rotary positions: `"none"`, over each `"head"`, or over the
        /// whole `"width"`.
        pub norm: QkNorm = QkNorm::None,
        /// The maximum absolute value of queries, keys and values; larger values are clipped.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub clip: Option<f64> = None,
        /// The factor on the products of queries and keys; by default one over the root of a head's width.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub scale: Option<f64> = None,
        /// Whether each head has a learned score for attending to nothing.
        pub sinks: bool = false,
        /// The number of tokens that a token attends to, itself the last; all earlier ones by default.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub window: Option<usize> = None,
        /// The blocks to which `window` applies.
        pub window_layers: Placement = Placement::ALL,
        /// Rotary positions stretched for longer texts.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub yarn: Option<YarnConfig> = None,
        /// The factor by which positions are divided, for longer texts.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub interpolation: Option<f64> = None,
        /// Rotary positions stretched by the rule of Llama 3.1.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub llama3: Option<Llama3Config> = None,
        /// Keys and values from a narrow latent vector.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub latent: Option<LatentConfig> = None,
    }
}

impl AttentionParts {
    /// Whether rotary positions are stretched.
    pub(crate) fn stretch(&self) -> bool {
        self.yarn.is_some() || self.interpolation.is_some() || self.llama3.is_some()
    }

    /// Whether all parts have their defaults.
    pub(crate) fn are_default(&self) -> bool {
        *self == Self::default()
    }

    /// The parts of block number `block` of `depth`: without the window if it does not apply there.
    pub(crate) fn of_block(&self, block: usize, depth: usize) -> Self {
        let window = self.window.filter(|_| self.window_layers.has(block, depth));
        Self { window, ..self.clone() }
    }

    /// Checks the ranges, for heads of queries and of keys.
    pub(crate) fn check(&self, [heads, kv_heads]: [usize; 2]) -> Result<(), String> {
        let positive = |name: &str, value: Option<f64>| match value {
            Some(value) if !(value > 0.0 && value.is_finite()) => {
                Err(format!("attention.{name} = {value}: must be above 0"))
            }
            _ => Ok(()),
        };
        positive("clip", self.clip)?;
        positive("scale", self.scale)?;
        positive("interpolation", self.interpolation)?;
        if self.window == Some(0) {
            return Err("attention.window = 0: must be at least 1, the token itself".into());
        }
        if let Some(yarn) = &self.yarn {
            yarn.check()?;
        }
        if let Some(llama3) = &self.llama3 {
            llama3.check()?;
        }
        let stretches = [self.yarn.is_some(), self.interpolation.is_some(), self.llama3.is_some()];
        if stretches.iter().filter(|there| **there).count() > 1 {
            return Err("attention: set at most one of yarn, interpolation and llama3".into());
        }
        let Some(latent) = &self.latent else { return Ok(()) };
        if self.norm != QkNorm::None || self.clip.is_some() || self.qkv_bias {
            let message = "attention.latent: cannot be combined with norm, clip or qkv_bias";
            return Err(message.into());
        }
        if kv_heads != heads {
            return Err("attention.latent: kv_heads must equal heads".into());
        }
        latent.check()
    }
}
