//! The command line: one verb a file in `verbs`.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use report::Format;
use tasks::DataDir;

use crate::{Plugins, Suite, config::seeds, suite::Selection, verbs, verbs::ask::Question};

/// Compares Mixture-of-Experts methods fairly: the same budget, several seeds, intervals.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Without a verb: trains the default suite, then prints its table."
)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Verb {
    /// Train the runs of a suite that are not there yet, then print its table
    Run {
        /// A suite's name, or the path of a TOML file
        suite: Option<String>,
    },
    /// Say what a suite can name
    List {
        /// What to list; all if left out
        kind: Option<verbs::list::Kind>,
        /// For machines, the same as --format json
        #[arg(long)]
        json: bool,
    },
    /// Print the comparison table; nothing is trained
    Table {
        #[command(flatten)]
        question: Question,
    },
    /// Say how much better one method is than another, and how sure that is
    Cmp {
        /// The one; the verdict is about it
        a: String,
        /// The other
        b: String,
        /// The size below which a difference does not matter
        #[arg(long)]
        margin: Option<f64>,
        #[command(flatten)]
        question: Question,
    },
    /// Rank the methods over all tasks
    Rank {
        #[command(flatten)]
        question: Question,
    },
    /// Say what each method was given and what it took: parameters, FLOPs, tokens, time, memory
    Ledger {
        /// A row for each run, not for each method
        #[arg(long)]
        each: bool,
        #[command(flatten)]
        question: Question,
    },
    /// Say what a suite holds equal and which sizes follow; nothing is trained
    Budget {
        /// A suite's name, or the path of a TOML file
        suite: Option<String>,
    },
    /// Say how many seeds it takes to show a difference
    Power {
        /// The method that the others are compared with; the first if left out
        #[arg(long)]
        baseline: Option<String>,
        /// The size of the difference; as it looks now if left out
        #[arg(long)]
        margin: Option<f64>,
        #[command(flatten)]
        question: Question,
    },
    /// Say how the best learning rate and batch, and the loss, follow from the FLOPs of training
    Fit(verbs::fit::Call),
    /// Say what it takes to train a language model: FLOPs, hours, money; nothing is trained
    Cost(verbs::cost::Call),
    /// See whether results lie where the suite expects them; exits with 1 if not
    Check {
        /// The suite with the expectations
        suite: Option<String>,
        /// csv files; the suite's own results if left out
        sources: Vec<String>,
    },
    /// Test what papers claim on the committed results of the experiments, and write the page
    Claims {
        /// The file to write
        #[arg(long, value_name = "FILE", default_value = "docs/claims.md")]
        out: PathBuf,
    },
    /// Write the report, one HTML file; or the tables into a page
    Report {
        /// The file to write; RUNS/SUITE.html if left out
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Rewrite the block between <!-- BEGIN: SUITE --> and <!-- END: SUITE --> of this page
        #[arg(long, value_name = "FILE")]
        splice: Option<PathBuf>,
        /// The size below which a difference does not matter
        #[arg(long)]
        margin: Option<f64>,
        #[command(flatten)]
        question: Question,
    },
    /// Let a router decide on an input from a file, and write its plan
    Route(verbs::route::Call),
    /// Measure how fast a layer of experts is, engine by engine; or what routers cost
    Speed(verbs::speed::Setting),
    /// Drop experts of a trained run, and say what that saves and costs
    Prune(verbs::prune::Setting),
    /// Say what a trained run's routing is like: load, entropy, classes, what choices are worth
    Analyse(verbs::analyse::Call),
    /// Let a trained language model go on with a text
    Sample(verbs::sample::Call),
    /// Write the plots of the report as SVG files, to go into a paper
    Plot {
        /// The folder to write into; RUNS/SUITE-plots if left out
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        question: Question,
    },
    /// Write docs/routers.md from what the routers' files say of themselves
    Docs {
        /// Only say whether it is current; exits with 1 if not
        #[arg(long)]
        check: bool,
    },
    /// Write the courses of runs as TensorBoard event files
    Tensorboard {
        /// The folder to write into; RUNS/SUITE-tensorboard if left out
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        question: Question,
    },
    /// Write a new router or experiment that builds and runs as it is
    New {
        /// What to write
        what: verbs::new::What,
        /// Its name, with dashes
        name: String,
    },
}

/// What all verbs understand.
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

/// What a verb ends with.
pub(crate) struct Answer {
    /// What is printed.
    pub(crate) text: String,
    /// The exit code.
    pub(crate) code: u8,
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self { text, code: 0 }
    }
}

