//! The command line: one verb a file in `verbs`.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use report::Format;

use crate::{
    Plugins,
    options::{Options, heeded},
    spec::Suite,
    verbs::{self, ask::QueryArgs},
};

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
        question: QueryArgs,
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
        question: QueryArgs,
    },
    /// Rank the methods over all tasks
    Rank {
        #[command(flatten)]
        question: QueryArgs,
    },
    /// Say what each method was given and what it took: parameters, FLOPs, tokens, time, memory
    Ledger {
        /// A row for each run, not for each method
        #[arg(long)]
        each: bool,
        #[command(flatten)]
        question: QueryArgs,
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
        question: QueryArgs,
    },
    /// Say how the best learning rate and batch, and the loss, follow from the FLOPs of training
    Fit(verbs::fit::FitArgs),
    /// Say what it takes to train a language model: FLOPs, hours, money; nothing is trained
    Cost(verbs::cost::CostArgs),
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
        question: QueryArgs,
    },
    /// Let a router decide on an input from a file, and write its plan
    Route(verbs::route::RouteArgs),
    /// Measure how fast a layer of experts is, engine by engine; or what routers cost
    Speed(verbs::speed::Setting),
    /// Drop experts of a trained run, and say what that saves and costs
    Prune(verbs::prune::Setting),
    /// Say what a trained run's routing is like: load, entropy, classes, what choices are worth
    Analyse(verbs::analyse::AnalyseArgs),
    /// Let a trained language model go on with a text
    Sample(verbs::sample::SampleArgs),
    /// Write the plots of the report as SVG files, to go into a paper
    Plot {
        /// The folder to write into; RUNS/SUITE-plots if left out
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        question: QueryArgs,
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
        question: QueryArgs,
    },
    /// Write a new router or experiment that builds and runs as it is
    New {
        /// What to write
        what: verbs::new::What,
        /// Its name, with dashes
        name: String,
    },
}

/// What a verb ends with.
pub(crate) struct Answer {
    /// What is printed.
    pub(crate) text: String,
    /// What went wrong beside it.
    pub(crate) error: Option<anyhow::Error>,
    /// The exit code.
    pub(crate) code: u8,
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self { text, error: None, code: 0 }
    }
}

pub(crate) fn main(plugins: &Plugins, suites: &[Suite]) -> ExitCode {
    kernels::keep_freed_memory();
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|err| err.exit());
    let stop = Arc::new(AtomicBool::new(false));
    let result = heeded(&matches)
        .and_then(|()| stop_on_ctrl_c(&stop))
        .and_then(|()| run(cli, plugins, suites, &stop));
    match result {
        Ok(answer) => {
            print(&answer.text);
            if let Some(err) = answer.error {
                say(&format!("error: {}", told(&err)));
            }
            ExitCode::from(answer.code)
        }
        Err(_) if stop.load(Ordering::Relaxed) => {
            say("stopped; the same command goes on from here");
            ExitCode::from(130)
        }
        Err(err) => {
            say(&format!("error: {}", told(&err)));
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
            let json = json || options.json();
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
            let json = options.json();
            verbs::prune::prune(&setting, options, plugins, suites, stop, json).map(Answer::from)
        }
        Verb::Sample(call) => {
            let json = options.json();
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

/// An error and its causes, without those that the message before them has already told.
fn told(err: &anyhow::Error) -> String {
    err.chain().map(ToString::to_string).fold(String::new(), |told, cause| {
        match (told.is_empty(), told.ends_with(&cause)) {
            (true, _) => cause,
            (false, true) => told,
            (false, false) => format!("{told}: {cause}"),
        }
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_cause_is_told_once() {
        let file = || std::io::Error::other("no such file");
        let twice = anyhow::Error::new(file()).context("runs.csv: no such file").context("table");
        assert_eq!(told(&twice), "table: runs.csv: no such file");
        assert_eq!(told(&anyhow::Error::new(file()).context("a.csv")), "a.csv: no such file");
    }
}
