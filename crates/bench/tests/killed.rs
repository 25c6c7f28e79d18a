//! A run that was killed, at whatever moment, ends with the same bits as one that never stopped.
//!
//! This test is its own program: with arguments of a suite it is `bench` with one more task, which ends
//! the process at a chosen access to its data, in training or evaluation, without any cleaning up. So
//! the moments do not depend on how fast the machine is.

mod common;

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use common::{Place, SUITE, ended};
use lab::prelude::*;

/// The access at which the process ends.
const KILL_AT: &str = "TEST_KILL_AT";
/// The file into which the number of accesses is written, if the process gets to its end.
const COUNT: &str = "TEST_COUNT";
/// The accesses of this process.
static ACCESSES: AtomicUsize = AtomicUsize::new(0);

/// Rows and columns of an image, and classes.
const SIDE: usize = 8;

/// Generated images with a bright column, whose number is the class.
struct Fatal;

impl LoadTask for Fatal {
    type Config = NoConfig;
    const NAME: &'static str = "fatal";
    const ABOUT: &'static str = "generated images with a bright column; ends the process";
    const SOURCE: &'static str = "generated";

    fn load(_config: &NoConfig, _data: &DataDir) -> Result<std::sync::Arc<dyn Task>, DataError> {
        Ok(std::sync::Arc::new(Self))
    }
}

/// Counts an access, and ends the process at the chosen one: at once, as SIGKILL would.
fn count() {
    let accesses = ACCESSES.fetch_add(1, Ordering::SeqCst) + 1;
    let kill_at = std::env::var(KILL_AT).ok().and_then(|text| text.parse().ok());
    if kill_at == Some(accesses) {
        std::process::abort();
    }
}

impl Task for Fatal {
    fn domain(&self) -> Domain {
        Domain::Image { channels: 1, height: SIDE, width: SIDE }
    }
    fn outputs(&self) -> usize {
        SIDE
    }
    fn causal(&self) -> bool {
        false
    }
    fn metrics(&self) -> &[&'static str] {
        &["accuracy", "loss"]
    }
    fn len(&self, split: Split) -> usize {
        if split == Split::Train { 400 } else { 200 }
    }
    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        count();
        let class = |number: usize| number * 7 % SIDE;
        let image = |number: usize| {
            let init = Init::new(number as u64, &Device::flex()).at(split.name());
            let noise = init.normal("noise", [SIDE, SIDE], 0.5).val().into_data();
            let noise: Vec<f32> = noise.iter::<f32>().collect();
            let bright = move |at: usize| if at % SIDE == class(number) { 1.0 } else { 0.0 };
            noise.into_iter().enumerate().map(move |(at, x)| x + bright(at))
        };
        let pixels: Vec<f32> = examples.iter().flat_map(|number| image(*number)).collect();
        let labels: Vec<i32> = examples.iter().map(|number| class(*number) as i32).collect();
        let shape = [examples.len(), 1, SIDE, SIDE];
        Batch::new(
            Input::Image(Tensor::from_data(TensorData::new(pixels, shape), device)),
            Tensor::from_data(TensorData::new(labels, [examples.len(), 1]), device),
        )
    }
    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        let n = batch.labels.dims()[0];
        let right = output.clone().argmax(2).squeeze_dim::<2>(2).equal(batch.labels.clone());
        score.add("accuracy", right.int().sum().into_scalar::<i64>() as f64, n);
        let loss = cross_entropy(output, batch.labels.clone()).sum();
        score.add("loss", f64::from(loss.into_scalar::<f32>()), n);
    }
}

/// The program under test.
fn program() -> ExitCode {
    let code = lab::main(Plugins::default().with_task::<Fatal>(), &[]);
    if let Some(path) = std::env::var_os(COUNT) {
        let count = ACCESSES.load(Ordering::SeqCst).to_string();
        fs::write(path, count).expect("the count can be written");
    }
    code
}

/// This program on the suite, with results in a folder.
fn call(place: &Place, runs: &str, threads: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(["run", "tiny.toml", "--runs", runs, "--threads", threads]);
    command.current_dir(place.path("")).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// What a process leaves behind that was killed while it wrote: half a row, and files of which only the
/// beginning is written beside their place.
fn tear(runs: &[std::path::PathBuf]) {
    for run in runs.iter().filter(|run| !run.join("result.json").exists()) {
        let metrics = run.join("metrics.csv");
        if let Ok(rows) = fs::read_to_string(&metrics) {
            fs::write(&metrics, rows + "39,train,lo").expect("a row can be added");
        }
        for name in ["checkpoint.bin.part", "result.json.part", "config.json.part"] {
            fs::write(run.join(name), "{").expect("a part can be written");
        }
    }
}

fn killed_at_any_moment_it_ends_with_the_same_bits() {
    let place = Place::with_suite(&SUITE.replace("\"digits\"", "\"fatal\""));
    let count = place.path("count");
    ended(&call(&place, "whole", "1").env(COUNT, &count).output().expect("it starts"), 0);
    let expected = place.outcomes("whole");
    assert_eq!(expected.len(), 3);
    let accesses: usize = read(&count).parse().expect("a count is a number");
    assert!(accesses > 3 * 2 * 40, "{accesses}");

    for part in 1..=7 {
        // With two threads two runs are killed at once.
        let (runs, threads) = (format!("killed-{part}"), if part % 2 == 0 { "1" } else { "2" });
        // Killed again and again, each time a little later, until it gets through.
        for attempt in 0.. {
            let kill_at = accesses * part / 8 + accesses * attempt / 4;
            let output = call(&place, &runs, threads).env(KILL_AT, kill_at.to_string()).output();
            match output.expect("it starts").status.code() {
                None => tear(&place.runs(&runs)),
                Some(code) => {
                    assert_eq!(code, 0, "{runs}, attempt {attempt}");
                    break;
                }
            }
            assert!(attempt < 4, "{runs}: nothing is kept from one attempt to the next");
        }
        assert_eq!(place.outcomes(&runs), expected, "{runs}");
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

#[allow(clippy::print_stdout, reason = "there is no harness that says what was tested")]
fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("run") => program(),
        Some("--list") => ExitCode::SUCCESS,
        _ => {
            killed_at_any_moment_it_ends_with_the_same_bits();
            println!("test killed_at_any_moment_it_ends_with_the_same_bits ... ok");
            ExitCode::SUCCESS
        }
    }
}
