//! The display of progress: a line for each run that is being trained and one for all of them, or a page.
//! Nothing is displayed without a terminal.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use training::Watch;

use super::dashboard::Dashboard;
use crate::spec::RunSpec;

/// The display of runs in progress.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgressDisplay {
    Nothing,
    /// A line for each run.
    Lines,
    /// The whole terminal, as a page.
    Page,
}

/// The lines of all runs.
pub(crate) struct Progress {
    lines: MultiProgress,
    whole: ProgressBar,
    runs: ProgressBar,
    page: Option<Dashboard>,
    stop: Arc<AtomicBool>,
}

impl Progress {
    /// The display of these runs.
    pub(crate) fn new(specs: &[&RunSpec], shown: ProgressDisplay, stop: Arc<AtomicBool>) -> Self {
        let lines = MultiProgress::new();
        if shown != ProgressDisplay::Lines {
            lines.set_draw_target(ProgressDrawTarget::hidden());
        }
        let steps: usize = specs.iter().map(|spec| spec.config.train.steps).sum();
        let whole = lines.add(ProgressBar::new(steps as u64));
        whole.set_style(style(
            "{prefix:<42} [{bar:30}] {percent:>3} %  {elapsed} elapsed, {eta} left",
        ));
        let runs = ProgressBar::hidden();
        runs.set_length(specs.len() as u64);
        let page =
            (shown == ProgressDisplay::Page).then(|| Dashboard::open(whole.clone())).flatten();
        let progress = Self { lines, whole, runs, page, stop };
        progress.count();
        progress
    }

    /// Adds a line for one run, which writes into a folder.
    pub(crate) fn line(&self, spec: &RunSpec, folder: PathBuf) -> Line<'_> {
        let steps = spec.config.train.steps as u64;
        let bar = self.lines.insert_before(&self.whole, ProgressBar::new(steps));
        bar.set_style(style("{prefix:<42} [{bar:30}] {pos:>5}/{len} steps, {eta} left"));
        let name = format!("{}, {}, seed {}", spec.method, spec.config.task.kind, spec.seed);
        bar.set_prefix(in_a_line(&name));
        if let Some(page) = &self.page {
            page.enter(&bar, folder);
        }
        Line { progress: self, bar }
    }

    /// Counts a run that has ended; `print` may print lines in the meantime.
    pub(crate) fn run_is_over(&self, print: impl FnOnce()) {
        self.lines.suspend(print);
        self.runs.inc(1);
        self.count();
    }

    fn count(&self) {
        let (done, all) = (self.runs.position(), self.runs.length().unwrap_or_default());
        self.whole.set_prefix(format!("{done} of {all} runs"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.whole.finish_and_clear();
    }
}

/// The line of one run.
pub(crate) struct Line<'a> {
    progress: &'a Progress,
    bar: ProgressBar,
}

impl Watch for Line<'_> {
    fn step(&mut self, done: usize) {
        self.progress.whole.inc((done as u64).saturating_sub(self.bar.position()));
        self.bar.set_position(done as u64);
    }

    fn stop(&self) -> bool {
        self.progress.stop.load(Ordering::Relaxed)
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if let Some(page) = &self.progress.page {
            page.leave(&self.bar);
        }
        self.bar.finish_and_clear();
    }
}

/// A text without control characters and without line breaks.
fn in_a_line(text: &str) -> String {
    text.chars().map(report::visible).collect()
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates above are well formed")
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs_do_not_command_the_terminal() {
        assert_eq!(in_a_line("é\u{1b}[2J\u{202e}\nb"), "é\u{fffd}[2J\u{fffd}\u{fffd}b");
    }
}
