//! `--tui`: a full-screen page that displays the runs: the progress of each, its training loss as a
//! sparkline, and its latest metrics on the validation split. It only reads the files that runs write.

use std::{
    io::{self, IsTerminal},
    panic,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use indicatif::{HumanDuration, ProgressBar};
use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen},
    },
    layout::{Constraint, Layout, Rect},
    symbols::line::THICK_HORIZONTAL,
    widgets::{LineGauge, Paragraph, Sparkline},
};
use training::{StepLog, StepRow};

/// The interval between two frames.
const PERIOD: Duration = Duration::from_millis(300);

/// A page that is redrawn until it is dropped.
pub(crate) struct Dashboard {
    runs: Arc<Mutex<Runs>>,
    close: Option<mpsc::Sender<()>>,
    drawing: Option<JoinHandle<()>>,
}

/// The content of the page.
struct Runs {
    whole: ProgressBar,
    going: Vec<Going>,
    /// The names and folders of the runs that have ended.
    over: Vec<(String, PathBuf)>,
}

struct Going {
    bar: ProgressBar,
    folder: PathBuf,
}

impl Dashboard {
    /// Opens the page; none if the standard error is not a terminal.
    pub(crate) fn open(whole: ProgressBar) -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let runs = Arc::new(Mutex::new(Runs { whole, going: Vec::new(), over: Vec::new() }));
        let (close, closed) = mpsc::channel();
        let shown = runs.clone();
        let drawing = std::thread::spawn(move || {
            // If the terminal cannot be written to, nothing is shown, and the runs continue.
            let _ = draw(&shown, &closed);
        });
        Some(Self { runs, close: Some(close), drawing: Some(drawing) })
    }

    /// Adds a run that begins.
    pub(crate) fn enter(&self, bar: &ProgressBar, folder: PathBuf) {
        lock(&self.runs).going.push(Going { bar: bar.clone(), folder });
    }

    /// Moves a run to those that have ended.
    pub(crate) fn leave(&self, bar: &ProgressBar) {
        let mut runs = lock(&self.runs);
        if let Some(at) = runs.going.iter().position(|run| run.bar.prefix() == bar.prefix()) {
            let run = runs.going.remove(at);
            runs.over.push((run.bar.prefix(), run.folder));
        }
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(drawing) = self.drawing.take() {
            let _ = drawing.join();
        }
    }
}

fn lock(runs: &Mutex<Runs>) -> MutexGuard<'_, Runs> {
    runs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The terminal's alternate screen. The main screen is restored when this is dropped, and at a panic of any
/// thread, whose message would otherwise be lost; after a panic nothing more is drawn.
struct Screen {
    open: Arc<AtomicBool>,
}

impl Screen {
    fn open() -> io::Result<Self> {
        execute!(io::stderr(), EnterAlternateScreen)?;
        let open = Arc::new(AtomicBool::new(true));
        let (seen, previous) = (open.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |info| {
            if seen.swap(false, Ordering::Relaxed) {
                close_screen();
            }
            previous(info);
        }));
        Ok(Self { open })
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.open.swap(false, Ordering::Relaxed) {
            close_screen();
        }
    }
}

/// Restores the terminal's main screen and its cursor, if the alternate screen is open.
pub(crate) fn close_screen() {
    if io::stderr().is_terminal() {
        let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
    }
}

/// Redraws the page until it is closed, or until a panic closes the screen.
fn draw(runs: &Mutex<Runs>, closed: &mpsc::Receiver<()>) -> io::Result<()> {
    let screen = Screen::open()?;
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stderr()))?;
    while closed.recv_timeout(PERIOD) == Err(mpsc::RecvTimeoutError::Timeout) && screen.is_open() {
        terminal.draw(|frame| page(frame, &lock(runs)))?;
    }
    Ok(())
}

