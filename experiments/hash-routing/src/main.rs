//! Compares learned routing with fixed routing: `cargo run --release -p hash-routing`; see README.md.

mod token_vector;

use lab::prelude::*;

fn main() -> ExitCode {
    let suites = [
        lab::suite!("hash-routing", "../suite.toml"),
        lab::suite!("hash-routing-wide", "../wide.toml"),
        lab::suite!("hash-routing-tuned", "../tuned.toml"),
        lab::suite!("hash-routing-gate-rates", "../gate-rates.toml"),
        lab::suite!("planted-clusters", "../planted.toml"),
        lab::suite!("hash-routing-scaling", "../scaling.toml"),
        lab::suite!("hash-routing-scaling-fine", "../scaling-fine.toml"),
    ];
    lab::main(plugins(), &suites)
}

fn plugins() -> Plugins {
    Plugins::default().with_experts::<token_vector::TokenVector>()
}
