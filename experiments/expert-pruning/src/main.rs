//! Which experts of a fine-tuned network can be dropped? `cargo run --release -p expert-pruning`
//! answers it on digits and on the data model of the theory, and with
//! `run expert-pruning-fashion` on clothes; see README.md.

use lab::prelude::*;

fn main() -> ExitCode {
    let suite = lab::suite!("expert-pruning", "../suite.toml");
    let fashion = lab::suite!("expert-pruning-fashion", "../fashion.toml");
    lab::main(Plugins::default(), &[suite, fashion])
}