/// Draws, from the top and as far as there is space: totals, active runs, recently finished runs.
fn page(frame: &mut Frame, runs: &Runs) {
    let [area, footer] =
        Layout::vertical([Constraint::Min(0), Constraint::Max(1)]).areas(frame.area());
    let mut rows = area.rows();
    gauge(frame, rows.next(), &runs.whole, &head(&runs.whole));
    rows.next();
    for run in &runs.going {
        of_run(frame, run, [(); 3].map(|()| rows.next()));
        rows.next();
    }
    let rows: Vec<Rect> = rows.collect();
    let old = runs.over.len().saturating_sub(rows.len());
    for ((name, folder), row) in runs.over[old..].iter().zip(rows) {
        frame.render_widget(format!("{name:<42} {}", measured(&read(folder))), row);
    }
    let help = "Ctrl-C: write checkpoints and stop; the same command resumes.";
    frame.render_widget(Paragraph::new(help), footer);
}

fn head(whole: &ProgressBar) -> String {
    let (gone, left) = (HumanDuration(whole.elapsed()), HumanDuration(whole.eta()));
    format!("{:<42} {:>3.0} %, {gone} elapsed, {left} left", whole.prefix(), 100.0 * share(whole))
}

/// Draws the name and progress of a run, the loss as a sparkline, and the latest validation metrics.
fn of_run(frame: &mut Frame, run: &Going, [progress, loss, valid]: [Option<Rect>; 3]) {
    let (at, all) = (run.bar.position(), run.bar.length().unwrap_or_default());
    let left = HumanDuration(run.bar.eta());
    let text = format!("{:<42} {at:>5} of {all} steps, {left} left", run.bar.prefix());
    gauge(frame, progress, &run.bar, &text);
    let rows = read(&run.folder);
    if let Some(row) = loss {
        let losses: Vec<f64> = of(&rows, "train", "loss").map(|row| row.value).collect();
        let last = losses.last().map_or("not yet".into(), |loss| format!("{loss:.4}"));
        let [text, line] =
            Layout::horizontal([Constraint::Length(19), Constraint::Min(0)]).areas(row);
        frame.render_widget(format!("  loss   {last:>8}"), text);
        let heights = heights(&losses, line.width.into());
        frame.render_widget(Sparkline::default().data(heights).max(8), line);
    }
    if let Some(row) = valid {
        frame.render_widget(format!("  valid  {}", measured(&rows)), row);
    }
}

/// Draws a text, and a progress bar in the rest of the row.
fn gauge(frame: &mut Frame, row: Option<Rect>, bar: &ProgressBar, text: &str) {
    if let Some(row) = row {
        let line = LineGauge::default().filled_symbol(THICK_HORIZONTAL);
        frame.render_widget(line.ratio(share(bar)).label(text), row);
    }
}

/// The share of a bar that is done, from 0 to 1.
fn share(bar: &ProgressBar) -> f64 {
    (bar.position() as f64 / bar.length().unwrap_or_default().max(1) as f64).min(1.0)
}

/// The log of a run; empty if there is no file yet.
fn read(folder: &Path) -> Vec<StepRow> {
    StepLog::read_intact(&folder.join("metrics.csv")).unwrap_or_default()
}

fn of<'a>(
    rows: &'a [StepRow],
    split: &'a str,
    metric: &'a str,
) -> impl Iterator<Item = &'a StepRow> {
    rows.iter().filter(move |row| row.split == split && row.metric == metric)
}

/// The latest metrics on the validation split, without those of single experts.
fn measured(rows: &[StepRow]) -> String {
    let valid = || rows.iter().filter(|row| row.split == "valid" && !row.metric.contains('/'));
    let step = valid().map(|row| row.step).max();
    let numbers = valid().filter(|row| Some(row.step) == step);
    let numbers: Vec<String> =
        numbers.map(|row| format!("{} {:.4}", row.metric.replace('_', " "), row.value)).collect();
    match (step, numbers.is_empty()) {
        (Some(step), false) => format!("{} at step {step}", numbers.join(", ")),
        _ => "not yet".into(),
    }
}

