//! Tests the claims of V-MoE on small images: `cargo run --release -p v-moe`; see
//! README.md. The algorithms are in the library; the suite says what is compared.

use lab::prelude::*;

fn main() -> ExitCode {
    let suites =
        [lab::suite!("v-moe", "../suite.toml"), lab::suite!("v-moe-cifar10", "../cifar10.toml")];
    lab::main(Plugins::default(), &suites)
}
