//! Do the claims of V-MoE hold on small pictures? `cargo run --release -p v-moe` answers it; see
//! README.md. The algorithms are in the library; the suite says what is compared.

use lab::prelude::*;

fn main() -> ExitCode {
    lab::main(Plugins::default(), &[lab::suite!("v-moe", "../suite.toml")])
}
