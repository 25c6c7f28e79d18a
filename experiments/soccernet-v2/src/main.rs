//! Tests the findings of SoccerNet-v2 on generated games, with and without experts.
//! `cargo run --release -p soccernet-v2` runs the suite; see README.md. Tasks, metrics and networks
//! are in the library; the suites define the comparisons.

use lab::prelude::*;

fn main() -> ExitCode {
    lab::main(
        Plugins::default(),
        &[
            lab::suite!("soccernet-v2", "../suite.toml"),
            lab::suite!("soccernet-v2-context", "../context.toml"),
            lab::suite!("soccernet-v2-cameras", "../cameras.toml"),
            lab::suite!("soccernet-v2-grounding", "../grounding.toml"),
        ],
    )
}
