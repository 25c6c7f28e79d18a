//! Groups of options that several verbs share. A verb includes only the groups that it uses, so clap refuses
//! all other options.

use std::{path::PathBuf, thread};

use anyhow::ensure;
use burn::prelude::*;
use clap::{Args, ValueEnum};
use report::{Format, Query, few};
use tasks::DataDir;

use super::session::Session;
use crate::{
    exec::device,
    planning::seeds,
    results::{Results, ResultsLookup},
    spec::Selection,
};

/// Arguments that select runs of a suite.
#[derive(Args, Clone, Default)]
pub(crate) struct SelectionArgs {
    /// Sizes of the suite: laptop for the suite as it is, or the name of one of its [tier] tables
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// Seeds in place of the suite's, for example 0..5 or 0,2,4
    #[arg(long, value_name = "SEEDS", value_parser = parse_seeds)]
    seeds: Option<Seeds>,
    /// Only runs with this method, router, task, backbone or seed; if given several times, all must match
    #[arg(long, value_name = "KEY=VALUE")]
    only: Vec<String>,
    /// Set a value in all runs, for example train.steps=100; can be given several times
    #[arg(long, value_name = "A.B=C")]
    pub(crate) set: Vec<String>,
    /// Train a few steps only, as a smoke test
    #[arg(long)]
    smoke: bool,
}

#[derive(Clone)]
struct Seeds(Vec<u64>);

impl SelectionArgs {
    /// The selection of the runs, on this device.
    pub(crate) fn on(&self, device: &DeviceArgs) -> Selection {
        Selection {
            tier: self.tier.clone().unwrap_or_else(|| Selection::default().tier),
            device: device.device.clone(),
            seeds: self.seeds.clone().map(|Seeds(seeds)| seeds),
            only: self.only.clone(),
            set: self.set.clone(),
            smoke: self.smoke,
        }
    }
}

/// Arguments for the device.
#[derive(Args, Clone, Debug)]
pub struct DeviceArgs {
    /// Device: flex (CPU, with the same bits on every CPU), flex:fast (CPU, with products that are
    /// faster for small experts and depend on the CPU), wgpu, vulkan, cuda:0
    #[arg(long, default_value = "flex")]
    pub(crate) device: String,
}

impl Default for DeviceArgs {
    /// The default device: the processor.
    fn default() -> Self {
        Self { device: "flex".into() }
    }
}

impl DeviceArgs {
    /// Opens the device, without autodiff.
    ///
    /// # Errors
    /// The same as those of [`device`].
    pub fn open(&self) -> anyhow::Result<Device> {
        device(&self.device)
    }
}

/// Arguments for the number of threads.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ThreadsArgs {
    /// Number of threads; default: all processors
    #[arg(long, value_name = "N", value_parser = some_threads)]
    threads: Option<usize>,
}

impl ThreadsArgs {
    /// The number of threads.
    pub fn count(&self) -> usize {
        let all = || thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(all)
    }

    /// Runs `work` on this number of threads.
    ///
    /// # Errors
    /// If the system cannot create the threads.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.count()).build()?;
        Ok(pool.install(work))
    }
}

/// Arguments for the format of tables.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct FormatArgs {
    /// Format of tables
    #[arg(long, value_enum, default_value = "text")]
    format: FormatName,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
enum FormatName {
    #[default]
    Text,
    Md,
    Tex,
    Csv,
    Json,
}

impl FormatArgs {
    /// The format.
    pub fn get(&self) -> Format {
        match self.format {
            FormatName::Text => Format::Text,
            FormatName::Md => Format::Markdown,
            FormatName::Tex => Format::Latex,
            FormatName::Csv => Format::Csv,
            FormatName::Json => Format::Json,
        }
    }
}

/// Arguments for the format of an answer that is not a table.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct JsonArgs {
    /// Print JSON, for machines
    #[arg(long)]
    pub json: bool,
    /// The same: text or json
    #[arg(long, value_enum, default_value = "text", hide = true)]
    format: TextOrJson,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
enum TextOrJson {
    #[default]
    Text,
    Json,
}

impl JsonArgs {
    /// Whether the answer is printed as JSON.
    pub fn is_json(&self) -> bool {
        self.json || self.format == TextOrJson::Json
    }
}

/// Arguments for the folder of runs.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreArgs {
    /// Folder of runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
}

