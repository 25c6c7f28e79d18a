//! Compares rules that drop experts of a fine-tuned network: `cargo run --release -p expert-pruning`
//! on digits and on the data model of the theory, `run expert-pruning-fashion` on clothes,
//! `run expert-pruning-cifar10` on photographs; see README.md.

use lab::prelude::*;

fn main() -> ExitCode {
    let suite = lab::suite!("expert-pruning", "../suite.toml");
    let fashion = lab::suite!("expert-pruning-fashion", "../fashion.toml");
    let cifar10 = lab::suite!("expert-pruning-cifar10", "../cifar10.toml");
    lab::main(Plugins::default(), &[suite, fashion, cifar10])
}