pub(crate) fn main(plugins: &Plugins, suites: &[Suite]) -> ExitCode {
    kernels::keep_freed_memory();
    let cli = Cli::parse();
    let stop = Arc::new(AtomicBool::new(false));
    let result = stop_on_ctrl_c(&stop).and_then(|()| run(cli, plugins, suites, &stop));
    match result {
        Ok(answer) => {
            print(&answer.text);
            ExitCode::from(answer.code)
        }
        Err(_) if stop.load(Ordering::Relaxed) => {
            say("stopped; the same command goes on from here");
            ExitCode::from(130)
        }
        Err(err) => {
            say(&format!("error: {err:#}"));
            ExitCode::from(2)
        }
    }
}

/// Does what is asked for, and gives what is to be printed.
fn run(
    cli: Cli,
    plugins: &Plugins,
    suites: &[Suite],
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Answer> {
    let options = &cli.options;
    match cli.verb.unwrap_or(Verb::Run { suite: None }) {
        Verb::Run { suite } => verbs::run::run(suite.as_deref(), options, plugins, suites, stop),
        Verb::List { kind, json } => {
            let json = json || options.format == Shown::Json;
            Ok(verbs::list::list(kind, json, plugins, suites).into())
        }
        Verb::Table { question } => verbs::table::table(&question, options, suites),
        Verb::Cmp { a, b, margin, question } => {
            verbs::cmp::compare([&a, &b], margin, &question, options, suites)
        }
        Verb::Rank { question } => verbs::cmp::ranking(&question, options, suites),
        Verb::Ledger { each, question } => verbs::cmp::accounts(each, &question, options, suites),
        Verb::Budget { suite } => {
            verbs::budget::budget(suite.as_deref(), options, plugins, suites).map(Answer::from)
        }
        Verb::Power { baseline, margin, question } => {
            let baseline = baseline.as_deref();
            verbs::cmp::seeds_needed(baseline, margin, &question, options, suites)
        }
        Verb::Fit(call) => verbs::fit::laws(&call, options, suites),
        Verb::Cost(call) => Ok(verbs::cost::cost(&call, options.format())?.into()),
        Verb::Check { suite, sources } => {
            verbs::cmp::expectations(suite.as_deref(), &sources, options, suites)
        }
        Verb::Claims { out } => verbs::claims::claims(&out, suites).map(Answer::from),
        Verb::Report { out, splice, margin, question } => {
            let to = (out.as_deref(), splice.as_deref());
            verbs::report::report(to, margin, &question, options, suites)
        }
        Verb::Analyse(call) => Ok(verbs::analyse::analyse(&call, options, plugins)?.into()),
        Verb::Route(call) => Ok(verbs::route::route(&call, options, plugins)?.into()),
        Verb::Speed(setting) => {
            let format = if setting.json { Format::Json } else { options.format() };
            Ok(verbs::speed::speed(&setting, options, plugins, format)?.into())
        }
        Verb::Prune(setting) => {
            let json = options.format == Shown::Json;
            verbs::prune::prune(&setting, options, plugins, suites, stop, json).map(Answer::from)
        }
        Verb::Sample(call) => {
            let json = options.format == Shown::Json;
            Ok(verbs::sample::sample(&call, options, plugins, json)?.into())
        }
        Verb::Plot { out, question } => {
            verbs::report::plot(out.as_deref(), &question, options, suites)
        }
        Verb::Docs { check } => verbs::docs::docs(check, plugins),
        Verb::Tensorboard { out, question } => {
            verbs::tensorboard::tensorboard(out.as_deref(), &question, options, suites)
        }
        Verb::New { what, name } => verbs::new::new(what, &name).map(Answer::from),
    }
}

/// The first Ctrl-C asks the runs to stop after their step, the second does not wait.
fn stop_on_ctrl_c(stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let stop = stop.clone();
    ctrlc::set_handler(move || {
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("Ctrl-C cannot be caught")
}

/// Results go to the standard output.
#[allow(clippy::print_stdout, reason = "this is the one place that prints results")]
fn print(text: &str) {
    print!("{text}");
}

/// What is said about them goes to the standard error.
#[allow(clippy::print_stderr, reason = "this is the one place that talks")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
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
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn shards_count_from_one_or_from_zero() {
        let index = |text| parse_shard(text).map(|shard| shard.index);
        assert_eq!([index("1/3"), index("2/3"), index("3/3")], [Ok(1), Ok(2), Ok(0)]);
        assert_eq!(index("0/3"), Ok(0));
        assert!(index("4/3").is_err() && index("1/0").is_err() && index("a").is_err());
    }
}