/// Values as heights from 1, for the smallest, to 8, for the largest; values that share a column are
/// averaged.
fn heights(values: &[f64], width: usize) -> Vec<u64> {
    let places = values.len().min(width);
    let place = |at: usize| {
        let (from, to) = (at * values.len() / places, (at + 1) * values.len() / places);
        values[from..to].iter().sum::<f64>() / (to - from) as f64
    };
    let means: Vec<f64> = (0..places).map(place).collect();
    let (least, most) = means.iter().fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
    let height = |x: f64| 1 + (7.99 * (x - least) / (most - least).max(f64::MIN_POSITIVE)) as u64;
    means.into_iter().map(|x| height(x).min(8)).collect()
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::*;

    /// The page, row by row, on a terminal of this size.
    fn shown(runs: &Runs, columns: u16, rows: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| page(frame, runs)).unwrap();
        let cells = terminal.backend().buffer().content().chunks(columns.max(1).into());
        let row =
            |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect();
        cells.map(row).collect()
    }

    #[test]
    fn heights_go_from_the_least_to_the_largest() {
        assert_eq!(heights(&[8.0, 4.0, 2.0, 1.0], 4), [8, 4, 2, 1]);
        assert_eq!(heights(&[8.0, 6.0, 1.0, 1.0], 2), [8, 1]);
        assert_eq!(heights(&[1.0; 3], 9), [1, 1, 1]);
        assert!(heights(&[], 9).is_empty());
        assert!(heights(&[1.0; 3], 0).is_empty());
        assert_eq!(heights(&[f64::NAN, 1.0, 2.0], 3).len(), 3);
    }

    #[test]
    fn the_page_says_where_runs_are_and_fits() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = "step,split,metric,value\n10,train,loss,2.0\n20,train,loss,1.0\n\
                       20,valid,accuracy,0.5\n20,valid,load/0/1,7.0\n40,train,loss,0.2";
        std::fs::write(folder.path().join("metrics.csv"), metrics).unwrap();
        let bar = ProgressBar::hidden().with_prefix("top-k, digits, seed 0").with_position(20);
        bar.set_length(40);
        let whole = ProgressBar::hidden().with_prefix("1 of 2 runs");
        whole.set_length(80);
        let run = || Going { bar: bar.clone(), folder: folder.path().into() };
        let over = (0..9).map(|seed| (format!("dense, seed {seed}"), folder.path().into()));
        let mut runs = Runs { whole, going: vec![run()], over: over.collect() };
        let rows = shown(&runs, 120, 40);
        assert!(rows[0].starts_with("1 of 2 runs"), "{rows:#?}");
        let begin = "top-k, digits, seed 0                         20 of 40 steps, ";
        assert!(rows[2].starts_with(begin), "{rows:#?}");
        // Half of the line that is left is done.
        let line = |cell: char| rows[2].chars().filter(|c| *c == cell).count();
        assert!(line('━') + line('─') > 20, "{rows:#?}");
        // The row that is only half-written is left out.
        assert_eq!(rows[3].trim_end(), "  loss     1.0000  █▁");
        assert_eq!(rows[4].trim_end(), "  valid  accuracy 0.5000 at step 20");
        assert!(rows[6].starts_with("dense, seed 0"), "{rows:#?}");
        assert!(rows[39].starts_with("Ctrl-C: write checkpoints"), "{rows:#?}");
        let small = shown(&runs, 30, 9);
        assert!(small[7].starts_with("dense, seed 8"), "{small:#?}");
        runs.going.extend((0..9).map(|_| run()));
        let small = shown(&runs, 30, 9);
        assert!(small[6].starts_with("top-k, digits, seed 0"), "{small:#?}");
        shown(&runs, 1, 1);
        shown(&runs, 0, 0);
    }
}
