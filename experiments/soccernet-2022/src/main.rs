//! Tests findings of the challenges of SoccerNet 2022 on generated data, with and without experts.
//! `cargo run --release -p soccernet-2022` runs the suite; see README.md. Tasks, metrics and networks
//! are in the library; the suites define the comparisons.

use lab::prelude::*;

fn main() -> ExitCode {
    lab::main(
        Plugins::default(),
        &[
            lab::suite!("soccernet-2022", "../suite.toml"),
            lab::suite!("soccernet-2022-players", "../players.toml"),
            lab::suite!("soccernet-2022-video", "../video.toml"),
        ],
    )
}
