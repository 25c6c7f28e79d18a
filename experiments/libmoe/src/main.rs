//! Compares the algorithms of LibMoE in quality and in routing behaviour.
//! `cargo run --release -p libmoe -- --trace`; see README.md.
//! The algorithms are in the library; the suites define the comparisons.

use lab::prelude::*;

fn main() -> ExitCode {
    let suites = [
        lab::suite!("libmoe", "../suite.toml"),
        lab::suite!("libmoe-shakespeare", "../shakespeare.toml"),
        lab::suite!("libmoe-routers", "../routers.toml"),
        lab::suite!("libmoe-union", "../union.toml"),
        lab::suite!("libmoe-upcycling", "../upcycling.toml"),
        lab::suite!("libmoe-cost", "../cost.toml"),
    ];
    lab::main(Plugins::default(), &suites)
}
