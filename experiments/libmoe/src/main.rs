//! Compares the algorithms of LibMoE, in quality and in how they route.
//! `cargo run --release -p libmoe -- --trace`; see README.md.
//! The algorithms are in the library; the suite says what is compared.

use lab::prelude::*;

fn main() -> ExitCode {
    let suites = [
        lab::suite!("libmoe", "../suite.toml"),
        lab::suite!("libmoe-shakespeare", "../shakespeare.toml"),
        lab::suite!("libmoe-routers", "../routers.toml"),
        lab::suite!("libmoe-upcycling", "../upcycling.toml"),
        lab::suite!("libmoe-cost", "../cost.toml"),
    ];
    lab::main(Plugins::default(), &suites)
}
