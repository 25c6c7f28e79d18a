//! `export`: writes the network of an imported run as a checkpoint of its original format.

use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use interop::{describe, export};
use moe::{Gone, Pruned};

use crate::{
    cli::{
        Answer, DeviceArgs, Session, Verb,
        args::{DataArgs, StoreArgs},
    },
    exec::{Imported, ModelBuilder, changes_of_network},
    planning::{TrainedRun, adapters, trained_run},
};

/// Arguments of `export`.
#[derive(Args, Clone)]
pub(crate) struct Export {
    /// A run that came from a checkpoint: its folder, or its name in the folder of runs
    run: String,
    /// The folder to write; it must not exist
    folder: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    store: StoreArgs,
}

impl Verb for Export {
    const NAME: &'static str = "export";
    const ABOUT: &'static str =
        "Write the network of an imported run as a checkpoint, with its original names and formats";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let plugins = session.plugins;
        let TrainedRun { folder, store, spec } =
            trained_run(&self.run, &self.store.runs, &self.data.dir(), plugins)?;
        let imported = Imported::of(&folder)?.ok_or_else(|| {
            anyhow!(
                "the run {} did not start from a checkpoint, so its family is unknown; use `import` to make \
                 a run from a checkpoint",
                spec.id
            )
        })?;
        let described = describe(&imported.source.config)?;
        let changed = changes_of_network(&spec.config, &described, plugins)?;
        ensure!(
            changed.is_empty(),
            "the network of the run {} differs from the config.json of its checkpoint, so it cannot be \
             exported: {}",
            spec.id,
            changed.join("; ")
        );
        let device = self.device.open()?;
        let builder = ModelBuilder { plugins, store: &store, device: &device };
        let place = || format!("the run {}", spec.id);
        let (mut network, pruned) = builder.trained(&spec)?;
        if let Some(lora) = adapters(&spec.config.moe) {
            network = builder.folded(&spec, &network, pruned.as_ref(), &lora)?;
        }
        let (source, rules) = match &pruned {
            Some(pruned) => {
                let experts = columns(pruned).with_context(place)?;
                let source = imported.source.with_experts(experts, &network).with_context(place)?;
                let rules = describe(&source.config)?.rules;
                (source, rules)
            }
            None => (imported.source, described.rules),
        };
        let tokenizer = Some(folder.join("tokenizer.json")).filter(|file| file.is_file());
        export(&network, &rules, &source, &self.folder, tokenizer.as_deref())
            .with_context(place)?;
        let n = source.tensors.len();
        Ok(format!("{n} tensors in {}\n", self.folder.display()).into())
    }
}

/// The experts of each layer of a pruned network, whose routers have one vector for each.
fn columns(pruned: &Pruned) -> anyhow::Result<usize> {
    ensure!(
        pruned.gone == Gone::Remove,
        "its routers still choose among all experts from before pruning, but a checkpoint has one vector for \
         each expert: prune with gone = \"remove\""
    );
    let counts: Vec<usize> = pruned.kept.iter().map(Vec::len).collect();
    let first = counts.first().copied().unwrap_or_default();
    ensure!(
        counts.iter().all(|count| *count == first),
        "its layers have {counts:?} experts, but a checkpoint has one number for all layers"
    );
    Ok(first)
}
