//! Networks whose experts have low-rank adapters, with the adapters merged into the experts.

use anyhow::anyhow;
use backbones::AnyBackbone;
use experts::{LoraConfig, folded};
use moe::{MoeConfig, Pruned, with_parameters};

use super::model_builder::ModelBuilder;
use crate::spec::RunSpec;

impl ModelBuilder<'_> {
    /// The network of a run with its adapters merged: their changes are added to the matrices of the experts.
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