/// Arguments for the folder of data sets.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataArgs {
    /// Folder of the data sets that are not built in
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl DataArgs {
    /// The folder of the data sets.
    pub(crate) fn dir(&self) -> DataDir {
        DataDir::new(self.data_dir.clone())
    }
}

/// Arguments that select results.
#[derive(Args, Clone)]
pub(crate) struct SourceArgs {
    /// A suite's name, the path of its file, or csv files; the default suite if left out
    pub(crate) sources: Vec<String>,
    #[command(flatten)]
    pub(crate) of: RequestArgs,
}

/// The options of the run whose results are read.
#[derive(Args, Clone)]
#[command(next_help_heading = "Options of the run whose results are read")]
pub(crate) struct RequestArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

impl RequestArgs {
    /// Reads the results of these sources.
    pub(crate) fn read(&self, sources: &[String], session: &Session) -> anyhow::Result<Results> {
        let wanted = self.selection.on(&self.device);
        let results = ResultsLookup { suites: session.suites, runs: &self.store.runs, wanted }
            .read(sources)?;
        let files = few(results.files.iter().map(|file| file.display()));
        ensure!(!results.runs.rows.is_empty(), "{files}: no run has ended yet");
        if results.are_committed {
            session.say(&format!("committed results: {files}"));
        }
        Ok(results)
    }
}

impl SourceArgs {
    /// Reads the results.
    pub(crate) fn read(&self, session: &Session) -> anyhow::Result<Results> {
        self.of.read(&self.sources, session)
    }
}

/// Arguments that select numbers of all methods of the results.
#[derive(Args, Clone, Default)]
pub(crate) struct MetricArgs {
    /// Metrics to compare by; default: the quality metrics of the task
    #[arg(long, value_name = "METRIC")]
    metric: Vec<String>,
    /// Split to compare on: test, valid or train
    #[arg(long)]
    split: Option<String>,
    /// Compare runs of different code with each other
    #[arg(long)]
    mix_revisions: bool,
}

impl MetricArgs {
    /// The query for `report` that these arguments describe.
    pub(crate) fn query(&self) -> Query {
        Query {
            metrics: self.metric.clone(),
            split: self.split.clone(),
            mix_revisions: self.mix_revisions,
            ..Query::default()
        }
    }
}

/// Arguments that select numbers of the results.
#[derive(Args, Clone, Default)]
pub struct QueryArgs {
    #[command(flatten)]
    metrics: MetricArgs,
    /// Only these methods, in this order; can be given several times
    #[arg(long, value_name = "METHOD")]
    method: Vec<String>,
}

impl QueryArgs {
    /// The query for `report` that these arguments describe.
    pub fn query(&self) -> Query {
        Query { methods: self.method.clone(), ..self.metrics.query() }
    }
}

/// Arguments for the statistics of intervals and tests.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct ExamplesArgs {
    /// Include the sampling of test examples in intervals and tests, beside the seeds, where the
    /// results have NAME.examples.csv
    #[arg(long)]
    examples: bool,
}

impl ExamplesArgs {
    /// The query, which covers test examples if the option is given.
    pub(crate) fn on(self, query: Query) -> Query {
        Query { examples: self.examples, ..query }
    }
}

/// Argument for the smallest difference that matters.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct MarginArgs {
    /// The size below which a difference does not matter
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) margin: Option<f64>,
}

/// Parses a finite number above 0.
pub(crate) fn size(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    let fits = number > 0.0 && number.is_finite();
    fits.then_some(number).ok_or_else(|| "must be above 0, and finite".into())
}

/// The largest number of threads, and of concurrent runs: far more than any machine has processors.
const MOST_THREADS: usize = 1024;

/// Parses a number of threads or of concurrent runs.
pub(crate) fn some_threads(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| format!("{text:?} is not a whole number"))?;
    let fits = (1..=MOST_THREADS).contains(&number);
    fits.then_some(number).ok_or_else(|| format!("must be from 1 to {MOST_THREADS}"))
}

fn parse_seeds(text: &str) -> Result<Seeds, String> {
    seeds(text).map(Seeds).map_err(|err| format!("{err:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!((size("0.5"), some_threads("1024")), (Ok(0.5), Ok(1024)));
        for text in ["0", "-1", "nan", "inf", "x"] {
            assert!(size(text).is_err(), "{text}");
        }
        for text in ["0", "1.5", "1025", "18446744073709551615"] {
            assert!(some_threads(text).is_err(), "{text}");
        }
    }
}
