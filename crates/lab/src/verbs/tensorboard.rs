//! `tensorboard`: the courses of the runs behind some results as event files.

use std::{collections::HashSet, fs, path::Path};

use anyhow::{Context, bail};
use report::tensorboard::{Scalar, events};
use training::{StepLog, write_atomic};

use crate::{cli::Answer, options::Options, spec::Suite, verbs::ask::QueryArgs};

/// Writes a folder for each run, to be looked at with `tensorboard --logdir`.
pub(crate) fn tensorboard(
    out: Option<&Path>,
    question: &QueryArgs,
    options: &Options,
    suites: &[Suite],
) -> anyhow::Result<Answer> {
    let results = question.results(options, suites)?;
    let default = || options.runs.join(format!("{}-tensorboard", results.stem()));
    let out = out.map_or_else(default, Path::to_path_buf);
    let (mut seen, mut written) = (HashSet::new(), 0);
    for row in results.runs.rows.iter().filter(|row| !row.run.is_empty()) {
        if !seen.insert((&row.run, &row.method)) {
            continue;
        }
        let path = StepLog::path(&options.runs.join(&row.run));
        let steps = StepLog::read_intact(&path).with_context(|| path.display().to_string())?;
        let scalars = steps.into_iter().map(|step| Scalar {
            step: step.step as u64,
            tag: format!("{}/{}", step.split, step.metric),
            value: step.value,
        });
        let scalars: Vec<Scalar> = scalars.collect();
        if scalars.is_empty() {
            continue; // refused, or its folder is elsewhere
        }
        let plain = |letter: char| if letter.is_alphanumeric() { letter } else { '-' };
        let method: String = row.method.chars().map(plain).collect();
        let folder = out.join(format!("{}-{method}-{}-{}", row.task, row.seed, row.run));
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let file = folder.join("events.out.tfevents.0.moelab");
        write_atomic(&file, &events(&scalars)).with_context(|| file.display().to_string())?;
        written += 1;
    }
    if written == 0 {
        bail!("no folder of these runs is in {}", options.runs.display());
    }
    Ok(format!("wrote {written} runs; look at them with tensorboard --logdir {}\n", out.display())
        .into())
}
