//! What the reading verbs have in common: which results, and which of their numbers.

use std::path::{Path, PathBuf};

use clap::Args;
use report::{Query, Runs};

use crate::{options::Options, spec::Suite, verbs::table::files};

/// Which numbers are asked for.
#[derive(Args, Clone, Default)]
pub(crate) struct QueryArgs {
    /// A suite's name, or csv files; the default suite if left out
    sources: Vec<String>,
    /// The metrics to judge by; those of quality if left out
    #[arg(long, value_name = "METRIC")]
    metric: Vec<String>,
    /// The split to judge by: test, valid or train
    #[arg(long)]
    split: Option<String>,
    /// Only these methods, in this order; can be given several times
    #[arg(long, value_name = "METHOD")]
    method: Vec<String>,
    /// Compare runs of different code with each other
    #[arg(long)]
    mix_revisions: bool,
}

impl QueryArgs {
    /// The results that are asked about.
    pub(crate) fn results(&self, options: &Options, suites: &[Suite]) -> anyhow::Result<Results> {
        Results::read(&self.sources, options, suites)
    }

    /// The same for the report.
    pub(crate) fn ask(&self) -> Query {
        Query {
            metrics: self.metric.clone(),
            split: self.split.clone(),
            methods: self.method.clone(),
            mix_revisions: self.mix_revisions,
            ..Query::default()
        }
    }
}

/// Results that were read, and where they came from.
pub(crate) struct Results {
    pub(crate) runs: Runs,
    pub(crate) files: Vec<PathBuf>,
}

impl Results {
    /// The results of a suite, or of csv files; of the default suite if nothing is named.
    pub(crate) fn read(
        sources: &[String],
        options: &Options,
        suites: &[Suite],
    ) -> anyhow::Result<Self> {
        let files = files(sources, options, suites)?;
        Ok(Self { runs: Runs::read_all(&files)?, files })
    }

    /// What they are called.
    pub(crate) fn name(&self) -> &str {
        self.runs.rows.first().map_or("results", |row| &row.suite)
    }

    /// The name of files that are made of them.
    pub(crate) fn stem(&self) -> String {
        let stem = self.files.first().and_then(|file| file.file_stem());
        let stem = stem.map_or_else(String::new, |stem| stem.to_string_lossy().to_string());
        // Committed results all have the same name.
        if stem.is_empty() || stem == "runs" { self.name().to_string() } else { stem }
    }

    /// The folder of the first file.
    pub(crate) fn folder(&self) -> &Path {
        self.files.first().and_then(|file| file.parent()).unwrap_or(Path::new("."))
    }
}
