//! Does a search in a space of heterogeneous experts find better networks than chance, and than networks that
//! are alike in all layers? `cargo run --release -p automoe` answers it; see README.md. The algorithms are in
//! the library; the suites say what is compared.

use lab::prelude::*;

fn main() -> ExitCode {
    let pairs = lab::suite!("automoe", "../suite.toml");
    let multi30k = lab::suite!("automoe-multi30k", "../multi30k.toml");
    let ranking = lab::suite!("automoe-ranking", "../ranking.toml");
    lab::main(Plugins::default(), &[pairs, multi30k, ranking])
}
