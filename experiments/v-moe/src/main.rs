//! Do the claims of V-MoE hold on small pictures? `cargo run --release -p v-moe` answers it; see
//! README.md. The algorithms are in the library; the suite says what is compared.

use lab::prelude::*;

fn main() -> ExitCode {
    let suites =
        [lab::suite!("v-moe", "../suite.toml"), lab::suite!("v-moe-cifar10", "../cifar10.toml")];
    lab::main(Plugins::default(), &suites)
}
