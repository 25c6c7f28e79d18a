//! The program with an additional task, which ends the process without any cleanup at a chosen access to its
//! data, in training or evaluation. So the point in time does not depend on the speed of the machine.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fs,
    process::{Command, ExitCode},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use lab::prelude::*;

/// The number of the access at which the process ends.
pub(crate) const KILL_AT: &str = "TEST_KILL_AT";
/// The milliseconds after which the process ends, wherever it is, even in an exchange.
pub(crate) const KILL_AFTER: &str = "TEST_KILL_AFTER";
/// The rank of the process that is killed, if there are several.
pub(crate) const KILL_RANK: &str = "TEST_KILL_RANK";
/// The file into which the number of accesses is written if the process finishes.
pub(crate) const COUNT: &str = "TEST_COUNT";
/// The number of accesses of this process.
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

/// Counts an access, and ends the process at the chosen one, at once, as SIGKILL would.
fn count() {
    let accesses = ACCESSES.fetch_add(1, Ordering::SeqCst) + 1;
    if set(KILL_AT) == Some(accesses) && is_chosen() {
        kill();
    }
}

fn set<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Whether this is the process that is to be killed.
fn is_chosen() -> bool {
    set::<usize>(KILL_RANK) == set("OMPI_COMM_WORLD_RANK")
}

fn kill() {
    let own = std::process::id().to_string();
    drop(Command::new("kill").args(["-KILL", &own]).status());
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
pub(crate) fn program() -> ExitCode {
    if let Some(after) = set(KILL_AFTER).filter(|_| is_chosen()) {
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(after));
            kill();
        });
    }
    let code = lab::main(Plugins::default().with_task::<Fatal>(), &[]);
    if let Some(path) = std::env::var_os(COUNT) {
        let count = ACCESSES.load(Ordering::SeqCst).to_string();
        fs::write(path, count).expect("the count can be written");
    }
    code
}
