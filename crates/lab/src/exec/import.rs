//! The network of a run whose weights are those of a checkpoint.

use std::path::Path;

use anyhow::{Context, ensure};
use backbones::AnyBackbone;
use interop::{CheckpointFiles, CheckpointForm, describe, load};
use serde::{Deserialize, Serialize};

use super::model_builder::ModelBuilder;
use crate::{
    planning::{Unmatched, tokens_of_tokenizer},
    spec::{CheckpointConfig, RunSpec},
    store::read_json,
};

/// The file of a run that describes the checkpoint from which its network came.
const FILE: &str = "source.json";

/// The checkpoint from which a run's network came, without the values of its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Imported {
    /// Names, shapes and number formats.
    pub(crate) source: CheckpointForm,
    /// Warnings on tensors with NaN or infinite values, and on parts of the checkpoint that are not used.
    pub(crate) warnings: Vec<String>,
}

impl Imported {
    /// The checkpoint of a run, read from the run's folder; none if there is none.
    pub(crate) fn of(folder: &Path) -> anyhow::Result<Option<Self>> {
        read_json(folder, FILE)
    }
}

impl ModelBuilder<'_> {
    /// A fresh network with the weights of a checkpoint; describes the checkpoint in `source.json`.
    pub(super) fn imported(
        &self,
        spec: &RunSpec,
        config: &CheckpointConfig,
        network: AnyBackbone,
    ) -> anyhow::Result<AnyBackbone> {
        let folder = &config.folder;
        let place = || format!("checkpoint {folder}");
        let checkpoint = CheckpointFiles::open(Path::new(folder))?;
        let model = describe(&checkpoint.config).with_context(place)?;
        let (outputs, known) = (spec.data.outputs(), model.outputs);
        let tokenizer = checkpoint.tokenizer_place();
        let size = tokens_of_tokenizer(model.domain).unwrap_or(known);
        ensure!(
            outputs == known,
            "checkpoint {folder}: the network has {known} tokens or classes, but the task {:?} has \
             {outputs}; set task.tokens = {{ kind = \"bpe\", file = \"{}\", size = {size} }}",
            spec.config.task.kind,
            tokenizer.display()
        );
        let loaded = load(network, &model.rules, &checkpoint).with_context(place)?;
        let imported =
            Imported { source: CheckpointForm::of(&checkpoint), warnings: loaded.warnings };
        self.store.write(&spec.id, FILE, &imported)?;
        Ok(loaded.network)
    }

    /// Copies the description of the checkpoint from the run that this one starts from, with one more
    /// warning.
    pub(super) fn keep_source(
        &self,
        spec: &RunSpec,
        from: &RunSpec,
        warning: Option<String>,
    ) -> anyhow::Result<()> {
        match Imported::of(&self.store.folder(&from.id))? {
            Some(mut imported) => {
                imported.warnings.extend(warning);
                self.store.write(&spec.id, FILE, &imported)
            }
            None => Ok(()),
        }
    }
}

/// The differences between the networks of a run and of the checkpoint of which it takes a part; empty if the
/// run takes all of the checkpoint.
pub(super) fn part_of_checkpoint(
    from: &RunSpec,
    there: &AnyBackbone,
    here: &AnyBackbone,
) -> Unmatched {
    match &from.config.checkpoint {
        Some(checkpoint) if checkpoint.partial => Unmatched::between(there, here),
        _ => Unmatched::default(),
    }
}
