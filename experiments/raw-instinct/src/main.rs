//! Compares classifiers on RAW with those on RGB: `cargo run --release -p raw-instinct --
//! --data-dir DIR` for accuracy, `timing` for speed; see README.md. Task, networks and conversion
//! are in the library; the suites define the comparisons.

mod chain;
mod networks;
mod sweep;
mod timing;

use lab::{VerbEntry, prelude::*};

fn main() -> ExitCode {
    let suite = lab::suite!("raw-instinct", "../suite.toml");
    let networks = lab::suite!("raw-instinct-networks", "../networks.toml");
    let transformers = lab::suite!("raw-instinct-transformers", "../transformers.toml");
    let experts = lab::suite!("raw-instinct-experts", "../experts.toml");
    let verbs = [VerbEntry::of::<timing::Timing>()];
    lab::main_with(Plugins::default(), &[suite, experts, transformers, networks], &verbs)
}
