//! Scores a submission without the rest of the workspace, and prints the time that it took: `cargo run -p
//! soccernet --example score -- TASK TRUTH PREDICTION`.
#![allow(clippy::print_stdout)]

use std::{io::Write, path::Path, process::ExitCode, time::Instant};

use soccernet::{Options, Task, score_paths};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [task, truth, prediction] = &arguments[..] else {
        println!("usage: score TASK TRUTH PREDICTION");
        return ExitCode::from(2);
    };
    let Some(task) = Task::parse(task) else {
        let names = Task::ALL.map(|(name, ..)| name).join(", ");
        println!("unknown task {task}; known: {names}");
        return ExitCode::from(2);
    };
    let start = Instant::now();
    match score_paths(task, Path::new(truth), Path::new(prediction), &Options::of(task)) {
        Ok(score) => {
            let text = format!("{}took {:.3} s\n", score.text(), start.elapsed().as_secs_f64());
            // A reader that closes the pipe early, such as `head`, is no error.
            drop(std::io::stdout().write_all(text.as_bytes()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("error: {error}");
            ExitCode::from(2)
        }
    }
}
