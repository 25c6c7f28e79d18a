//! Options that verbs have in common, and which verb heeds which.

use std::{path::PathBuf, thread};

use anyhow::{bail, ensure};
use clap::{ArgMatches, Args, Command, ValueEnum, parser::ValueSource};
use report::Format;
use tasks::DataDir;

use crate::{planning::seeds, spec::Selection};

/// What verbs have in common; `HEEDED` says which verb heeds what.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Other seeds than the suite's: 0..5, or 0,2,4
    #[arg(long, global = true, value_name = "SEEDS", value_parser = parse_seeds)]
    seeds: Option<Seeds>,
    /// Only runs with this method, router, task, backbone or seed; can be given several times
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    only: Vec<String>,
    /// A setting for all runs, train.steps=100; can be given several times
    #[arg(long, global = true, value_name = "A.B=C")]
    set: Vec<String>,
    /// Train part K of N of the runs, to share a suite among machines; K counts from 1
    #[arg(long, global = true, value_name = "K/N", value_parser = parse_shard)]
    pub(crate) shard: Option<Shard>,
    /// Where to compute: flex (the processor), wgpu, vulkan, cuda:0
    #[arg(long, global = true, default_value = "flex")]
    pub(crate) device: String,
    /// Processors to use; all if left out
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// Runs side by side, each on its share of the processors; as many as there are processors if
    /// left out. With 1, the peak memory is that of each run
    #[arg(long, global = true, value_name = "N")]
    jobs: Option<usize>,
    /// Write down how each run routes, at the start, with each evaluation and at the end
    #[arg(long, global = true)]
    pub(crate) trace: bool,
    /// Say where the time of the training steps went
    #[arg(long, global = true)]
    pub(crate) timing: bool,
    /// Follow the runs on a page in the terminal: losses as lines, and what was measured last
    #[arg(long, global = true)]
    pub(crate) tui: bool,
    /// The folder with data sets that are not built in
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where runs are kept
    #[arg(long, global = true, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// How tables are printed
    #[arg(long, global = true, value_enum, default_value = "text")]
    format: Shown,
    /// A tiny budget, to see whether everything works
    #[arg(long, global = true)]
    smoke: bool,
    /// Write csv, environment and page into DIR/SUITE/DATE, to be committed
    #[arg(long, global = true, value_name = "DIR", num_args = 0..=1, default_missing_value = "results")]
    pub(crate) publish: Option<PathBuf>,
    /// Publish results although this program, or the one that trained them, is a dev build
    #[arg(long, global = true, requires = "publish")]
    pub(crate) allow_dev: bool,
}

#[derive(Clone)]
struct Seeds(Vec<u64>);

/// Part `index` of `count`, from 0.
#[derive(Clone, Copy)]
pub(crate) struct Shard {
    pub(crate) index: usize,
    pub(crate) count: usize,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Shown {
    Text,
    Md,
    Tex,
    Csv,
    Json,
}

impl Options {
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            seeds: self.seeds.clone().map(|Seeds(seeds)| seeds),
            only: self.only.clone(),
            set: self.set.clone(),
            smoke: self.smoke,
            device: self.device.clone(),
        }
    }

    pub(crate) fn data(&self) -> DataDir {
        DataDir(self.data_dir.clone())
    }

    pub(crate) fn threads(&self) -> anyhow::Result<usize> {
        ensure!(self.threads != Some(0), "--threads 0: it is at least 1");
        let all = thread::available_parallelism().map_or(1, usize::from);
        Ok(self.threads.unwrap_or(all))
    }

    /// How many runs may go on side by side.
    pub(crate) fn jobs(&self) -> anyhow::Result<usize> {
        ensure!(self.jobs != Some(0), "--jobs 0: it is at least 1");
        Ok(self.jobs.unwrap_or(self.threads()?))
    }

    /// Is the answer for machines?
    pub(crate) fn json(&self) -> bool {
        self.format == Shown::Json
    }

    pub(crate) fn format(&self) -> Format {
        match self.format {
            Shown::Text => Format::Text,
            Shown::Md => Format::Markdown,
            Shown::Tex => Format::Latex,
            Shown::Csv => Format::Csv,
            Shown::Json => Format::Json,
        }
    }
}

/// The options that say which results of a suite are meant: those with which it was run.
const REQUEST: [&str; 5] = ["seeds", "only", "set", "smoke", "device"];

/// Options of all verbs that those verbs heed which are not `run`, and do not read results alone.
/// Every verb heeds `--runs` and `--format`.
const HEEDED: [(&str, &[&str]); 16] = [
    ("budget", &["seeds", "only", "set", "smoke", "data_dir"]),
    ("prune", &["set", "data_dir", "device", "threads", "trace", "tui"]),
    ("analyse", &["data_dir", "device"]),
    ("sample", &["data_dir", "device", "threads"]),
    ("speed", &["device", "threads"]),
    ("route", &["device"]),
    ("table", &REQUEST),
    ("cmp", &REQUEST),
    ("rank", &REQUEST),
    ("ledger", &REQUEST),
    ("power", &REQUEST),
    ("fit", &REQUEST),
    ("check", &REQUEST),
    ("report", &REQUEST),
    ("plot", &REQUEST),
    ("tensorboard", &REQUEST),
];

/// Is every option that was given one that the verb heeds? An option without effect is a mistake: who
/// asks for the table of two seeds must not be shown that of all.
pub(crate) fn heeded(matches: &ArgMatches) -> anyhow::Result<()> {
    let Some((verb, given)) = matches.subcommand().filter(|(verb, _)| *verb != "run") else {
        return Ok(());
    };
    let known = HEEDED.iter().find(|(name, _)| *name == verb).map_or(&[][..], |(_, known)| known);
    let is_given = |id: &str| given.value_source(id) == Some(ValueSource::CommandLine);
    let heeds = |id: &str| ["runs", "format"].contains(&id) || known.contains(&id);
    let options = Options::augment_args(Command::new(""));
    let mut ids = options.get_arguments().map(|arg| arg.get_id().as_str());
    match ids.find(|id| is_given(id) && !heeds(id)) {
        None => Ok(()),
        Some(id) => {
            let option = id.replace('_', "-");
            let known = ["runs", "format"].iter().chain(known);
            let known: Vec<String> =
                known.map(|id| format!("--{}", id.replace('_', "-"))).collect();
            bail!(
                "--{option} has no effect on {verb}; it heeds {} and what {verb} --help says first",
                known.join(", ")
            )
        }
    }
}

fn parse_seeds(text: &str) -> Result<Seeds, String> {
    seeds(text).map(Seeds).map_err(|err| err.to_string())
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let parts: Option<(usize, usize)> =
        text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    match parts {
        // Job arrays often count from 0: part 0 of n is part n.
        Some((k, n)) if n > 0 && k <= n => Ok(Shard { index: k % n, count: n }),
        _ => Err("it is K/N with K from 1 to N, 1/3 say".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_count_from_one_or_from_zero() {
        let index = |text| parse_shard(text).map(|shard| shard.index);
        assert_eq!([index("1/3"), index("2/3"), index("3/3")], [Ok(1), Ok(2), Ok(0)]);
        assert_eq!(index("0/3"), Ok(0));
        assert!(index("4/3").is_err() && index("1/0").is_err() && index("a").is_err());
    }
}
