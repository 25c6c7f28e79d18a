//! Options for the display of a training and for the files that it writes in addition to results.

use burn::prelude::*;
use clap::Args;
use training::ProcessGroup;

use crate::{
    cli::Session,
    exec::{ProgressDisplay, Runner},
    spec::RunSpec,
    store::{Environment, Store},
};

/// Options for traces and for the display during training.
#[derive(Args, Clone, Copy)]
pub(crate) struct WatchArgs {
    /// Write routing traces of each run: at the start, at each evaluation and at the end
    #[arg(long)]
    pub(crate) trace: bool,
    /// Show a dashboard in the terminal: training curves and the latest metrics
    #[arg(long)]
    tui: bool,
    /// Print what happens to each run
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

impl WatchArgs {
    /// The selected display.
    pub(crate) fn shown(self, session: &Session) -> ProgressDisplay {
        match (self.tui, session.is_quiet()) {
            (true, _) => ProgressDisplay::Page,
            (false, false) => ProgressDisplay::Lines,
            (false, true) => ProgressDisplay::Nothing,
        }
    }

    /// Prints a detail of a run to the standard error if `--verbose` is given.
    pub(crate) fn say_more(self, session: &Session, text: &str) {
        if self.verbose {
            session.say(text);
        }
    }

    /// Trains one run in this process alone.
    pub(crate) fn train(
        self,
        spec: &RunSpec,
        (store, device, environment): (&Store, &Device, &Environment),
        session: &Session,
    ) -> anyhow::Result<()> {
        let runner = Runner {
            plugins: session.plugins,
            store,
            device,
            environment,
            jobs: 1,
            trace: self.trace,
            shown: self.shown(session),
            on_end: &|text| self.say_more(session, text),
            tracer: None,
            group: ProcessGroup::alone(),
            stop: session.stop.clone(),
        };
        runner.train(&[spec])
    }
}
