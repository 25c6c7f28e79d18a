//! `tensorboard`: the training curves of the runs behind some results as event files.

use std::{collections::HashSet, path::PathBuf};

use anyhow::{bail, ensure};
use clap::Args;
use report::tensorboard::{Scalar, events};

use crate::{
    cli::{
        Answer, Session, Verb,
        args::SourceArgs,
        out::{create_out, out_or_in_runs, write_out},
    },
    store::{folder_named, read_log},
};

/// Arguments of `tensorboard`.
#[derive(Args)]
pub(crate) struct Tensorboard {
    /// The folder to write into; RUNS/SUITE-tensorboard if left out
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
}

impl Verb for Tensorboard {
    const NAME: &'static str = "tensorboard";
    const ABOUT: &'static str = "Write the training curves of runs as TensorBoard event files";
    const READS: bool = true;

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let results = self.source.read(session)?;
        let runs = &self.source.of.store.runs;
        let name = format!("{}-tensorboard", results.stem());
        let out = out_or_in_runs(self.out.as_ref(), runs, &name)?;
        let (mut seen, mut written) = (HashSet::new(), 0);
        for row in results.runs.rows.iter().filter(|row| !row.run.is_empty()) {
            if !seen.insert((&row.run, &row.method)) {
                continue;
            }
            let Some(folder) = folder_named(runs, &row.run) else { continue };
            let steps = read_log(&folder)?;
            let scalars = steps.into_iter().map(|step| Scalar {
                step: step.step as u64,
                tag: format!("{}/{}", step.split, step.metric),
                value: step.value,
            });
            let scalars: Vec<Scalar> = scalars.collect();
            if scalars.is_empty() {
                continue; // refused, or its folder is elsewhere
            }
            // Names from results are never paths.
            let plain = |letter: char| if letter.is_alphanumeric() { letter } else { '-' };
            let name = format!("{}-{}-{}-{}", row.task, row.method, row.seed, row.run);
            let folder = out.join(name.chars().map(plain).collect::<String>());
            let is_link = folder.symlink_metadata().is_ok_and(|facts| facts.is_symlink());
            ensure!(!is_link, "{} is a link; remove it", folder.display());
            create_out(&folder)?;
            let file = folder.join("events.out.tfevents.0.moelab");
            write_out(&file, &events(&scalars))?;
            written += 1;
        }
        if written == 0 {
            bail!("{} has no folders of these runs", runs.display());
        }
        Ok(format!("wrote {written} runs; view them with tensorboard --logdir {}\n", out.display())
            .into())
    }
}
