//! Compares a search in a space of heterogeneous experts with random search, and with networks that have the
//! same architecture in all layers: `cargo run --release -p automoe`; see README.md. The algorithms are in
//! the library; the suites define the comparisons.

use lab::prelude::*;

fn main() -> ExitCode {
    let pairs = lab::suite!("automoe", "../suite.toml");
    let multi30k = lab::suite!("automoe-multi30k", "../multi30k.toml");
    let ranking = lab::suite!("automoe-ranking", "../ranking.toml");
    let latency = lab::suite!("automoe-latency", "../latency.toml");
    let predicted = lab::suite!("automoe-predicted-latency", "../predicted-latency.toml");
    lab::main(Plugins::default(), &[pairs, multi30k, ranking, latency, predicted])
}
