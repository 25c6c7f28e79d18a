//! Which experts of a fine-tuned network can be dropped? `cargo run --release -p expert-pruning`
//! answers it on digits, `cargo run --release -p expert-pruning -- run theory` on the data model of
//! the theory; see README.md.

use lab::prelude::*;

fn main() -> ExitCode {
    let digits = lab::suite!("expert-pruning", "../suite.toml");
    let theory = lab::suite!("expert-pruning-theory", "../theory.toml");
    lab::main(Plugins::default(), &[digits, theory])
}
