//! `export`: writes the network of an imported run as a checkpoint of its original format.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use clap::Args;
use interop::{describe, export};

use crate::{
    cli::{
        Answer, DeviceArgs, Session, Verb,
        args::{DataArgs, StoreArgs},
    },
    exec::{Imported, ModelBuilder},
    planning::{find, trained_run},
    store::Store,
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
        let folder = find(&self.run, &self.store.runs)?;
        let store = Store::open(folder.parent().unwrap_or(Path::new(".")))?;
        let spec = trained_run(&folder, &store, &self.data.dir(), plugins)?;
        let imported = Imported::of(&folder)?.ok_or_else(|| {
            anyhow!(
                "the run {} did not start from a checkpoint, so it is of no known family; `import` makes \
                 runs that do",
                spec.id
            )
        })?;
        let model = describe(&imported.source.config)?;
        let device = self.device.open()?;
        let builder = ModelBuilder { plugins, store: &store, device: &device };
        let (network, _) = builder.trained(&spec)?;
        export(&network, &model.rules, &imported.source, &self.folder)
            .with_context(|| format!("the run {}", spec.id))?;
        let tokenizer = folder.join("tokenizer.json");
        if tokenizer.is_file() {
            fs::copy(&tokenizer, self.folder.join("tokenizer.json"))?;
        }
        let n = imported.source.tensors.len();
        Ok(format!("{n} tensors in {}\n", self.folder.display()).into())
    }
}
