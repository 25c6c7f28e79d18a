//! Networks whose experts have low-rank adapters, and the same networks without them.

use anyhow::anyhow;
use backbones::AnyBackbone;
use experts::{LoraConfig, folded};
use moe::{MoeConfig, Pruned, with_parameters};
use serde_json::Value;

use super::model_builder::ModelBuilder;
use crate::spec::RunSpec;

/// The adapters of a run's experts, if they have some.
pub(crate) fn adapters(moe: &MoeConfig) -> Option<LoraConfig> {
    let options = Value::Object(moe.expert.options.clone());
    let is_lora = moe.expert.kind == "lora";
    is_lora.then(|| serde_json::from_value(options).ok()).flatten()
}

impl ModelBuilder<'_> {
    /// The network of a run with adapters, without them: their changes are in the matrices of the experts.
    pub(crate) fn folded(
        &self,
        spec: &RunSpec,
        network: &AnyBackbone,
        pruned: Option<&Pruned>,
        lora: &LoraConfig,
    ) -> anyhow::Result<AnyBackbone> {
        let moe =
            MoeConfig { expert: lora.base(), pruned: pruned.cloned(), ..spec.config.moe.clone() };
        let plain = self.build(spec, &moe, false)?;
        with_parameters(plain, folded(network, lora.scale(), self.device))
            .map_err(|why| anyhow!("the adapters of {}: {why}", spec.id))
    }
}
