//! Construction of the networks of runs.

use anyhow::Context;
use backbones::{AnyBackbone, BackboneSpec};
use burn::prelude::*;
use moe::{Init, MoeConfig, Pruned};
use training::Checkpoint;

use crate::{
    Plugins,
    spec::RunSpec,
    store::{Selected, Store, read_file, read_json},
};

/// Builds the networks and tasks of runs.
#[derive(Clone, Copy)]
pub(crate) struct ModelBuilder<'a> {
    pub(crate) plugins: &'a Plugins,
    pub(crate) store: &'a Store,
    /// The device, without autodiff.
    pub(crate) device: &'a Device,
}

impl ModelBuilder<'_> {
    /// The trained network of a run, without autodiff, and its remaining experts if it was pruned.
    pub(crate) fn trained(&self, spec: &RunSpec) -> anyhow::Result<(AnyBackbone, Option<Pruned>)> {
        let folder = self.store.folder(&spec.id);
        let selected: Option<Selected> = read_json(&folder, "pruned.json")?;
        let pruned = selected.map(|selected| selected.pruned);
        let moe = MoeConfig { pruned: pruned.clone(), ..spec.config.moe.clone() };
        let model = self.build(spec, &moe, false)?;
        let place = || Checkpoint::path(&folder).display().to_string();
        let bytes = read_file(&folder, "checkpoint.bin")?;
        let bytes = bytes.with_context(|| format!("{} does not exist", place()))?;
        Ok((Checkpoint::parse_model(&folder, bytes, model)?, pruned))
    }

    pub(super) fn build(
        &self,
        spec: &RunSpec,
        moe: &MoeConfig,
        train: bool,
    ) -> anyhow::Result<AnyBackbone> {
        let device = if train { self.device.clone().autodiff() } else { self.device.clone() };
        let backbone = self.plugins.backbones.get(&spec.config.backbone.kind)?;
        let backbone_spec =
            BackboneSpec { moe, ..spec.config.backbone_spec(self.plugins, &*spec.data) };
        let init = Init::new(spec.seed, &device);
        Ok((backbone.build.init)(&spec.config.backbone, &backbone_spec, &init)?)
    }
}
