//! Tests the claims of V-MoE on small images: `cargo run --release -p v-moe -- run v-moe-cifar10`; see
//! README.md. The algorithms are in the library; the suites define the comparisons.

use lab::prelude::*;

fn main() -> ExitCode {
    let suite = lab::suite!("v-moe", "../suite.toml");
    let cifar10 = lab::suite!("v-moe-cifar10", "../cifar10.toml");
    let transfer = lab::suite!("v-moe-transfer-cifar10", "../transfer-cifar10.toml");
    let fashion = lab::suite!("v-moe-fashion", "../fashion.toml");
    lab::main(Plugins::default(), &[suite, cifar10, fashion, transfer])
}
