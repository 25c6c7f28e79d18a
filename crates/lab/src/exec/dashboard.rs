//! `--tui`: the terminal as a page that follows the runs: how far each is, its loss as a line, and what
//! it last measured. It reads the files that runs write, so it changes nothing in them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use console::Term;
use indicatif::{HumanDuration, ProgressBar};
use training::{StepLog, StepRow};

/// How often the page is drawn.
const PERIOD: Duration = Duration::from_millis(300);
/// From the dark to the light end of a line of eight heights.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A page that is drawn until it is dropped.
pub(crate) struct Dashboard {
    runs: Arc<Mutex<Runs>>,
    close: Option<mpsc::Sender<()>>,
    drawing: Option<JoinHandle<()>>,
}

/// What the page shows.
struct Runs {
    whole: ProgressBar,
    going: Vec<Going>,
    /// The names and folders of those that are over.
    over: Vec<(String, PathBuf)>,
}

struct Going {
    bar: ProgressBar,
    folder: PathBuf,
}

impl Dashboard {
    /// Opens the page; none where there is no terminal.
    pub(crate) fn open(whole: ProgressBar) -> Option<Self> {
        let term = Term::stderr();
        if !term.is_term() {
            return None;
        }
        let runs = Arc::new(Mutex::new(Runs { whole, going: Vec::new(), over: Vec::new() }));
        let (close, closed) = mpsc::channel();
        let shown = runs.clone();
        let drawing = std::thread::spawn(move || {
            // A terminal that cannot be written to shows nothing; the runs go on.
            let _ = draw(&term, &shown, &closed);
        });
        Some(Self { runs, close: Some(close), drawing: Some(drawing) })
    }

    /// A run begins.
    pub(crate) fn enter(&self, bar: &ProgressBar, folder: PathBuf) {
        lock(&self.runs).going.push(Going { bar: bar.clone(), folder });
    }

    /// It has ended.
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

/// Draws on the terminal's second screen, so that the first is as it was afterwards.
fn draw(term: &Term, runs: &Mutex<Runs>, closed: &mpsc::Receiver<()>) -> io::Result<()> {
    term.write_str("\x1b[?1049h\x1b[?25l")?;
    while closed.recv_timeout(PERIOD) == Err(mpsc::RecvTimeoutError::Timeout) {
        let (rows, columns) = term.size();
        let lines = page(&lock(runs), rows.into(), columns.into());
        let text: String = lines.iter().map(|line| format!("{line}\x1b[K\r\n")).collect();
        term.write_str(&format!("\x1b[H{text}\x1b[J"))?;
    }
    term.write_str("\x1b[?25h\x1b[?1049l")
}

/// The lines of the page, as many and as long as there is room.
fn page(runs: &Runs, rows: usize, columns: usize) -> Vec<String> {
    let mut lines = vec![head(&runs.whole), String::new()];
    lines.extend(runs.going.iter().flat_map(|run| of_run(run, columns)));
    let footer = "Ctrl-C: write checkpoints and stop; the same command goes on from there.";
    let room = rows.saturating_sub(lines.len() + 3);
    let old = runs.over.len().saturating_sub(room);
    for (name, folder) in &runs.over[old..] {
        lines.push(format!("{name:<42} {}", measured(&read(folder))));
    }
    lines.extend([String::new(), footer.into()]);
    lines.truncate(rows.saturating_sub(1));
    lines.iter().map(|line| line.chars().take(columns).collect()).collect()
}

fn head(whole: &ProgressBar) -> String {
    let (gone, left) = (HumanDuration(whole.elapsed()), HumanDuration(whole.eta()));
    let share = share(whole);
    let percent = 100.0 * share;
    format!("{:<42} {} {percent:>3.0} %, {gone} gone, {left} left", whole.prefix(), bar(share))
}

/// Name and progress, the loss as a line, and what was measured last.
fn of_run(run: &Going, columns: usize) -> [String; 4] {
    let (at, all) = (run.bar.position(), run.bar.length().unwrap_or_default());
    let (name, left) = (run.bar.prefix(), HumanDuration(run.bar.eta()));
    let rows = read(&run.folder);
    let losses: Vec<f64> = of(&rows, "train", "loss").map(|row| row.value).collect();
    let last = losses.last().map_or("not yet".into(), |loss| format!("{loss:.4}"));
    [
        format!("{name:<42} {} {at:>5} of {all} steps, {left} left", bar(share(&run.bar))),
        format!("  loss   {last:>8}  {}", line(&losses, columns.saturating_sub(22).max(1))),
        format!("  valid  {}", measured(&rows)),
        String::new(),
    ]
}

fn share(bar: &ProgressBar) -> f64 {
    bar.position() as f64 / bar.length().unwrap_or_default().max(1) as f64
}

fn bar(share: f64) -> String {
    let done = (20.0 * share) as usize;
    format!("[{:-<20}]", "=".repeat(done.min(20)))
}

/// What a run has written; nothing while there is no file.
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

/// The last numbers on the validation split, without those of single experts.
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

/// Values as heights between their least and their largest, the mean of those that share a place.
fn line(values: &[f64], width: usize) -> String {
    let places = values.len().min(width);
    let place = |at: usize| {
        let (from, to) = (at * values.len() / places, (at + 1) * values.len() / places);
        values[from..to].iter().sum::<f64>() / (to - from) as f64
    };
    let means: Vec<f64> = (0..places).map(place).collect();
    let (least, most) = means.iter().fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
    let height = |x: f64| (7.99 * (x - least) / (most - least).max(f64::MIN_POSITIVE)) as usize;
    means.into_iter().map(|x| HEIGHTS[height(x).min(7)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_from_the_least_to_the_largest() {
        assert_eq!(line(&[8.0, 4.0, 2.0, 1.0], 4), "█▄▂▁");
        assert_eq!(line(&[8.0, 6.0, 1.0, 1.0], 2), "█▁");
        assert_eq!(line(&[1.0; 3], 9), "▁▁▁");
        assert_eq!(line(&[], 9), "");
        assert_eq!(line(&[f64::NAN, 1.0, 2.0], 3).chars().count(), 3);
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
        let text = page(&runs, 40, 120).join("\n");
        assert!(text.contains("top-k, digits, seed 0"), "{text}");
        assert!(text.contains("[==========----------]    20 of 40 steps"), "{text}");
        // The row that is being written is left out.
        assert!(text.contains("  loss     1.0000  █▁\n"), "{text}");
        assert!(text.contains("  valid  accuracy 0.5000 at step 20\n"), "{text}");
        assert!(text.contains("dense, seed 0"), "{text}");
        let small = page(&runs, 12, 30);
        assert!(small.len() < 12 && small.iter().all(|line| line.chars().count() <= 30));
        assert!(small.iter().any(|line| line.contains("dense, seed 8")), "{small:?}");
        runs.going.extend((0..9).map(|_| run()));
        assert_eq!(page(&runs, 12, 30).len(), 11);
        assert_eq!(page(&runs, 0, 0).len(), 0);
    }
}
