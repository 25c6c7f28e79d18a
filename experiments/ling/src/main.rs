//! Which parts of Ling's recipe show at a small scale? `cargo run --release -p ling` answers it; see
//! README.md. The algorithms are in the library; the suites say what is compared.

use lab::prelude::*;

fn main() -> ExitCode {
    lab::main(Plugins::default(), &[lab::suite!("ling", "../suite.toml")])
}
